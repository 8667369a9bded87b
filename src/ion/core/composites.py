"""What a node with instances inside of it does next: opens them, and makes one outcome of theirs (language.md §13).

To its siblings such a node is one node. A group is opened as soon as it is its turn; what a fan-out or a called
workflow is given has to be read before, by a turn `expand`. The outputs of a fan-out, or of an iteration, are put
together by a turn `collect`; the output of a group is that of one of its nodes, and needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import NODE_FAILED, is_halting, members_of, origin_of
from ion.core.budgets import call_spent
from ion.core.instances import Position
from ion.core.outcomes import Expanded
from ion.core.scopes import ScopeState, numbered
from ion.core.state import NodeState, Running, RunState
from ion.core.time_limits import timed_out
from ion.errors import InternalError
from ion.language.templates import ScopeTemplate, Template
from ion.language.workflow import LoopGroup

# Failures after which a resume gives a node anew what it has used up: its own iterations, its own budget.
_OF_ITSELF = ("max_iterations", "budget")
# What the turns do that a composite node needs: read what it is given, put together what it gives.
EXPAND, COLLECT = "expand", "collect"


def opened(state: RunState, now: NodeState) -> ScopeState | None:
    """The scope of a composite node whose instances are under way, or have settled just now."""
    scope = state.scopes.get(now.id)
    return scope if scope is not None and scope.is_open and isinstance(now.phase, Running) else None


def open_scope(
    template: Template, state: RunState, now: NodeState, given: Expanded, inputs: dict[str, str], at: int
) -> e.ScopeOpened:
    """The event that makes the instances inside of this node, or begins again at those that have not completed."""
    if template.item is not None:
        keys, numbers = numbered(state.numbers.get(now.id, {}), given.keys)
        return e.ScopeOpened(at, now.id, inputs=inputs, items=given.items, keys=keys, numbers=numbers, read=given.read)
    iteration = now.progress.iterations + 1 if isinstance(template.node.body, LoopGroup) else 0
    return e.ScopeOpened(
        at,
        now.id,
        inputs=inputs,
        nodes=body_of(template).nodes,
        iteration=iteration,
        given=given.given,
        read=given.read,
    )


def body_of(template: Template) -> ScopeTemplate:
    if template.inside is None:
        raise InternalError(f"'{template.path}' has no nodes inside; this is a bug")
    return template.inside


def settled_in(state: RunState, body: ScopeTemplate, address: str) -> list[NodeState]:
    """The instances of a graph that decide what its end is: all but those of `finally`."""
    return list(members_of(state, address))[: len(body.members) - len(body.finals)]


def fan_ended(template: Template, state: RunState, now: NodeState, at: int) -> e.Event | None:
    """The end of a fan-out whose instances have all settled; None: their outputs are to be put together."""
    members = list(members_of(state, now.id))
    failed = [one for one in members if one.status in ("failed", "cancelled")]
    completed = any(one.succeeded for one in members)
    fan_out = template.node.fan_out
    strict = fan_out is not None and fan_out.join == "all_success"
    if failed and (strict or not completed):
        error = failure_of(state, _first(failed))
        more = f" ({len(failed)} of {len(members)} items failed)" if len(members) > 1 else ""
        return e.NodeFailed(at, now.id, replace(error, message=f"{error.message}{more}"))
    if completed or not members:
        return None
    return _skipped(now, members, at)


def scope_failed(template: Template, state: RunState, now: NodeState, at: int) -> e.Failure | None:
    """Why the graph inside of this node, all of which has settled, has failed, if it has."""
    late = timed_out(template, state, now, at)
    if late is not None:
        return late
    halted = halted_in(state, template, now.id)
    if halted is not None:
        code, reason = halting(halted)
        return e.Failure(code, f"'{halted.id}': {reason}" if reason else f"'{halted.id}' ended it")
    failed = [one for one in settled_in(state, body_of(template), now.id) if state.has_failed(one) or _was_ended(one)]
    if not failed:
        return None
    origin = origin_of(state, _first(failed))
    spent = call_spent(template, now)
    return spent if spent and origin.error and origin.error.code == "budget" else failure_of(state, _first(failed))


def _was_ended(one: NodeState) -> bool:
    """Whether it was stopped, and not because of a failure in the same graph, which counts by itself."""
    return one.status == "cancelled" and one.reason != "fail_fast"


def _first(failed: list[NodeState]) -> NodeState:
    """The first that failed by itself, before those that were stopped."""
    return next((one for one in failed if one.status == "failed"), failed[0])


def halted_in(state: RunState, template: Template, address: str) -> NodeState | None:
    """The instance that ends the scope of this one: a called workflow, or an item. Those inside of it that are called,
    or items, end no more than themselves."""
    if not (template.calls or _is_item(state, address)):
        return None
    return next((now for _, now in halting_in(state, template, address)), None)


def halting_in(
    state: RunState, template: Template, address: str, place: Position = ()
) -> Iterator[tuple[Position, NodeState]]:
    """What is inside of this instance and ends what is around it, with its place; `place` is that of the instance."""
    left = [(address, template, place)]
    while left:
        owner, around, before = left.pop()
        members = around.inside.members if around.inside is not None else ()
        for i, (now, inner) in enumerate(zip(members_of(state, owner), members, strict=True)):
            if is_halting(now):
                yield (*before, i), now
            elif inner.inside is not None and not inner.calls and now.id in state.scopes:
                left.append((now.id, inner, (*before, i)))


def _is_item(state: RunState, address: str) -> bool:
    owner = state.nodes[address].owner
    return bool(owner) and state.scopes[owner].items is not None


def scope_ended(template: Template, state: RunState, now: NodeState, at: int) -> e.Event:
    """The outcome of a graph of which nothing failed: its output, or that all of it was skipped."""
    members = settled_in(state, body_of(template), now.id)
    if not any(one.succeeded for one in members):
        return _skipped(now, members, at)
    return e.NodeCompleted(at, now.id, output_of(template, members))


def scope_finishing(
    template: Template, state: RunState, now: NodeState, error: e.Failure | None, at: int
) -> e.ScopeFinishing:
    """What precedes the end of a called workflow with a `finally`."""
    status = "failed" if error is not None else scope_ended(template, state, now, at).type.removeprefix("node_")
    return e.ScopeFinishing(at, now.id, tuple(one.node.id for one in body_of(template).finals), status, error)


def output_of(template: Template, members: Sequence[NodeState]) -> e.Reply:
    """The reply whose output is that of the graph: of `returns`, else of the first sink that has text."""
    source = output_node(body_of(template), members)
    if source is None or source.progress.reply is None:
        values = {reference.key: e.Value(text="") for reference in template.references if not reference.path}
        return e.Reply(e.Content(""), values)
    reply = source.progress.reply
    return e.Reply(reply.output, reply.values)


def output_node(body: ScopeTemplate, members: Sequence[NodeState]) -> NodeState | None:
    """The node of a settled graph whose output is that of the graph."""
    for one in body.outputs:
        now = members[body.places[one.node.id]]
        if now.output is not None and (body.returns is not None or (not now.allowed and has_text(now.output))):
            return now
    return None


def has_text(output: e.Content) -> bool:
    return output.text is None or bool(output.text.strip())


def _skipped(now: NodeState, members: list[NodeState], at: int) -> e.NodeSkipped:
    first = members[0]
    detail = f"every node in it was skipped: {', '.join(one.id for one in members[:5])}"
    return e.NodeSkipped(at, now.id, first.reason or "trigger_rule", detail)


def failure_of(state: RunState, one: NodeState) -> e.Failure:
    """What the failure of this instance is to the node that it is in: where it began, and how."""
    if one.error is None:
        why = "was rejected" if one.reason == "rejected" else "was stopped"
        return e.Failure("rejected" if one.reason == "rejected" else "cancelled", f"'{one.id}' {why}")
    origin = origin_of(state, one)
    error = origin.error or one.error
    # One that something inside of it has ended says so by itself.
    deeper = error.message.startswith(f"'{origin.id}.")
    code = NODE_FAILED if error.code in _OF_ITSELF else error.code
    return e.Failure(code, error.message if deeper else f"'{origin.id}' failed: {error.message}")


def halting(now: NodeState) -> tuple[str, str]:
    """The code and the reason of what a cancel node, or a rejected gate, ends."""
    if now.reason == "rejected":
        return "rejected", now.progress.rejection_reason or "rejected"
    return "cancelled", (now.output.text if now.output is not None else None) or ""
