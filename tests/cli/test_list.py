"""`ion list`: the workflows that can be found."""

from __future__ import annotations

import re

from .kit import Ion, Project
from .workflows import BUILD, OTHER


def test_list_shows_all_also_what_is_broken_or_shadowed(ion: Ion, project: Project) -> None:
    project.write("build", BUILD)
    project.write("other", OTHER.format("an agent", "prompt: hi"))
    project.write("broken", "name: broken\ndescription: d\nnodes: []\n")
    archon = project.folder / ".archon" / "workflows"
    archon.mkdir(parents=True)
    (archon / "build.yaml").write_text(BUILD)
    result = ion("list")
    assert result.status == 0
    rows = {line.split("  ")[0]: line for line in result.out.splitlines()[1:]}
    assert re.search(r"One of everything .* \.ion/workflows$", result.out, re.MULTILINE)
    assert "a, agent" in rows["other"]
    assert "1 error · ion validate broken" in rows["✗ broken"]
    assert all(len(line) <= 80 for line in result.out.splitlines())
    found = {(item["name"], item["file"]): item for item in ion("list", "--json").json("list")}
    other = found["other", str(project.folder / ".ion/workflows/other.yaml")]
    assert other["inputs"] == {"a": {"required": True, "description": "", "type": None}}
    shadowed = found["build", str(archon / "build.yaml")]
    assert shadowed["shadowed_by"] == str(project.folder / ".ion/workflows/build.yaml")
    assert found["broken", str(project.folder / ".ion/workflows/broken.yaml")]["problems"]


def test_a_column_is_as_wide_as_its_head(ion: Ion, project: Project) -> None:
    project.write("a", "name: a\ndescription: d\nnodes: [{id: a, bash: x}]\n")
    head, row = ion("list").out.splitlines()
    assert head.split() == ["NAME", "WHAT", "NEEDS", "FROM"]
    assert row.index(".ion") == head.index("FROM")


def test_an_empty_project_says_what_to_do(ion: Ion) -> None:
    assert "ion init writes a first one" in ion("list").err
    assert "ion run WORKFLOW starts one" in ion("runs").err
    assert ion("list", "--json").json("list") == []
    assert ion("runs", "--json").json("runs") == []
    assert ion("validate").out == "no problems in 0 files\n"
