"""Those who watch runs besides the person: the log file, the command that is told, OpenTelemetry."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ion
from ion.engine import notifying
from ion.engine.event_log import EventLog
from ion.engine.notifying import Notify
from ion.engine.tracing import Tracing
from ion.testing import FakeAgent

pytestmark = pytest.mark.usefixtures("hurry")

WORKFLOW = ion.parse_workflow("""
name: traced
description: d
nodes:
  - {id: ask, prompt: hello}
  - {id: flaky, bash: 'test -e "$STATE_DIR/once" || { touch "$STATE_DIR/once"; exit 3; }',
     retry: {max_attempts: 1, delay_ms: 1000, on_error: all}}
  - {id: gate, depends_on: [ask, flaky], approval: {message: "Go\\n$(on)?"}}
  - {id: last, depends_on: [gate], bash: 'exit 4'}
""")


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def agent() -> Any:
    return FakeAgent({"ask": ion.PromptResult("hi", usage={"input_tokens": 7, "cost_usd": 0.5})})


def run_twice(observers: list[Any], folder: Path) -> str:
    """To its gate, and on to its failure."""
    store = ion.create_store("memory:")
    how: dict[str, Any] = {"store": store, "project": folder, "agent": agent()}
    options = ion.RunOptions(observers=observers)
    paused = ion.execute_workflow_sync(WORKFLOW, run_id="traced-1", options=options, **how)
    assert paused.status == "paused"
    ion.approve(paused.run_id, store=store, project=folder)
    assert ion.resume_workflow_sync(paused.run_id, options=options, **how).status == "failed"
    return paused.run_id


def test_a_trace_per_run_and_a_span_per_attempt(
    exporter: InMemorySpanExporter, tracing: Tracing, tmp_path: Path
) -> None:
    run_twice([tracing], tmp_path)
    spans = exporter.get_finished_spans()
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    runs = [span for span in spans if span.name == "workflow traced"]
    assert [_of(span)["ion.status"] for span in runs] == ["paused", "failed"]
    attempts = [span for span in spans if span not in runs]
    found = [(span.name, _of(span)["ion.attempt"], _of(span)["ion.status"]) for span in attempts]
    assert sorted(found) == [
        ("bash flaky", 1, "retrying"),
        ("bash flaky", 2, "completed"),
        ("bash last", 1, "failed"),
        ("prompt ask", 1, "completed"),
    ]
    asked = next(span for span in attempts if span.name == "prompt ask")
    assert (_of(asked)["gen_ai.usage.input_tokens"], _of(asked)["ion.usage.cost_usd"]) == (7, 0.5)
    assert _of(asked)["ion.agent"] == "fake"
    failed = next(span for span in attempts if span.name == "bash last")
    assert (_of(failed)["error.type"], failed.status.is_ok) == ("exit-status", False)
    parents = {span.context.span_id for span in runs if span.context}
    assert all(span.parent is not None and span.parent.span_id in parents for span in attempts)
    assert all(span.start_time and span.end_time and span.start_time <= span.end_time for span in spans)


def test_the_last_span_of_a_run_says_whether_it_is_clean(
    exporter: InMemorySpanExporter, tracing: Tracing, tmp_path: Path
) -> None:
    workflow = ion.parse_workflow("""
name: handled
description: d
nodes:
  - {id: lint, bash: exit 3, allow_failure: true}
  - {id: ship, bash: exit 4}
  - {id: back, bash: 'true', catches: [ship]}
finally: [{id: unlock, bash: exit 5}]
""")
    store = ion.create_store("memory:")
    options = ion.RunOptions(observers=[tracing])
    assert ion.execute_workflow_sync(workflow, store=store, project=tmp_path, options=options).status == "completed"
    spans = {span.name: _of(span) for span in exporter.get_finished_spans()}
    told = {name.removeprefix("ion."): value for name, value in spans["workflow handled"].items()}
    assert (told["status"], told["clean"]) == ("completed", False)
    assert (told["allowed"], told["caught"], told["finally_failed"]) == (("lint",), ("ship",), ("unlock",))
    assert spans["bash lint"]["ion.allowed"] is True
    assert "ion.allowed" not in spans["bash ship"]


def _of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_what_is_cut_off_is_said_to_be(exporter: InMemorySpanExporter, tracing: Tracing) -> None:
    from ion.core import events as e
    from ion.core.fold import fold

    events = [e.WorkflowStarted(0, "w", "d", (("a", "bash"),)), e.NodeStarted(1, "a", "bash")]
    for number, event in enumerate(events, 1):
        tracing.event("r", e.Recorded(number, event), fold(events[:number]))
    tracing.close()
    assert [_of(span)["ion.status"] for span in exporter.get_finished_spans()] == ["interrupted", "interrupted"]


def test_the_log_file_has_each_event_once(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "ion.jsonl"
    log = EventLog(lambda _run: file, lambda event: {**event, "seen": True})
    run = run_twice([log], tmp_path)
    log.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    recorded = {line["seq"]: line["type"] for line in lines}
    assert len(recorded) == len(lines)
    # The answer came while no process drove the run: it is in the store's log only.
    assert set(range(1, max(recorded) + 1)) - recorded.keys() == {11}
    assert {line["run_id"] for line in lines} == {run}
    assert (lines[0]["type"], lines[-1]["type"]) == ("workflow_started", "workflow_failed")
    assert all(line["seen"] and line["at"].endswith("Z") for line in lines)


def test_a_log_file_that_cannot_be_written_fails_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    run_twice([EventLog(lambda _run: tmp_path / "file" / "ion.jsonl")], tmp_path)
    assert "EventLog failed and is left out" in caplog.text


TOLD = """
import json, os, sys
from pathlib import Path
told = {"stdin": json.load(sys.stdin), "words": sys.argv[1:]}
told |= {name: value for name, value in os.environ.items() if name.startswith("ION_")}
with Path(os.environ["TOLD"]).open("a") as file:
    file.write(json.dumps(told) + "\\n")
