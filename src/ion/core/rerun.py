"""A new run that keeps what an old one has done: which outcomes stay, as events of the new log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ion.core import events as e
from ion.core.state import RunState
from ion.core.values import condition_values
from ion.errors import NotFoundError
from ion.kinds import KINDS
from ion.language.templates import templates_of
from ion.language.workflow import Command, Node, Script, Workflow


def kept_events(
    workflow: Workflow,
    state: RunState,
    from_node: str,
    at: int,
    *,
    before: Workflow | None = None,
    read: Callable[[e.Content], str] | None = None,
) -> list[e.Event]:
    """The outcomes of all completed nodes that neither are `from_node` nor wait for it, directly or through others,
    each with the values that it saw, so that a node whose dependencies then differ runs again all the same.

    `before` is the workflow of the old run, if `workflow` is another: then only nodes with an unchanged definition keep
    their outcomes, and `read` returns the texts of outputs, since other conditions may read them now. Raises
    `NotFoundError` for an unknown node.
    """
    if from_node not in workflow.by_id:
        names = ", ".join(node.id for node in workflow.nodes[:20])
        whose = "the run has" if before is None else "the file as it is now has"
        raise NotFoundError(f"{whose} no node '{from_node}'", hint=f"its nodes: {names}")
    anew = _after(workflow, from_node)
    events: list[e.Event] = []
    for node in workflow.nodes:
        now = state.nodes.get(node.id)
        if node.id in anew or node.always_run or now is None or now.status != "completed" or now.progress.reply is None:
            continue
        reply = replace(now.progress.reply, usage={})
        if before is not None and read is not None:
            if definition(workflow, node) != definition(before, before.by_id[node.id]):
                continue
            reply = replace(reply, values=condition_values(templates_of(workflow)[node.id], reply.output, read))
        events.append(e.NodeStarted(at, node.id, KINDS[node.kind].turn, inputs=now.inputs))
        events.append(e.NodeCompleted(at, node.id, reply))
    return events


def definition(workflow: Workflow, node: Node) -> tuple[Any, ...]:
    """What a node's outcome depends on, apart from other nodes: its body, texts and files. Its timeout, its retries
    and what it waits for do not change the outcome."""
    kind = KINDS[node.kind]
    command = getattr(node.body, "name" if isinstance(node.body, Command) else "command", None)
    script = node.body.name if isinstance(node.body, Script) else None
    return (
        replace(
            node,
            description="",
            depends_on=(),
            order=(),
            retry=None,
            timeout_ms=None,
            on_timeout="",
            idle_timeout_ms=None,
            continues=None,
            runs_on=None,
            trigger_rule="",
        ),
        workflow.commands[command].text if command else None,
        workflow.scripts[script].files if script else None,
        workflow.env if kind.asks_agent or kind.runs_program else {},
    )


def _after(workflow: Workflow, node: str) -> set[str]:
    """The node, and all that wait for it."""
    dependents: dict[str, list[str]] = {one.id: [] for one in workflow.nodes}
    for one in workflow.nodes:
        for other in one.waits_for:
            dependents[other].append(one.id)
    found, left = {node}, [node]
    while left:
        new = [one for one in dependents[left.pop()] if one not in found]
        found.update(new)
        left += new
    return found
