"""What an agent's turn left undone is said wherever its node is shown, and kept in the log."""

from __future__ import annotations

import json
from pathlib import Path

import ion

WORKFLOW = """\
name: edit
description: An edit that is refused
nodes:
  - id: edit
    prompt: Write the file.
  - id: after
    depends_on: [edit]
    bash: echo after
"""


def test_a_note_of_a_turn_is_in_the_event_and_in_the_result(tmp_path: Path) -> None:
    (tmp_path / ".ion" / "workflows").mkdir(parents=True)
    (tmp_path / ".ion" / "workflows" / "edit.yaml").write_text(WORKFLOW)

    def agent(request: ion.PromptRequest) -> ion.PromptResult:
        return ion.PromptResult("done", notes=("not done, since its permissions refused it: Write\x1b[2J",))

    result = ion.execute_workflow_sync("edit", project=tmp_path, agent=agent)
    note = "not done, since its permissions refused it: Write"
    assert json.loads(json.dumps(result.to_json()))["nodes"]["edit"]["notes"][0].startswith(note)
    again = ion.rerun_workflow_sync(result.run_id, from_node="after", agent=agent, project=tmp_path)
    assert again.to_json()["nodes"]["edit"]["notes"] == result.to_json()["nodes"]["edit"]["notes"]
    events = ion.get_events(result.run_id, project=tmp_path)
    kept = [
        event.event.reply.notes
        for event in events
        if event.event.type == "node_completed" and event.event.node == "edit"
    ]
    assert [notes[0].startswith(note) for notes in kept] == [True]
