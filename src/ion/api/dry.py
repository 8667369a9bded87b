"""A dry run: the plan of a workflow carried out with stand-ins, in memory. Gates approve; nothing is stored."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct

from ion import clocks
from ion.api.inputs import check_inputs, unused_text
from ion.api.reading import describe
from ion.api.result import RunResult
from ion.api.workspace import Workspace, who
from ion.core import events as e
from ion.core import requests
from ion.core.state import NodeState, RunState
from ion.engine import runs
from ion.engine.dry import nameless, stand_ins, stub_of
from ion.engine.observe import Observer
from ion.engine.options import RunOptions
from ion.engine.run_reader import read_run
from ion.errors import UsageError
from ion.language.templates import path_of, templates_of
from ion.language.workflow import Workflow
from ion.names import as_address
from ion.stores.memory import MemoryStore

RUN_ID = "dry-run"


class DryRun(Struct, frozen=True):
    """The end of the plan, and notes on values that stand-ins could not give."""

    result: RunResult
    notes: tuple[str, ...]


def dry_run(
    workspace: Workspace,
    workflow: Workflow,
    *,
    arguments: str = "",
    inputs: dict[str, Any] | None = None,
    stubs: dict[str, str] | None = None,
    observers: tuple[Observer, ...] = (),
    strict: bool = False,
) -> DryRun:
    """Go through the whole plan. `stubs` maps a node to its output, a gate with decisions to its decision: by address
    (`review.2.lint`), or for all instances of a node (`review.lint`).

    Raises `UsageError` for a stub of an unknown node, and for invalid inputs.
    """
    stubs = {as_address(node): text for node, text in (stubs or {}).items()}
    _check_stubs(workflow, stubs)
    notes = dict.fromkeys(unused_text(workflow, arguments, strict=strict))
    values = check_inputs(workflow, inputs or {})
    memory = Workspace(workspace.project, given_store=MemoryStore())
    config = runs.EngineConfig(
        store=memory.store,
        project=workspace.project,
        data=memory.data,
        agent_for=lambda _node: None,
        runners=stand_ins(workflow, stubs, lambda note: notes.update({note: None})),
        options=RunOptions(observers=observers, max_concurrency=1),
    )
    new = runs.NewRun(
        workflow=workflow,
        run_id=RUN_ID,
        inputs=values,
        arguments=arguments,
        cwd=workspace.project,
        by=who("dry-run"),
        max_budget_usd=workflow.max_budget_usd,
    )
    asyncio.run(_drive(config, new, stubs))
    return DryRun(describe(memory, RUN_ID), tuple(notes))


def _check_stubs(workflow: Workflow, stubs: dict[str, str]) -> None:
    known = {nameless(one.path): one.item or one for one in templates_of(workflow)}
    found = {node: known.get(nameless(path_of(node))) for node in stubs}
    unknown = [node for node, template in found.items() if template is None]
    if unknown:
        raise UsageError(f"unknown node: {', '.join(unknown)}", hint="--stub NODE=TEXT takes a node of the workflow")
    for node, template in found.items():
        if template is not None and template.inside is not None:
            first = nameless(template.inside.members[0].path)
            raise UsageError(
                f"'{node}' is a {template.node.kind} node: its output is that of the nodes inside of it",
                hint=f"give one of those, as in: --stub {first}=TEXT",
            )


async def _drive(config: runs.EngineConfig, new: runs.NewRun, stubs: dict[str, str]) -> None:
    state = await runs.start(config, new).run()
    while state.status == "paused":
        for gate in requests.open_gates(state):
            config.store.create_workflow_event(RUN_ID, [_approval(state, gate, stubs)], lease=None)
        taken = runs.acquire(config, read_run(config.store, RUN_ID), agent=None, by=new.by)
        if taken is None:
            return
        drive, begin = taken
        state = await drive.run(begin)


def _approval(state: RunState, node: NodeState, stubs: dict[str, str]) -> e.ApprovalResolved:
    decisions, stub = node.gate.decisions if node.gate is not None else (), stub_of(stubs, node.id) or ""
    usual = "approve" if not decisions or "approve" in decisions else decisions[0]
    decision, text = (stub or usual, "") if decisions else (usual, stub)
    return requests.answer(state, node.id, decision, at=clocks.now_ms(), text=text, by=who("dry-run"))
