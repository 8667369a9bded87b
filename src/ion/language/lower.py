"""From checked models to the frozen `Workflow` that every other room sees.

Only a file without errors gets here, so nothing is checked any more: defaults are filled in, the agent options of the
workflow go to its nodes, and texts, conditions and shell placements are attached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ion.kinds import KINDS
from ion.language import schema, workflow
from ion.language.calls import binding_of
from ion.language.changing import Change
from ion.language.fields import AGENT_OPTIONS
from ion.language.include import Block, Files, Include, NotInsertableError, renaming
from ion.language.order import FINALLY, Graph, wishes_of
from ion.language.problems import Report
from ion.language.shape import Draft, Shape
from ion.language.source import trim
from ion.language.surroundings import Findings, item_name
from ion.language.texts import Stated, is_code, listed_items


def lower(shape: Shape, findings: Findings, report: Report) -> Block | None:
    """The workflow of a file that has no errors, and what it is to a file that includes it. None, with a problem, if a
    value cannot stand where an included file uses it."""
    root = shape.root
    assert root is not None, "a file with faults is not lowered"
    source = Files(
        {name: workflow.CommandFile(c.path, c.text) for name, c in findings.commands.items()},
        {name: workflow.ScriptFile(s.path, s.entry, s.files) for name, s in findings.scripts.items()},
    )
    lowering = _Lowering(findings, source, Files(), report)
    nodes, aliases = lowering.nodes(findings.graphs[()], {})
    final, _ = lowering.nodes(findings.graphs[FINALLY], aliases)
    if report.errors:
        return None
    named = [block.workflow for block in findings.named.values()]
    calls = {one.name: one for each in named for one in each.workflows.values()}
    for draft in shape.everywhere:
        if draft.kind == "workflow":
            called = findings.named[draft.path].workflow
            calls[called.name] = replace(called, workflows={})
    secrets = [*(root.secrets or ()), *(name for one in named for name in one.secrets)]
    lowered = workflow.Workflow(
        name=root.name,
        nodes=nodes,
        description=root.description,
        file=report.file,
        inputs=tuple(_input(name, shape.raw["inputs"][name], item) for name, item in (root.inputs or {}).items()),
        returns=aliases.get(root.returns or "", root.returns),
        interactive=root.interactive or any(map(_asks, nodes)) or any(one.interactive for one in named),
        tags=tuple(dict.fromkeys(trim(tag) for tag in root.tags or () if trim(tag))),
        max_concurrency=root.max_concurrency,
        max_budget_usd=root.max_budget_usd,
        timeout_ms=root.timeout,
        fail_fast=root.fail_fast,
        finally_nodes=final,
        finally_timeout_ms=(root.finally_ and root.finally_.timeout) or workflow.DEFAULT_FINALLY_TIMEOUT_MS,
        workspace=root.workspace,
        env=dict(root.env or {}),
        secrets=tuple(dict.fromkeys(secrets)),
        commands=lowering.files.commands,
        scripts=lowering.files.scripts,
        workflows=calls,
    )
    ruled = frozenset(one.id for one in shape.drafts if "trigger_rule" in one.raw)
    return Block(lowered, dict(wishes_of(findings.graphs[()])), ruled, frozenset(findings.reads))


def _asks(node: workflow.Node) -> bool:
    """Whether people are asked about it or something inside of it."""
    body = node.body
    if isinstance(body, workflow.Group | workflow.LoopGroup) and any(map(_asks, body.scope.nodes)):
        return True
    return isinstance(body, workflow.Approval) or getattr(body, "interactive", False)


class _Lowering(Struct):
    """`source` are the command files and scripts as the nodes name them, `files` as they are called in the end."""

    findings: Findings
    source: Files
    files: Files
    report: Report

    def nodes(self, graph: Graph, around: Mapping[str, str]) -> tuple[tuple[workflow.Node, ...], Mapping[str, str]]:
        """The nodes of a graph, and the node that is meant by each include in it and `around` it."""
        findings = self.findings
        own = {name: f"{name}__{block.output}" for name, block in graph.blocks.items()}
        aliases = {**around, **own} if own else around
        change = renaming(aliases, self.source, self.files)
        siblings = frozenset((*graph.by_id, *graph.brought))
        nodes: list[workflow.Node] = []
        for draft in graph.drafts:
            node = change.of(self._node(draft, graph))
            depends_on = dict.fromkeys(_sinks(node.depends_on, graph))
            order = dict.fromkeys(aliases.get(one, one) for one in node.order)
            order = {one: None for one in order if one not in depends_on}
            catches = dict.fromkeys(_caught(node.catches, graph))
            node = replace(node, depends_on=tuple(depends_on), order=tuple(order), catches=tuple(catches))
            body = draft.raw.get(draft.kind)
            inside = findings.graphs.get(draft.path)
            if draft.kind == "include":
                nodes += self._included(draft, node, change, graph, siblings if draft.spliced else None)
                continue
            if inside is not None and isinstance(body, dict):
                inner, names = self.nodes(inside, aliases)
                returns = body.get("returns")
                scope = workflow.Scope(inner, returns and names.get(returns, returns))
                made: Any = replace(node.body, scope=scope)
                if isinstance(made, workflow.LoopGroup) and made.until_node is not None:
                    made = replace(made, until_node=names.get(made.until_node, made.until_node))
                node = replace(node, body=made)
            nodes.append(node)
        continues = findings.continues.get(graph.path, {})
        return tuple(replace(one, continues=continues.get(one.id)) for one in nodes), aliases

    def _included(
        self, draft: Draft, node: workflow.Node, change: Change, graph: Graph, siblings: frozenset[str] | None
    ) -> Sequence[workflow.Node]:
        """What an include becomes: nodes of this graph or, fanned out, a group."""
        block = self.findings.named[draft.path]
        if block.resumes_from_inside and (siblings is None or graph.outer is not None):
            message = f"a node inside of a node of '{block.workflow.name}' resumes the session of one outside"
            hint = "that one has many sessions here; include the file at the top, and do not fan it out"
            self.report.error("bad-resume", message, (*draft.path, "include"), hint=hint)
        include = Include(
            node=node if draft.spliced else workflow.Node(id=node.id, body=node.body),
            inputs={name: change.of(one) for name, one in self.findings.given[draft.path].items()},
            defaults=stated_options(graph.stated),
            agent=stated_agent(graph.stated),
            siblings=siblings,
        )
        try:
            nodes = include.nodes(block, self.files)
        except NotInsertableError as error:
            path = (*draft.path, "with", error.name)
            hint = f"hand it over whole, or compute it in a node and hand over that output; see {block.workflow.file}"
            self.report.error("bad-binding", f"'{error.name}' cannot be handed over: {error}", path, hint=hint)
            return ()
        if draft.spliced:
            return nodes
        scope = workflow.Scope(nodes, block.workflow.returns)
        return [replace(node, body=workflow.Group(scope), bindings={})]

    def _node(self, draft: Draft, graph: Graph) -> workflow.Node:
        model, findings = draft.model, self.findings
        agent = draft.uses_agent
        idle = getattr(model, "idle_timeout", None)
        condition = findings.conditions.get((*draft.path, "when"))
        per_item = draft.path in findings.per_item
        given = findings.given.get(draft.path)
        if given is None:
            given = {name: binding_of(value) for name, value in (getattr(model, "bindings", None) or {}).items()}
        return workflow.Node(
            id=model.id,
            body=_BODIES[draft.kind](draft, findings),
            description=model.description,
            depends_on=tuple(dict.fromkeys(model.depends_on or ())),
            order=tuple(findings.order[draft.path]),
            when=None if per_item else condition,
            trigger_rule=model.trigger_rule,
            retry=_retry(getattr(model, "retry", None)),
            timeout_ms=getattr(model, "timeout", None)
            or (KINDS[draft.kind].timeout_ms if draft.kind in KINDS else None),
            idle_timeout_ms=(idle or workflow.DEFAULT_IDLE_TIMEOUT_MS) if agent else None,
            always_run=getattr(model, "always_run", False),
            env=dict(getattr(model, "env", None) or {}),
            bindings=given if draft.kind != "include" else {},
            agent=(getattr(model, "agent", None) or stated_agent(graph.stated)) if agent else None,
            options=_options(draft, graph) if agent else {},
            output_format=getattr(model, "output_format", None),
            runs_on=getattr(model, "runs_on", None),
            on_timeout=getattr(model, "on_timeout", None) or "fail",
            grace_ms=getattr(model, "grace", None),
            cwd=getattr(model, "cwd", None),
            allow_failure=_allowed(getattr(model, "allow_failure", None)),
            catches=tuple(getattr(model, "catches", None) or ()),
            fan_out=_fan_out(draft, condition if per_item else None),
        )


def _sinks(names: tuple[str, ...], graph: Graph) -> Iterator[str]:
    for name in names:
        if name in graph.blocks:
            yield from (f"{name}__{one}" for one in graph.blocks[name].sinks)
        else:
            yield name


def _caught(names: tuple[str, ...], graph: Graph) -> Iterator[str]:
    """The nodes that are meant by `catches`: an include is any of its nodes."""
    for name in names:
        block = graph.blocks.get(name)
        yield from [name] if block is None else [f"{name}__{node.id}" for node in block.workflow.nodes]


def _fan_out(draft: Draft, when: workflow.Condition | None) -> workflow.FanOut | None:
    model = draft.fan_out
    if model is None:
        return None
    later = draft.kind in ("workflow", "include")
    return workflow.FanOut(
        items=_items(model.items),
        lines=model.lines,
        name=item_name(draft),
        max_parallel=None if model.max_parallel == "all" else model.max_parallel,
        join=model.join or ("all_done" if later else "all_success"),
        fail_fast=model.fail_fast,
        max_items=model.max_items,
        when=when,
    )


def _items(items: Any) -> Any:
    listed = listed_items(items)
    return trim(items) if listed is None and isinstance(items, str) else listed


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


def _options(draft: Draft, graph: Graph) -> dict[str, Any]:
    """The agent's options: those stated around the node, overridden by its own, and keys that Ion does not know."""
    if not KINDS[draft.kind].asks_agent:  # an approval's rework
        return stated_options(graph.stated)
    own = {key: draft.raw[key] for key in AGENT_OPTIONS if key in draft.raw}
    return {**stated_options(graph.stated), **own, **draft.extras}


