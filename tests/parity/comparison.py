"""What is the same about a run wherever it is kept and whatever drives it, and what may differ.

The same: what the events of each node say, one after the other, and those of the run itself; texts are compared whole,
also where one home keeps them beside the log. The same is also what each event comes after: the events of the nodes
that its node waits for, and the stretches of the run (between a pause and what continues it). Only nodes that do not
wait for each other may be ordered otherwise.

Not the same: when, by whom and by which process, and on which engine, and how long a wait has taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from msgspec.structs import replace

from ion import codec
from ion.core import events as e
from ion.core.fold import apply
from ion.core.state import RunState
from ion.engine.run_reader import read_state, read_workflow
from ion.language.templates import templates_of
from ion.language.workflow import Workflow
from ion.stores.base import WorkflowStore

# The run's own events are told under the name of no node.
RUN = ""
# When and by whom; `due_at` has chance in it, `owned_until` is when the owner before was alive last.
_DIFFERENT = ("at", "due_at", "remind_at", "owned_until", "by", "engine")
# These come from outside, at any moment of a stretch; all other events of the run stand between stretches.
_REQUESTS = (e.CancelRequested, e.BudgetRaised)


@dataclass
class Told:
    """A run's log: for each node what its events say, and how many events of what it waits for each of them had before
    it."""

    says: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {RUN: []})
    after: dict[str, list[dict[str, int]]] = field(default_factory=lambda: {RUN: []})


def tell(store: WorkflowStore, run_id: str) -> Told:
    """The log of a run as it can be compared. Fails where a node began before what it waits for had ended."""
    events = [recorded.event for recorded in store.get_workflow_events(run_id)]
    workflow = read_workflow(store, run_id, read_state(store, run_id))
    return tell_events(workflow, events, store)


def tell_events(workflow: Workflow, events: list[e.Event], store: WorkflowStore) -> Told:
    told = Told()
    state = RunState()
    stretch = 0
    for event in events:
        name = event.node if isinstance(event, e.NodeEvent) else RUN
        _check_beginning(workflow, state, event)
        told.after.setdefault(name, []).append({"stretch": stretch, **_counts(workflow, state, told, event)})
        told.says.setdefault(name, []).append(_untimed(_plain(event, store, state.agent), state))
        apply(state, event)
        if name == RUN and not isinstance(event, _REQUESTS):
            stretch += 1
    return told


def differences(here: dict[str, Told], there: dict[str, Told]) -> list[str]:
    """What is not the same of these runs, the first difference of each node."""
    found = [f"the runs: {[*here]} | {[*there]}"] if [*here] != [*there] else []
    for run_id in here.keys() & there.keys():
        for what in ("says", "after"):
            one, other = getattr(here[run_id], what), getattr(there[run_id], what)
            for node in sorted(one.keys() | other.keys()):
                for number, (first, second) in enumerate(zip_longest(one.get(node, ()), other.get(node, ()))):
                    if first != second:
                        found.append(f"{run_id}, '{node or 'the run'}', event {number} {what}: {first} | {second}")
                        break
    return found


def _counts(workflow: Workflow, state: RunState, told: Told, event: e.Event) -> dict[str, int]:
    """How many events there are by now of each instance that this event has to come after."""
    if isinstance(event, e.NodeEvent):
        inside = state.scopes[event.node].members if event.node in state.scopes else ()
        owner = state.nodes[event.node].owner
        names = [*_waits_for(workflow, state, event.node), *([owner] if owner else []), *inside]
    else:
        names = [] if isinstance(event, _REQUESTS) else [*state.nodes]
    return {name: len(told.says.get(name, ())) for name in names}


def _waits_for(workflow: Workflow, state: RunState, address: str) -> list[str]:
    """The instances beside this one that it waits for: items wait for none."""
    template, owner = templates_of(workflow)[address], state.nodes[address].owner
    scope = state.scopes[owner] if owner else None
    if scope is not None and scope.items is not None:
        return []
    body, prefix = template.body, "" if scope is None else scope.prefix
    return [f"{prefix}{body.members[i].node.id}" for i in body.waits[body.places[template.node.id]]]


def _check_beginning(workflow: Workflow, state: RunState, event: e.Event) -> None:
    decided = isinstance(event, e.NodeSkipped) and event.reason in ("trigger_rule", "upstream_failed", "when")
    if isinstance(event, e.NodeStarted | e.ScopeOpened) or decided:
        assert isinstance(event, e.NodeEvent)
        early = [name for name in _waits_for(workflow, state, event.node) if not state.nodes[name].terminal]
        assert not early, f"{event.type} of '{event.node}' is in the log before the end of {early}"


def _plain(event: e.Event, store: WorkflowStore, agent: str | None) -> dict[str, Any]:
    if isinstance(event, e.WorkflowResumed) and event.agent == agent:
        event = replace(event, agent=None)  # whether it was said once more who answers
    said = {name: value for name, value in codec.to_json(event).items() if name not in _DIFFERENT}
    texts = [_text(content, store) for content in e.contents(event)]
    said |= said.pop("reply", {})
    return {**said, **dict.fromkeys(said.keys() & {"output", "prompt", "items", "given"}, *texts)}


def _untimed(said: dict[str, Any], state: RunState) -> dict[str, Any]:
    """Without how long a wait has taken, in its output and in the digests of it that nodes after it were given."""
    waits = {node.id.rpartition(".")[2] for node in state.nodes.values() if node.kind == "wait"}
    if waits and "output" in said:
        output = re.sub(r'"waited_ms":\d+', '"waited_ms":0', said["output"])
        said = {**said, "output": output, "values": said.get("values") if output == said["output"] else None}
    if "inputs" in said and waits:
        given = said["inputs"].items()
        said = {**said, "inputs": {name: text.partition(":")[0] if name in waits else text for name, text in given}}
    return said


def _text(content: e.Content, store: WorkflowStore) -> str:
    if content.text is not None:
        return content.text
    with store.open_blob(content.sha256) as stream:
        return stream.read().decode("utf-8", "surrogatepass")
