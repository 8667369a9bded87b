"""Every screen at two widths, whole, with times that stand still."""

from __future__ import annotations

import io
from typing import Any

import pytest
from inline_snapshot import snapshot

from ion.api.result import run_result
from ion.api.workflows import parse
from ion.cli import ending
from ion.cli import runs as run_screen
from ion.cli.context import CliContext
from ion.cli.terminal import Screen
from ion.core import events as e
from ion.core.fold import fold
from ion.testing import MemoryStore
from ion.views.drawing import draw
from ion.views.explain import Subject
from ion.views.graph import picture_of

WORKFLOW = parse("""
name: fix-issue
description: Understand an issue, fix it, test it, ask before publishing
nodes:
  - {id: fetch, bash: x}
  - {id: classify, depends_on: [fetch], prompt: "What is it? $fetch.output", output_format: {type: object}}
  - {id: plan, depends_on: [classify], when: $classify.output.type == 'feature', prompt: x}
  - {id: investigate, depends_on: [classify], prompt: x}
  - {id: implement, depends_on: [investigate], loop: {prompt: x, until: DONE, max_iterations: 10}}
  - {id: tests, depends_on: [implement], when: $classify.output.type == 'bug', bash: "make test $implement.output"}
  - {id: review, depends_on: [investigate], approval: {message: go?}}
  - {id: publish, depends_on: [tests], bash: x}
""")
NODES = tuple((node.id, node.kind) for node in WORKFLOW.nodes)
BY = {"user": "ana", "host": "hill"}
JSON = e.Content('{"type":"bug","severity":"high"}')
TYPE = {"output.type": e.Value(text="bug")}
EXIT = e.Failure("exit-status", "bash failed [exit 1]: a\ntests/test_auth.py:41: AssertionError", exit_status=1)
EVENTS: list[e.Event] = [
    e.WorkflowStarted(
        0, "fix-issue", "d", NODES, "/home/ana/app/.ion/workflows/fix-issue.yaml", by=BY, cwd="/home/ana"
    ),
    e.NodeStarted(0, "fetch", "bash"),
    e.NodeCompleted(400, "fetch", e.Reply(e.Content("an issue"))),
    e.NodeStarted(400, "classify", "prompt", inputs={"fetch": "completed:1"}),
    e.NodeCompleted(
        8_500, "classify", e.Reply(JSON, TYPE, agent="claude", usage={"cost_usd": 0.12, "input_tokens": 21_000})
    ),
    e.NodeSkipped(8_500, "plan", "when", "$classify.output.type == 'feature' (was 'bug')"),
    e.NodeStarted(8_500, "investigate", "prompt"),
    e.NodeCompleted(39_500, "investigate", e.Reply(e.Content("two\nlines"), agent="claude", usage={"cost_usd": 0.3})),
    e.NodeStarted(39_500, "implement", "prompt", 1, 1),
    e.IterationCompleted(45_000, "implement", 1, e.Reply(JSON, agent="claude")),
    e.NodeStarted(45_000, "implement", "prompt", 1, 2),
    e.IterationCompleted(49_300, "implement", 2, e.Reply(e.Content("Changed the expiry check"), agent="claude"), True),
    e.NodeCompleted(49_300, "implement", e.Reply(e.Content("Changed the expiry check"), agent="claude")),
    e.NodeStarted(39_500, "review", "gate"),
    e.ApprovalRequested(39_600, "review", "review.1", "go?\nreally"),
    e.NodeStarted(49_300, "tests", "bash", inputs={"implement": "completed:1"}),
    e.NodeFailed(60_500, "tests", EXIT),
    e.NodeSkipped(60_500, "publish", "trigger_rule", "all_success: tests failed"),
]
FAILED = e.WorkflowFailed(62_000, e.Failure("node-failed", "1 of 8 nodes failed: tests"))
PAUSED = e.WorkflowPaused(62_000)
PLACE = CliContext()


def drawn(show: Any, columns: int) -> str:
    stream = io.StringIO()
    screen = Screen(stream, True, False, columns)
    screen.encodable = lambda text: text  # type: ignore[method-assign]
    show(screen)
    return stream.getvalue()


def graph(screen: Screen, state: Any = None) -> None:
    for row in draw(screen, picture_of(WORKFLOW, state)):
        screen.line(*row)


def result(*events: e.Event) -> Any:
    state = fold([*EVENTS, *events])
    return run_result("k7m2q9", state, status=state.status, now=62_000, store=MemoryStore())


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_screen, "moment", lambda _at, _now: "14:02:11")


