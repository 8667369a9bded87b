"""The workflow of a run as the run froze it, read back from where others may write too: an imported file, a shared
database. Whatever the language does not allow is refused, once, here, before anything uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ion import names
from ion.kinds import KINDS, TURNS
from ion.language import workflow as w
from ion.language.graph import topological
from ion.language.references import ENGINE_NAMES
from ion.language.shell.rewriting import can_rewrite

# What would be wrong, and whether all is well.
_Sense: TypeAlias = Iterator[tuple[str, bool]]
INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_frozen(source: str) -> w.Workflow:
    """The workflow that `Workflow.to_json` wrote. Raises `ValueError`, with a message, for anything else."""
    workflow = w.Workflow.decode(source)
    for what, holds in _sense(workflow):
        if not holds:
            raise ValueError(what)
    return workflow


def _sense(workflow: w.Workflow) -> _Sense:
    """What must hold between the fields, each with the fault to report."""
    yield from _sense_of_one(workflow, workflow.workflows)
    for name, called in workflow.workflows.items():
        yield f"{name!r:.80} is not the name of what it calls", called.name == name and not called.workflows
        yield from ((f"{name}: {what}", holds) for what, holds in _sense_of_one(called, workflow.workflows))
    calls = {name: list(_called(one.nodes)) for name, one in workflow.workflows.items()}
    yield "the workflows that it calls call each other", len(topological(calls)) == len(calls)


def _called(nodes: tuple[w.Node, ...]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node.body, w.WorkflowCall):
            yield node.body.name
        elif isinstance(node.body, w.Group | w.LoopGroup):
            yield from _called(node.body.scope.nodes)


def _sense_of_one(workflow: w.Workflow, workflows: Mapping[str, w.Workflow]) -> _Sense:
    yield from _sense_of_scope(w.Scope(workflow.nodes, workflow.returns), _Around(workflow, workflows))
    if workflow.finally_nodes:
        main = frozenset(node.id for node in workflow.nodes)
        yield "a node of 'finally' has the id of another", main.isdisjoint(one.id for one in workflow.finally_nodes)
        around = _Around(workflow, workflows, main, final=True)
        for what, holds in _sense_of_scope(w.Scope(workflow.finally_nodes), around):
            yield f"finally: {what}", holds
    yield f"its 'finally' may take {workflow.finally_timeout_ms}", workflow.finally_timeout_ms > 0
    yield f"its workspace is {workflow.workspace!r:.80}", workflow.workspace in w.WORKSPACES
    yield "its variables have no names", all(ENVIRONMENT_NAME.fullmatch(name) for name in workflow.env)
    for name, script in workflow.scripts.items():
        yield f"{name!r:.80} cannot be a script's name", names.is_file_name(name)
        yield f"the script {name} has no file {script.entry!r:.80}", script.entry in script.files
        for path, sha256 in script.files.items():
            yield f"{path!r:.80} leads out of the script {name}", names.is_relative_path(path)
            yield f"{sha256!r:.80} is not a hash of {path}", names.is_sha256(sha256)


class _Around(Struct, frozen=True):
    """What is around a node: the workflow whose text it is, those that it may call, the nodes that its texts can read,
    those of the loop_group around it, and those of the workflow itself. `final`: it is in `finally`."""

    workflow: w.Workflow
    workflows: Mapping[str, w.Workflow]
    outer: frozenset[str] = frozenset()
    loop: frozenset[str] = frozenset()
    root: frozenset[str] = frozenset()
    final: bool = False


def _sense_of_scope(scope: w.Scope, around: _Around) -> _Sense:
    ids = [node.id for node in scope.nodes]
    known = frozenset(ids)
    inside = replace(around, outer=around.outer | known, root=around.root or known)
    yield "it has no nodes", bool(ids)
    for one in ids:
        yield f"{one!r:.80} cannot be a node's id", names.is_node_id(one)
    yield "two of its nodes have one id", len(known) == len(ids)
    for node in scope.nodes:
        for what, holds in _sense_of_node(node, known, inside):
            yield f"node {node.id}: {what}", holds
    order = topological({node.id: node.waits_for for node in scope.nodes})
    yield "its nodes wait for each other", len(order) == len(ids)
    yield f"it returns {scope.returns!r:.80}, which is not a node", scope.returns is None or scope.returns in known


def _sense_of_node(node: w.Node, known: frozenset[str], around: _Around) -> _Sense:
    for other in (*node.waits_for, *(one for activation in node.activations for one in activation.depends_on)):
        yield f"it waits for {other!r:.80}, which is not a node", other in known
    continued = node.continues is None or node.continues in known or node.continues in around.root
    yield f"it continues {node.continues!r:.80}, which is not a node", continued
    for rule in (node.trigger_rule, *(one.trigger_rule for one in node.activations)):
        yield f"its trigger rule is {rule!r:.80}", rule in w.TRIGGER_RULES
    for limit in (node.timeout_ms, node.idle_timeout_ms, node.grace_ms):
        yield f"its timeout is {limit}", limit is None or limit > 0
    yield "its variables have no names", all(ENVIRONMENT_NAME.fullmatch(name) for name in node.env)
    yield from _sense_of_failures(node.allow_failure, node.retry)
    if node.runs_on is not None:
        yield f"{node.runs_on!r:.80} is not a label of workers", re.fullmatch(w.WORKER_LABEL, node.runs_on) is not None
    for comparison in node.comparisons:
        yield f"its condition asks {comparison.operator!r:.20}", comparison.operator in w.OPERATORS
        yield from _sense_of_reference(comparison.reference, around)
    yield f"a {node.kind} node cannot be in 'finally'", not around.final or node.kind in w.FINAL_KINDS
    yield f"this version does not run {node.kind}", KINDS[node.kind].turn in TURNS
    yield from _sense_of_body(node.body, around)
    if node.fan_out is not None:
        yield from _sense_of_fan_out(node, node.fan_out)
    if isinstance(node.body, w.LoopGroup):  # its check reads what is inside
        inner = frozenset(one.id for one in node.body.scope.nodes)
        around = replace(around, outer=around.outer | inner, loop=inner)
    for shell in (getattr(node.body, name, None) for name in ("shell", "until_bash", "check")):
        if shell is not None:
            yield "its references do not stand where bash could have a value", can_rewrite(shell)
            for placement in shell.placements:
                yield from _sense_of_reference(placement.reference, around)


def _sense_of_failures(allowed: w.Allowed | None, retry: w.Retry | None) -> _Sense:
    if allowed is not None:
        yield f"it allows {allowed.codes!r:.80}", set(allowed.codes) <= set(w.FAILURE_CODES)
    if retry is not None:
        yield f"its delays are {retry.backoff!r:.80}", retry.backoff in w.BACKOFFS
        yield f"its delays are at most {retry.max_delay_ms}", retry.max_delay_ms > 0


def _sense_of_wait(wait: w.Wait) -> _Sense:
    yield "a wait has one form", [wait.duration_ms, wait.until, wait.event, wait.check].count(None) == 3
    for time in (wait.duration_ms, wait.every_ms, wait.deadline_ms):
        yield f"it waits for {time}", time is None or time > 0
    yield f"it waits for {wait.event!r:.80}", wait.event is None or names.is_signal_name(wait.event)
    yield f"it is {wait.on_expired!r:.80} to expire", wait.on_expired in w.EXPIRIES


def _sense_of_fan_out(node: w.Node, fan_out: w.FanOut) -> _Sense:
    yield "a fan_out has items or lines", (fan_out.items is None) != (fan_out.lines is None)
    yield f"its items are {fan_out.items!r:.80}", isinstance(fan_out.items, str | list | None)
    yield f"its item is {fan_out.name!r:.80}", fan_out.name == "" or INPUT_NAME.fullmatch(fan_out.name) is not None
    yield f"at most {fan_out.max_parallel} at once", fan_out.max_parallel is None or fan_out.max_parallel > 0
    yield f"at most {fan_out.max_items} items", 0 < fan_out.max_items <= w.MAX_ITEMS
    yield f"its join is {fan_out.join!r:.80}", fan_out.join in w.JOINS
    yield f"a {node.kind} cannot be fanned out", node.kind not in ("approval", "wait", "cancel")


def _sense_of_reference(reference: w.Reference, around: _Around) -> _Sense:
    if isinstance(reference, w.NodeReference):
        yield f"it refers to {reference.node!r:.80}, which is not a node", reference.node in around.outer
    elif isinstance(reference, w.OutcomeReference):
        yield f"it refers to {reference.node!r:.80}, which is not a node", reference.node in around.outer
        yield f"it refers to its {reference.name!r:.80}", reference.name in (*w.OUTCOMES, *w.COUNTS)
    elif isinstance(reference, w.RunReference):
        yield f"it refers to the run's {reference.name!r:.80}", around.final and reference.name in w.RUN_NAMES
    elif isinstance(reference, w.PreviousReference):
        yield f"it refers to {reference.node!r:.80}, which is not in a loop", reference.node in around.loop
    elif isinstance(reference, w.EngineReference):
        yield f"it refers to {reference.name!r:.80}, which Ion does not know", reference.name in ENGINE_NAMES


def _sense_of_body(body: w.Body, around: _Around) -> _Sense:
    workflow = around.workflow
    match body:
        case w.Command(name):
            yield f"it has no command {name!r:.80}", name in workflow.commands
        case w.Script():
            yield f"its runtime is {body.runtime!r:.80}", body.runtime in w.RUNTIMES
            yield "a script is code or has a name", (body.code is None) != (body.name is None)
            yield f"it has no script {body.name!r:.80}", body.name is None or body.name in workflow.scripts
        case w.Loop():
            yield "a loop has a prompt or a command", (body.prompt is None) != (body.command is None)
            yield f"it has no command {body.command!r:.80}", body.command is None or body.command in workflow.commands
            yield f"it may repeat {body.max_iterations} times", body.max_iterations > 0
        case w.Approval(on_reject=w.OnReject(max_attempts=attempts)) if attempts <= 0:
            yield f"it may be rejected {attempts} times", False
        case w.Approval():
            yield f"its deadline is {body.timeout_ms}", body.timeout_ms is None or body.timeout_ms > 0
            yield f"it reminds after {body.remind_ms}", all(after > 0 for after in body.remind_ms)
            decisions = [one.id for one in body.decisions] or ["approve", "reject"]
            yield f"its deadline decides {body.on_timeout!r:.80}", body.on_timeout in ("fail", *decisions)
        case w.Wait():
            yield from _sense_of_wait(body)
        case w.Group(scope):
            yield from _sense_of_scope(scope, around)
        case w.LoopGroup(scope):
            ids = frozenset(node.id for node in scope.nodes)
            yield from _sense_of_scope(scope, replace(around, loop=ids))
            yield f"it may repeat {body.max_iterations} times", body.max_iterations > 0
            yield f"{body.until_node!r:.80} is not a node of it", body.until_node in (None, *ids)
        case w.WorkflowCall(name):
            yield f"it has no workflow {name!r:.80}", name in around.workflows
        case _:
            pass
