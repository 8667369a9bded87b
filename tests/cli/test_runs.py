"""`ion runs`: the runs of a project."""

from __future__ import annotations

from .kit import Ion, Project
from .workflows import OTHER


def test_runs_lists_them_newest_first(built: Ion, project: Project) -> None:
    project.write("other", OTHER.format("nothing", "bash: echo x"))
    built("run", "other", "--input", "a=1", "--run-id", "other")
    found = built("runs", "--json").json("runs")
    assert [(run["run_id"], run["status"]) for run in found] == [("other", "completed"), ("mine", "paused")]
    assert [run["run_id"] for run in built("runs", "--status", "paused", "--json").json("runs")] == ["mine"]
    assert [run["run_id"] for run in built("runs", "--workflow", "other", "--json").json("runs")] == ["other"]
    assert len(built("runs", "--limit", "1", "--json").json("runs")) == 1
    table = built("runs").out.splitlines()
    assert table[0].startswith("✓ other  other  completed")
    assert table[1].startswith("⏸ mine   build  paused")
    assert built("runs", "--status", "asleep").status == 2