"""


def test_a_command_is_told_of_a_pause_and_of_the_end(tmp_path: Path) -> None:
    """What a node says is data on stdin, never a word of the command."""
    (tmp_path / "told.py").write_text(TOLD)
    told = tmp_path / "told.jsonl"
    notify = Notify(f"{sys.executable} told.py 'two words' $HOME", tmp_path, environ={**os.environ, "TOLD": str(told)})
    run_twice([notify], tmp_path)
    notify.close()
    lines = sorted(
        (json.loads(line) for line in told.read_text().splitlines()), key=lambda line: line["stdin"]["status"]
    )
    assert [line["ION_NOTIFY_STATUS"] for line in lines] == ["failed", "paused"]
    assert lines[0]["stdin"]["failed"] == ["last"]
    assert lines[1]["stdin"]["waiting"] == [{"node": "gate", "kind": "approval", "message": "Go\n$(on)?"}]
    assert lines[1]["words"] == ["two words", "$HOME"]
    assert "ION_RUN_ID" not in lines[0]


ASKS_EARLY = """
name: early
description: A gate that opens while something else runs, and one that opens last.
nodes:
  - {id: first, approval: {message: First?}}
  - {id: work, bash: "until test -e told.jsonl; do sleep 0.05; done"}
  - {id: second, depends_on: [work], approval: {message: Second?}}
"""
TWO = """
name: two
description: Two gates at once.
nodes: [{id: first, approval: {message: First?}}, {id: second, approval: {message: Second?}}]
"""
WAITS = """
name: waits
description: Waits by itself.
nodes: [{id: later, wait: 1h}]
"""


def told_of(workflow: str, folder: Path, **how: Any) -> list[list[str]]:
    """The nodes that waited, each time that the command was run."""
    (folder / "told.py").write_text(TOLD)
    told = folder / "told.jsonl"
    notify = Notify(f"{sys.executable} told.py", folder, environ={**os.environ, "TOLD": str(told)})
    options = ion.RunOptions(observers=(notify,), **how)
    result = ion.execute_workflow_sync(
        ion.parse_workflow(workflow), store="memory:", project=folder, cwd=folder, options=options
    )
    notify.close()
    assert result.status == "paused"
    lines = told.read_text().splitlines() if told.exists() else []
    return [[one["node"] for one in json.loads(line)["stdin"]["waiting"]] for line in lines]


def test_of_each_question_it_is_told_once_also_while_something_runs(tmp_path: Path) -> None:
    assert told_of(ASKS_EARLY, tmp_path) == [["first"], ["first", "second"]]


def test_a_wait_that_ends_by_itself_is_nobody_s_business(tmp_path: Path) -> None:
    assert told_of(WAITS, tmp_path, patience_ms=0) == []


def test_what_waits_still_is_not_told_again_by_who_continues_the_run(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(TOLD)
    told, store = tmp_path / "told.jsonl", ion.create_store("memory:")
    flow = ion.parse_workflow(TWO)
    for step in range(2):
        notify = Notify(f"{sys.executable} told.py", tmp_path, environ={**os.environ, "TOLD": str(told)})
        how: dict[str, Any] = {"store": store, "project": tmp_path, "options": ion.RunOptions(observers=(notify,))}
        if step == 0:
            ion.execute_workflow_sync(flow, run_id="two", cwd=tmp_path, **how)
        else:
            ion.approve("two", "first", store=store, project=tmp_path)
            assert ion.resume_workflow_sync("two", **how).status == "paused"
        notify.close()
    (line,) = told.read_text().splitlines()
    assert [one["node"] for one in json.loads(line)["stdin"]["waiting"]] == ["first", "second"]


@pytest.mark.parametrize(
    ("command", "said"),
    [("false", "ended with status 1"), ("no-such-program", "cannot be run"), ("sleep 3600", "took longer than")],
)
def test_a_command_that_fails_is_a_warning(
    command: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "LONGEST_S", 0.3)
    notify = Notify(command, tmp_path)
    run_twice([notify], tmp_path)
    notify.close()
    assert said in caplog.text


@pytest.mark.parametrize("line", ["", "'", "  "])
def test_a_command_that_is_none(line: str) -> None:
    with pytest.raises(ion.errors.UsageError):
        notifying.command_words(line)
