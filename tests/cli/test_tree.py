"""The live tree: what it looks like at two widths, and what it leaves out without room."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.api.workflows import parse
from ion.cli.context import CliContext
from ion.cli.live import Head, Tree
from ion.cli.terminal import Screen
from ion.core import events as e
from ion.core.fold import fold
from ion.views.rows import Row, row_of
from ion.views.text import width
from ion.views.waiting import shortest_answer

WORKFLOW = parse("""
name: fix-issue
description: d
nodes:
  - {id: fetch, bash: x}
  - {id: classify, depends_on: [fetch], prompt: x, output_format: {type: object}}
  - {id: plan, depends_on: [classify], when: $classify.output.type == 'feature', prompt: x}
  - {id: investigate, depends_on: [classify], prompt: x}
  - {id: implement, depends_on: [investigate], loop: {prompt: x, until: DONE, max_iterations: 10}}
  - {id: tests, depends_on: [investigate], bash: x}
  - {id: lint, depends_on: [investigate], bash: x, retry: {max_attempts: 3, on_error: all}}
  - {id: ask, depends_on: [classify], approval: {message: go?}}
  - {id: docs, depends_on: [classify], bash: x}
  - {id: review, depends_on: [implement, tests], prompt: x}
  - {id: publish, depends_on: [review], bash: x}
""")
STARTED = e.WorkflowStarted(0, "fix-issue", "d", tuple((node.id, node.kind) for node in WORKFLOW.nodes))
JSON = e.Content('{"type":"bug","severity":"high"}')
EVENTS = [
    STARTED,
    e.NodeStarted(0, "fetch", "bash"),
    e.NodeCompleted(400, "fetch", e.Reply(e.Content("an issue"))),
    e.NodeStarted(400, "classify", "prompt"),
    e.NodeCompleted(8_500, "classify", e.Reply(JSON, agent="claude")),
    e.NodeSkipped(8_500, "plan", "when", "$classify.output.type == 'feature' (was 'bug')"),
    e.NodeStarted(8_500, "investigate", "prompt"),
    e.ApprovalRequested(8_600, "ask", "ask.1", "go?\nreally"),
    e.NodeStarted(8_500, "docs", "bash"),
    e.NodeFailed(9_000, "docs", e.Failure("exit-status", "bash failed [exit 2]: no such page", exit_status=2)),
    e.NodeCompleted(39_500, "investigate", e.Reply(e.Content("two\nlines"), agent="claude")),
    e.NodeStarted(39_500, "implement", "prompt", 1, 1),
    e.IterationCompleted(45_000, "implement", 1, e.Reply(JSON, agent="claude")),
    e.NodeStarted(45_000, "implement", "prompt", 1, 2),
    e.NodeStarted(60_000, "tests", "bash"),
    e.NodeStarted(60_000, "lint", "bash"),
    e.NodeRetrying(61_000, "lint", e.Failure("exit-status", "x [exit 1]: ruff not found", exit_status=1), 78_000),
]
SAID = {"implement": "editing src/auth.py", "tests": "tests/test_auth.py::test_expiry \x1b[31mrunning\x1b[0m"}


def rows() -> dict[str, Row]:
    state = fold(EVENTS)
    place = CliContext()
    answers = {node.id: shortest_answer(place.command, "k7m2q9", state.nodes[node.id]) for node in WORKFLOW.nodes}
    return {node.id: row_of(state.nodes[node.id], state, WORKFLOW, answers[node.id]) for node in WORKFLOW.nodes}


def drawn(columns: int, *, unicode: bool = True, height: int = 40, told: set[str] | None = None) -> str:
    stream = io.StringIO()
    screen = Screen(stream, unicode, False, columns)
    screen.encodable = (lambda text: text) if unicode else screen.encodable  # type: ignore[method-assign]
    tree = Tree(screen, lambda row: SAID.get(row.node, ""))
    for line in tree.lines(Head("fix-issue", "k7m2q9", 0), rows(), 72_000, height, told or set()):
        screen.line(*line)
    return stream.getvalue()


def test_at_80_columns() -> None:
    assert (
        drawn(80)
        == """\
