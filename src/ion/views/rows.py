"""What there is to say about a node at one moment, in a line: beside its state in a list, and as a row of a live view;
and when it ran, as a bar of text.

Rows are snapshots of the nodes' states, so that another thread may draw them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ion.core.apply_outcome import next_try
from ion.kinds import AGENT_KINDS, KINDS, PROGRAM_TURNS, TURNS
from ion.language.templates import templates_of
from ion.language.workflow import Loop
from ion.views.text import duration, one_line, plural
from ion.views.waiting import PERMISSION, Waiting, waiting_at
from ion.views.words import failure_text, mark_of_node

if TYPE_CHECKING:
    from ion.core.state import NodeState, RunState
    from ion.language.workflow import Node, Workflow


def note_of(node: NodeState, state: RunState, workflow: Workflow | None, run_status: str, between: str = "  ") -> str:
    """What there is to say about a node beside its state: who, how often, why."""
    parts = [node.agent] if node.agent else []
    if KINDS[node.kind].iterates and node.status == "failed":
        pass  # the failure says how far it came
    elif node.progress.iterations and KINDS[node.kind].iterates:
        parts.append(plural(node.progress.iterations, "iteration"))
    elif node.attempts > 1:
        parts.append(plural(node.attempts, "attempt"))
    parts.append("cut off" if mark_of_node(node, run_status) == "interrupted" else _why(node, state, workflow))
    return between.join(part for part in parts if part)


def _why(node: NodeState, state: RunState, workflow: Workflow | None) -> str:
    if node.status == "failed" and node.error is not None:
        return failure_text(node.error).headline
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
        waits_for = templates_of(workflow)[node.id].at(node.id).waits_for
        missing = [other for other in waits_for if not state.nodes[other].terminal]
        return f"waits for {', '.join(missing)}" if missing else ""
    return ""


def _asks(one: Waiting) -> str:
    if one.gate is None:
        return "its prompt waits for an agent"
    return f"{'asks' if one.kind == PERMISSION else 'gate'}: {one_line(one.message)}"


def _why_skipped(node: NodeState) -> str:
    if node.reason == "when":
        return "when was false"
    if node.reason in ("trigger_rule", "upstream_failed"):
        return one_line(node.detail).partition(": ")[2]
    return (node.reason or "").replace("_", " ")


class Row(Struct, frozen=True, gc=False):
    """One node at one moment. `state` is a key of `words.mark`; times are ms since the epoch. `started_at` is when it
    would have started had somebody driven it all the time, `took_ms` how long it ran if that does not grow. `left`
    is shown in the columns of duration and agent. `log` is the stem of what its program writes, while one runs."""

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

    @property
    def over(self) -> bool:
        return self.state in ("completed", "failed", "skipped", "cancelled")


def row_of(now: NodeState, state: RunState, workflow: Workflow | None, answer: str = "") -> Row:
    """A node's row. `workflow` is None where it cannot be read: then less is known. `answer` is the command that
    answers what the node asks."""
    node = workflow.by_id.get(now.id) if workflow is not None else None
    shown = mark_of_node(now, state.status)
    retrying = shown == "retry"
    started_at, took_ms = _time_of(now, state)
    return Row(
        node=now.id,
        state=shown,
        waits_for=node.waits_for if node is not None else (),
        started_at=started_at,
        ended_at=now.ended_at,
        took_ms=took_ms,
        due_at=now.retry_at,
        left=_tries(now, node) if retrying else "",
        agent=(now.agent or "") if not retrying else "",
        note=" · ".join(part for part in (answer, _note(now, node, state, workflow)) if part),
        log=f"{now.id}/{now.starts}-{now.turn}" if now.turn in PROGRAM_TURNS else None,
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
        return _doing(now, node)
    if now.status == "waiting" and now.retry_at is not None and now.error is not None:
        text = failure_text(now.error)
        return ": ".join([text.headline, *text.said[-1:]])
    if now.status == "completed" and now.notes:
        return _short("; ".join(now.notes))
    if now.status == "completed" and now.kind in AGENT_KINDS and now.output is not None and now.output.text is not None:
        return _short(now.output.text)
    if now.status == "skipped":
        return one_line(now.detail) if now.reason != "when" else f"when: {one_line(now.detail)}"
    if now.status in ("completed", "pending"):
        return ""
    note = note_of(now, state, workflow, state.status, " · ")
    return note.removeprefix(f"{now.agent} · ") if now.agent else note


def _short(text: str) -> str:
    """An answer of one line is shown; `ion output` prints a longer one."""
    stripped = text.strip()
    return stripped if "\n" not in stripped else ""


def _doing(now: NodeState, node: Node | None) -> str:
    parts = [_asks(one) for one in waiting_at(now)[:1]]
    if node is not None and isinstance(node.body, Loop):
        parts.append(f"iteration {now.progress.iteration or now.progress.iterations + 1}/{node.body.max_iterations}")
    if now.turn is not None and TURNS[now.turn].doing:
        parts.append(TURNS[now.turn].doing)
    if now.tries.attempt > 1:
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
