"""What a client may ask: a table of tools, each a name, a schema of its arguments, and a function.

Results have the shapes of the command's `--json` (cli.md). A tool that continues a run answers as soon as somebody is
needed, at the latest after `wait_seconds`, with the open prompts and a line on what to do next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from ion import Recorded, RunState
from ion.api.engine import Engine
from ion.api.hidden import Hidden
from ion.api.preparing import RunSpec
from ion.api.result import RunResult
from ion.api.run import Run
from ion.api.workflows import discover, find_in_sop_paths, is_path, listed
from ion.api.workspace import Workspace
from ion.errors import NotFoundError, RefusedError, UsageError
from ion.masking import head
from ion.views.folding import folded, folded_entry

DEFAULT_WAIT_SECONDS = 25
LONGEST_WAIT_SECONDS = 600
# So many of what waits, and of what is inside of one node, are listed; the others are counted.
MOST_LISTED = 20


class ToolContext(Struct, frozen=True):
    """The server's side of a call. `allow_approve`: gates may be answered, `allow_signal`: signals sent; `allow_paths`:
    workflows may be named by their path, so that any file of the machine that the client can name can be run; `hidden`
    is what no answer shows."""

    engine: Engine
    hidden: Hidden
    sop_paths: tuple[Path, ...] = ()
    allow_approve: bool = False
    allow_signal: bool = False
    allow_paths: bool = False

    @property
    def workspace(self) -> Workspace:
        """The project whose workflows are served."""
        return self.engine.project.workspace


# Takes a line whenever something has happened in a run.
Report: TypeAlias = Callable[[str], Awaitable[None]]
Arguments: TypeAlias = dict[str, Any]
Function: TypeAlias = Callable[[ToolContext, Arguments, Report], Awaitable[dict[str, Any]]]


class Tool(Struct, frozen=True):
    """A tool. `required` and `properties` make its JSON Schema; `reads`: it changes nothing."""

    name: str
    description: str
    function: Function
    properties: dict[str, Any]
    required: tuple[str, ...] = ()
    reads: bool = False
    gate: bool = False
    signal: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return {
            "type": "object",
            "properties": self.properties,
            "required": list(self.required),
            "additionalProperties": False,
        }


async def _list(host: ToolContext, _arguments: Arguments, _report: Report) -> dict[str, Any]:
    found = await asyncio.to_thread(discover, host.workspace, host.sop_paths)
    return {"workflows": [listed(one) for one in found if one.shadowed_by is None]}


async def _start(host: ToolContext, arguments: Arguments, report: Report) -> dict[str, Any]:
    workspace = host.workspace
    name = arguments["workflow"]
    if is_path(name) and not host.allow_paths:
        raise UsageError(
            f"{name!r} is a path, and this server runs only workflows that it lists",
            hint="ion_list names them; ion mcp --allow-paths would run any file",
        )
    agent = arguments.get("agent")
    if agent is not None and agent not in workspace.settings.agents:
        known = ", ".join(workspace.settings.agents) or "there is none"
        raise UsageError(f"no agent is configured as {agent!r}", hint=f"configured in .ion/config.yaml: {known}")
    spec = RunSpec(
        await asyncio.to_thread(find_in_sop_paths, workspace, name, host.sop_paths),
        inputs=arguments.get("inputs", {}),
        arguments=arguments.get("arguments", ""),
        context=arguments.get("context", ""),
        run_id=arguments.get("run_id"),
        agent=agent,
    )
    try:
        started = await host.engine.start(spec)
    except RefusedError as error:
        if error.error_code != "run-exists":
            raise
        return await _start_again(host, arguments, report, error)
    except UsageError as error:
        if error.hint.startswith("--input"):
            error.hint = "they go into `inputs`; ion_list says which there are"
        raise
    await asyncio.to_thread(host.hidden.run, workspace, started.run_id)
    return {
        **await _step(host, Run(workspace, started.run_id), arguments, report),
        "notes": [*filter(None, [started.warned]), *started.notes],
    }


async def _start_again(host: ToolContext, arguments: Arguments, report: Report, error: RefusedError) -> dict[str, Any]:
    """The run that an earlier call of the same kind has started: its answer may have been lost."""
    run = await _run(host, arguments)
    started = (await asyncio.to_thread(run.state)).started
    given = {"arguments": "", "context": "", **arguments}
    same = started is not None and (
        (started.workflow, started.arguments, started.context)
        == (given["workflow"], given["arguments"], given["context"])
        and all(started.inputs.get(name) == value for name, value in arguments.get("inputs", {}).items())
    )
    if not same:
        error.hint = "it was started otherwise: ion_next continues it, or choose another run_id"
        raise error
    return {**await _next(host, arguments, report), "notes": ["the run had been started before"]}


async def _next(host: ToolContext, arguments: Arguments, report: Report) -> dict[str, Any]:
    run = await _run(host, arguments)
    result = await asyncio.to_thread(run.result)
    if result.status == "interrupted" or (result.status == "failed" and arguments.get("resume", False)):
        await host.engine.proceed(run, resume=result.status == "failed")
    return await _step(host, run, arguments, report)


async def _submit(host: ToolContext, arguments: Arguments, report: Report) -> dict[str, Any]:
    run = await _run(host, arguments)
    session, request = arguments.get("session"), arguments.get("request")
    recorded = await asyncio.to_thread(
        run.submit, arguments["node"], arguments["output"], session=session, request=request
    )
    return {**await _step(host, run, arguments, report), "recorded": recorded}


async def _signal(host: ToolContext, arguments: Arguments, report: Report) -> dict[str, Any]:
    run = await _run(host, arguments)
    recorded = await asyncio.to_thread(
        run.signal,
        arguments["event"],
        arguments.get("payload"),
        delivery=arguments.get("delivery"),
        target=arguments.get("node"),
    )
    return {**await _step(host, run, arguments, report), "recorded": recorded}


async def _answer(
    host: ToolContext, arguments: Arguments, report: Report, decision: str = "", text: str = "text"
) -> dict[str, Any]:
    """Answer a gate: with `decision`, or the client's own; `text` names the argument that holds what was said."""
    run = await _run(host, arguments)
    said, node, request = arguments.get(text, ""), arguments.get("node"), arguments.get("request")
    decision = decision or arguments["decision"]
    if not arguments.get("each", False):
        await asyncio.to_thread(run.answer, decision, node, text=said, request=request)
        return await _step(host, run, arguments, report)
    if node is None or request is not None:
        raise UsageError("each: true takes a node, inside of which all gates are answered alike, and no request")
    found = await asyncio.to_thread(run.answer_each, decision, node, text=said)
    refused = dict(list(found.refused.items())[:MOST_LISTED])
    return {
        **await _step(host, run, arguments, report),
        "answered": len(found.answered),
        "not_answered": len(found.refused),
        "refused": refused,
    }


