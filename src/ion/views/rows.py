"""What there is to say about a node at one moment, in a line: beside its state in a list, and as a row of a live view;
and when it ran, as a bar of text.

Rows are snapshots of the nodes' states, so that another thread may draw them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from ion.core.addresses import instances_in, members_of, origin_of
from ion.core.apply_outcome import next_try
from ion.core.events import CHECK, SIGNAL, TIMER
from ion.core.requests import iteration_of
from ion.core.tallies import Tally, counts_of  # noqa: F401 for the faces
from ion.kinds import AGENT_KINDS, KINDS, SLOT_TURNS, TURNS
from ion.language.templates import templates_of
from ion.language.workflow import Loop, LoopGroup
from ion.views.text import cut, duration, one_line, plural
from ion.views.waiting import PERMISSION, Waiting, waiting_at
from ion.views.words import counted, failure_text, foreseen, mark_of_node

if TYPE_CHECKING:
    from ion.api.result import RunShown
    from ion.core.state import NodeState, RunState
    from ion.language.workflow import Node, Workflow


MAX_ITEM_COLUMNS = 40
_LONGEST_NOTE = 400
_URGENCY = {"failed": 0, "waiting": 1, "running": 2}


def note_of(
    node: NodeState,
    state: RunState,
    workflow: Workflow | None,
    run_status: str,
    between: str = "  ",
    counts: dict[str, int] | None = None,
) -> str:
    """What there is to say about a node beside its state: who, how often, why. `counts` are of what is inside of it."""
    parts = [node.agent] if node.agent else []
    if KINDS[node.kind].iterates and node.status == "failed":
        pass  # the failure says how far it came
    elif node.progress.iterations and KINDS[node.kind].iterates:
        parts.append(plural(node.progress.iterations, "iteration"))
    elif node.attempts > 1 or (node.attempts and node.kind == "wait"):
        parts.append(attempts_of(node))
    if counts is not None and not (KINDS[node.kind].iterates and node.terminal):
        parts.append(counted(counts, running="cut off" if run_status == "interrupted" else "running"))
    cut_off = mark_of_node(state, node, run_status) == "interrupted"
    if origin_of(state, node) is not node or (cut_off and counts is not None):
        return between.join(parts)  # the rest stands below it
    parts.append("cut off" if cut_off else _why(node, state, workflow))
    return between.join(part for part in parts if part)


def attempts_of(node: NodeState) -> str:
    """`3 attempts`, of a check `3 tries`."""
    if node.kind == "wait":
        return "1 try" if node.attempts == 1 else f"{node.attempts} tries"
    return plural(node.attempts, "attempt")


def _why(node: NodeState, state: RunState, workflow: Workflow | None) -> str:
    if node.status == "failed" and node.error is not None:
        return ", ".join(filter(None, (failure_text(node.error).headline, foreseen(state, node))))
    if node.status in ("skipped", "cancelled"):
        return _why_skipped(node)
    if node.status == "completed" and node.notes:
        return "; ".join(map(one_line, node.notes))
    asked = waiting_at(node)
    if asked:
        return _asks(asked[0])
    if node.status == "waiting" and node.error is not None:
        return f"tries again after: {failure_text(node.error).headline}"
    if node.status == "pending" and workflow is not None:
        waited = waits_of(state, templates_of(workflow)[node.id].node, node.id)
        missing = [other.id for other in waited if not other.terminal]
        return f"waits for {', '.join(missing)}" if missing else _at_the_end(state, node, workflow)
    return ""


def _at_the_end(state: RunState, node: NodeState, workflow: Workflow) -> str:
    is_final = templates_of(workflow)[node.id].is_final
    return "runs before the end" if is_final and state.finishing is None else ""


def waits_of(state: RunState, node: Node, address: str) -> list[NodeState]:
    """The instances that an instance of this node waits for, those that it depends on before the others."""
    found = (named_from(state, address, name) for name in node.waits_for)
    return [one for one in found if one is not None]


def named_from(state: RunState, address: str, name: str) -> NodeState | None:
    """The instance that an id means in the texts of another one: the nearest around it."""
    around = address
    while around:
        around = around.rpartition(".")[0]
        found = state.nodes.get(f"{around}.{name}" if around else name)
        if found is not None:
            return found
    return None


# What comes at the time at which a wait is due, by what it is for.
_WAITS = {TIMER: "wakes", SIGNAL: "expires", CHECK: "next try"}


def _asks(one: Waiting) -> str:
    if one.kind in _WAITS:
        return one.message
    if one.gate is None:
        return "its prompt waits for an agent"
    return f"{'asks' if one.kind == PERMISSION else 'gate'}: {one_line(one.message)}"


def _why_skipped(node: NodeState) -> str:
    if node.reason == "when":
        return "when was false"
    if node.reason in ("trigger_rule", "upstream_failed"):
        return one_line(node.detail).partition(": ")[2]
    return one_line(node.detail) or (node.reason or "").replace("_", " ")


class Row(Struct, frozen=True, gc=False):
    """One node at one moment. `state` is a key of `marks.mark`; times are ms since the epoch. `started_at` is when it
    would have started had somebody driven it all the time, `took_ms` how long it ran if that does not grow. `left`
    is shown in the columns of duration and agent. `log` is the stem of what its program writes, while one runs. `depth`
    counts the nodes that it is inside of, `item` is what it is for. `more`: the row is of so many inside of `node` that
    are not shown."""

    node: str
    state: str
    waits_for: tuple[str, ...] = ()
    started_at: int | None = None
    ended_at: int | None = None
    took_ms: int | None = None
    due_at: int | None = None
    left: str = ""
    agent: str = ""
    note: str = ""
    log: str | None = None
    depth: int = 0
    item: str = ""
    more: int = 0

    @property
    def over(self) -> bool:
        return self.state in ("completed", "partly", "failed", "allowed", "skipped", "cancelled")


def row_of(now: NodeState, state: RunState, workflow: Workflow | None, answer: str = "", item: Any = None) -> Row:
    """A node's row. `workflow` is None where it cannot be read: then less is known. `answer` is the command that
    answers what the node asks, `item` what an instance is for."""
    node = templates_of(workflow)[now.id].node if workflow is not None else None
    shown = mark_of_node(state, now, state.status)
    retrying = shown == "retry"
    started_at, took_ms = _time_of(now, state)
    due_at, left = (now.due_at, _tries(now, node)) if retrying else (None, "")
    if now.wait is not None:
        due_at, left = now.due_at, _WAITS[now.wait.kind]
    if now.held_by:
        lane = state.lanes.get(now.held_by)
        due_at, left = None if lane is None else lane.until, f"{now.held_by} again"
    return Row(
        node=now.id,
        state=shown,
        waits_for=node.waits_for if node is not None and not now.owner else (),
        started_at=started_at,
        ended_at=now.ended_at,
        took_ms=took_ms,
        due_at=due_at,
        left=left,
        agent=(now.agent or "") if not retrying else "",
        note=" · ".join(filter(None, (answer, _note(now, node, state, workflow)))),
        log=f"{now.id}/{now.starts}-{now.turn}" if now.turn in SLOT_TURNS else None,
        depth=_depth(state, now),
        item=_item_text(item),
    )


def _time_of(now: NodeState, state: RunState) -> tuple[int | None, int | None]:
    """`started_at` and `took_ms` of a row."""
    if now.owned_from is None or now.took_ms is not None:
        return None, now.took_ms
    if state.owned_since is None:
        return None, state.owned_ms - now.owned_from
    return state.owned_since - (state.owned_ms - now.owned_from), None


def _tries(now: NodeState, node: Node | None) -> str:
    """`retry 2/3`: which try comes, of how many there may be."""
    number, of = next_try(node, now)
    return f"{'reply' if now.tries.reask else 'retry'} {number}/{of}"


def _note(now: NodeState, node: Node | None, state: RunState, workflow: Workflow | None) -> str:
    if now.status == "running":
        return _doing(now, node, state)
    if now.status == "waiting" and (now.retry_at is not None or now.held_by) and now.error is not None:
        text = failure_text(now.error)
        return ": ".join([text.headline, *text.said[-1:]])
    if now.status == "completed" and now.notes:
        return _short("; ".join(now.notes))
    if now.status == "completed" and now.kind in AGENT_KINDS and now.output is not None and now.output.text is not None:
        return _short(now.output.text)
    if now.status == "skipped":
        return one_line(now.detail) if now.reason != "when" else f"when: {one_line(now.detail)}"
    if now.status == "pending":
        return _at_the_end(state, now, workflow) if workflow is not None else ""
    if now.status == "completed":
        return ""
    note = note_of(now, state, workflow, state.status, " · ")
    return note.removeprefix(f"{now.agent} · ") if now.agent else note


def _short(text: str) -> str:
    """An answer of one line is shown; `ion output` prints a longer one."""
    stripped = text.strip()
    return stripped if "\n" not in stripped else ""


def _doing(now: NodeState, node: Node | None, state: RunState) -> str:
    parts = [_asks(one) for one in waiting_at(now)[:1]]
    if node is not None and isinstance(node.body, Loop | LoopGroup):
        parts.append(f"iteration {now.progress.iteration or now.progress.iterations + 1}/{node.body.max_iterations}")
    if now.turn is not None and TURNS[now.turn].doing:
        parts.append(TURNS[now.turn].doing)
    if now.tries.attempt > 1 and now.id not in state.scopes:
        parts.append(f"attempt {now.tries.attempt}")
    return " · ".join(parts)


# ------------------------------------------------------------------ when each node ran


def bar(start: int | None, took: int | None, whole: int, columns: int) -> str:
    """When a node ran, in a field of so many columns, filled up with blanks. `start`, `took` and `whole`, the length of
    the run, are in ms of the time in which somebody drove it. Something that ran has at least one column."""
    if start is None or took is None:
        return " " * columns
    first = min(_column(start, whole, columns), columns - 1)
    last = max(_column(start + took, whole, columns), first + 1)
    return (" " * first + "▐" + "█" * (last - first - 1)).ljust(columns)


def _column(at: int, whole: int, columns: int) -> int:
    return min(columns, max(0, at * columns // max(1, whole)))


def axis(whole: int, columns: int) -> str:
    """`0s`, the middle and the end, below their places."""
    middle, end = duration(whole // 2), duration(whole)
    text = "0s".ljust(max(3, columns // 2 - len(middle) // 2)) + middle
    return text.ljust(max(len(text) + 1, columns - len(end))) + end


# ------------------------------------------------------------------ what is inside of nodes


class ListRow(Struct, frozen=True):
    """A node, or an instance inside of one, in a list. `left` is not of it: so many inside of it are left out."""

    node: NodeState
    state: str
    depth: int = 0
    item: str = ""
    note: str = ""
    left: int = 0


def folded(
    result: RunShown, workflow: Workflow | None, room: int | None, nodes: Sequence[NodeState] | None = None
) -> list[ListRow]:
    """The nodes of a run in file order (or these ones of them), each with what is inside of it and failed, waits or
    runs: at most `room` in all nodes together. `room` None: all that is inside."""
    state, tally = result.state, result.described.tally
    nodes = [*members_of(state, "")] if nodes is None else nodes
    composites = sum(node.id in state.scopes for node in nodes)
    share = None if room is None else max(4, room // max(1, composites))
    rows: list[ListRow] = []
    for node in nodes:
        rows.append(_shown(result, workflow, node, 0))
        inside = _all_inside(state, node.id) if share is None else tally.unfolded(node.id, share)
        for address, left in inside:
            one = state.nodes[address]
            depth = _depth(state, one)
            rows.append(ListRow(one, "", depth + 1, left=left) if left else _shown(result, workflow, one, depth))
    return rows


def table(
    result: RunShown, workflow: Workflow, node: NodeState, room: int | None, iteration: int = 0
) -> tuple[list[ListRow], int]:
    """The instances inside of a node, and how many of them are left out: what failed, waits or runs comes first, then
    the rest in order, of a repeated group its last. `room` None: all, in order. `iteration`: only those of this one."""
    found = instances_in(result.state, node.id)
    left = 0
    if iteration:
        found = [one for one in found if one.id.startswith(f"{node.id}.{iteration}.")]
    if room is not None:
        urgent = [one for one in found if result.described.tally.is_open(one.id)]
        urgent.sort(key=lambda one: one.status != "failed")
        rest = [one for one in found if not result.described.tally.is_open(one.id)]
        more = max(0, room - len(urgent))
        rest = rest[len(rest) - more :] if KINDS[node.kind].iterates and len(rest) > more else rest[:more]
        left = len(found) - len(urgent[:room]) - len(rest)
        found = urgent[:room] + rest
    return [_with_output(_shown(result, workflow, one, 0)) for one in found], left


def most_urgent_first(nodes: Sequence[NodeState], room: int) -> list[NodeState]:
    """Nodes that have room are as they come; of more, those that failed, wait or run are first."""
    return [*nodes] if len(nodes) <= room else sorted(nodes, key=lambda node: _URGENCY.get(node.status, len(_URGENCY)))


def page(
    result: RunShown,
    workflow: Workflow | None,
    node: NodeState,
    *,
    start: int,
    size: int,
    status: str = "",
    iteration: int = 0,
) -> tuple[list[ListRow], int]:
    """So many instances inside of a node, what failed, waits or runs first, from number `start` (0 is the first) on;
    and how many there are. Only those in this `status` and of this `iteration`, if one is given."""
    within = f"{node.id}.{iteration}." if iteration else ""
    found = [
        one
        for one in instances_in(result.state, node.id)
        if (not status or one.status == status) and one.id.startswith(within)
    ]
    shown = most_urgent_first(found, 0)[start : start + size]
    return [_with_output(_shown(result, workflow, one, 0)) for one in shown], len(found)


def _with_output(row: ListRow) -> ListRow:
    output = row.node.output
    if row.note or output is None or output.text is None:
        return row
    return replace(row, note=one_line(output.text[:_LONGEST_NOTE]))


def below(state: RunState, address: str) -> Iterator[tuple[str, str]]:
    """The addresses one level below this one ('': the nodes of the file), of an instance or of an iteration, each with
    a word on it."""
    scope = state.scopes.get(address)
    for iteration in range(1, scope.iteration + 1) if scope is not None else ():
        yield f"{address}.{iteration}", f"iteration {iteration}"
    owner, _ = iteration_of(state, address) or (address, 0)
    for node in instances_in(state, owner):
        if not address or node.id.startswith(f"{address}."):
            yield node.id, f"{node.kind}, {node.status}"


def inside_failed(state: RunState, address: str) -> bool:
    """Whether this instance failed because one inside of it did."""
    node = state.nodes[address]
    return origin_of(state, node) is not node


def counted_items(state: RunState, address: str) -> str:
    """What became of the items of a fan-out; '' for another node."""
    scope = state.scopes.get(address)
    return counted(counts_of(members_of(state, address))) if scope is not None and scope.items is not None else ""


def items_around(state: RunState, address: str) -> int:
    """How many items the largest fan-out has that this instance is inside of; 0: it is in none."""
    most, owner = 0, state.nodes[address].owner
    while owner:
        scope = state.scopes[owner]
        most = max(most, len(scope.members) if scope.items is not None else 0)
        owner = state.nodes[owner].owner
    return most


def _all_inside(state: RunState, address: str) -> Iterator[tuple[str, int]]:
    for one in instances_in(state, address):
        yield one.id, 0
        yield from _all_inside(state, one.id)


def _depth(state: RunState, node: NodeState) -> int:
    depth = 0
    while node.owner:
        node, depth = state.nodes[node.owner], depth + 1
    return depth


def _shown(result: RunShown, workflow: Workflow | None, node: NodeState, depth: int) -> ListRow:
    state, tally = result.state, result.described.tally
    mark = mark_of_node(state, node, result.status)
    if node.id in result.described.not_clean and mark == "completed":
        mark = "partly"
    if mark == "running" and node.id in state.scopes and node.id in tally.counts:
        mark = tally.status(node.id)
    item = _item_text(result.described.item(node))
    note = note_of(node, state, workflow, result.status, counts=tally.counts.get(node.id))
    return ListRow(node, mark, depth, item, "  ".join(part for part in (item if depth else "", note) if part))


def _item_text(item: Any) -> str:
    if item is None:
        return ""
    return cut(one_line(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)), MAX_ITEM_COLUMNS)