def stated_options(stated: Stated) -> dict[str, Any]:
    """The agent options for nodes that state none."""
    return {key: raw[key] for _, raw in reversed(stated) for key in AGENT_OPTIONS if key in raw}


def stated_agent(stated: Stated) -> str | None:
    """The agent for nodes that name none."""
    return next((raw["agent"] for _, raw in stated if "agent" in raw), None)


def _retry(model: schema.RetryModel | None) -> workflow.Retry | None:
    if model is None:
        return None
    return workflow.Retry(
        max_attempts=model.max_attempts,
        delay_ms=model.delay_ms or 3000,
        on_error=model.on_error or "transient",
        on_exit_status=tuple(model.on_exit_status or ()),
        never_on_exit_status=tuple(model.never_on_exit_status or ()),
        backoff=model.backoff or "double",
        max_delay_ms=model.max_delay or workflow.DEFAULT_MAX_DELAY_MS,
    )


def _allowed(model: schema.AllowedModel | None) -> workflow.Allowed | None:
    return None if model is None else workflow.Allowed(tuple(model.exit_status or ()), tuple(model.codes or ()))


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
        timeout_ms=model.timeout,
        on_timeout=model.on_timeout or "fail",
        remind_ms=tuple(sorted({*(model.remind or ())})),
    )


