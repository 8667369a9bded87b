"""`ion convert`: an SOP as YAML, as a skill, as a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS

from ion.language.load import parse_workflow

from .kit import Ion, Project


def test_convert_prints_yaml(ion: Ion, write: Callable[..., Path], project: Project) -> None:
    path = write(THREE_STEPS.replace("Pay a bill", "支払い"))
    done = ion("convert", str(path))
    assert done.status == 0
    loaded = parse_workflow(done.out)
    assert loaded.workflow is not None
    assert [node.id for node in loaded.workflow.nodes] == ["read-the-bill", "check-it", "pay"]
    assert "支払い" in done.out
    assert ion("convert", str(path)).out == done.out
    assert ion("convert", str(path), "--json").json() == {"name": "pay", "text": done.out}


def test_convert_in_other_manners(ion: Ion, write: Callable[..., Path]) -> None:
    path = write("# T\n\n## Steps\n\n### 1. A\n\nx\n\n#### 1.1 B\n\ny\n\n#### 1.2 C\n\nz\n", name="sub")
    assert "- id: a-b\n" in ion("convert", str(path), "--split", "substeps").out
    fresh = ion("convert", str(path), "--split", "substeps", "--fresh").out
    assert fresh.count("context: fresh") == 2
    assert "continued:" not in fresh


def test_convert_writes_a_file_once(ion: Ion, write: Callable[..., Path], project: Project) -> None:
    """The same again does no harm; another content needs --force."""
    path = write()
    assert ion("convert", str(path), "--output", "out/pay.yaml").out == "out/pay.yaml\n"
    assert ion("convert", str(path), "--output", "out/pay.yaml").status == 0
    (project.folder / "out" / "pay.yaml").write_text("mine")
    refused = ion("convert", str(path), "--output", "out/pay.yaml")
    assert (refused.status, (project.folder / "out" / "pay.yaml").read_text()) == (5, "mine")
    assert "--force" in refused.err
    assert ion("convert", str(path), "--output", "out/pay.yaml", "--force").status == 0
    assert parse_workflow((project.folder / "out" / "pay.yaml").read_text()).workflow is not None


def test_convert_to_a_skill_and_a_command(ion: Ion, write: Callable[..., Path], project: Project) -> None:
    path = write()
    assert ion("convert", str(path), "--to", "skill").status == 0
    assert (project.folder / "skills" / "pay" / "SKILL.md").read_text().startswith("---\nname: pay\n")
    assert ion("convert", str(path), "--to", "skill", "--output", "here", "--json").json() == {
        "file": str(project.folder / "here" / "pay" / "SKILL.md")
    }
    assert ion("convert", str(path), "--to", "cursor").status == 0
    assert "# Pay a bill" in (project.folder / ".cursor" / "commands" / "pay.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.sop.md"], "does not exist"),
        ([".ion/workflows/w.yaml"], "does not end in .sop.md"),
        ([".ion/workflows/broken.sop.md"], "no-steps"),
        ([".ion/workflows/pay.sop.md", "--to", "skill", "--fresh"], "for --to yaml"),
        ([".ion/workflows/pay.sop.md", "--to", "word"], "word"),
    ],
)
def test_what_cannot_be_converted(
    ion: Ion, write: Callable[..., Path], project: Project, arguments: list[str], said: str
) -> None:
    write()
    write("# Broken\n", name="broken")
    (project.folder / ".ion" / "workflows" / "w.yaml").write_text("name: w\n")
    done = ion("convert", *arguments)
    assert done.status == 2
    assert said in done.err
