"""What waits, as a file says it: the forms of `wait`, the deadlines and reminders of gates (language.md §8, §14)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import codes, good, load, node, only, shown, write

from ion import codec
from ion.language.library import Loaded
from ion.language.load import parse_workflow
from ion.language.templates import templates_of
from ion.language.values import moment
from ion.language.workflow import Approval, NodeReference, Wait, Workflow

DAY = 86_400_000


def wait(written: str) -> Wait:
    body = node(f"- {{id: a, wait: {written}}}").body
    assert isinstance(body, Wait)
    return body


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30m", Wait(duration_ms=1_800_000)),
        ("90000", Wait(duration_ms=90_000)),
        ("{duration: 3d}", Wait(duration_ms=3 * DAY)),
        ("{duration_ms: 5000}", Wait(duration_ms=5000)),
        ("{until: '2026-12-24T08:00:00+01:00'}", Wait(until="2026-12-24T08:00:00+01:00")),
        ("{event: pr-merged}", Wait(event="pr-merged")),
        ("{event: a.b_C-9, deadline: 3d}", Wait(event="a.b_C-9", deadline_ms=3 * DAY)),
        (
            "{event: x, deadline_ms: 60000, on_expired: fail}",
            Wait(event="x", deadline_ms=60_000, on_expired="fail"),
        ),
    ],
)
def test_the_forms_of_a_wait(written: str, expected: Wait) -> None:
    assert wait(written) == expected


def test_a_check_is_a_bash_with_its_own_surroundings() -> None:
    made = node(
        "- {id: o, bash: x}\n- {id: a, wait: {check: gh pr checks $o.output, every: 2m, deadline: 4h}, depends_on: [o],"
        " timeout: 5s, env: {A: b}, cwd: sub, grace: 1s}",
        root="strict: true",
    )
    assert isinstance(made.body, Wait)
    assert made.body.check is not None
    assert (made.body.check.strict, made.body.check.placements[0].reference) == (True, NodeReference("o"))
    assert (made.body.every_ms, made.body.deadline_ms) == (120_000, 14_400_000)
    assert (made.timeout_ms, made.env, made.cwd, made.grace_ms) == (5000, {"A": "b"}, "sub", 1000)
    assert wait("{check: x}").every_ms == 60_000


@pytest.mark.parametrize(
    ("written", "code", "path"),
    [
        ("{}", "bad-wait", ""),
        ("soon", "bad-duration", ""),
        ("[1h]", "wrong-type", ""),
        ("null", "wrong-type", ""),
        ("true", "wrong-type", ""),
        ("{duration: 5m, event: x}", "bad-wait", ".event"),
        ("{duration: 5m, duration_ms: 5000}", "bad-wait", ".duration_ms"),
        ("{event: x, deadline: 1h, deadline_ms: 9000}", "bad-wait", ".deadline_ms"),
        ("{duration: 5m, deadline: 1h}", "no-effect-here", ".deadline"),
        ("{until: $a.output, deadline: 1h}", "no-effect-here", ".deadline"),
        ("{event: x, every: 2m}", "no-effect-here", ".every"),
        ("{event: x, on_expired: fail}", "no-effect-here", ".on_expired"),
        ("{duration: 5m, on_expired: fail}", "no-effect-here", ".on_expired"),
        ("{event: x, deadline: 1h, on_expired: stop}", "bad-value", ".on_expired"),
        ("{event: x, deadline: 1h, on_expire: fail}", "unknown-field", ".on_expire"),
        ("{event: x, dead_line: 1h}", "unknown-field", ".dead_line"),
        ("{event: x, timeout: 1h}", "unknown-field", ".timeout"),
        ("{event: 'a b'}", "bad-name", ".event"),
        ("{event: $o.output}", "bad-name", ".event"),
        ("{event: ''}", "bad-name", ".event"),
        (f"{{event: {'x' * 201}}}", "bad-name", ".event"),
        ("{until: tomorrow}", "bad-value", ".until"),
        ("{until: '2026-12-24'}", "bad-value", ".until"),
        ("{until: '2026-12-24T08:00:00'}", "bad-value", ".until"),
        ("{check: x, every: 500ms}", "bad-value", ".every"),
        ("{check: ' '}", "bad-value", ".check"),
        ("{check: echo $nothing.output}", "unknown-node", ".check"),
        ("{until: $nothing.output}", "unknown-node", ".until"),
    ],
)
def test_what_is_no_wait(written: str, code: str, path: str) -> None:
    loaded = load(f"- {{id: o, bash: x}}\n- {{id: b, wait: {written}, depends_on: [o]}}")
    found = [problem for problem in loaded.errors if (problem.code, problem.path) == (code, f"nodes[1].wait{path}")]
    assert found, shown(loaded)


@pytest.mark.parametrize("field", ["timeout: 5m", "env: {A: b}", "cwd: x", "grace: 5s", "runs_on: gpu", "strict: true"])
def test_what_acts_on_a_check_alone(field: str) -> None:
    assert only(load(f"- {{id: a, wait: 5m, {field}}}")).code == "no-effect-here"
    expected = ["no-effect-here"] if "strict" in field else []
    assert codes(load(f"- {{id: a, wait: {{check: x}}, {field}}}")) == expected


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("timeout: 5m", "a deadline belongs inside of 'wait'"),
        ("on_timeout: skip", "what follows a deadline is 'on_expired' inside of 'wait'"),
        ("retry: {max_attempts: 2}", "a check is tried again by itself"),
        ("fan_out: {items: [1]}", "put it into a group, and fan that out"),
    ],
)
def test_where_to_write_it_instead(field: str, hint: str) -> None:
    assert only(load(f"- {{id: a, wait: {{event: x}}, {field}}}")).hint == hint


def test_milliseconds_that_were_meant_as_seconds() -> None:
    for written in ("30", "{duration: 30}", "{event: x, deadline: 30}"):
        assert codes(load(f"- {{id: a, wait: {written}}}")) == ["short-timeout"]
    assert codes(load("- {id: a, approval: {message: m, timeout: 30}}")) == ["short-timeout"]
    assert codes(load("- {id: a, wait: {duration_ms: 30}}")) == []


def test_the_output_of_a_wait_is_json() -> None:
    """Its fields are known, so one that is left out is empty; a group hands them on."""
    workflow = good(
        "- {id: g, group: {nodes: [{id: w, wait: {event: x, deadline: 1h}}]}}\n"
        "- {id: b, bash: echo $g.output.payload, depends_on: [g], when: $g.output.status == 'received'}"
    )
    found = templates_of(workflow)["g"].output_format
    assert found is None or "payload" in found["properties"]
    inner = templates_of(workflow)["g.w"].output_format
    assert inner is not None
    assert set(inner["properties"]) == {"status", "waited_ms", "event", "payload", "output"}


def test_a_wait_in_an_included_file_reads_its_inputs(tmp_path: Path) -> None:
    block = """
      name: block
      description: d
      inputs: {at: {required: true}}
      nodes:
        - {id: w, wait: {until: $INPUTS.at}}
        - {id: c, wait: {check: test $INPUTS.at = x}}
    """
    write(tmp_path, {".ion/workflows/block.yaml": block})
    workflow = good(
        "- {id: o, bash: x}\n- {id: i, include: block, with: {at: $o.output}, depends_on: [o]}", project=tmp_path
    )
    assert [set(one.bindings) for one in workflow.nodes[1:]] == [{"at"}, {"at"}]
    assert read_frozen_as_built(workflow) == workflow


def read_frozen_as_built(workflow: Workflow) -> Workflow:
    return Workflow.decode(codec.encode(workflow))


# Gates


def gate(written: str) -> Approval:
    body = node(f"- {{id: a, approval: {{message: m, {written}}}}}").body
    assert isinstance(body, Approval)
    return body


def test_the_deadline_of_a_gate() -> None:
    made = gate("timeout: 2d, on_timeout: reject, remind: [1d, 1h, 1h]")
    assert (made.timeout_ms, made.on_timeout, made.remind_ms) == (2 * DAY, "reject", (3_600_000, DAY))
    assert (gate("timeout: 2d").on_timeout, gate("remind: [1h]").timeout_ms) == ("fail", None)
    assert gate("timeout: 1h, on_timeout: later, decisions: [{id: approve}, {id: later}]").on_timeout == "later"


@pytest.mark.parametrize(
    ("written", "code", "severity"),
    [
        ("timeout: 1h, on_timeout: later", "bad-decisions", "error"),
        ("timeout: 1h, on_timeout: reject, decisions: [{id: approve}]", "bad-decisions", "error"),
        ("timeout: 1h, on_timeout: fail, decisions: [{id: approve}, {id: fail}]", "bad-decisions", "error"),
        ("on_timeout: approve", "no-effect-here", "error"),
        ("timeout: soon", "bad-duration", "error"),
        ("timeout: 1h, remind: 5m", "wrong-type", "error"),
        ("timeout: 1h, remind: []", "bad-value", "error"),
        ("timeout: 1h, remind: [2h]", "no-effect", "warning"),
        ("timout: 1h", "unknown-field", "error"),
    ],
)
def test_what_is_no_deadline(written: str, code: str, severity: str) -> None:
    problems = load(f"- {{id: a, approval: {{message: m, {written}}}}}").problems
    assert [(one.code, one.severity) for one in problems] == [(code, severity)]


def test_an_answer_that_is_near_is_suggested() -> None:
    assert (
        only(load("- {id: a, approval: {message: m, timeout: 1h, on_timeout: rejct}}")).hint == "did you mean 'reject'?"
    )


# Moments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00+01:00", 0),
        (" 1970-01-02 00:00:00.250-00:00\n", DAY + 250),
    ],
)
def test_a_moment(text: str, expected: int) -> None:
    assert moment(text) == expected


@given(st.datetimes(timezones=st.timezones()))
def test_every_moment_is_read_back(when: object) -> None:
    from datetime import UTC, datetime

    assert isinstance(when, datetime)
    try:
        expected = round(when.astimezone(UTC).timestamp() * 1000)
    except (OverflowError, ValueError):
        return
    if when.utcoffset() is not None and when.utcoffset().seconds % 60 == 0:  # type: ignore[union-attr]
        assert moment(when.isoformat()) == expected


@given(st.text())
def test_any_text_is_a_moment_or_says_why_not(text: str) -> None:
    try:
        found: int | None = moment(text)
    except ValueError:
        found = None
    assert (found is None) == bool(parse_wait(text).errors)


def parse_wait(until: str) -> Loaded:
    document = {"name": "x", "description": "y", "nodes": [{"id": "a", "wait": {"until": until}}]}
    return parse_workflow(codec.encode(document))