def test_show_at_80() -> None:
    assert drawn(
        lambda screen: run_screen.show_run(screen, PLACE, result(FAILED), WORKFLOW, 62_000, "changed since"), 80
    ) == snapshot("""\
fix-issue  k7m2q9   failed   started 14:02:11, 1m02s   by ana@hill
    /home/ana/app/.ion/workflows/fix-issue.yaml (changed since)

fetch        ✓ ▐                                    0.4s
classify     ✓ ▐███                                 8.1s    claude
plan         –                                              when was false
investigate  ✓     ▐█████████████████               31s     claude
implement    ✓                       ▐█████         9.8s    claude  2 iterations
tests        ✗                             ▐██████  11s     exit 1
review       ○                       ▐█████████████ 22s
publish      –                                              tests failed
               0s               31s           1m02s
cost  $0.42 · 21k tokens in

✗ fix-issue failed after 1m02s: tests exited with 1

    a
    tests/test_auth.py:41: AssertionError

  logs     ion logs k7m2q9 tests
  why      ion show k7m2q9 tests
  continue ion resume k7m2q9        (4 completed nodes are kept)
  fix      ion rerun k7m2q9 --from tests --edited      (the file has changed since)
""")


def test_show_at_160() -> None:
    assert drawn(lambda screen: run_screen.show_run(screen, PLACE, result(PAUSED), WORKFLOW, 62_000), 160) == snapshot("""\
fix-issue  k7m2q9   paused   started 14:02:11, 1m02s   by ana@hill   /home/ana/app/.ion/workflows/fix-issue.yaml

fetch        ✓ ▐                                                                                                                    0.4s
classify     ✓ ▐██████████████                                                                                                      8.1s    claude
plan         –                                                                                                                              when was false
investigate  ✓                ▐█████████████████████████████████████████████████████████                                            31s     claude
implement    ✓                                                                          ▐██████████████████                         9.8s    claude  2 iterations
tests        ✗                                                                                             ▐████████████████████    11s     exit 1
review       ⏸                                                                          ▐██████████████████████████████████████████ 22s     gate: go? really
publish      –                                                                                                                              tests failed
               0s                                                       31s                                                   1m02s
cost  $0.42 · 21k tokens in

Paused: 1 gate is open.
  review  go?
    really
  ion approve k7m2q9 --comment "…"      ion reject k7m2q9 --reason "…"
""")


def node_at(columns: int) -> str:
    found = result(FAILED)
    subject = Subject(found, WORKFLOW, found.state.nodes["tests"], {"stdout": 0, "stderr": 1434})
    return drawn(lambda screen: run_screen.show_node(screen, PLACE, subject), columns)


def test_show_node_at_80() -> None:
    assert node_at(80) == snapshot("""\
tests   failed   exit 1 after 11s
  waited for   implement (completed 00:49.3), classify (completed 00:08.5, orde…
  rule         all_success: yes
  when         $classify.output.type == 'bug'      'bug'  → true
  ran          bash, 1 line, in /home/ana
  key          k7m2q9/tests  (ION_IDEMPOTENCY_KEY)
  references   $implement.output  24 B  "Changed the expiry check"
  wrote        stderr 1.4 KB    ion logs k7m2q9 tests
  error        exit-status: exit 1
               a
               tests/test_auth.py:41: AssertionError
""")


def test_show_node_at_160() -> None:
    """The same, with what was cut."""
    wide, narrow = node_at(160).splitlines(), node_at(80).splitlines()
    assert wide[1] == "  waited for   implement (completed 00:49.3), classify (completed 00:08.5, order only)"
    assert [*wide[:1], *wide[2:]] == [*narrow[:1], *narrow[2:]]


def test_a_failure_at_80() -> None:
    assert drawn(lambda screen: ending.say_failed(screen, PLACE, result(FAILED)), 80) == snapshot("""\

✗ fix-issue failed after 1m02s: tests exited with 1

    a
    tests/test_auth.py:41: AssertionError

  logs     ion logs k7m2q9 tests
  why      ion show k7m2q9 tests
  continue ion resume k7m2q9        (4 completed nodes are kept)
  fix      ion rerun k7m2q9 --from tests --edited      (once the file is corrected)
""")


@pytest.mark.parametrize("columns", [80, 160])
def test_a_pause(columns: int) -> None:
    assert drawn(lambda screen: ending.say_waiting(screen, PLACE, result(PAUSED)), columns) == snapshot("""\

Paused: 1 gate is open.
  review  go?
    really
  ion approve k7m2q9 --comment "…"      ion reject k7m2q9 --reason "…"
""")


def test_graph_at_80() -> None:
    assert drawn(graph, 80) == snapshot("""\
fetch ─ classify ┬─ plan ?
                 └─ investigate ┬─ implement ↻ ─ tests ? ─ publish
                                └─ review ⏸
""")


def test_graph_at_160_is_the_same() -> None:
    assert drawn(graph, 160) == drawn(graph, 80)


def test_graph_of_a_run_at_160() -> None:
    state = result(PAUSED).state
    assert drawn(lambda screen: graph(screen, state), 160) == snapshot("""\
✓ fetch ─ ✓ classify ┬─ – plan ?
                     └─ ✓ investigate ┬─ ✓ implement ↻ ─ ✗ tests ? ─ – publish
                                      └─ ⏸ review ⏸
""")
