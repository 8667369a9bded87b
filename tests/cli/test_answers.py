"""Answering gates and prompts, going on, ending: `approve`, `reject`, `respond`, `next`, `submit`, `resume`,
`cancel`."""

from __future__ import annotations

import json

import pytest

from .conftest import COMMAND, Ion, Project

TWO_GATES = """
name: two
description: Two gates at once.
nodes:
  - id: first
    approval: {message: First?}
  - id: second
    approval: {message: Second?, capture_response: true}
  - id: end
    depends_on: [first, second]
    bash: echo "$second.output"
"""
DECISIONS = """
name: decide
description: A gate with decisions of its own.
nodes:
  - id: pick
    approval:
      message: Which?
      decisions: [{id: approve, label: Red}, {id: blue}]
  - id: end
    depends_on: [pick]
    bash: echo "$pick.output.decision - $pick.output.text"
"""
PROMPTS = """
name: ask
description: Prompts for a host.
nodes:
  - id: name
    prompt: "Name $ARGUMENTS"
  - id: rate
    prompt: Rate it
    context: fresh
    output_format: {type: object, properties: {stars: {type: integer}}, required: [stars]}
  - id: end
    depends_on: [name, rate]
    bash: echo "$name.output $rate.output.stars"
"""
FLAKY = """
name: flaky
description: Fails until a file is there.
nodes:
  - id: kept
    bash: echo x >> kept; echo kept
  - id: flaky
    depends_on: [kept]
    bash: cat there
"""


def start(ion: Ion, project: Project, workflow: str, *arguments: str) -> None:
    ion("run", str(project.write("it", workflow)), "--run-id", "mine", *arguments)


