"""What a program sees of Ion beyond the verbs: typed results, observers, stores, signatures, errors that say all."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from msgspec import structs

import ion

STEPS = """
name: steps
description: Three kinds of steps, and a gate
nodes:
  - {id: say, bash: 'echo one; echo two >&2; printf "%s" three'}
  - {id: script, depends_on: [say], runtime: python, script: "print('from python')"}
  - {id: bad, depends_on: [say], bash: exit 3}
  - {id: ask, depends_on: [script], approval: {message: 'go on?', decisions: [{id: approve}, {id: hold}]}}
"""


class Watch:
    def __init__(self, wants_lines: bool) -> None:
        self.lines: list[tuple[str, str]] = []
        self.wants_lines = wants_lines

    def event(self, run_id: str, recorded: ion.Recorded, state: ion.RunState) -> None:
        assert isinstance(recorded, ion.Recorded)
        assert isinstance(state, ion.RunState)

    def progress(self, run_id: str, node: str, line: str) -> None:
        self.lines.append((node, line))


def test_a_result_says_with_types_what_its_json_says() -> None:
    with ion.create_store("memory:") as store:
        run = ion.execute_workflow_sync(ion.parse_workflow(STEPS), store=store)
        assert run.status == "paused"
        assert run.waiting == (ion.WaitingFor("approval", "go on?", "ask", ("approve", "hold")),)
        assert list(run.nodes) == ["say", "script", "bad", "ask"]
        assert (run.nodes["say"].output, run.nodes["say"].attempts, run.error) == ("one\nthree", 1, None)
        failed = run.nodes["bad"].error
        assert failed is not None
        assert (failed.code, failed.exit_status) == ("exit-status", 3)
        for name, node in run.nodes.items():
            told = run.to_json()["nodes"][name]
            assert {
                key: getattr(node, key) for key in ("status", "output", "reason", "duration_ms")
            }.items() <= told.items()
        ion.respond(run.run_id, "ask", "approve", store=store)
        ended = ion.resume_workflow_sync(run.run_id, store=store)
        assert (ended.status, ended.waiting) == ("failed", ())
        assert ended.error is not None
        assert ended.to_json()["error"]["message"] == ended.error.message


def test_an_observer_is_told_of_each_line_of_programs_unless_it_does_not_want_them() -> None:
    watching, other = Watch(wants_lines=True), Watch(wants_lines=False)
    options = ion.RunOptions(observers=[watching, other])
    ion.execute_workflow_sync(ion.parse_workflow(STEPS), store="memory:", options=options)
    assert sorted(watching.lines) == [("say", "one"), ("say", "three"), ("say", "two"), ("script", "from python")]
    assert other.lines == []


def test_a_long_line_is_cut_and_what_is_not_utf_8_is_marked() -> None:
    watching = Watch(wants_lines=True)
    bash = "head -c 300000 /dev/zero | tr '\\0' x; printf '\\n\\377\\n'"
    text = f"name: w\ndescription: d\nnodes:\n  - id: a\n    bash: |\n      {bash}\n"
    options = ion.RunOptions(observers=[watching])
    ion.execute_workflow_sync(ion.parse_workflow(text), store="memory:", options=options)
    assert watching.lines == [("a", "x" * 4096), ("a", "\N{REPLACEMENT CHARACTER}")]


async def test_a_run_is_followed_from_any_event_on() -> None:
    with ion.create_store("memory:") as store:
        run = await ion.execute_workflow(ion.parse_workflow(STEPS), store=store)
        seen = [recorded async for recorded in ion.follow(run.run_id, after=1, store=store)]
        assert seen == ion.get_events(run.run_id, after=1, store=store)


@pytest.mark.parametrize("url", ["memory:", "sqlite:x.db", "file:x"])
def test_the_end_of_a_with_closes_a_store(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ion.create_store(url, project=tmp_path)
    closed: list[bool] = []
    monkeypatch.setattr(type(store), "close", lambda _store: closed.append(True))
    with store as given:
        assert given is store
    assert closed == [True]


def test_the_face_lists_what_it_has() -> None:
    assert {"RunState", "Recorded", "Observer", "follow", "NodeResult", "WaitingFor"} <= set(dir(ion))
    assert set(dir(ion)) == set(ion.__all__)


@pytest.mark.parametrize(
    "record", [ion.RunOptions, ion.RunSpec, ion.PromptRequest, ion.PromptResult, ion.Recorded, ion.RunResult]
)
def test_a_record_says_its_parameters(record: type) -> None:
    signature = inspect.signature(record)
    assert list(signature.parameters) == [field.name for field in structs.fields(record)]
    for field in structs.fields(record):
        assert (signature.parameters[field.name].default is inspect.Parameter.empty) == field.required


def test_a_file_that_does_not_load_says_its_first_problems_with_their_places() -> None:
    nodes = "".join(f"  - {{id: n{i}, bsh: x}}\n" for i in range(7))
    with pytest.raises(ion.errors.InvalidWorkflowError) as found:
        ion.parse_workflow(f"name: w\ndescription: d\nnodes:\n{nodes}", file="w.yaml")
    said = str(found.value).splitlines()
    assert said[0] == found.value.message
    assert said[1].strip().startswith("w.yaml:4:")
    assert "did you mean 'bash'?" in said[1]
    assert said[-1].strip() == f"and {len(found.value.problems) - 5} more"


def test_every_gate_inside_of_a_node_is_answered_at_once() -> None:
    text = """
    name: ship
    description: A gate for each target
    nodes:
      - id: ship
        fan_out: {items: [a, b], as: target}
        group: {nodes: [{id: ok, approval: {message: "Ship $INPUTS.target?"}}]}
    """
    with ion.create_store("memory:") as store:
        run = ion.execute_workflow_sync(ion.parse_workflow(text), store=store).run_id
        ion.approve(run, "ship[0].ok", comment="by its address", store=store)
        found = ion.answer_each(run, "ship", "reject", text="by all", store=store)
        assert found == ion.AnsweredGates(("ship.1.ok",), {})
        with pytest.raises(ion.errors.RefusedError, match="no gate inside of 'ship' is open"):
            ion.answer_each(run, "ship", "approve", store=store)
        nodes = ion.resume_workflow_sync(run, store=store).state.nodes
        assert (nodes["ship.0.ok"].status, nodes["ship.1.ok"].status) == ("completed", "cancelled")


def test_a_gate_that_somebody_else_answers_meanwhile_is_left_and_told() -> None:
    text = """
    name: two
    description: Two gates in a group
    nodes: [{id: g, group: {nodes: [{id: a, approval: {message: A?}}, {id: b, approval: {message: B?}}]}}]
    """
    with ion.create_store("memory:") as store:
        run = ion.execute_workflow_sync(ion.parse_workflow(text), store=store).run_id
        with ion.open(store=store) as project:
            handle = project.run(run)
            before = handle.state()
            ion.reject(run, "g.a", store=store)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ion.Run, "state", lambda _: before)
                found = handle.answer_each("approve", "g")
        assert found.answered == ("g.b",)
        assert list(found.refused) == ["g.a"]
