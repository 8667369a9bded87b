"""Plain progress: one event a line, in stable columns, for pipes, CI and `--plain`. Times count from the first
event that is shown."""

from __future__ import annotations

from ion import RunState, clocks
from ion import events as e
from ion.cli.context import CliContext
from ion.cli.terminal import Screen
from ion.kinds import FIRST_TURNS, TURNS
from ion.views.happenings import closed_until, waits_for
from ion.views.rows import counted_items, inside_failed, items_around
from ion.views.text import Part, cut, cut_ids, cut_middle, duration, elapsed, one_line, plural, width
from ion.views.waiting import PERMISSION, Waiting, nodes_of, waiting_in
from ion.views.words import dollars, failure_text, not_clean

NAME_COLUMNS = 15
MAX_NAME_COLUMNS = 32
MAX_DETAIL = 240
SHOWN_OUTPUT_LINES = 5
# How many nodes are named that a run waits for.
MOST_NAMED = 10
# Of more items than these only the end of each is said.
MANY_ITEMS = 50
# The words in the second column that have a role.
_ROLES = {
    "done": "good",
    "start": "active",
    "works": "active",
    "gate": "attention",
    "wait": "attention",
    "retry": "attention",
    "rest": "attention",
}


_OF_REQUESTS = (
    *(e.ApprovalRequested, e.ApprovalResolved, e.GateReminded, e.GateExpired),
    *(e.PromptRequested, e.PromptAnswered, e.WaitStarted),
)


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
        self._clock = clocks.running_from(clocks.zero_ms())

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        event = recorded.event
        if self._begun_at < 0:
            self._begun_at = event.at
            self._names = cut_ids(state.nodes, MAX_NAME_COLUMNS)
            self._columns = max([NAME_COLUMNS, *map(len, self._names.values())])
        if not isinstance(event, e.NodeEvent):
            self._of_run(run_id, event, state)
        elif isinstance(event, _OF_REQUESTS):
            self._of_request(run_id, event)
        elif isinstance(event, e.NodeStarted | e.ScopeOpened | e.ScopeFinishing):
            self._of_start(event, state)
        else:
            self._of_node(run_id, event, state)

    def progress(self, run_id: str, node: str, line: str) -> None:  # noqa: ARG002
        """What an agent says or does; its thoughts are in the log, and would drown the rest here."""
        if self._begun_at >= 0 and " · thinks: " not in line:
            self._line(self._clock(), "works", node, line)

    def _of_run(self, run_id: str, event: e.Event, state: RunState) -> None:
        nodes = nodes_of(state)
        match event:
            case e.WorkflowStarted():
                self._say(event, "run", f"{run_id} {event.workflow}")
            case e.WorkflowResumed():
                workflow = state.started.workflow if state.started else ""
                kept = sum(node.status == "completed" for node in nodes)
                self._say(event, "run", f"{run_id} {workflow}", f"continues; {kept} of {len(nodes)} are completed")
            case e.WorkflowCompleted():
                completed = sum(node.status == "completed" for node in nodes)
                others = any(node.status in ("failed", "skipped") for node in nodes)
                done = f"{completed} of {len(nodes)} completed" if others else ""
                said = not_clean(state)
                self._say(
                    event, "run", "completed", " · ".join(filter(None, (f"not clean: {said}" if said else "", done)))
                )
            case e.WorkflowFailed():
                fallen = sum(node.status in ("failed", "skipped", "cancelled") for node in nodes)
                again = self._command("resume", run_id)
                self._say(
                    event, "run", "failed", f"{fallen} of {len(nodes)} failed or skipped{_in_finally(event)}{again}"
                )
            case e.WorkflowCancelled():
                self._say(event, "run", "cancelled", f"{event.reason}{_in_finally(event)}")
            case e.WorkflowPaused():
                waiting = [*dict.fromkeys(one.node or _waits_for(one) for one in waiting_in(state))]
                more = f" and {len(waiting) - MOST_NAMED} more" if len(waiting) > MOST_NAMED else ""
                self._say(event, "run", "paused", f"waits for {', '.join(waiting[:MOST_NAMED])}{more}")
            case _:
                self._besides(event)

    def _besides(self, event: e.Event) -> None:
        """What happens to a run besides its beginning and its end."""
        match event:
            case e.WorkflowFinishing():
                self._say(event, "run", "is ending", f"{event.status}; finally: {', '.join(event.finally_nodes)}")
            case e.SignalReceived():
                self._say(event, "reply", "", f"the signal {event.event}")
            case e.WorkflowQueued():
                self._say(event, "run", "queued", f"for a place in {event.group}")
            case e.LaneClosed():
                self._say(event, "rest", event.agent, closed_until(event))
            case e.LaneOpened():
                self._say(event, "run", "", f"{event.agent} is asked again")
            case e.BudgetRaised():
                self._say(event, "run", "may spend", f"{dollars(event.max_budget_usd)} in all")
            case e.WorkflowPlaced():
                self._say(event, "run", "is placed", f"on the worker {event.worker}")
            case e.CancelRequested():
                reason = "its timeout is over" if event.cause == "timeout" else event.reason
                self._say(event, "run", "is to end", reason)

    def _of_start(self, event: e.NodeEvent, state: RunState) -> None:
        """Nothing of what only reads and puts together what is inside of a node, nor of each of many items."""
        if items_around(state, event.node) > MANY_ITEMS:
            return
        match event:
            case e.ScopeFinishing():
                self._say(event, "ends", event.node, f"{event.status}; finally: {', '.join(event.finally_nodes)}")
            case e.ScopeOpened():
                parts = [plural(len(event.keys), "item")] if event.items is not None else []
                parts += [f"iteration {event.iteration}"] if event.iteration else []
                self._say(event, "start", event.node, " · ".join(parts))
            case e.NodeStarted():
                if TURNS[event.turn].brings != "question" and not TURNS[event.turn].of_instances:
                    parts = [] if event.turn in FIRST_TURNS else [event.turn]
                    parts += [f"iteration {event.iteration}"] if event.iteration else []
                    parts += [f"attempt {event.attempt}"] if event.attempt > 1 else []
                    self._say(event, "start", event.node, " · ".join(parts))

    def _of_node(self, run_id: str, event: e.NodeEvent, state: RunState) -> None:
        match event:
            case e.NodeCompleted():
                took, agent = duration(state.nodes[event.node].took_ms), event.reply.agent
                items = counted_items(state, event.node)
                caught = f"caught the failure of {', '.join(event.caught)}" if event.caught else ""
                self._say(event, "done", event.node, " · ".join(filter(None, (took, agent, items, caught))))
                self._quote(event.reply.notes)
            case e.NodeFailed():
                text, error = failure_text(event.error), event.error
                where = f" · {error.hint}" if error.hint else ""
                if error.exit_status is not None:
                    where = self._command("logs", run_id, event.node)
                allowed = event.reply is not None
                shown = f"{text.headline}, allowed" if allowed else text.headline
                self._say(event, "FAIL", event.node, f"{shown}{where}", role="attention" if allowed else "bad")
                self._quote(() if inside_failed(state, event.node) else text.said)  # that has said it
            case e.NodeSkipped():
                reason = {"when": "when:", "upstream_failed": "trigger_rule", "no_failure": ""}.get(
                    event.reason, event.reason
                )
                self._say(event, "skip", event.node, f"{reason} {event.detail}".strip())
            case e.NodeCancelled():
                self._say(event, "stop", event.node, event.reason)
            case e.NodeRetrying():
                if event.agent is not None:
                    self._say(event, "rest", event.node, f"until {event.agent} answers again")
                    return
                text, delay = failure_text(event.error), duration(max(0, event.due_at - event.at))
                what = f"asked again in {delay}" if event.reask else f"in {delay}"
                self._say(event, "retry", event.node, f"{what} · {text.headline}")
                self._quote(text.said)
            case e.NodeInvalidated():
                why = event.reason if event.dependency is None else f"'{event.dependency}' has another value now"
                self._say(event, "again", event.node, why)
            case e.IterationCompleted():
                done = " · done" if event.signaled else ""
                self._say(event, "turn", event.node, f"iteration {event.iteration}{done}")
                self._quote(event.reply.notes)
            case e.IterationJudged():
                self._say(event, "turn", event.node, f"iteration {event.iteration} is not the last: until_bash said no")

    def _of_request(self, run_id: str, event: e.NodeEvent) -> None:
        match event:
            case e.ApprovalRequested():
                ended = event.kind == PERMISSION and not event.held
                self._say(event, "gate", event.node, f"{'asks again once answered: ' if ended else ''}{event.message}")
                if event.kind == PERMISSION and self._cli is not None:  # the run is not over, and says no more of it
                    which = f"--request {event.request}"
                    answers = [self._cli.command(verb, run_id, event.node, which) for verb in ("approve", "reject")]
                    self._screen.line("         | ", "      ".join(answers))
            case e.ApprovalResolved():
                by = f" by {event.by['user']}" if event.by.get("user") else ""
                comment = f": {event.comment}" if event.comment else ""
                self._say(event, "reply", event.node, f"{event.decision}{by}{comment}")
            case e.GateReminded():
                self._say(event, "gate", event.node, "is still open")
            case e.GateExpired():
                self._say(event, "late", event.node, f"nobody answered: {event.decision}")
            case e.WaitStarted():
                self._say(event, "wait", event.node, waits_for(event))
            case e.PromptRequested():
                self._say(event, "wait", event.node, "its prompt waits for an agent")
            case e.PromptAnswered():
                self._say(event, "reply", event.node, plural(event.output.size, "byte"))

    def _say(self, event: e.Event, verb: str, name: str, detail: str = "", role: str = "") -> None:
        self._line(event.at, verb, name, detail, role)

    def _line(self, at: int, verb: str, name: str, detail: str, role: str = "") -> None:
        """Write one line: time, verb, name, detail. `role` '': that of the verb."""
        time = elapsed(max(0, at - self._begun_at))
        role = role or _ROLES.get(verb, "")
        word: Part = (role, f"{verb:<5}") if role else f"{verb:<5}"
        if verb != "run":
            name = self._names.get(name) or cut_middle(name, MAX_NAME_COLUMNS)
            self._columns = max(self._columns, width(name))
        shown = name + " " * (self._columns - width(name))
        self._screen.line(f"{time}  ", word, "  ", shown, "  ", cut(one_line(detail), MAX_DETAIL))

    def _quote(self, lines: tuple[str, ...]) -> None:
        """Write lines that a node said below its event."""
        for line in lines[-SHOWN_OUTPUT_LINES:]:
            self._screen.line("         | ", cut(line, MAX_DETAIL))

    def _command(self, *words: str) -> str:
        """A command for pasting, with what joins it to the text before; or ''."""
        return f" · {self._cli.command(*words)}" if self._cli is not None else ""


def _waits_for(one: Waiting) -> str:
    return one.agent or "a larger budget"


def _in_finally(event: e.WorkflowFailed | e.WorkflowCancelled) -> str:
    return f" · failed in finally: {', '.join(event.finally_failed)}" if event.finally_failed else ""
