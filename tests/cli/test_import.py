"""`ion import`, and `ion export`: what cannot be done is said; hostile files are in test_hostile_imports.py."""

from __future__ import annotations

import pytest

from .kit import Ion, Project

HELLO = "name: hello\ndescription: d\nnodes:\n  - id: hello\n    bash: echo hello\n"


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["export", "none"], 2, "no run has the id 'none'"),
        (["export", "mine", "--json"], 2, "--json needs --output FILE"),
        (["export", "mine", "--output", "no/such/folder/x"], 1, "cannot write"),
        (["import", "missing"], 2, "the file missing cannot be read"),
        (["import", "."], 2, "cannot be read: Is a directory"),
        (["import", ".ion/workflows/hello.yaml"], 2, "hello.yaml is not an export of Ion"),
        (["import"], 2, "Missing argument 'FILE'"),
    ],
)
def test_what_cannot_be_done_is_said(command: list[str], status: int, said: str, ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    ion("run", "hello", "--run-id", "mine")
    result = ion(*command)
    assert result.status == status
    assert said in result.err + result.out
    assert not [path for path in project.folder.iterdir() if path.name.endswith(".tmp")]
