"""`ion reject`: a gate is answered with no."""

from __future__ import annotations

from .kit import Ion, Project
from .workflows import GATES_OF_ITEMS, TWO_GATES, start


def test_a_rejection_without_another_way_cancels(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("reject", "mine", "first", "--reason", "no", "--json")
    assert result.status == 4
    assert result.json("run")["nodes"]["first"]["status"] == "cancelled"
    assert ion("approve", "mine", "second").status == 5


def test_a_long_reason_is_cut_where_the_run_says_why_it_failed(ion: Ion, project: Project) -> None:
    """A rejection inside of an item fails that one, with the reason; the whole of it is in the log."""
    start(ion, project, GATES_OF_ITEMS)
    ion("respond", "mine", "how", "slow", "--quiet")
    result = ion("reject", "mine", "ship", "--each", "--reason", "no " * 5000, "--quiet")
    assert result.status == 1
    assert len(result.err) < 1500
    assert "no no no" in result.err
    assert "no " * 4999 in ion("events", "mine").out
