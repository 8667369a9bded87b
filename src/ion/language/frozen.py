"""The workflow of a run as the run froze it, read back from where others may write too: an imported file, a shared
database. Whatever the language does not allow is refused, once, here, before anything uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from ion import names
from ion.language import workflow as w
from ion.language.graph import topological
from ion.language.references import ENGINE_NAMES
from ion.language.shell.rewriting import can_rewrite

# What would be wrong, and whether all is well.
_Sense: TypeAlias = Iterator[tuple[str, bool]]
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def read_frozen(source: str) -> w.Workflow:
    """The workflow that `Workflow.to_json` wrote. Raises `ValueError`, with a message, for anything else."""
    try:
        workflow = w.Workflow.from_json(json.loads(source))
    except _UNREADABLE as error:
        raise ValueError(str(error) if isinstance(error, ValueError) else repr(error)) from error
    for what, holds in _sense(workflow):
        if not holds:
            raise ValueError(what)
    return workflow


def _sense(workflow: w.Workflow) -> _Sense:
    """What must hold between the fields, each with the fault to report."""
    ids = [node.id for node in workflow.nodes]
    known = {*ids}
    yield "it has no nodes", bool(ids)
    for one in ids:
        yield f"{one!r:.80} cannot be a node's id", names.is_node_id(one)
    yield "two of its nodes have one id", len(known) == len(ids)
    for node in workflow.nodes:
        for what, holds in _sense_of_node(node, known, workflow):
            yield f"node {node.id}: {what}", holds
    order = topological({node.id: node.waits_for for node in workflow.nodes})
    yield "its nodes wait for each other", len(order) == len(ids)
    yield f"it returns {workflow.returns!r:.80}, which is not a node", workflow.returns in (None, *known)
    yield f"its workspace is {workflow.workspace!r:.80}", workflow.workspace in w.WORKSPACES
    yield "its variables have no names", all(ENVIRONMENT_NAME.fullmatch(name) for name in workflow.env)
    for name, script in workflow.scripts.items():
        yield f"{name!r:.80} cannot be a script's name", names.is_file_name(name)
        yield f"the script {name} has no file {script.entry!r:.80}", script.entry in script.files
        for path, sha256 in script.files.items():
            yield f"{path!r:.80} leads out of the script {name}", names.is_relative_path(path)
            yield f"{sha256!r:.80} is not a hash of {path}", names.is_sha256(sha256)


def _sense_of_node(node: w.Node, known: set[str], workflow: w.Workflow) -> _Sense:
    for other in (*node.waits_for, *([] if node.continues is None else [node.continues])):
        yield f"it waits for {other!r:.80}, which is not a node", other in known
    yield f"its trigger rule is {node.trigger_rule!r:.80}", node.trigger_rule in w.TRIGGER_RULES
    for limit in (node.timeout_ms, node.idle_timeout_ms):
        yield f"its timeout is {limit}", limit is None or limit > 0
    yield "its variables have no names", all(ENVIRONMENT_NAME.fullmatch(name) for name in node.env)
    if node.runs_on is not None:
        yield f"{node.runs_on!r:.80} is not a label of workers", re.fullmatch(w.WORKER_LABEL, node.runs_on) is not None
    if node.when is not None:
        for comparison in (one for group in node.when.alternatives for one in group):
            yield f"its condition asks {comparison.operator!r:.20}", comparison.operator in w.OPERATORS
            yield from _sense_of_reference(comparison.reference, known)
    for shell in (getattr(node.body, name, None) for name in ("shell", "until_bash")):
        if shell is not None:
            yield "its references do not stand where bash could have a value", can_rewrite(shell)
            for placement in shell.placements:
                yield from _sense_of_reference(placement.reference, known)
    yield from _sense_of_body(node.body, workflow)


def _sense_of_reference(reference: w.Reference, known: set[str]) -> _Sense:
    if isinstance(reference, w.NodeReference):
        yield f"it refers to {reference.node!r:.80}, which is not a node", reference.node in known
    elif isinstance(reference, w.EngineReference):
        yield f"it refers to {reference.name!r:.80}, which Ion does not know", reference.name in ENGINE_NAMES


def _sense_of_body(body: w.Body, workflow: w.Workflow) -> _Sense:
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
        case w.Approval(on_reject=w.OnReject(max_attempts=attempts)):
            yield f"it may be rejected {attempts} times", attempts > 0
        case _:
            pass
