"""What a clock reads of a store: no more for all the runs that have ended."""

from __future__ import annotations

from pathlib import Path

from bench.clock import fill

from ion.api.clock import Found, look
from ion.api.workspace import open_workspace
from work import CallCount


def calls_of_a_look(project: Path, *, ended: int) -> int:
    fill(project, ended=ended, waiting=20)
    workspace = open_workspace(project)
    try:
        assert look(workspace) == Found()
        with CallCount() as count:
            look(workspace)
    finally:
        workspace.close()
    return count.calls


def test_a_look_costs_the_same_whatever_has_ended(tmp_path: Path) -> None:
    few, many = (calls_of_a_look(tmp_path / str(ended), ended=ended) for ended in (10, 1_000))
    assert few == many
