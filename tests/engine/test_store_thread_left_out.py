"""A run that has its event loop to itself writes there while nothing else of it goes on, and beside it otherwise."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ion
from ion.core.events import Event, NodeCompleted
from ion.stores.memory import MemoryStore


class Watched(MemoryStore):
    """Notes for each node in which thread its end was written."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: dict[str, int] = {}

    def create_workflow_event(self, run_id: str, events: Sequence[Event], **how: Any) -> int:
        ended = (event.node for event in events if isinstance(event, NodeCompleted))
        self.threads |= dict.fromkeys(ended, threading.get_ident())
        return super().create_workflow_event(run_id, events, **how)


WORKFLOW = """
name: both
description: A chain beside a slow node.
nodes:
  - {id: first, bash: "true"}
  - {id: quick, bash: "true", depends_on: [first]}
  - {id: slow, bash: "while [ ! -e go ]; do sleep 0.02; done", depends_on: [first]}
  - {id: next, bash: "touch go", depends_on: [quick]}
  - {id: last, bash: "true", depends_on: [next, slow]}
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    file = tmp_path / "both.yaml"
    file.write_text(WORKFLOW)
    return file


def test_alone(workflow: Path) -> None:
    store = Watched()
    result = ion.execute_workflow_sync(workflow, store=store, project=workflow.parent)
    assert result.status == "completed"
    here = {node for node, thread in store.threads.items() if thread == threading.get_ident()}
    assert {"first", "last"} <= here
    assert "quick" not in here  # its sibling runs on, and its output is to be read meanwhile


async def test_in_a_loop_that_others_use(workflow: Path) -> None:
    store = Watched()
    result = await ion.execute_workflow(workflow, store=store, project=workflow.parent)
    assert result.status == "completed"
    assert set(store.threads) == {"first", "quick", "slow", "next", "last"}
    assert threading.get_ident() not in store.threads.values()
