"""`ion reject`: a gate is answered with no."""

from __future__ import annotations

from .kit import Ion, Project
from .workflows import TWO_GATES, start


def test_a_rejection_without_another_way_cancels(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("reject", "mine", "first", "--reason", "no", "--json")
    assert result.status == 4
    assert result.json("run")["nodes"]["first"]["status"] == "cancelled"
    assert ion("approve", "mine", "second").status == 5
