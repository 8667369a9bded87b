"""An exported run is changed in any field, signed again, and brought in: it is refused, or every command can deal with
it. Nothing of it is ever a bug, nothing is written outside of the project, and it hides no other run."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion import codec
from ion.core import events as e

from .kit import Ion, Project

WORKFLOW = """
name: all
description: Something of every kind.
inputs: {n: {type: integer, default: 1}, who: {default: "{n} you"}}
tags: [a]
env: {A: b}
timeout: 1h
max_budget_usd: 5
nodes:
  - {id: big, bash: "head -c 300000 /dev/zero | tr '\\\\0' x", timeout: 20s, retry: {max_attempts: 1}, env: {B: c}}
  - {id: same, depends_on: [big], bash: 'echo "$INPUTS.n" $INPUTS.who'}
  - {id: never, depends_on: [same], when: "$same.output == 'no' || $same.output < 0", bash: "echo $same.output"}
  - {id: tidy, depends_on: [same], script: tidy, runtime: python, with: {x: {from: $same.output, if_skipped: 1}}}
  - {id: code, script: "print(1)", runtime: python, depends_on: [tidy]}
  - id: each
    depends_on: [same]
    when: "$INPUTS.file != 'c'"
    fan_out: {items: [a, {b: 1}, c], as: file, join: all_done}
    group: {nodes: [{id: look, bash: 'echo "$INPUTS.file"'}, {id: part, group: {nodes: [{id: in, bash: 'true'}]}}]}
  - id: twice
    depends_on: [same]
    loop_group: {max_iterations: 3, until_node: check, nodes: [{id: check, bash: 'test "$LOOP_ITERATION" = 2'}]}
  - {id: asks, command: asks, depends_on: [code], output_format: {type: object}, model: x}
  - {id: gate, depends_on: [code], approval: {message: ok?, decisions: [{id: approve}, {id: wait, label: Wait}]}}
  - {id: gate2, depends_on: [code], approval: {message: ok?, on_reject: {prompt: again, max_attempts: 2}}}
  - {id: last, depends_on: [gate, gate2, asks], trigger_rule: all_done, bash: "echo $gate.output"}
  - id: again
    depends_on: [last]
    loop: {prompt: "more $LOOP_PREV_OUTPUT", until: DONE, max_iterations: 2, until_bash: "test 1 = 1"}
  - {id: stop, depends_on: [again], when: "$gate.output == 'x'", cancel: enough}
returns: last
"""
HELLO = "name: hello\ndescription: d\nnodes: [{id: hello, bash: echo hello}]\n"
FURTHER = [
    e.NodeFailed(5_000, "last", e.Failure("bug", "m", "h", 3), {"cost_usd": 1}),
    e.NodeSkipped(5_001, "never", "when", "because"),
    e.NodeCancelled(5_002, "again", "fail_fast"),
    e.NodeRetrying(5_003, "big", e.Failure("timeout", "m"), 6_000, ("wrong",), {"cost_usd": 2}),
    e.NodeInvalidated(5_004, "same", "dependency", "big"),
    e.IterationCompleted(
        5_005, "again", 1, e.Reply(e.Content("x"), {"output": e.Value(text="x")}, "s", "a", {}, True), True
    ),
    e.IterationJudged(5_006, "again", 1),
    e.ApprovalRequested(
        5_007, "asks", "asks/9", "may I?", "permission", 1, False, ("yes",), "k", ("allow_once",), True
    ),
    e.BudgetRaised(5_008, 9.5, {"user": "u"}),
    e.WorkflowPlaced(5_009, "worker"),
    e.LaneClosed(5_009, "a", e.Failure("quota_exhausted", "m", resets_at=5_010), 5_010, 2),
    e.LaneOpened(5_009, "a"),
    e.CancelRequested(5_010, "why", "person", {"user": "u", "host": "h"}),
    e.WorkflowPaused(5_011, True),
]
ODD = [
    None, True, 0, -1, 1, 10**18, 2**63, 10**400, -0.5, 1e300, "", "x", "../../../../up", "/etc/passwd", "a/b", "a\0b",
    "\ud800", "last", "\x1b[2J", "temporal://127.0.0.1:1/x", "completed", "x" * 5000, [], [None], ["a"], [["a", "b"]],
    {}, {"": None}, {"text": "x"}, {"text": 1}, {"blob": "../../up", "bytes": 1}, {"blob": "ab" * 32, "bytes": 3},
    {"a": {"b": [1]}},
]  # fmt: skip
# Odd values of the type that is there, which get further in than others.
OF_TYPE: dict[type, list[Any]] = {
    str: ["", "x", "..", "../../../../up", "/", "a\0b", "\ud800", "\x1b[2J", "last", "big", "gate", "all_done"],
    int: [0, 1, 2, 7, 1000, 2**40],
    bool: [True, False],
    list: [[], ["big"], ["a", "a"]],
    dict: [{}, {"x": "y"}, {"big": "x"}, {"text": "DONE"}],
}
COMMANDS = """
show evil; show evil --json; show evil gate; show evil each.0; show evil each.0.look;
logs evil each.0.look; output evil each; show evil big; events evil; logs evil; output evil; output evil big;
graph all --run evil; next evil; next evil --json; export evil --output again.jsonl; rerun evil --from same --no-resume;
rerun evil --from each.0 --no-resume;
approve evil gate2 --quiet; respond evil gate wait --quiet; resume evil --quiet;
submit evil asks --file answer.json --quiet; cancel evil; show evil --json; resume evil --quiet
"""
FOR_ALL = "runs; runs --json; doctor; prune --older-than 0m --dry-run; show good"


def words(commands: str) -> list[list[str]]:
    return [command.split() for command in commands.split(";")]


def lines_of(export: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export.read_bytes().splitlines()]


def signed(lines: list[dict[str, Any]]) -> bytes:
    """The lines as a file whose numbers and hashes fit."""
    numbered = [line for line in lines if "event" in line]
    for number, line in enumerate(numbered, 1):
        line["seq"] = number
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines if "sha256" not in line)
    end = {"events": len(numbered), "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end).encode() + b"\n"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a JSON value that can be replaced: what holds it, and its key."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def outside(project: Project) -> set[str]:
    """The names around the project, and those of whatever lies there."""
    return {
        name
        for folder, folders, files in os.walk(project.folder.parent)
        if not Path(folder).is_relative_to(project.folder)
        for name in (*folders, *files)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a run that knows every kind of node and of event, and one of another workflow, both exported."""
    project = Project(tmp_path_factory.mktemp("made"))
    project.write("all", WORKFLOW)
    project.write("hello", HELLO)
    for name, text in (("scripts/tidy.py", "print(1)\n"), ("commands/asks.md", "what?\n")):
        (project.folder / ".ion" / name).parent.mkdir(exist_ok=True)
        (project.folder / ".ion" / name).write_text(text)
    (project.folder / "answer.json").write_text('{"a": 1}')
    assert project.run("run", "hello", "--run-id", "good", "--quiet").status == 0
    assert project.run("run", "all", "--run-id", "evil", "--quiet").status == 3
    for run in ("good", "evil"):
        assert project.run("export", run, "--output", f"{run}.jsonl").status == 0
    (project.folder / "evil.jsonl").rename(project.folder / "exported.jsonl")
    return project


