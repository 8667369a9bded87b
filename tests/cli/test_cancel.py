"""`ion cancel`: a run ends, whoever drives it."""

from __future__ import annotations

import json

from .kit import Ion, Project
from .workflows import TWO_GATES, start


def test_cancel_ends_a_run_that_nobody_drives(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("cancel", "mine", "--reason", "no more", "--json")
    assert result.status == 0
    assert result.json("run")["error"]["message"] == "no more"
    assert ion("cancel", "mine").status == 5
    events = [json.loads(line) for line in ion("events", "mine").out.splitlines()]
    assert [event["reason"] for event in events if event["type"] == "cancel_requested"] == ["no more"]