async def _status(host: ToolContext, arguments: Arguments, _report: Report) -> dict[str, Any]:
    run, node = await _run(host, arguments), arguments.get("node")
    result = await asyncio.to_thread(run.result)
    if node is not None:
        entry = folded_entry(result, result.node(node).id, MOST_LISTED)
        return {"run_id": result.run_id, "status": result.status, "node": entry}
    data = result.to_json()
    nodes = {name: folded(result, name, entry, MOST_LISTED) for name, entry in data["nodes"].items()}
    return {**data, "nodes": nodes, **_some("waiting", data["waiting"])}


async def _cancel(host: ToolContext, arguments: Arguments, report: Report) -> dict[str, Any]:
    run = await _run(host, arguments)
    await asyncio.to_thread(run.cancel, reason=arguments.get("reason", ""))
    return await _step(host, run, arguments, report)


async def _run(host: ToolContext, arguments: Arguments) -> Run:
    """A run of this project, by its id or a unique prefix of one; not `last`: another client may have started that."""
    name, workspace = arguments["run_id"], host.workspace
    if name == "last":
        raise NotFoundError("'last' is not a run here: another client may have started it", hint="give the run's id")
    row = await asyncio.to_thread(workspace.find_run, name)
    if row.project != str(workspace.project):
        raise NotFoundError(f"the run {name!r} is of another project")
    return Run(workspace, row.run_id)


