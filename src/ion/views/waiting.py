"""What a run waits for, as people are shown it: what is asked, and the commands that answer it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from ion.core.addresses import ended_with, members_of, origin_of
from ion.core.events import CHECK, PERMISSION, SIGNAL, TIMER, ApprovalRequested, ApprovalResolved
from ion.core.waiting import Waiting, waiting_at, waiting_in
from ion.core.waits import answered  # noqa: F401 for the faces
from ion.errors import IonError
from ion.language.templates import path_of, templates_of
from ion.names import is_within
from ion.views.text import plural

if TYPE_CHECKING:
    from ion.api.result import RunResult
    from ion.api.workspace import Workspace
    from ion.core.events import Recorded
    from ion.core.state import NodeState, RunState
    from ion.language.workflow import Workflow

# Path of a node (`language.templates`) → decision → its label.
Labels: TypeAlias = Mapping[str, Mapping[str, str]]
NO_LABELS: Labels = {}
# What is waited for that needs nobody: it comes, or it is over.
PASSING = (TIMER, CHECK, "queue", "quota")
# Makes a command that a person can paste out of its words (`cli.context.CliContext.command`).
Command: TypeAlias = Callable[..., str]
# Of questions that many instances of one node ask, so many are shown.
SHOWN_OF_ALIKE = 5


class Asked(Struct, frozen=True, gc=False):
    """Something that waits; `make` gives its commands, which are made for what is shown: much may wait."""

    waiting: Waiting
    make: Callable[[Waiting], list[tuple[str, str]]]

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """The commands that answer it, each with a word on it or ''."""
        return tuple(self.make(self.waiting))


def all_asked(command: Command, run_id: str, state: RunState, labels: Labels) -> list[Asked]:
    """Everything that waits, in file order, at last a budget that is spent. `labels` are those of the workflow's
    decisions."""
    found = waiting_in(state)
    several = sum(one.gate is not None for one in found) > 1
    make = partial(_commands, command, run_id, state, labels, several=several)
    return [Asked(one, make) for one in found]


def held_up(state: RunState) -> bool:
    """Whether every turn that runs is held open for a permission: the run, which is driven all the same, can do nothing
    until somebody answers."""
    running = [node for node in state.nodes.values() if node.live]
    return bool(running) and all(node.permissions for node in running)


class Alike(Struct, frozen=True):
    """More that waits at instances of one node inside of `node`, and the commands that answer all of it."""

    node: str
    left: int
    commands: tuple[tuple[str, str], ...]


def folded(command: Command, run_id: str, asked: list[Asked]) -> tuple[list[Asked], list[Alike]]:
    """What is shown one by one, and what is only counted: of the instances of one node the first ones are shown."""
    by_path: dict[str, list[Asked]] = {}
    for one in asked:
        by_path.setdefault(path_of(one.waiting.node), []).append(one)
    shown = {id(one) for found in by_path.values() for one in found[:SHOWN_OF_ALIKE]}
    alike = [
        Alike(path.partition(".")[0], len(found) - SHOWN_OF_ALIKE, _to_all(command, run_id, path, found[0].waiting))
        for path, found in by_path.items()
        if len(found) > SHOWN_OF_ALIKE
    ]
    return [one for one in asked if id(one) in shown], alike


def _to_all(command: Command, run_id: str, path: str, one: Waiting) -> tuple[tuple[str, str], ...]:
    node, gate = path.partition(".")[0], one.gate
    if one.kind in (TIMER, CHECK, SIGNAL):
        return ()
    if gate is None or one.kind == PERMISSION:
        return ((command("next" if gate is None else "show", run_id), ""),)
    if gate.decisions:
        return tuple((command("respond", run_id, node, name, "--each"), "") for name in gate.decisions)
    return tuple((command(verb, run_id, node, "--each"), "") for verb in ("approve", "reject"))


def _commands(
    command: Command, run_id: str, state: RunState, labels: Labels, one: Waiting, *, several: bool
) -> list[tuple[str, str]]:
    node, gate = one.node, one.gate
    if one.kind == "budget":
        return [(budget_command(command, run_id, state), "")]
    if one.kind == SIGNAL:
        return [(command("signal", run_id, one.event), "")]
    if one.kind == "quota":
        return [(command("resume", run_id, "--agent OTHER"), "with another agent")]
    if one.kind in PASSING:
        return []
    if gate is None:
        return [(command("next", run_id), ""), (command("submit", run_id, node, "--file FILE"), "")]
    if one.kind == PERMISSION:
        which = f"--request {gate.request}"  # always: the agent may ask for something else by the time it is typed
        wider = [name for name, kind in zip(gate.decisions, gate.kinds, strict=False) if kind.endswith("_always")]
        answers = [command(answer, run_id, node, which) for answer in ("approve", "reject")]
        answers += [command("respond", run_id, node, name, which) for name in wider]
        return [(answer, "") for answer in answers]
    if gate.decisions:
        noted = labels_at(labels, node)
        return [(command("respond", run_id, node, name), noted.get(name, "")) for name in gate.decisions]
    name = (node,) if several else ()
    approve, comment = command("approve", run_id, *name), command("approve", run_id, *name, '--comment "…"')
    if gate.kind == "iteration":
        finish = [(approve, "finishes it")] if gate.signaled else []
        another = [] if gate.last else [(comment, "another round")]
        ended = ended_with(state, node)
        return [*finish, *another, (command("reject", run_id, *name), f"ends {ended or 'the run'}")]
    return [(comment, ""), (command("reject", run_id, *name, '--reason "…"'), "")]


def questions_in(state: RunState, node: str = "", request: str | None = None) -> list[Waiting]:
    """What a person may answer at a node and inside of it ('': in the whole run)."""
    return [
        one
        for one in waiting_in(state)
        if one.gate is not None and (not node or is_within(one.node, node)) and request in (None, one.request)
    ]


def answers_by_address(command: Command, run_id: str, state: RunState, decision: str, node: str = "") -> list[str]:
    """The commands that give this answer to one of several gates (the first ones), and to all inside of one node."""
    asked = [one.node for one in questions_in(state, node)]
    around = dict.fromkeys([node] if node else [one.partition(".")[0] for one in asked if "." in one])
    verb, after = (decision, ()) if decision in ("approve", "reject") else ("respond", (decision,))
    one_by_one = [command(verb, run_id, one, *after) for one in asked[:SHOWN_OF_ALIKE]]
    return [*one_by_one, *(command(verb, run_id, one, *after, "--each") for one in around)]


def shortest_answer(command: Command, run_id: str, node: NodeState) -> str:
    """The shortest command that answers what this node asks first; '' if it asks nothing."""
    one = next(iter(waiting_at(node)), None)
    if one is None or one.kind in (TIMER, CHECK):
        return ""
    if one.kind == SIGNAL:
        return command("signal", run_id, one.event)
    if one.gate is None:
        return command("next", run_id)
    if one.kind == PERMISSION:
        return command("approve", run_id, node.id, f"--request {one.request}")
    if one.gate.decisions:
        return command("respond", run_id, node.id, one.gate.decisions[0])
    return command("approve", run_id, node.id)


def summary(state: RunState) -> str:
    """`1 gate is open, 2 prompts wait for an agent`: everything that waits, counted."""
    return counted([one.kind for one in waiting_in(state)])


def counted(kinds: list[str]) -> str:
    """As `summary`, of what is of these kinds."""
    gates = kinds.count("approval") + kinds.count("iteration")
    parts = [
        _counted(gates, "gate", "is open", "are open"),
        _counted(kinds.count(PERMISSION), "permission", "is asked for", "are asked for"),
        _counted(kinds.count("prompt"), "prompt", "waits for an agent", "wait for an agent"),
        _counted(kinds.count(SIGNAL), "signal", "is waited for", "are waited for"),
        _counted(kinds.count(TIMER), "wait", "is not over", "are not over"),
        _counted(kinds.count(CHECK), "check", "has not passed", "have not passed"),
        _counted(kinds.count("quota"), "agent", "is at its limit", "are at their limits"),
        "the budget is spent" if "budget" in kinds else "",
    ]
    return ", ".join(part for part in parts if part)


def _counted(number: int, thing: str, one: str, several: str) -> str:
    return f"{plural(number, thing)} {one if number == 1 else several}" if number else ""


# ------------------------------------------------------------------ what continues a run


def budget_command(command: Command, run_id: str, state: RunState) -> str:
    """The command that raises the budget of a run, as a suggestion to twice of what is spent."""
    more = 2 * max(state.spent_usd, state.max_budget_usd or 0)
    amount = f"{math.ceil(more * 100) / 100:.2f}" if more >= 0.01 else f"{more:.1g}"
    return command("resume", run_id, "--max-budget-usd", amount)


def edited_command(command: Command, run_id: str, state: RunState, from_node: str | None = None) -> str:
    """The command that continues in a new run with the file as it is now. `from_node` None: the node from which it
    makes sense."""
    node = from_node or _first_unfinished(state)
    return command("rerun", run_id, *(("--from", node) if node else ()), "--edited")


def _first_unfinished(state: RunState) -> str | None:
    """The first node of the file that failed the run, else the first of which nothing is kept; None: all have
    completed."""
    failed = _first_failed(state)
    if failed is not None:
        return failed.id
    return next((node.id for node in _decided(state) if not state.keeps(node)), None)


def _first_failed(state: RunState) -> NodeState | None:
    failed = (node for node in _decided(state) if state.has_failed(node))
    return min(failed, key=lambda node: node.ended_at or 0, default=None)


def where_it_failed(state: RunState) -> NodeState | None:
    """The instance whose failure was the first that failed the run, and with it what it is inside of; None: none
    did."""
    failed = _first_failed(state)
    return None if failed is None or failed.error is None else origin_of(state, failed)


def kept_nodes(state: RunState, address: str = "") -> int:
    """How many nodes and instances a resume keeps: one with others inside of it counts as one."""
    inside = members_of(state, address) if address else _decided(state)
    return sum(1 if state.keeps(node) else kept_nodes(state, node.id) for node in inside)


def _decided(state: RunState) -> Iterator[NodeState]:
    """The nodes of the file that decide how the run ends: all but those of `finally`."""
    return (node for node in members_of(state, "") if node.id not in state.finally_nodes)


def nodes_of(state: RunState) -> list[NodeState]:
    """The nodes of the file, as people count them."""
    return list(members_of(state, ""))


# ------------------------------------------------------------------ questions and answers


class Answered(Struct, frozen=True):
    """A question of a node with the answer that a person gave to it (`at` in ms since the epoch)."""

    request: str
    message: str
    decision: str
    comment: str
    by: dict[str, Any]
    at: int


def answers_of(events: Iterable[Recorded], node: str) -> tuple[Answered, ...]:
    """What was answered to the questions of a node, in the order of the answers."""
    asked: dict[str, str] = {}
    found = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, ApprovalRequested) and event.node == node:
            asked[event.request] = event.message
        elif isinstance(event, ApprovalResolved) and event.node == node:
            found.append(
                Answered(
                    request=event.request,
                    message=asked.get(event.request, ""),
                    decision=event.decision,
                    comment=event.comment,
                    by=event.by,
                    at=event.at,
                )
            )
    return tuple(found)


def readable_workflow(workspace: Workspace, run_id: str, state: RunState) -> Workflow | None:
    """The run's workflow; None if it cannot be read any more: the run is shown all the same."""
    from ion.api.reading import read_frozen

    try:
        return read_frozen(workspace, run_id, state)
    except IonError:
        return None


def open_labels(workspace: Workspace, result: RunResult) -> Labels:
    """The labels of the gates that are open in a run: its workflow is read only if there may be some."""
    if not any(one.gate is not None and one.gate.decisions for one in waiting_in(result.state)):
        return NO_LABELS
    return labels_of(readable_workflow(workspace, result.run_id, result.state))


def labels_of(workflow: Workflow | None) -> Labels:
    """The labels that a workflow gives to the decisions of its gates, at any depth."""
    from ion.language.workflow import Approval

    return {
        one.path: {decision.id: decision.label or "" for decision in one.node.body.decisions}
        for one in (templates_of(workflow) if workflow is not None else ())
        if isinstance(one.node.body, Approval)
    }


def labels_at(labels: Labels, address: str) -> Mapping[str, str]:
    """Those of the decisions of this instance."""
    return labels.get(path_of(address), {})