@pytest.fixture
def exported(made: Project, ion: Ion, project: Project) -> Path:
    """The export that tests change, in a copy of the project."""
    shutil.copytree(made.folder, project.folder, dirs_exist_ok=True)
    return project.folder / "exported.jsonl"


def changed(exported: Path, pick: random.Random) -> bytes:
    """The export with one thing in it changed."""
    lines = lines_of(exported)
    source = json.loads(lines[0]["source"])
    if pick.random() < 0.5:
        at = next(number for number, line in enumerate(lines) if "sha256" in line)
        lines[at:at] = [{"event": copy.deepcopy(codec.to_json(event))} for event in FURTHER]
    events = [line for line in lines if "event" in line]
    head = {"run_id": "evil", "project": "/x"}
    target = pick.choice([source, pick.choice(events)["event"], pick.choice(events)["event"], head])
    holder, key = pick.choice(list(places(target)))
    if isinstance(holder, dict) and pick.random() < 0.2:
        holder[pick.choice(["..", "../../../../up", "new", "\x1b"])] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(pick.choice(pick.choice([OF_TYPE.get(type(holder[key]), ODD), ODD])))
    lines[0].update(head)
    if target is source:
        lines[0]["source"] = json.dumps(source)
        events[0]["event"]["digest"] = hashlib.sha256(lines[0]["source"].encode()).hexdigest()
    return signed(lines)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_changed_export_is_refused_or_harmless(ion: Ion, project: Project, exported: Path, seed: int) -> None:
    refused_or_harmless(ion, project, exported, seed)


@pytest.mark.sweep
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_many_changed_exports_are_refused_or_harmless(ion: Ion, project: Project, exported: Path, seed: int) -> None:
    refused_or_harmless(ion, project, exported, seed)


