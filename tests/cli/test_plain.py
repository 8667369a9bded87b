"""Plain progress: each event is one line in stable columns, whatever its texts hold."""

from __future__ import annotations

import ast
import inspect
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.cli import plain
from ion.cli.context import CliContext
from ion.cli.plain import Plain
from ion.cli.terminal import Screen
from ion.core import events as e
from ion.core.fold import apply
from ion.core.state import RunState

STARTED = e.WorkflowStarted(
    0, "fix-issue", "digest", (("fetch", "bash"), ("plan", "prompt"), ("a-node-with-a-rather-long-name", "loop"))
)
OUTPUT = e.Content("text")
EXIT = e.Failure("exit-status", "bash failed [exit 1]: one\ntwo", exit_status=1)
LIMITED = e.Failure("rate_limited", "the agent was refused\ntry later", "wait an hour")
REFUSED = e.Failure("refused", "no")
HERE = CliContext()


def lines(*events: e.Event, place: CliContext | None = HERE) -> list[str]:
    """What is written for these events, after those that begin the run."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.encodable = lambda text: text  # type: ignore[method-assign]
    shown, state = Plain(screen, place), RunState()
    for number, event in enumerate([STARTED, *events], 1):
        apply(state, event)
        shown.event("k7m2q9", e.Recorded(number, event), state)
    return stream.getvalue().splitlines()[1:]


def test_every_event_has_a_line() -> None:
    tree = ast.parse(inspect.getsource(plain))
    cases = {case.cls.attr for case in ast.walk(tree) if isinstance(case, ast.MatchClass)}
    assert cases == {event.__name__ for event in e.EVENT_TYPES.values()}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([e.NodeStarted(100, "fetch", "bash")], "00:00.1 start fetch"),
        ([e.NodeStarted(100, "fetch", "bash", 2)], "00:00.1 start fetch attempt 2"),
        ([e.NodeStarted(0, "plan", "rejection", 1, 2)], "00:00.0 start plan rejection · iteration 2"),
        (
            [e.NodeStarted(100, "fetch", "bash"), e.NodeCompleted(8_200, "fetch", e.Reply(OUTPUT, agent="claude"))],
            "00:08.2 done fetch 8.1s · claude",
        ),
        ([e.NodeFailed(62_300, "fetch", REFUSED)], "01:02.3 FAIL fetch no"),
        (
            [e.NodeSkipped(0, "plan", "when", "$x.output == 'y' (was 'z')")],
            "00:00.0 skip plan when: $x.output == 'y' (was 'z')",
        ),
        ([e.NodeSkipped(0, "plan", "fail_fast")], "00:00.0 skip plan fail_fast"),
        ([e.NodeCancelled(0, "plan", "cancelled")], "00:00.0 stop plan cancelled"),
        ([e.NodeInvalidated(0, "plan", "dependency", "fetch")], "00:00.0 again plan 'fetch' has another value now"),
        ([e.IterationCompleted(0, "plan", 2, e.Reply(OUTPUT), signaled=True)], "00:00.0 turn plan iteration 2 · done"),
        ([e.ApprovalRequested(0, "plan", "r1", "Publish\nit?")], "00:00.0 gate plan Publish it?"),
        (
            [e.ApprovalResolved(0, "plan", "r1", "rejected", "too soon", {"user": "ana"})],
            "00:00.0 reply plan rejected by ana: too soon",
        ),
        ([e.PromptRequested(0, "plan", "r1", OUTPUT)], "00:00.0 wait plan its prompt waits for an agent"),
        ([e.PromptAnswered(0, "plan", "r1", OUTPUT)], "00:00.0 reply plan 4 bytes"),
        ([e.CancelRequested(0, "enough")], "00:00.0 run is to end enough"),
        ([e.CancelRequested(0, cause="timeout")], "00:00.0 run is to end its timeout is over"),
        ([e.WorkflowCancelled(0, "enough")], "00:00.0 run cancelled enough"),
        ([e.WorkflowCompleted(0)], "00:00.0 run completed"),
        ([e.ApprovalRequested(0, "plan", "r1", "?"), e.WorkflowPaused(0)], "00:00.0 run paused waits for plan"),
    ],
)
def test_an_event_is_one_line(events: list[e.Event], expected: str) -> None:
    assert " ".join(lines(*events)[-1].split()) == expected


def test_the_columns_are_stable() -> None:
    """A name has at least fifteen columns, or as many as the longest id of the run, up to thirty-two."""
    shown = lines(e.NodeStarted(0, "fetch", "bash", 2), e.NodeFailed(0, "a-node-with-a-rather-long-name", LIMITED))
    assert shown[0] == "00:00.0  start  fetch                           attempt 2"
    assert shown[1] == "00:00.0  FAIL   a-node-with-a-rather-long-name  the agent was refused · wait an hour"


def test_what_a_failed_program_said_stands_below_it() -> None:
    assert lines(e.NodeFailed(0, "fetch", EXIT)) == [
        "00:00.0  FAIL   fetch                           exit 1 · ion logs k7m2q9 fetch",
        "         | one",
        "         | two",
    ]
    assert lines(e.NodeRetrying(0, "fetch", EXIT, 6_000)) == [
        "00:00.0  retry  fetch                           in 6.0s · exit 1",
        "         | one",
        "         | two",
    ]
    asked = e.NodeRetrying(0, "plan", e.Failure("bad_output", "it does not fit"), 0, ("no stars",))
    assert lines(asked) == ["00:00.0  retry  plan                            asked again in 0.0s · it does not fit"]


def test_where_there_is_no_run_to_look_at_no_command_is_shown() -> None:
    assert lines(e.NodeFailed(0, "fetch", EXIT), place=None)[0].endswith("exit 1")
    failed = lines(e.NodeFailed(0, "fetch", EXIT), e.WorkflowFailed(0, EXIT), place=None)[-1]
    assert failed.endswith("1 of 3 failed or skipped")


def test_the_gate_of_a_turn_has_one_line_only() -> None:
    assert len(lines(e.NodeStarted(0, "plan", "gate"), e.ApprovalRequested(0, "plan", "r1", "ok?"))) == 1


TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)
FAILURE = st.builds(e.Failure, st.sampled_from(["exit-status", "timeout", "crashed"]), TEXT, TEXT)


@given(
    st.one_of(
        st.builds(e.NodeFailed, st.just(0), st.just("plan"), FAILURE),
        st.builds(e.NodeRetrying, st.just(0), st.just("plan"), FAILURE, st.just(5)),
        st.builds(e.NodeSkipped, st.just(0), st.just("plan"), TEXT, TEXT),
        st.builds(e.NodeCompleted, st.just(0), st.just("plan"), st.builds(e.Reply, st.just(OUTPUT), agent=TEXT)),
        st.builds(e.ApprovalRequested, st.just(0), st.just("plan"), st.just("r"), TEXT),
        st.builds(e.ApprovalResolved, st.just(0), st.just("plan"), st.just("r"), TEXT, TEXT),
        st.builds(e.WorkflowCancelled, st.just(0), TEXT),
        st.builds(e.WorkflowFailed, st.just(0), FAILURE),
    )
)
def test_texts_of_strangers_cannot_forge_lines(event: Any) -> None:
    """Nothing that a node or a person wrote begins a line or is unprintable; the length is bounded."""
    shown = lines(event)
    assert sum(not line.startswith("         | ") for line in shown) == 1
    assert len(shown) <= 1 + plain.SHOWN_OUTPUT_LINES
    assert all(line.isprintable() and len(line) < 400 for line in shown)
