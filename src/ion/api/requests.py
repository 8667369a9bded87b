"""Requests to a run, from anywhere: answers to gates and prompts, cancel.

Each is one event, guarded by what it answers: of two answers one wins and the other is refused. Continuing the run
afterwards is the caller's next step (`runs.acquire_run`), unless a live process owns it; that one continues by itself.
"""

from __future__ import annotations

import os
from typing import Any

from ion import clocks
from ion.api.reading import read_state
from ion.api.workspace import Workspace, who
from ion.core import events as e
from ion.core import requests
from ion.core.fold import fold
from ion.core.state import RunState
from ion.errors import OutputFormatError, RefusedError, UsageError


def answer(
    workspace: Workspace,
    run_id: str,
    decision: str,
    node: str | None = None,
    *,
    text: str = "",
    request: str | None = None,
) -> str:
    """Answer a gate or a permission with one of its decisions, or with `approve` or `reject`, which each of them
    accepts; returns its node. Raises `RefusedError`, and `UsageError` if several are open and neither node nor
    `request` says which."""
    state = read_state(workspace, run_id)
    event = requests.answer(
        state, node, decision, at=clocks.now_ms(), text=text, by=who(workspace.via), request=request
    )
    if len(event.comment.encode("utf-8", "surrogatepass")) > e.INLINE_LIMIT_BYTES:
        raise UsageError("the comment is longer than 256 KiB", hint="put it into a file and name that")
    _record(workspace, run_id, state, event)
    return event.node


def cancel(workspace: Workspace, run_id: str, *, reason: str = "") -> None:
    """Ask for the run's end; its owner ends it, and if it has none the caller may (`runs.acquire_run`)."""
    state = read_state(workspace, run_id)
    _record(workspace, run_id, state, requests.cancel(state, at=clocks.now_ms(), reason=reason, by=who(workspace.via)))


def raise_budget(workspace: Workspace, run_id: str, max_budget_usd: float) -> None:
    """Let a run spend this much in all, also while another process drives it. Raises `UsageError` if it has spent that
    already."""
    state = read_state(workspace, run_id)
    event = requests.raise_budget(state, max_budget_usd, at=clocks.now_ms(), by=who(workspace.via))
    _record(workspace, run_id, state, event)


def next_prompts(workspace: Workspace, run_id: str) -> list[dict[str, Any]]:
    """The prompts that wait for the caller, in the shape of `ion next --json` (cli.md)."""
    return [
        _prompt(workspace, node.prompt) for node in requests.open_prompts(read_state(workspace, run_id)) if node.prompt
    ]


def _prompt(workspace: Workspace, pending: e.PromptRequested) -> dict[str, Any]:
    return {
        "request": pending.request,
        "node": pending.node,
        "iteration": pending.iteration,
        "attempt": pending.attempt,
        "prompt": _text(workspace, pending.prompt),
        "system": pending.system,
        "session": pending.session,
        "output_format": pending.output_format,
        "options": pending.options,
        "key": pending.key,
    }


def submit(
    workspace: Workspace,
    run_id: str,
    node: str,
    text: str,
    *,
    session: str | None = None,
    request: str | None = None,
) -> bool:
    """Answer an open prompt; False if this same answer was given before.

    Raises `OutputFormatError` (nothing is recorded) if it does not fit the node's `output_format`, `RefusedError` if
    the prompt is not open or was answered differently.
    """
    recorded = workspace.store.get_workflow_events(run_id)
    state = fold(item.event for item in recorded)
    answers = [item.event for item in recorded if isinstance(item.event, e.PromptAnswered) and item.event.node == node]
    last = next((a for a in reversed(answers) if request is None or a.request == request), None)
    found = state.nodes.get(node)
    if found is not None and found.prompt is not None:
        _check_format(node, found.prompt.output_format, text)
    event = requests.submit(
        state,
        node,
        _content(workspace, text),
        at=clocks.now_ms(),
        by=who(workspace.via),
        session=session,
        request=request,
        last=last,
    )
    if event is None:
        return False
    _record(workspace, run_id, state, event)
    return True


def _check_format(node: str, output_format: dict[str, Any] | None, text: str) -> None:
    if output_format is None:
        return
    from ion.nodes.checking import check_reply_now
    from ion.nodes.replies import CheckedReply

    reply = check_reply_now(output_format, text)
    if not isinstance(reply, CheckedReply):
        raise OutputFormatError(
            f"the answer does not fit the output_format of '{node}': {'; '.join(reply)}",
            hint="nothing was recorded; answer again",
        )


def _content(workspace: Workspace, text: str) -> e.Content:
    content = e.Content.inline(text)
    if content.size <= e.INLINE_LIMIT_BYTES:
        return content
    return workspace.store.put_blob(text.encode("utf-8", "surrogatepass"))


def require_outside(run_id: str) -> None:
    """Raise `RefusedError` (code `own-gate`) if this process is one of the run's, or of a run within it: the run may
    end itself, but may not answer for people or agents."""
    if "ION_RUN_ID" not in os.environ:  # every process of a run has it
        return
    from ion.process.survivors import runs_of

    if run_id in runs_of(os.environ):
        raise RefusedError(
            "a process of the run may not answer the run's own gates or prompts, nor raise its budget",
            hint="somebody outside of the run may",
            code="own-gate",
        )


def _record(workspace: Workspace, run_id: str, state: RunState, event: e.Event) -> None:
    """Append a request, and notify a cluster that drives the run. Raises `EngineError` if the cluster cannot be
    notified: the request is in the log all the same; and what `require_outside` raises."""
    if not isinstance(event, e.CancelRequested):
        require_outside(run_id)
    workspace.store.create_workflow_event(run_id, [event], lease=None)
    if state.engine is not None:
        from ion.api.clusters import notify

        notify(workspace, run_id, state.engine)


def _text(workspace: Workspace, content: e.Content) -> str:
    if content.text is not None:
        return content.text
    with workspace.store.open_blob(content.sha256) as stream:
        return stream.read().decode("utf-8", "replace")
