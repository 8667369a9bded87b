"""Following a run: every event once and in order, each with the state after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ion
from ion import Run, RunState
from ion.api.workspace import open_workspace
from ion.views.following import Follower, follow

WORKFLOW = "name: w\ndescription: d\nnodes:\n  - {id: a, bash: echo hi}\n  - {id: b, depends_on: [a], bash: echo ho}\n"


class Notes:
    wants_lines = False

    def __init__(self) -> None:
        self.seen: list[tuple[int, str, str]] = []

    def event(self, run_id: str, recorded: ion.Recorded, state: RunState) -> None:
        self.seen.append((recorded.seq, recorded.event.type, state.status))

    def progress(self, run_id: str, node: str, line: str) -> None:
        pass


def test_the_past_is_shown_or_passed_over(tmp_path: Path) -> None:
    done = ion.execute_workflow_sync(ion.parse_workflow(WORKFLOW), project=tmp_path, run_id="r1")
    workspace: Any = open_workspace(str(tmp_path), None)
    whole, nothing = Notes(), Notes()
    follow(Run(workspace, "r1"), [whole], from_start=True)
    follow(Run(workspace, "r1"), [nothing], from_start=False)
    workspace.close()
    assert done.status == "completed"
    assert [seq for seq, _, _ in whole.seen] == list(range(1, len(whole.seen) + 1))
    assert whole.seen[0][1:] == ("workflow_started", "running")
    assert whole.seen[-1][1:] == ("workflow_completed", "completed")
    assert nothing.seen == []


def test_a_follower_continues_where_it_was(tmp_path: Path) -> None:
    ion.execute_workflow_sync(ion.parse_workflow(WORKFLOW), project=tmp_path, run_id="r1")
    workspace: Any = open_workspace(str(tmp_path), None)
    notes = Notes()
    run, follower = Run(workspace, "r1"), Follower("r1")
    events = run.events()
    follower.show(events[:2], [notes])
    follower.show(run.events(after=follower.after), [notes])
    workspace.close()
    assert [seq for seq, _, _ in notes.seen] == [recorded.seq for recorded in events]
    assert follower.state.status == "completed"
