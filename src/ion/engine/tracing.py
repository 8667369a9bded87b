"""An observer that makes OpenTelemetry spans: one for the run, while this process drives it, and one for each attempt.

Only the API is used; the program around Ion decides where spans go (`opentelemetry-instrument ion run …`, or its own
provider). All spans of a run have the trace id derived from its run id, so that a resume, wherever, is in the same
trace.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ion.core import events as e
from ion.core.foreseen import handled
from ion.core.state import RunState
from ion.errors import UsageError
from ion.kinds import SLOT_TURNS

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_ENDS = (e.WorkflowCompleted, e.WorkflowFailed, e.WorkflowCancelled, e.WorkflowPaused)
# How many nodes of a kind are named.
_MOST_NAMED = 100
# The names of the semantic conventions for generative AI, where they have one.
_USAGE = {"input_tokens": "gen_ai.usage.input_tokens", "output_tokens": "gen_ai.usage.output_tokens"}


class Tracing:
    """Spans of every run that it watches. `provider` None: the one that is set for the process.

    Raises `UsageError` (code `missing-extra`) if the API is not installed.
    """

    wants_lines = False

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise UsageError(
                "tracing needs the OpenTelemetry API", hint="pip install 'ion-workflows[otel]'", code="missing-extra"
            ) from error
        from ion.version import VERSION

        self._tracer: Tracer = trace.get_tracer("ion", VERSION, tracer_provider=provider)
        self._runs: dict[str, Span] = {}
        self._attempts: dict[tuple[str, str], Span] = {}

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        event = recorded.event
        if run_id not in self._runs and not isinstance(event, _ENDS):
            self._begin_run(run_id, event, state)
        if isinstance(event, e.NodeStarted) and event.turn in SLOT_TURNS:
            self._begin_attempt(run_id, event, state)
        elif isinstance(event, e.NodeEvent):
            self._end_attempt(run_id, event)
        elif isinstance(event, _ENDS):
            self._end_run(run_id, event, state)

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Lines are in the logs."""

    def close(self) -> None:
        """End the spans that this process started and whose end it did not see: it was interrupted."""
        for span in (*self._attempts.values(), *self._runs.values()):
            span.set_attribute("ion.status", "interrupted")
            span.end()
        self._attempts.clear()
        self._runs.clear()

    def _begin_run(self, run_id: str, event: e.Event, state: RunState) -> None:
        started = state.started
        attributes: dict[str, Any] = {"ion.run_id": run_id, "ion.resumes": state.resumes}
        name = started.workflow if started is not None else "workflow"
        if started is not None:
            attributes |= {"ion.workflow": started.workflow, "ion.workflow.digest": started.digest}
        self._runs[run_id] = self._tracer.start_span(
            f"workflow {name}", context=_trace_of(run_id), attributes=attributes, start_time=_nanoseconds(event.at)
        )

    def _begin_attempt(self, run_id: str, event: e.NodeStarted, state: RunState) -> None:
        from opentelemetry import trace

        attributes: dict[str, Any] = {
            "ion.run_id": run_id,
            "ion.node": event.node,
            "ion.kind": state.nodes[event.node].kind,
            "ion.turn": event.turn,
            "ion.attempt": event.attempt,
            "ion.iteration": event.iteration,
        }
        self._attempts[run_id, event.node] = self._tracer.start_span(
            f"{event.turn} {event.node}",
            context=trace.set_span_in_context(self._runs[run_id]),
            attributes=attributes,
            start_time=_nanoseconds(event.at),
        )

    def _end_attempt(self, run_id: str, event: e.NodeEvent) -> None:
        from opentelemetry.trace import Status, StatusCode

        span = self._attempts.pop((run_id, event.node), None)
        if span is None:
            return
        status = event.type.removeprefix("node_").removeprefix("iteration_")
        span.set_attribute("ion.status", status)
        told = event.reply if isinstance(event, e.NodeCompleted | e.IterationCompleted) else event
        for name, amount in getattr(told, "usage", {}).items():
            if not isinstance(amount, dict):  # the total of its session is another span's too
                span.set_attribute(_USAGE.get(name, f"ion.usage.{name}"), amount)
        agent = getattr(told, "agent", None)
        if agent:
            span.set_attribute("ion.agent", agent)
        if isinstance(event, e.NodeFailed) and event.reply is not None:
            span.set_attribute("ion.allowed", True)
        if isinstance(event, e.NodeFailed | e.NodeRetrying):
            span.set_attribute("error.type", event.error.code)
            span.set_status(Status(StatusCode.ERROR, event.error.code))
        span.end(_nanoseconds(event.at))

    def _end_run(self, run_id: str, event: e.Event, state: RunState) -> None:
        from opentelemetry.trace import Status, StatusCode

        span = self._runs.pop(run_id, None)
        if span is None:
            return
        span.set_attribute("ion.status", state.status)
        if isinstance(event, e.WorkflowCompleted | e.WorkflowFailed):
            found = handled(state)
            span.set_attribute("ion.clean", found.is_clean)
            span.set_attribute("ion.finally_failed", list(found.in_finally[:_MOST_NAMED]))
            span.set_attribute("ion.allowed", list(found.allowed[:_MOST_NAMED]))
            span.set_attribute("ion.caught", list(found.caught)[:_MOST_NAMED])
        if isinstance(event, e.WorkflowFailed):
            span.set_attribute("error.type", event.error.code)
            span.set_status(Status(StatusCode.ERROR, event.error.code))
        span.end(_nanoseconds(event.at))


def _trace_of(run_id: str) -> Context:
    """The trace of this run id: a parent that was never sent, the same for all processes."""
    from opentelemetry import trace

    digest = hashlib.sha256(f"ion run {run_id}".encode()).digest()
    parent = trace.SpanContext(
        int.from_bytes(digest[:16], "big"),
        int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _nanoseconds(at: int) -> int:
    return at * 1_000_000
