"""From checked models to the frozen `Workflow` that every other room sees.

Only a file without errors gets here, so nothing is checked any more: defaults are filled in, the agent options of the
workflow go to its nodes, and texts, conditions and shell placements are attached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ion.kinds import KINDS
from ion.language import schema, workflow
from ion.language.check import Findings
from ion.language.fields import AGENT_OPTIONS
from ion.language.rules import agent_defaults
from ion.language.shape import Draft, Shape
from ion.language.source import trim
from ion.language.texts import is_code


def lower(shape: Shape, findings: Findings, *, file: str) -> workflow.Workflow:
    """The workflow of a file that has no errors."""
    root = shape.root
    assert root is not None, "a file with faults is not lowered"
    nodes = tuple(_node(draft, shape, findings) for draft in shape.drafts)
    gates = any(isinstance(node.body, workflow.Approval) for node in nodes)
    gates = gates or any(isinstance(node.body, workflow.Loop) and node.body.interactive for node in nodes)
    return workflow.Workflow(
        name=root.name,
        nodes=nodes,
        description=root.description,
        file=file,
        inputs=tuple(_input(name, shape.raw["inputs"][name], item) for name, item in (root.inputs or {}).items()),
        returns=root.returns,
        interactive=root.interactive or gates,
        tags=tuple(dict.fromkeys(trim(tag) for tag in root.tags or () if trim(tag))),
        max_concurrency=root.max_concurrency,
        max_budget_usd=root.max_budget_usd,
        timeout_ms=root.timeout,
        fail_fast=root.fail_fast,
        workspace=root.workspace,
        env=dict(root.env or {}),
        secrets=tuple(dict.fromkeys(root.secrets or ())),
        commands={name: workflow.CommandFile(c.path, c.text) for name, c in findings.commands.items()},
        scripts={name: workflow.ScriptFile(s.path, s.entry, s.files) for name, s in findings.scripts.items()},
    )


def _input(name: str, raw: Any, model: schema.InputModel) -> workflow.Input:
    has_default = isinstance(raw, dict) and "default" in raw
    return workflow.Input(
        name=name,
        required=model.required and not has_default,
        has_default=has_default,
        default=model.default,
        description=model.description,
        type=model.type,
        enum=tuple(model.enum) if model.enum else None,
        refers_to=tuple(dict.fromkeys(model.refers_to or ())),
        placeholder=model.placeholder,
    )


def _node(draft: Draft, shape: Shape, findings: Findings) -> workflow.Node:
    model = draft.model
    agent = draft.uses_agent
    idle = getattr(model, "idle_timeout", None)
    return workflow.Node(
        id=model.id,
        body=_BODIES[draft.kind](draft, findings),
        description=model.description,
        depends_on=tuple(dict.fromkeys(model.depends_on or ())),
        order=tuple(findings.order[draft.index]),
        when=findings.conditions.get(draft.index),
        trigger_rule=model.trigger_rule,
        retry=_retry(getattr(model, "retry", None)),
        timeout_ms=getattr(model, "timeout", None) or KINDS[draft.kind].timeout_ms,
        idle_timeout_ms=(idle or workflow.DEFAULT_IDLE_TIMEOUT_MS) if agent else None,
        always_run=model.always_run,
        env=dict(getattr(model, "env", None) or {}),
        bindings={name: _binding(value) for name, value in (getattr(model, "bindings", None) or {}).items()},
        agent=(getattr(model, "agent", None) or (shape.root.agent if shape.root else None)) if agent else None,
        options=_options(draft, shape) if agent else {},
        output_format=getattr(model, "output_format", None),
        continues=findings.continues.get(model.id),
        runs_on=model.runs_on,
        on_timeout=getattr(model, "on_timeout", None) or "fail",
    )


def _options(draft: Draft, shape: Shape) -> dict[str, Any]:
    """The agent's options: the workflow's, overridden by the node's, and keys that Ion does not know."""
    if not KINDS[draft.kind].asks_agent:  # an approval's rework
        return agent_defaults(shape.raw)
    own = {key: draft.raw[key] for key in AGENT_OPTIONS if key in draft.raw}
    return {**agent_defaults(shape.raw), **own, **draft.extras}


def _retry(model: schema.RetryModel | None) -> workflow.Retry | None:
    if model is None:
        return None
    return workflow.Retry(model.max_attempts, model.delay_ms or 3000, model.on_error or "transient")


def _binding(value: Any) -> workflow.Binding:
    if isinstance(value, dict) and "from" in value:
        return workflow.Binding(value["from"], "if_skipped" in value, value.get("if_skipped"))
    return workflow.Binding(value)


def _command(draft: Draft, _findings: Findings) -> workflow.Body:
    return workflow.Command(draft.model.command)


def _prompt(draft: Draft, _findings: Findings) -> workflow.Body:
    continued = draft.model.continued
    return workflow.Prompt(trim(draft.model.prompt), None if continued is None else trim(continued))


def _bash(draft: Draft, findings: Findings) -> workflow.Body:
    return workflow.Bash(findings.shells[(*draft.path, "bash")])


def _script(draft: Draft, _findings: Findings) -> workflow.Body:
    text = trim(draft.model.script)
    deps = tuple(draft.model.deps or ())
    if is_code(text):
        return workflow.Script(draft.model.runtime, code=text, deps=deps)
    return workflow.Script(draft.model.runtime, name=text, deps=deps)


def _loop(draft: Draft, findings: Findings) -> workflow.Body:
    model: schema.LoopModel = draft.model.loop
    return workflow.Loop(
        max_iterations=model.max_iterations,
        prompt=model.prompt,
        command=model.command,
        until=model.until,
        until_bash=findings.shells.get((*draft.path, "loop", "until_bash")),
        until_field=model.until_field,
        until_all=bool(model.until_all),
        fresh_context=model.fresh_context,
        interactive=model.interactive,
        gate_message=model.gate_message,
        signal_completes=model.signal_completes,
    )


def _approval(draft: Draft, _findings: Findings) -> workflow.Body:
    model: schema.ApprovalModel = draft.model.approval
    rework = model.on_reject
    return workflow.Approval(
        message=model.message,
        capture_response=model.capture_response,
        on_reject=workflow.OnReject(rework.prompt, rework.max_attempts) if rework else None,
        decisions=tuple(workflow.Decision(item.id, item.label) for item in model.decisions or ()),
    )


def _cancel(draft: Draft, _findings: Findings) -> workflow.Body:
    return workflow.Cancel(trim(draft.model.cancel))


_BODIES: dict[str, Callable[[Draft, Findings], workflow.Body]] = {
    "command": _command,
    "prompt": _prompt,
    "bash": _bash,
    "script": _script,
    "loop": _loop,
    "approval": _approval,
    "cancel": _cancel,
}
