"""What real programs printed, with the version in the name of its folder, against the provider of tests/real_agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion.agents.base import AgentError, PromptResult
from ion.agents.parsers import parser
from ion.agents.reading import Printed, Reading, conclude
from ion.agents.streams import STEPS, Activity

RECORDED = Path(__file__).with_name("recorded")
PARSERS = {"claude": "claude-json", "codex": "codex-jsonl", "gemini": "gemini-json", "opencode": "opencode-jsonl"}
PARSERS |= {"pi": "pi-jsonl", "qwen": "claude-json", "copilot": "copilot-jsonl"}


def printed(case: str, status: int = 0) -> Printed:
    err = RECORDED / f"{case}.err"
    return Printed((RECORDED / f"{case}.out").read_bytes(), err.read_bytes() if err.exists() else b"", status)


def reading(case: str, status: int = 0) -> Reading:
    return parser(PARSERS[case.partition("-")[0]])(printed(case, status))


def followed(case: str, folder: Path) -> tuple[Activity, list[str], str]:
    """Its activity, the lines for whoever watches, and the transcript."""
    lines: list[str] = []
    activity = Activity(STEPS[PARSERS[case.partition("-")[0]]], Path("/project"), folder / "log.txt", lines.append)
    for line in printed(case).stdout.decode().splitlines():
        activity.line(line)
    activity.close()
    return activity, lines, (folder / "log.txt").read_text() if (folder / "log.txt").exists() else ""


@pytest.mark.parametrize(
    "case",
    [
        "claude-2.1.332/tools",
        "codex-0.171.0/tools",
        "gemini-0.61.0/tools",
        "claude-2.1.197/denied",
        "pi-0.73.1/tools",
        "qwen-0.24.4/tools",
        "copilot-1.0.102/tools",
    ],
)
def test_the_answer_is_the_last_message(case: str) -> None:
    assert reading(case).text == ("done" if case.endswith("denied") else "The answer is 42.")


@pytest.mark.parametrize(
    ("case", "status", "code", "message"),
    [
        ("claude-2.1.332/401", 1, "not_logged_in", "Failed to authenticate"),
        ("claude-2.1.332/404", 1, "refused", "issue with the selected model"),
        ("claude-2.1.332/429", 1, "rate_limited", "429"),
        ("claude-2.1.197/429", 1, "rate_limited", "429"),
        ("claude-2.1.332/529", 1, "rate_limited", "529"),
        ("claude-2.1.332/500", 1, "crashed", "500"),
        ("codex-0.171.0/401", 1, "not_logged_in", "401 Unauthorized"),
        ("codex-0.171.0/404", 1, "refused", "404 Not Found"),
        ("codex-0.171.0/429", 1, "rate_limited", "429"),
        ("codex-0.171.0/529", 1, "rate_limited", "529"),
        ("codex-0.171.0/500", 1, "crashed", "high demand"),
        ("codex-0.171.0/cut", 1, "crashed", "stream disconnected"),
        ("gemini-0.61.0/401", 145, "not_logged_in", "401"),
        ("gemini-0.61.0/404", 1, "refused", "404"),
        ("gemini-0.61.0/429", 143, "crashed", "ended before its turn did"),
        ("gemini-0.61.0/cut", 1, "crashed", "terminated"),
        ("opencode-1.18.33/401", 1, "not_logged_in", "401"),
        ("opencode-1.18.33/404", 1, "refused", "404"),
        ("opencode-1.18.33/500", 1, "crashed", "500"),
        ("opencode-1.18.33/cut", 1, "crashed", "Connection reset"),
        ("copilot-1.0.102/401", 1, "not_logged_in", "HTTP 401"),
        ("copilot-1.0.102/429", 1, "rate_limited", "429"),
        ("pi-0.73.1/401", 0, "not_logged_in", "401"),
        ("pi-0.73.1/429", 0, "rate_limited", "429"),
        ("pi-0.73.1/cut", 0, "crashed", "terminated"),
        ("qwen-0.24.4/401", 1, "not_logged_in", "401"),
    ],
)
def test_a_failure_has_its_class_from_structure(case: str, status: int, code: str, message: str) -> None:
    with pytest.raises(AgentError) as caught:
        conclude(reading(case, status), status, "", "it")
    assert caught.value.error_code == code
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("claude-2.1.332/resume2", {"input_tokens": 1056, "output_tokens": 106, "cached_input_tokens": 50}),
        ("gemini-0.61.0/tools", {"input_tokens": 3144, "output_tokens": 443 + 3 * 9, "cached_input_tokens": 150}),
        ("opencode-1.18.33/tools", {"input_tokens": 2127, "output_tokens": 154 + 155 + 2 * 9, "cost_usd": 0}),
        ("qwen-0.24.4/tools", {"input_tokens": 3351, "output_tokens": 651, "cached_input_tokens": 150}),
        ("pi-0.73.1/tools", {"input_tokens": 3 * 1095, "output_tokens": 585, "cached_input_tokens": 150}),
    ],
)
def test_tokens_are_what_the_provider_counted(case: str, expected: dict[str, float]) -> None:
    usage = reading(case).usage
    assert {name: usage[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("case", "tool"),
    [
        ("claude-2.1.332/denied", "Write"),
        ("claude-2.1.197/denied", "Write"),
        ("opencode-1.18.33/tools", "write"),
        ("copilot-1.0.102/denied", "bash"),
    ],
)
def test_refused_tool_calls_are_noted(case: str, tool: str) -> None:
    assert reading(case).notes == (f"not done, since its permissions refused it: {tool}",)


@pytest.mark.parametrize(
    ("case", "steps"),
    [
        (
            "claude-2.1.332/tools",
            ["I will look first.", "Bash cat f.txt; exit 3", "failed: Exit code 3", "Write g.txt", "The answer is 42."],
        ),
        ("codex-0.171.0/tools", ["I will look first.", "shell echo hi > f.txt; cat f.txt", "The answer is 42."]),
        (
            "gemini-0.61.0/tools",
            ["run_shell_command echo hi > f.txt; cat f.txt", "write_file g.txt", "The answer is 42."],
        ),
        (
            "copilot-1.0.102/tools",
            ["bash echo hi > f.txt; cat f.txt", "create /elsewhere/g.txt", "failed: Path already", "The answer is 42."],
        ),
        (
            "pi-0.73.1/tools",
            ["bash echo hi > f.txt; cat f.txt", "write /elsewhere/g.txt", "failed: Validation", "The answer is 42."],
        ),
        (
            "qwen-0.24.4/tools",
            ["run_shell_command echo hi > f.txt", "write_file g.txt", "failed: File path must", "The answer is 42."],
        ),
        (
            "opencode-1.18.33/tools",
            ["bash echo hi > f.txt; cat f.txt", "write /elsewhere/g.txt", "failed: The user rejected permission"],
        ),
    ],
)
def test_what_it_says_and_does_is_shown_and_written_down(case: str, steps: list[str], tmp_path: Path) -> None:
    _, lines, transcript = followed(case, tmp_path)
    at = -1
    for step in steps:
        at = next(i for i, line in enumerate(lines) if i > at and line.startswith(step))
        assert step.removeprefix("failed: ") in transcript


def test_a_transcript_is_readable(tmp_path: Path) -> None:
    _, _, transcript = followed("claude-2.1.332/tools", tmp_path)
    assert transcript == (
        "I will look first.\n> Bash cat f.txt; exit 3\n  failed: Exit code 3\n"
        "I will look first.\n> Write g.txt\nThe answer is 42.\n"
    )
    _, _, transcript = followed("gemini-0.61.0/tools", tmp_path)
    assert transcript.endswith("> write_file g.txt\nThe answer is 42.\n")


@pytest.mark.parametrize(
    "case",
    [
        "claude-2.1.332/tools",
        "codex-0.171.0/tools",
        "gemini-0.61.0/tools",
        "opencode-1.18.33/tools",
        "pi-0.73.1/tools",
        "copilot-1.0.102/tools",
    ],
)
def test_a_stream_that_is_cut_anywhere_is_a_crash_with_what_it_used_so_far(case: str) -> None:
    whole = printed(case).stdout
    lines = whole.splitlines(keepends=True)
    read = parser(PARSERS[case.partition("-")[0]])
    for end in range(1, len(lines)):
        if case.startswith("opencode") and b"step_finish" in lines[end - 1]:
            continue  # where a step has ended it may also have ended its turn
        for status in (0, 1):
            with pytest.raises(AgentError) as caught:
                conclude(read(Printed(b"".join(lines[:end]) + lines[end][:20], b"", status)), status, "", "it")
            assert caught.value.error_code == "crashed"
    if case.startswith("claude"):
        usage = read(Printed(b"".join(lines[:-1]))).usage
        assert usage["input_tokens"] == 1091 + 1092 + 1093 + 3 * 50


@pytest.mark.parametrize("name", sorted(STEPS))
def test_unknown_events_and_other_lines_are_passed_over(name: str, tmp_path: Path) -> None:
    lines: list[str] = []
    activity = Activity(STEPS[name], tmp_path, tmp_path / "log.txt", lines.append)
    strange: list[Any] = [
        {"type": "new_kind"},
        {"type": "assistant", "message": 3},
        {"type": ["x"]},
        {},
        [1],
        "x",
        None,
    ]
    strange += [
        {"type": "item.completed", "item": {"type": "agent_message", "text": 5}},
        {"type": "tool_use", "part": 1},
    ]
    for one in strange:
        activity.line(json.dumps(one))
    activity.line("[INFO] a log line")
    activity.line("")
    activity.close()
    assert [line for line in lines if line != "a tool"] == []
    assert activity.signs == len(strange) + 2


def test_trouble_is_shown_and_is_not_a_sign_of_life(tmp_path: Path) -> None:
    lines: list[str] = []
    activity = Activity(STEPS["codex-jsonl"], tmp_path, tmp_path / "log.txt", lines.append)
    activity.line(json.dumps({"type": "error", "message": "Reconnecting... 1/5"}))
    assert (activity.signs, activity.last, lines) == (0, "Reconnecting... 1/5", ["Reconnecting... 1/5"])


def test_control_sequences_are_data(tmp_path: Path) -> None:
    lines: list[str] = []
    activity = Activity(STEPS["claude-json"], tmp_path, tmp_path / "log.txt", lines.append)
    said = {"content": [{"type": "text", "text": "one\n\x1b[2Jtwo\r\nthree\x07"}]}
    activity.line(json.dumps({"type": "assistant", "message": said}))
    activity.close()
    assert len(lines) == 1
    assert "\n" not in lines[0]


def test_an_answer_after_a_cut_one_is_whole() -> None:
    """A program that recovers by itself has answered."""
    events = [
        {"type": "thread.started", "thread_id": "t"},
        {"type": "turn.failed", "error": {"message": "stream disconnected"}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "42"}},
        {"type": "turn.completed", "usage": {}},
    ]
    found = parser("codex-jsonl")(Printed("\n".join(map(json.dumps, events)).encode()))
    assert isinstance(conclude(found, 0, "", "it"), PromptResult)


EVENT_WORDS = (
    "type subtype message content text thinking name input tool_use "
    "tool_result is_error id item items changes command exit_code query "
    "todo_list file_change web_search mcp_tool_call server tool arguments completed role "
    "assistant delta parameters status error part state toolName args "
    "result isError data tool_call started path file_path user system "
    "item.started item.completed message_end tool_execution_start tool_execution_end auto_retry_start "
    "errorMessage assistant.message tool.execution_start "
    "tool.execution_complete session.error success parent_tool_use_id "
)
KEYS = EVENT_WORDS.split()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(KEYS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=15,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(STEPS)), VALUES)
def test_no_event_breaks_the_following(tmp_path: Path, name: str, value: Any) -> None:
    """It runs in the event loop: an exception there would end more than this turn."""
    lines: list[str] = []
    activity = Activity(STEPS[name], tmp_path, tmp_path / "log.txt", lines.append)
    activity.line(json.dumps(value))
    activity.close()
    assert all("\n" not in line and len(line) <= 200 for line in lines)
