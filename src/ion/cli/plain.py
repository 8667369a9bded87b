"""Plain progress: one event a line, in stable columns, for pipes, CI and `--plain`. Times count from the first
event that is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ion import RunState
from ion import events as e
from ion.cli.context import CliContext
from ion.cli.terminal import Screen
from ion.kinds import FIRST_TURNS, TURNS
from ion.views.text import Part, cut, cut_ids, duration, elapsed, one_line, pad, plural
from ion.views.waiting import PERMISSION, waiting_in
from ion.views.words import dollars, failure_text

NAME_COLUMNS = 15
MAX_NAME_COLUMNS = 32
MAX_DETAIL = 240
SHOWN_OUTPUT_LINES = 5
# The words in the second column, and their roles.
_ROLES = {
    "FAIL": "bad",
    "done": "good",
    "start": "active",
    "gate": "attention",
    "wait": "attention",
    "retry": "attention",
}


class Plain:
    """An observer that writes each event as a line on a screen."""

    wants_lines = False

    def __init__(self, screen: Screen, cli: CliContext | None) -> None:
        """`cli` None: no commands are shown (a dry run has no run to use them on)."""
        self._screen = screen
        self._cli = cli
        self._begun_at = -1
        self._columns = NAME_COLUMNS
        self._names: dict[str, str] = {}

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        event = recorded.event
        if self._begun_at < 0:
            self._begun_at = event.at
            self._names = cut_ids(state.nodes, MAX_NAME_COLUMNS)
            longest = max(map(len, self._names.values()), default=0)
            self._columns = max(NAME_COLUMNS, longest)
        describe = _LINES.get(type(event))
        if describe is not None:
            describe(self, run_id, event, state)

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Lines of a running node are in its log; here they would drown the events."""

    def say(self, event: e.Event, verb: str, name: str, detail: str = "") -> None:
        """Write one line: time, verb, name, detail."""
        time = elapsed(event.at - self._begun_at)
        role = _ROLES.get(verb)
        word: Part = (role, f"{verb:<5}") if role else f"{verb:<5}"
        shown = f"{name:<{self._columns}}" if verb == "run" else pad(self._names.get(name, name), self._columns)
        self._screen.line(f"{time}  ", word, "  ", shown, "  ", cut(one_line(detail), MAX_DETAIL))

    def quote(self, lines: tuple[str, ...]) -> None:
        """Write lines that a node said below its event."""
        for line in lines[-SHOWN_OUTPUT_LINES:]:
            self._screen.line("         | ", cut(line, MAX_DETAIL))

    @staticmethod
    def took(node: str, state: RunState) -> str:
        """How long the node has run."""
        return duration(state.nodes[node].took_ms)

    def command(self, *words: str) -> str:
        """A command for pasting, with what joins it to the text before; or ''."""
        return f" · {self._cli.command(*words)}" if self._cli is not None else ""


def _workflow_started(plain: Plain, run_id: str, event: e.WorkflowStarted, _state: RunState) -> None:
    plain.say(event, "run", f"{run_id} {event.workflow}")


def _workflow_resumed(plain: Plain, run_id: str, event: e.WorkflowResumed, state: RunState) -> None:
    workflow = state.started.workflow if state.started else ""
    kept = sum(node.status == "completed" for node in state.nodes.values())
    plain.say(event, "run", f"{run_id} {workflow}", f"continues; {kept} of {len(state.nodes)} are completed")


def _workflow_completed(plain: Plain, _run: str, event: e.WorkflowCompleted, state: RunState) -> None:
    skipped = sum(node.status == "skipped" for node in state.nodes.values())
    done = f"{len(state.nodes) - skipped} of {len(state.nodes)} completed" if skipped else ""
    plain.say(event, "run", "completed", done)


def _workflow_failed(plain: Plain, run_id: str, event: e.WorkflowFailed, state: RunState) -> None:
    fallen = sum(node.status in ("failed", "skipped", "cancelled") for node in state.nodes.values())
    again = plain.command("resume", run_id)
    plain.say(event, "run", "failed", f"{fallen} of {len(state.nodes)} failed or skipped{again}")


def _workflow_cancelled(plain: Plain, _run: str, event: e.WorkflowCancelled, _state: RunState) -> None:
    plain.say(event, "run", "cancelled", event.reason)


def _workflow_paused(plain: Plain, _run: str, event: e.WorkflowPaused, state: RunState) -> None:
    nodes = dict.fromkeys(one.node or "a larger budget" for one in waiting_in(state))
    plain.say(event, "run", "paused", f"waits for {', '.join(nodes)}")


def _budget_raised(plain: Plain, _run: str, event: e.BudgetRaised, _state: RunState) -> None:
    plain.say(event, "run", "may spend", f"{dollars(event.max_budget_usd)} in all")


def _workflow_placed(plain: Plain, _run: str, event: e.WorkflowPlaced, _state: RunState) -> None:
    plain.say(event, "run", "is placed", f"on the worker {event.worker}")


