"""language.md §10: what is in the log of a run, and that conditions look only there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, BinaryIO

import ion
from conformance.kit import Clock, World, agent, mend, statuses
from ion import PromptRequest
from ion.core import events as e
from ion.errors import StoreError


def test_the_log_of_a_run_with_everything(world: World, hurry: Clock) -> None:
    """Events are about nodes; each thing that happens is one event, in order."""
    answering = agent(ask=[ion.AgentError("crashed", "once"), "asked"], work=["one", "two. DONE"])
    run = world.run(
        """
        max_concurrency: 1
        nodes:
          - {id: ask, prompt: hi}
          - {id: work, loop: {prompt: go, until: DONE, max_iterations: 2}, depends_on: [ask]}
          - {id: gate, approval: {message: Go}, depends_on: [work]}
          - {id: no, bash: echo, depends_on: [gate], when: $gate.output == 'x'}
          - {id: bad, bash: exit 1, depends_on: [gate]}
        """,
        agent=answering,
    )
    run = world.approve(run, agent=answering)
    assert [f"{event.type} {getattr(event, 'node', '')}".strip() for event in world.log(run)] == [
        "workflow_started",
        "node_started ask",
        "node_retrying ask",
        "node_started ask",
        "node_completed ask",
        "node_started work",
        "iteration_completed work",
        "node_started work",
        "iteration_completed work",
        "node_completed work",
        "node_started gate",
        "approval_requested gate",
        "workflow_paused",
        "approval_resolved gate",
        "workflow_resumed",
        "node_completed gate",
        "node_skipped no",
        "node_started bad",
        "node_failed bad",
        "workflow_failed",
    ]


def test_a_nodes_outcome_is_in_the_store_before_what_depends_on_it_starts(lasting: World) -> None:
    """The agent of the next node finds it there."""
    seen: dict[str, list[str]] = {}

    def ask(request: PromptRequest) -> str:
        seen[request.node] = [event.node for event in lasting.log(request.run_id, e.NodeCompleted)]
        return "done"

    lasting.run(
        "nodes: [{id: a, prompt: x}, {id: b, prompt: x, depends_on: [a]}, {id: c, prompt: x, depends_on: [b]}]\n",
        agent=ask,
    )
    assert seen == {"a": [], "b": ["a"], "c": ["a", "b"]}


CONDITIONS = """
    nodes:
      - {id: a, bash: "cat text; test -e text"}
      - {id: b, depends_on: [a], when: $a.output != 'x', bash: "test -e mended"}
      - {id: c, depends_on: [a], when: $a.output.f == 'y' || $a.output == 'z', bash: echo}
"""


def test_what_conditions_need_stands_in_the_event(lasting: World) -> None:
    """A text up to 4 KiB, else its hash and length; a value that cannot be read with the reason. The condition that
    is false there needs no value."""
    text = '{"f":"y","long":"' + "x" * 5000 + '"}'
    lasting.file("text", "").write_text(text)
    run = lasting.run(CONDITIONS)
    (completed,) = lasting.log(run, e.NodeCompleted, "a")
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert completed.reply.values == {"output": e.Value(sha256=digest, length=len(text)), "output.f": e.Value(text="y")}
    lasting.file("text", "plain")
    (completed,) = lasting.log(lasting.run(CONDITIONS), e.NodeCompleted, "a")
    assert completed.reply.values["output"] == e.Value(text="plain")
    assert "not JSON" in str(completed.reply.values["output.f"].error)


class WithoutBlobs:
    """A store that has lost every large output."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open_blob(self, sha256: str) -> BinaryIO:
        raise StoreError(f"{sha256} is gone")


def test_conditions_look_only_at_what_was_recorded(lasting: World) -> None:
    """On resume an output of 300 KiB is judged without being read, by its hash or by its field."""
    lasting.file("text", "").write_text('{"f":"y","long":"' + "x" * 300_000 + '"}')
    first = lasting.run(CONDITIONS + "      - {id: d, bash: test -e mended}\n")
    assert statuses(first) == {"a": "completed", "b": "failed", "c": "completed", "d": "failed"}
    mend(lasting)
    assert replace(lasting, store=WithoutBlobs(lasting.store)).resume(first).status == "completed"