def _group(_draft: Draft, _findings: Findings) -> workflow.Body:
    return workflow.Group(workflow.Scope(()))


def _loop_group(draft: Draft, findings: Findings) -> workflow.Body:
    model: schema.LoopGroupModel = draft.model.loop_group
    return workflow.LoopGroup(
        scope=workflow.Scope(()),
        max_iterations=model.max_iterations,
        until=model.until,
        until_bash=findings.shells.get((*draft.path, "loop_group", "until_bash")),
        until_node=model.until_node,
        until_all=bool(model.until_all),
        fresh_context=model.fresh_context,
        interactive=model.interactive,
        gate_message=model.gate_message,
        signal_completes=model.signal_completes,
    )


def _wait(draft: Draft, findings: Findings) -> workflow.Body:
    model: schema.WaitModel = draft.model.wait
    return workflow.Wait(
        duration_ms=model.duration or model.duration_ms,
        until=model.until,
        event=model.event,
        check=findings.shells.get((*draft.path, "wait", "check")),
        every_ms=model.every or workflow.DEFAULT_CHECK_EVERY_MS,
        deadline_ms=model.deadline or model.deadline_ms,
        on_expired=model.on_expired or "continue",
    )


def _workflow(draft: Draft, _findings: Findings) -> workflow.Body:
    return workflow.WorkflowCall(draft.model.workflow, draft.model.input)


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
    "wait": _wait,
    "group": _group,
    "loop_group": _loop_group,
    "workflow": _workflow,
    "include": _group,
}