fix-issue  k7m2q9                                            5/11 nodes · 1m12s
✓ fetch        0.4s
✓ classify     8.1s    claude  {"type":"bug","severity":"high"}
– plan                         when: $classify.output.type == 'feature' (was '…
✓ investigate  31s     claude
● implement    32s     claude  iteration 2/10 · editing src/auth.py
● tests        12s             tests/test_auth.py::test_expiry \\x1b[31mrunning…
↻ lint         retry 1/3 in 6s  exit 1: ruff not found
⏸ ask                          ion approve k7m2q9 ask · gate: go? really
✗ docs         0.5s            exit 2
○ review                       waits for implement, tests
○ publish                      waits for review
"""
    )


def test_at_160_columns() -> None:
    lines = drawn(160).splitlines()
    assert all(len(line) <= 160 for line in lines)
    assert len(lines[0]) == 159
    assert lines[3] == "– plan                         when: $classify.output.type == 'feature' (was 'bug')"
    assert lines[6].endswith("tests/test_auth.py::test_expiry \\x1b[31mrunning\\x1b[0m")


def test_in_ascii() -> None:
    lines = drawn(80, unicode=False).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "ok", "ok", "skip", "ok", "run", "run", "retry", "gate", "FAIL", "wait", "wait",
    ]  # fmt: skip
    assert all(line.isascii() for line in lines)


def test_what_has_no_room_is_counted() -> None:
    """What runs and waits stays, then what comes next; nodes that went up into the history are not shown again."""
    told = {"fetch", "classify", "plan", "investigate"}
    lines = drawn(80, height=7, told=told).splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ["implement", "tests", "lint", "ask"]
    assert lines[-1] == "… 3 more: ion show k7m2q9"
    shown = [line.split()[1] for line in drawn(80, height=10, told=told).splitlines()[1:]]
    assert shown == ["implement", "tests", "lint", "ask", "docs", "review", "publish"]


def test_what_failed_and_went_up_into_the_history_is_counted_in_the_head() -> None:
    head = drawn(80, height=7, told={"fetch", "docs"}).splitlines()[0]
    assert head.endswith(" 5/11 nodes · 1 failed above · 1m12s")
    assert "failed" not in drawn(80, height=7, told={"fetch"}).splitlines()[0]


@settings(max_examples=40)
@given(st.integers(1, 200), st.integers(3, 60), st.integers(20, 200), st.data())
def test_a_frame_never_is_larger_than_the_terminal(nodes: int, height: int, columns: int, data: st.DataObject) -> None:
    states = st.sampled_from(["pending", "running", "completed", "failed", "waiting", "retry", "skipped"])
    text = st.text(max_size=40)
    made = {
        f"node-{number}": Row(
            f"node-{number}", data.draw(states), started_at=0, agent=data.draw(text), note=data.draw(text)
        )
        for number in range(min(nodes, 30))
    }
    screen = Screen(None, True, False, columns)
    frame = Tree(screen, lambda _: "said").lines(Head("w", "r", 0), made, 5_000, height, set())
    assert len(frame) < height
    for line in frame[1:]:
        shown = "".join(part[1] if isinstance(part, tuple) else part for part in line)
        assert width(shown) <= max(columns, 60)
        assert "\n" not in shown


@pytest.mark.parametrize(
    ("event", "note"),
    [
        (e.NodeStarted(0, "implement", "until_bash", 1, 1), "iteration 1/10 · checking"),
        (e.NodeStarted(0, "tests", "bash", 2), "attempt 2"),
        (e.NodeCancelled(0, "tests", "fail_fast"), "fail fast"),
        (e.PromptRequested(0, "review", "review.1", JSON), "its prompt waits for an agent"),
    ],
)
def test_what_is_said_of_a_node(event: e.NodeEvent, note: str) -> None:
    state = fold([STARTED, event])
    assert row_of(state.nodes[event.node], state, WORKFLOW).note == note