def _cancel_requested(plain: Plain, _run: str, event: e.CancelRequested, _state: RunState) -> None:
    reason = "its time is over" if event.cause == "timeout" else event.reason
    plain.say(event, "run", "is to end", reason)


def _node_started(plain: Plain, _run: str, event: e.NodeStarted, _state: RunState) -> None:
    if TURNS[event.turn].brings == "question":
        return
    parts = [] if event.turn in FIRST_TURNS else [event.turn]
    parts += [f"iteration {event.iteration}"] if event.iteration else []
    parts += [f"attempt {event.attempt}"] if event.attempt > 1 else []
    plain.say(event, "start", event.node, " · ".join(parts))


def _node_completed(plain: Plain, _run: str, event: e.NodeCompleted, state: RunState) -> None:
    took = plain.took(event.node, state)
    plain.say(event, "done", event.node, " · ".join(part for part in (took, event.reply.agent) if part))
    plain.quote(event.reply.notes)


def _node_failed(plain: Plain, run_id: str, event: e.NodeFailed, _state: RunState) -> None:
    text = failure_text(event.error)
    where = f" · {event.error.hint}" if event.error.hint else ""
    if event.error.exit_status is not None:
        where = plain.command("logs", run_id, event.node)
    plain.say(event, "FAIL", event.node, f"{text.headline}{where}")
    plain.quote(text.said)


def _node_skipped(plain: Plain, _run: str, event: e.NodeSkipped, _state: RunState) -> None:
    reason = {"when": "when:", "upstream_failed": "trigger_rule"}.get(event.reason, event.reason)
    plain.say(event, "skip", event.node, f"{reason} {event.detail}")


def _node_cancelled(plain: Plain, _run: str, event: e.NodeCancelled, _state: RunState) -> None:
    plain.say(event, "stop", event.node, event.reason)


def _node_retrying(plain: Plain, _run: str, event: e.NodeRetrying, _state: RunState) -> None:
    text = failure_text(event.error)
    delay = duration(max(0, event.due_at - event.at))
    what = f"asked again in {delay}" if event.reask else f"in {delay}"
    plain.say(event, "retry", event.node, f"{what} · {text.headline}")
    plain.quote(text.said)


def _node_invalidated(plain: Plain, _run: str, event: e.NodeInvalidated, _state: RunState) -> None:
    why = event.reason if event.dependency is None else f"'{event.dependency}' has another value now"
    plain.say(event, "again", event.node, why)


def _iteration_completed(plain: Plain, _run: str, event: e.IterationCompleted, _state: RunState) -> None:
    plain.say(event, "turn", event.node, f"iteration {event.iteration}{' · done' if event.signaled else ''}")
    plain.quote(event.reply.notes)


def _iteration_judged(plain: Plain, _run: str, event: e.IterationJudged, _state: RunState) -> None:
    plain.say(event, "turn", event.node, f"iteration {event.iteration} is not the last: until_bash said no")


def _approval_requested(plain: Plain, _run: str, event: e.ApprovalRequested, _state: RunState) -> None:
    ended = event.kind == PERMISSION and not event.held
    plain.say(event, "gate", event.node, f"{'asks again once answered: ' if ended else ''}{event.message}")


def _approval_resolved(plain: Plain, _run: str, event: e.ApprovalResolved, _state: RunState) -> None:
    by = f" by {event.by['user']}" if event.by.get("user") else ""
    plain.say(event, "reply", event.node, f"{event.decision}{by}{': ' if event.comment else ''}{event.comment}")


def _prompt_requested(plain: Plain, _run: str, event: e.PromptRequested, _state: RunState) -> None:
    plain.say(event, "wait", event.node, "its prompt waits for an agent")


def _prompt_answered(plain: Plain, _run: str, event: e.PromptAnswered, _state: RunState) -> None:
    plain.say(event, "reply", event.node, plural(event.output.size, "byte"))


_LINES: dict[type[e.Event], Callable[[Plain, str, Any, RunState], None]] = {
    e.WorkflowStarted: _workflow_started,
    e.WorkflowResumed: _workflow_resumed,
    e.WorkflowCompleted: _workflow_completed,
    e.WorkflowFailed: _workflow_failed,
    e.WorkflowCancelled: _workflow_cancelled,
    e.WorkflowPaused: _workflow_paused,
    e.CancelRequested: _cancel_requested,
    e.BudgetRaised: _budget_raised,
    e.WorkflowPlaced: _workflow_placed,
    e.NodeStarted: _node_started,
    e.NodeCompleted: _node_completed,
    e.NodeFailed: _node_failed,
    e.NodeSkipped: _node_skipped,
    e.NodeCancelled: _node_cancelled,
    e.NodeRetrying: _node_retrying,
    e.NodeInvalidated: _node_invalidated,
    e.IterationCompleted: _iteration_completed,
    e.IterationJudged: _iteration_judged,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalResolved: _approval_resolved,
    e.PromptRequested: _prompt_requested,
    e.PromptAnswered: _prompt_answered,
}