async def _step(host: ToolContext, run: Run, arguments: Arguments, report: Report) -> dict[str, Any]:
    """The state of the run once somebody is needed, with what the client should do."""
    seconds = arguments.get("wait_seconds", DEFAULT_WAIT_SECONDS)
    result = await host.engine.wait(run, seconds, partial(_happened, report), partial(_stepped, report))
    prompts = await asyncio.to_thread(run.prompts)
    data = result.to_json()
    step = {name: data[name] for name in ("run_id", "workflow", "status", "output", "error", "clean")}
    step |= _some("allowed", data["allowed"]) | _some("caught", data["caught"])
    step |= {
        name: data[name] for name in ("output_file", "output_bytes", "finishing", "finally_failed") if name in data
    }
    waiting = [item for item in data["waiting"] if item["kind"] != "prompt"]
    advice = _advice(host, result, prompts, waiting)
    return {**step, **_some("prompts", prompts), **_some("waiting", waiting), "next": advice}


def _some(name: str, found: list[Any]) -> dict[str, Any]:
    """The first of many, and how many are left."""
    left = {f"{name}_left": len(found) - MOST_LISTED} if len(found) > MOST_LISTED else {}
    return {name: found[:MOST_LISTED], **left}


async def _happened(report: Report, recorded: Recorded, state: RunState) -> None:
    node = getattr(recorded.event, "node", None)
    # Those of the file come first: what is inside of them is not looked through for each event.
    nodes = list(takewhile(lambda one: not one.owner, state.nodes.values()))
    settled = sum(one.terminal for one in nodes)
    what = recorded.event.type.replace("_", " ") + (f": {node}" if node else "")
    await report(f"{settled} of {len(nodes)} settled, {what}")


async def _stepped(report: Report, node: str, line: str) -> None:
    await report(f"{node}: {line}")


def _advice(host: ToolContext, result: RunResult, prompts: list[Any], waiting: list[Any]) -> str:
    """What the client's agent should do now, in a sentence."""
    if prompts:
        return (
            "Carry out each of `prompts` as it stands, one after the other, then hand in its answer: ion_submit with "
            "run_id, node, request and output. Where output_format is not null, output is JSON that fits it."
        )
    if waiting and all(item["kind"] == "budget" for item in waiting):
        return (
            f"{waiting[0]['message']}. Only a person may raise that. Tell them: ion resume {result.run_id} "
            "--max-budget-usd X. Then ion_next."
        )
    asked = [item for item in waiting if item["kind"] in ("approval", "iteration", "permission")]
    if waiting and not asked:
        until = next((f" until {item['due_at']} at the latest" for item in waiting if "due_at" in item), "")
        return f"The run waits{until}: {waiting[0].get('message', '')}. It continues by itself; ion_next waits with it."
    if asked:
        if host.allow_approve:
            last = " With `last` another iteration cannot follow, so ion_approve takes no comment."
            advice = "A gate is open. Ask the person in charge, then ion_approve, ion_reject or ion_respond."
            return advice + (last if any(item.get("last") for item in asked) else "")
        return (
            f"A gate is open, and only a person may answer it. Tell them: ion show {result.run_id} says how. "
            "Then ion_next."
        )
    if result.status == "completed" and not result.clean:
        return "The run is complete, but not clean: see `allowed`, `caught` and `finally_failed`. Say so."
    if "output_file" in result.data:
        return "The run is complete. Its result is too long for an answer: it is the file `output_file`."
    return _ADVICE.get(result.status, "Call ion_next, which continues the run.")


_ADVICE = {
    "completed": "The run is complete; `output` is its result.",
    "failed": "The run failed; ion_status says where. ion_next with resume: true tries again what failed.",
    "cancelled": "The run was cancelled.",
    "running": "Nothing to do yet: call ion_next, which waits.",
}


_RUN = {"run_id": {"type": "string", "description": "The run's id, as ion_start gave it."}}
_WAIT = {
    "wait_seconds": {
        "type": "number",
        "minimum": 0,
        "maximum": LONGEST_WAIT_SECONDS,
        "default": DEFAULT_WAIT_SECONDS,
        "description": "How long to wait until there is something to do. The run continues in any case.",
    }
}
_GATE = {
    "node": {
        "type": "string",
        "description": "The address of the node that waits, as in `waiting`; needed where several gates are open.",
    },
    "request": {"type": "string", "description": "Which one, where a node asks for several permissions."},
    "each": {
        "type": "boolean",
        "description": "Answer every open gate inside of `node` alike, as the person in charge has said: of all items.",
    },
}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


