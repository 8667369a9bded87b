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


def test_a_run_takes_no_folder_of_a_run_of_another_store(ion: Ion, project: Project) -> None:
    """Logs and artifacts of the two would be mixed."""
    other, more = ("--store", "file:.ion/other"), ("--run-id", "mine", "--quiet")
    project.write("two", TWO_GATES)
    assert ion("run", "two", *more).status == 3
    refused = ion("run", "two", *more, *other)
    assert refused.status == 5
    assert "the store sqlite:.ion/ion.db has a run 'mine' with files in this project" in refused.err
    assert ion("runs", *other, "--json").json("runs") == []
    assert ion("run", "two", "--run-id", "old", "--quiet", *other).status == 3
    assert ion("rerun", "old", *more, *other).status == 5
    assert ion("run", "two", *more).status == 5, "it exists"
    assert ion("cancel", "mine").status == 0
    assert ion("prune", "--older-than", "0d", "--yes").status == 0
    assert ion("run", "two", *more, *other).status == 3