def refused_or_harmless(ion: Ion, project: Project, exported: Path, seed: int) -> None:
    pick = random.Random(seed)
    store = ("--store", pick.choice(["file:.ion/store/a", "sqlite:.ion/store/b"]))
    evil = project.folder / "evil.jsonl"
    evil.write_bytes(changed(exported, pick))
    before = outside(project)
    for name in (".ion/store", ".ion/runs"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    assert ion("import", "good.jsonl", *store).status == 0
    said = [ion("import", "evil.jsonl", *store)]
    commands = [*(words(COMMANDS) if said[0].status == 0 else []), *words(FOR_ALL)]
    for command in commands:
        said.append(ion(*command, *store))
        assert "bug in Ion" not in said[-1].err, command
        assert "\x1b" not in said[-1].out + said[-1].err, command
    assert said[-1].status == 0, "the other run can be looked at"
    assert "good" in said[-5].out
    assert outside(project) == before


def forged(exported: Path, change: Any) -> bytes:
    """The export after `change(lines, events)`, signed again."""
    lines = lines_of(exported)
    change(lines, [line["event"] for line in lines if "event" in line])
    return signed(lines)


def test_an_imported_run_connects_to_no_address(ion: Ion, project: Project, exported: Path) -> None:
    text = forged(exported, lambda _lines, events: events[0].update(engine="temporal://127.0.0.1:1/x"))
    (project.folder / "evil.jsonl").write_bytes(text)
    store = ("--store", "file:.ion/other")
    assert ion("import", "evil.jsonl", *store).status == 0
    assert "engine" not in ion("events", "evil", *store).out
    assert ion("cancel", "evil", *store).status in (0, 4)
    assert ion("show", "evil", "--json", *store).json("run")["status"] == "cancelled"


def without_outputs(lines: list[dict[str, Any]], _events: Any) -> None:
    lines[:] = [line for line in lines if "blob" not in line and "chunk" not in line]


def begun_twice(lines: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    lines.insert(-1, {"event": copy.deepcopy(events[0])})


def opened(address: str, **fields: Any) -> Any:
    """A change of the event that opened this node."""

    def change(_lines: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
        event = next(one for one in events if one["type"] == "scope_opened" and one["node"] == address)
        event.update(fields)

    return change


def added(address: str, **fields: Any) -> Any:
    """A change that opens this node once more."""

    def change(lines: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
        event = next(one for one in events if one["type"] == "scope_opened" and one["node"] == address)
        lines.insert(-1, {"event": {**event, **fields}})

    return change


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (lambda lines, _events: lines[0].update(run_id="Last.Run"), 2, "'Last.Run' cannot be a run's id"),
        (lambda lines, _events: lines[0].update(run_id="last"), 2, "'last' cannot be a run's id"),
        (lambda lines, _events: lines[0].update(source="{}"), 1, "not the one that it began with"),
        (lambda _lines, events: events[0].update(workflow="another"), 1, "its name is not that of its frozen workflow"),
        (without_outputs, 1, "of 300000 bytes is not in it"),
        (lambda _lines, events: events[0].update(at=10**18), 1, "its field 'at' is invalid"),
        (lambda _lines, events: events[1].update(node="../../up"), 1, "its field 'node' is invalid"),
        (lambda _lines, events: events[1].update(node="nowhere"), 1, "not a node of the run"),
        (begun_twice, 1, "its first event, and no other, is the run's start"),
        (opened("each", node="nobody"), 1, "not a node of the run"),
        (added("each", node="same"), 1, "'same' has no nodes inside"),
        (opened("each", node="each.0.look.up"), 1, "not a node of the run"),
        (opened("each", node="each/../../up"), 1, "its field 'node' is invalid"),
        (opened("each", numbers=[0, 1]), 1, "its items do not have one number each"),
        (opened("each", numbers=[0, 0, 2]), 1, "its items do not have one number each"),
        (opened("each", numbers=[0, -1, 2]), 1, "its field 'numbers[1]' is invalid"),
        (opened("each", keys=["k", "k", "l"]), 1, "its items do not have one number each"),
        (opened("each", items={"text": '["a"]'}), 1, "the items of 'each' are not the 3 that it is opened with"),
        (opened("each", items={"text": "no array"}), 1, "the items of 'each' are not the 3 that it is opened with"),
        (opened("each", read=[{}]), 1, "the items of 'each' are not the 3 that it is opened with"),
        (added("each", iteration=1), 1, "'each' has items inside, and is opened without"),
        (added("each.0", nodes=[["look", "bash"], ["look", "bash"]]), 1, "two of its nodes have one id"),
        (opened("each.0", nodes=[["..", "bash"]]), 1, "a scope_opened event that cannot be read"),
        (
            added("each.0.part", nodes=[["other", "bash"]]),
            1,
            "what is inside of 'each.0.part' is not what its workflow",
        ),
        (added("twice", iteration=0), 1, "what is inside of 'twice' is not what its workflow has there"),
        (added("each", keys=["x", "y", "z"]), 1, "'each.0' is the address of two items"),
    ],
    ids=range(26),
)
def test_what_no_run_can_be_is_refused_in_words(
    ion: Ion, project: Project, exported: Path, change: Any, status: int, said: str
) -> None:
    (project.folder / "evil.jsonl").write_bytes(forged(exported, change))
    refused = ion("import", "evil.jsonl", "--store", "file:.ion/other")
    assert (refused.status, said in refused.err) == (status, True), refused.err
    assert ion("runs", "--store", "file:.ion/other", "--json").json("runs") == []


@pytest.mark.parametrize("text", ["root:x:0:0:root:/root:/bin/bash\n", "", "{}\n", "[1]\n", '{"ion_run": true}\n'])
def test_what_is_not_an_export_is_called_so(ion: Ion, project: Project, text: str) -> None:
    (project.folder / "passwd").write_text(text)
    refused = ion("import", "passwd")
    assert refused.status == 2
    assert "passwd is not an export of Ion" in refused.err