TOOLS = (
    Tool(
        "ion_list",
        "The workflows and procedures (SOPs) that can be run here, with their inputs and problems.",
        _list,
        {},
        reads=True,
    ),
    Tool(
        "ion_start",
        "Start a workflow. You are the agent of its prompts: the answer holds those that are ready, and you hand in "
        "each answer with ion_submit. Ion keeps the order, runs the shell steps, and remembers everything.",
        _start,
        {
            "workflow": _text("A name that ion_list gives."),
            "inputs": {"type": "object", "description": "The workflow's inputs by name."},
            "arguments": _text("Free text for the workflow ($ARGUMENTS)."),
            "context": _text("Background for its prompts ($CONTEXT)."),
            "agent": _text("A configured agent that answers the prompts instead of you."),
            "run_id": _text("An id of your own choice, so that a call that is made twice starts it once."),
            **_WAIT,
        },
        ("workflow",),
    ),
    Tool(
        "ion_next",
        "The prompts that are ready for you. Waits for them, and continues a run that was cut off.",
        _next,
        {**_RUN, "resume": {"type": "boolean", "description": "Also continue a run that failed."}, **_WAIT},
        ("run_id",),
    ),
    Tool(
        "ion_submit",
        "Hand in the answer to a prompt, whole. The same answer again changes nothing. One that does not fit the "
        "prompt's output_format is refused with what is wrong; nothing is recorded then.",
        _submit,
        {
            **_RUN,
            "node": _text("The address of the prompt's node, as `prompts` gives it."),
            "output": _text("The answer."),
            "request": _text("The prompt's request id."),
            "session": _text("An id of the conversation that answered, for nodes that continue it."),
            **_WAIT,
        },
        ("run_id", "node", "output"),
    ),
    Tool(
        "ion_approve",
        "Approve an open gate, when the person in charge has said so.",
        partial(_answer, decision="approve", text="comment"),
        {**_RUN, **_GATE, "comment": _text("What they said."), **_WAIT},
        ("run_id",),
        gate=True,
    ),
    Tool(
        "ion_reject",
        "Reject an open gate, when the person in charge has said so.",
        partial(_answer, decision="reject", text="reason"),
        {**_RUN, **_GATE, "reason": _text("Why."), **_WAIT},
        ("run_id",),
        gate=True,
    ),
    Tool(
        "ion_respond",
        "Answer a gate that has decisions of its own, when the person in charge has chosen one.",
        _answer,
        {
            **_RUN,
            "node": _GATE["node"],
            "each": _GATE["each"],
            "decision": _text("The id of the decision."),
            "text": _text("What they said."),
            **_WAIT,
        },
        ("run_id", "node", "decision"),
        gate=True,
    ),
    Tool(
        "ion_signal",
        "Send a signal to a run that waits for it, or will. One wait takes one signal, the oldest first.",
        _signal,
        {
            **_RUN,
            "event": _text("The name of the signal, as in `waiting`."),
            "payload": {"description": "What it carries: any JSON."},
            "delivery": _text("An id of this delivery, so that a call that is made twice counts once."),
            "node": _text("The address of the only wait that may take it."),
            **_WAIT,
        },
        ("run_id", "event"),
        signal=True,
    ),
    Tool(
        "ion_status",
        "A run as it is now, with each of its nodes. What is inside of a node is counted, and listed in part: what "
        "failed, waits or runs, else the first.",
        _status,
        {**_RUN, "node": _text("Only the node or instance of this address, with its whole output.")},
        ("run_id",),
        reads=True,
    ),
    Tool(
        "ion_cancel",
        "End a run and everything that it runs.",
        _cancel,
        {**_RUN, "reason": _text("Why."), **_WAIT},
        ("run_id",),
    ),
)


def tools_of(host: ToolContext) -> dict[str, Tool]:
    """The tools of this server, by name: those that answer gates, or send signals, only if that was allowed."""
    return {
        tool.name: tool
        for tool in TOOLS
        if (host.allow_approve or not tool.gate) and (host.allow_signal or not tool.signal)
    }


def check(tool: Tool, arguments: Arguments) -> None:
    """Raises `UsageError` with everything that is wrong with the arguments."""
    import jsonschema

    errors = sorted(jsonschema.Draft202012Validator(tool.schema).iter_errors(arguments), key=lambda one: one.json_path)
    if errors:
        said = "; ".join(head(f"{one.json_path}: {one.message}", 300) for one in errors[:10])
        raise UsageError(f"invalid arguments for {tool.name}: {said}", hint="its input schema says what does")