def test_several_gates_need_a_name(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("approve", "mine")
    assert result.status == 2
    assert "2 gates are open: first, second" in result.err
    assert ion("approve", "mine", "first").status == 3
    last = ion("approve", "mine", "--comment", "fine")
    assert (last.status, last.out) == (0, "fine\n")


def test_a_gate_is_answered_once(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    assert ion("approve", "mine", "first").status == 3
    again = ion("reject", "mine", "first", "--json")
    assert again.status == 5
    assert again.json("error")["error"]["code"] == "answered"
    assert ion("approve", "mine", "nobody").status == 2
    assert ion("approve", "mine", "end").status == 5


def test_a_program_of_the_run_asks_for_nothing_but_its_end(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests have one guard: a new one that is not in this list is refused too."""
    start(
        ion,
        project,
        PROMPTS.replace("nodes:", "max_budget_usd: 1\nnodes:\n  - {id: gate, approval: {message: Go?}}", 1),
    )
    (project.folder / "answer").write_text("Tom")
    before = ion("events", "mine").out
    monkeypatch.setenv("ION_RUN_ID", "mine")
    for words in (
        ("approve", "mine", "gate"),
        ("reject", "mine", "gate"),
        ("respond", "mine", "gate", "approve"),
        ("submit", "mine", "name", "--file", "answer"),
        ("resume", "mine", "--max-budget-usd", "5"),
    ):
        refused = ion(*words, "--json")
        assert (refused.status, refused.json("error")["error"]["code"]) == (5, "own-gate"), words
    assert ion("events", "mine").out == before
    assert ion("cancel", "mine").status == 0
    assert ion("show", "mine", "--json").json("run")["status"] == "cancelled"


def test_neither_does_a_program_of_a_run_within_the_run(ion: Ion, project: Project) -> None:
    """However deep: each Ion tells its programs of all the runs that it is within itself."""
    command = " ".join(COMMAND)
    inner = {"outer": "run middle --run-id within", "middle": "run inner", "inner": "approve mine gate"}
    for name, words in inner.items():
        gate = "{id: gate, approval: {message: Go?}}, " if name == "outer" else ""
        node = f"{{id: n, bash: '{command} {words} 2>> {project.folder}/said'}}"
        project.write(name, f"name: {name}\ndescription: d\nnodes: [{gate}{node}]\n")
    assert ion("run", "outer", "--run-id", "mine").status == 3
    assert "may not answer the run's own gates" in (project.folder / "said").read_text()
    assert "approval_resolved" not in ion("events", "mine").out
    assert ion("approve", "mine", "gate").status == 1, "from outside it can be, and the run ends as failed"


def test_no_resume_only_records(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("approve", "mine", "first", "--no-resume")
    assert result.status == 0
    assert "ion resume mine" in result.err
    as_json = ion("approve", "mine", "second", "--no-resume", "--json")
    assert as_json.status == 0
    assert as_json.json("run")["status"] == "paused"
    assert ion("resume", "mine").status == 0


def test_a_rejection_without_another_way_cancels(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("reject", "mine", "first", "--reason", "no", "--json")
    assert result.status == 4
    assert result.json("run")["nodes"]["first"]["status"] == "cancelled"
    assert ion("approve", "mine", "second").status == 5


def test_decisions_are_answered_by_name(ion: Ion, project: Project) -> None:
    start(ion, project, DECISIONS)
    assert "ion respond mine pick approve" in ion("show", "mine").out
    assert ion("show", "mine", "--json").json("run")["waiting"][0]["decisions"] == ["approve", "blue"]
    wrong = ion("respond", "mine", "pick", "green")
    assert wrong.status == 2
    assert "one of: approve, blue" in wrong.err
    result = ion("respond", "mine", "pick", "blue", "like the sky")
    assert (result.status, result.out) == (0, "blue - like the sky\n")


def test_a_host_takes_prompts_and_submits_answers(ion: Ion, project: Project) -> None:
    start(ion, project, PROMPTS, "the", "cat")
    asked = ion("next", "mine", "--json").json("next")
    assert asked["status"] == "paused"
    assert [(prompt["node"], prompt["prompt"]) for prompt in asked["prompts"]] == [
        ("name", "Name the cat"),
        ("rate", "Rate it"),
    ]
    assert asked["prompts"][1]["output_format"]["required"] == ["stars"]
    shown = ion("next", "mine")
    assert "    Name the cat\n\n  ion submit mine name --file FILE\n" in shown.out
    (project.folder / "answer").write_text("Tom\n")
    assert ion("submit", "mine", "name", "--file", "answer").status == 3
    (project.folder / "bad").write_text('{"stars": "many"}')
    bad = ion("submit", "mine", "rate", "--file", "bad", "--json")
    assert bad.status == 2
    assert bad.json("error")["error"]["code"] == "output-format"
    assert ion("submit", "mine", "name", "--file", "answer").status == 3
    (project.folder / "other").write_text("Kitty")
    assert ion("submit", "mine", "name", "--file", "other").status == 5
    (project.folder / "good").write_text('{"stars": 5}')
    request = asked["prompts"][1]["request"]
    done = ion("submit", "mine", "rate", "--file", "good", "--request", request, "--session", "s1")
    assert (done.status, done.out) == (0, "Tom 5\n")


def test_an_answer_that_cannot_be_checked_in_time_is_not_recorded(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.nodes.checking.PROCESSOR_SECONDS", 1)
    schema = r"{properties: {a: {type: string, pattern: '^(\w+\s?)*$'}}}"
    start(ion, project, f"name: ask\ndescription: d\nnodes: [{{id: x, prompt: hi, output_format: {schema}}}]\n")
    (project.folder / "answer").write_text('{"a": "%s!"}' % ("a" * 50))
    said = ion("submit", "mine", "x", "--file", "answer")
    assert said.status == 2
    assert "could not be held against output_format within 1 s of work" in said.err
    (project.folder / "answer").write_text('{"a": "b c"}')
    assert ion("submit", "mine", "x", "--file", "answer").status == 0


def test_an_answer_comes_from_stdin(project: Project) -> None:
    project.write("it", "name: it\ndescription: d\nnodes:\n  - id: ask\n    prompt: hi\n")
    project.run("run", "it", "--run-id", "mine")
    for arguments in ((), ("x",), ("-", "--file", "f")):
        assert project.run("submit", "mine", "ask", *arguments).status == 2
    done = project.run("submit", "mine", "ask", "-", stdin="line one\nline two\n")
    assert (done.status, done.out) == (0, "line one\nline two\n")


def test_prompts_can_be_pending_and_then_given_to_an_agent(ion: Ion, project: Project) -> None:
    start(ion, project, "name: it\ndescription: d\nnodes:\n  - id: ask\n    prompt: hi\n")
    waiting = ion("resume", "mine")
    assert waiting.status == 3
    assert "1 prompt waits for an agent" in waiting.err
    done = ion("resume", "mine", "--agent", "tr a-z A-Z")
    assert (done.status, done.out) == (0, "HI\n")


def test_resume_keeps_what_is_completed(ion: Ion, project: Project) -> None:
    start(ion, project, FLAKY)
    (project.folder / "there").write_text("at last")
    result = ion("resume")
    assert (result.status, result.out) == (0, "at last\n")
    assert "continues; 1 of 2 are completed" in result.err
    assert (project.folder / "kept").read_text() == "x\n"
    again = ion("resume", "mine", "--json")
    assert again.status == 5
    assert again.json("error")["error"]["code"] == "ended"


def test_a_failed_resume_has_its_status(ion: Ion, project: Project) -> None:
    start(ion, project, FLAKY)
    assert ion("resume", "--quiet").status == 1
    assert ion("resume", "--json").json("run")["status"] == "failed"


def test_cancel_ends_a_run_that_nobody_drives(ion: Ion, project: Project) -> None:
    start(ion, project, TWO_GATES)
    result = ion("cancel", "mine", "--reason", "no more", "--json")
    assert result.status == 0
    assert result.json("run")["error"]["message"] == "no more"
    assert ion("cancel", "mine").status == 5
    events = [json.loads(line) for line in ion("events", "mine").out.splitlines()]
    assert [event["reason"] for event in events if event["type"] == "cancel_requested"] == ["no more"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("approve", "nothing"),
        ("reject", "nothing"),
        ("respond", "nothing", "node", "yes"),
        ("submit", "nothing", "node", "--file", "f"),
        ("next", "nothing"),
        ("resume", "nothing"),
        ("cancel", "nothing"),
        ("show", "nothing"),
        ("events", "nothing"),
        ("logs", "nothing"),
        ("watch", "nothing"),
        ("graph", "--run", "nothing"),
        ("show", "last"),
        ("approve",),
        ("reject",),
    ],
)
def test_a_run_that_is_not_there_has_status_2(ion: Ion, project: Project, arguments: tuple[str, ...]) -> None:
    (project.folder / "f").write_text("x")
    result = ion(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error[")


def test_a_run_is_named_by_a_unique_prefix_or_last(ion: Ion, project: Project) -> None:
    for run_id in ("abc1", "abd2", "abd"):
        ion("run", str(project.write("it", TWO_GATES)), "--run-id", run_id)
    assert ion("show", "abc", "--json").json()["run_id"] == "abc1"
    assert ion("show", "abd", "--json").json()["run_id"] == "abd"
    assert ion("show", "last", "--json").json()["run_id"] == "abd"
    ambiguous = ion("show", "ab")
    assert ambiguous.status == 2
    assert "3 runs begin with 'ab': abd, abd2, abc1" in ambiguous.err
