"""Failures that a workflow foresees: those that are allowed, and those that another node catches (language.md §15).

Both are decided when the event is made, which says so: a failure that was allowed has a `reply`, the completion of a
node that catches names what it `caught`. `handled` is what people are told of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ion.core import events as e
from ion.core.addresses import finals_in, members_of
from ion.core.state import NO_FAILURE, NodeState, RunState
from ion.core.values import condition_values
from ion.kinds import KINDS
from ion.language.templates import Template, Templates
from ion.language.workflow import Allowed, LoopGroup

_EVERY = Allowed()


class Handled(Struct, frozen=True):
    """The failures of a run that do not fail it: the addresses of those that were `allowed`, also by a fan-out that
    completed without them, for each that was `caught` the address of the node that did, and the nodes `in_finally` that
    failed or were ended. A run that completed without any is clean."""

    allowed: tuple[str, ...]
    caught: dict[str, str]
    in_finally: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not self.allowed and not self.caught and not self.in_finally


def handled(state: RunState) -> Handled:
    """Those of the run so far, in tree order. What is inside of a node that failed itself, of an iteration before the
    last, or in a `finally`, is not looked at."""
    failed = [one for one in _failed_in(state, "") if one.status == "failed"]
    caught = {one.id: state.caught[one.id] for one in failed if one.id in state.caught and not one.allowed}
    in_finally = [now for owner in ("", *state.scopes) for now in map(state.nodes.get, finals_in(state, owner)) if now]
    return Handled(
        tuple(one.id for one in failed if _is_allowed(state, one)),
        caught,
        tuple(now.id for now in in_finally if now.terminal and _is_unfinished(state, now)),
    )


def _is_unfinished(state: RunState, now: NodeState) -> bool:
    """Whether a node of a `finally` failed, or was ended."""
    return state.has_failed(now) or "cancelled" in (now.status, now.reason)


def _failed_in(state: RunState, address: str) -> Iterator[NodeState]:
    finals = finals_in(state, address)
    for now in members_of(state, address):
        if now.id in finals:
            continue
        if now.status == "failed":
            yield now
        elif now.status == "completed" and now.id in state.scopes:
            yield from _failed_in(state, now.id)


def _is_allowed(state: RunState, now: NodeState) -> bool:
    return now.allowed or (bool(now.owner) and state.scopes[now.owner].items is not None)


def allowed_failures(template: Template) -> Allowed | None:
    """The failures of this node that are allowed."""
    if template.node.allow_failure is not None:
        return template.node.allow_failure
    owner = template.body.owner
    loop = owner.node.body if owner is not None else None
    return _EVERY if isinstance(loop, LoopGroup) and loop.until_node == template.node.id else None


def has_foreseen(templates: Templates) -> bool:
    """Whether any failure of this workflow may be allowed or caught."""
    return any(one.node.catches or allowed_failures(one) is not None for one in templates)


def with_consequences(templates: Templates, state: RunState, event: e.Event) -> e.Event:
    """The event, and in it what it means to others: whether the failure is allowed, which failures are caught."""
    if isinstance(event, e.NodeFailed):
        return _failed(templates[event.node], state.nodes[event.node], event)
    if isinstance(event, e.NodeCompleted):
        template = templates[event.node]
        if template.node.catches:
            return replace(event, caught=_caught_by(template, state, event.node))
    return event


def _failed(template: Template, now: NodeState, event: e.NodeFailed) -> e.NodeFailed:
    allowed = allowed_failures(template)
    if allowed is None or not _is_one_of(allowed, event.error):
        return event if event.reply is None else replace(event, reply=None)
    reply = event.reply or (now.progress.reply if KINDS[now.kind].iterates else None)
    if reply is None:
        output = e.Content("")
        reply = e.Reply(output, condition_values(template, output, lambda _: ""))
    return replace(event, reply=replace(reply, usage={}))


def _is_one_of(allowed: Allowed, error: e.Failure) -> bool:
    is_every = not allowed.exit_status and not allowed.codes
    return is_every or error.exit_status in allowed.exit_status or error.code in allowed.codes


def nothing_to_catch(template: Template, state: RunState, address: str, at: int) -> e.NodeSkipped | None:
    """The skip of a node that catches failures, if there are none."""
    watched = [state.nodes[one] for one in _siblings(address, template.node.catches)]
    if any(one.status == "failed" for one in watched):
        return None
    names = ", ".join(one.id for one in watched[:5]) + (", …" if len(watched) > 5 else "")
    return e.NodeSkipped(at, address, NO_FAILURE, f"none of these failed: {names}")


def _caught_by(template: Template, state: RunState, address: str) -> tuple[str, ...]:
    """The failures that a node catches by completing: of those that it names, and what these were to catch."""
    found: dict[str, None] = {}
    left = [template]
    while left:
        for other in _siblings(address, left.pop().node.catches):
            if state.nodes[other].status == "failed" and other not in found:
                found[other] = None
                left.append(template.all[other])
    return tuple(other for other in found if not state.nodes[other].allowed)


def _siblings(address: str, names: tuple[str, ...]) -> list[str]:
    prefix = address[: address.rfind(".") + 1]
    return [f"{prefix}{name}" for name in names]


def rescuers_of(template: Template, address: str) -> set[str]:
    """The addresses of those that may catch the failure of this instance, or what comes of that, and of all that they
    wait for."""
    body = template.body
    found: set[int] = set()
    left = [template.node.id]
    while left:
        name = left.pop()
        left += [one.node.id for i, one in enumerate(body.members) if name in one.node.catches and i not in found]
        found |= {i for i, one in enumerate(body.members) if name in one.node.catches}
    waits = list(found)
    while waits:
        new = {i for i in body.waits[waits.pop()] if i not in found}
        found |= new
        waits += new
    return set(_siblings(address, tuple(body.members[i].node.id for i in found)))
