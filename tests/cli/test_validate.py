"""`ion validate`: each problem with its place."""

from __future__ import annotations

import re

from .kit import Ion, Project
from .workflows import BUILD


def test_validate_shows_problems_with_their_lines(ion: Ion, project: Project) -> None:
    path = project.write(
        "bad", BUILD.replace("depends_on: [fix]", "depend_on: [fix]").replace("name: build", "name: bad")
    )
    project.write("build", BUILD)
    result = ion("validate")
    assert result.status == 1
    assert "  --> .ion/workflows/bad.yaml:16:5\n" in result.out
    assert "16 |     depend_on: [fix]\n   |     ^^^^^^^^^ did you mean 'depends_on'?\n" in result.out
    assert re.search(r"^1 error(, \d+ warnings?)? in 1 of 2 files$", result.out, re.MULTILINE)
    problems = ion("validate", "bad", "--json").json("validate")
    assert (problems[0]["file"], problems[0]["line"], problems[0]["column"]) == (str(path), 16, 5)
    assert ion("validate", "build").status == 0
    assert ion("validate", str(path)).status == 1
    assert ion("validate", "nowhere").status == 2


def test_strict_makes_warnings_fail(ion: Ion, project: Project) -> None:
    project.write("warns", "name: warns\ndescription: d\nnodes:\n  - id: a\n    bash: echo\n    timeout: 50\n")
    assert ion("validate").status == 0
    assert ion("validate", "--strict").status == 1
    assert {problem["severity"] for problem in ion("validate", "--json").json("validate")} == {"warning"}
