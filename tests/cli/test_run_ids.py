"""RUN, for every command that takes one: an id, a unique prefix of one, or `last`."""

from __future__ import annotations

import pytest

from .kit import Ion, Project
from .workflows import TWO_GATES


@pytest.mark.parametrize(
    "arguments",
    [
        ("approve", "nothing"),
        ("reject", "nothing"),
        ("respond", "nothing", "node", "yes"),
        ("submit", "nothing", "node", "--file", "f"),
        ("next", "nothing"),
        ("resume", "nothing"),
        ("cancel", "nothing"),
        ("show", "nothing"),
        ("events", "nothing"),
        ("logs", "nothing"),
        ("watch", "nothing"),
        ("graph", "--run", "nothing"),
        ("show", "last"),
        ("approve",),
        ("reject",),
    ],
)
def test_a_run_that_is_not_there_has_status_2(ion: Ion, project: Project, arguments: tuple[str, ...]) -> None:
    (project.folder / "f").write_text("x")
    result = ion(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error[")


def test_a_run_is_named_by_a_unique_prefix_or_last(ion: Ion, project: Project) -> None:
    for run_id in ("abc1", "abd2", "abd"):
        ion("run", str(project.write("it", TWO_GATES)), "--run-id", run_id)
    assert ion("show", "abc", "--json").json()["run_id"] == "abc1"
    assert ion("show", "abd", "--json").json()["run_id"] == "abd"
    assert ion("show", "last", "--json").json()["run_id"] == "abd"
    ambiguous = ion("show", "ab")
    assert ambiguous.status == 2
    assert "3 runs begin with 'ab': abd, abd2, abc1" in ambiguous.err
