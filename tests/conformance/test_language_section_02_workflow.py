"""language.md §2: the fields of a workflow, as far as the facts do not cover them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

import ion
from conformance.kit import Clock, World, agent, codes, error, output, problems, statuses, whole
from ion import PromptRequest
from ion.core import events as e
from ion.errors import InvalidWorkflowError, UsageError


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: t\nnodes: [{id: a, bash: echo}]\n", "missing-field"),
        ("description: d\nnodes: [{id: a, bash: echo}]\n", "missing-field"),
        ("name: t\ndescription: d\n", "missing-field"),
        ("name: t\ndescription: d\nnodes: []\n", "bad-value"),
        ("name: t\ndescription: d\nnodes: {id: a, bash: echo}\n", "wrong-type"),
        ("name: t\ndescription: d\nreturns: b\nnodes: [{id: a, bash: echo}]\n", "unknown-node"),
        ("name: t\ndescription: d\nfail_fast: yes\nnodes: [{id: a, bash: echo}]\n", "wrong-type"),
        ("name: t\ndescription: d\nmax_concurrency: 0\nnodes: [{id: a, bash: echo}]\n", "bad-value"),
        ("name: t\ndescription: d\nsteps: []\n", "steps-format"),
        (
            "name: t\ndescription: d\nevidence_policy: {required: true}\nnodes: [{id: a, bash: echo}]\n",
            "evidence-policy",
        ),
    ],
)
def test_what_a_workflow_needs(text: str, code: str) -> None:
    """Name, description and nodes are required; `returns` names a node; evidence that Ion cannot check is refused."""
    with pytest.raises(InvalidWorkflowError) as invalid:
        ion.parse_workflow(text)
    assert code in [problem.code for problem in invalid.value.problems]


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    """Each with its place; one bad node hides nothing about the others."""
    found = problems("""
        nodes:
          - {id: a, bash: echo $nobody.output}
          - {id: b, prompt: hi, depends_on: [c]}
          - {id: d}
        """)
    assert [(p.code, p.path, p.line) for p in found] == [
        ("unknown-node", "nodes[0].bash", 4),
        ("unknown-node", "nodes[1].depends_on[0]", 5),
        ("no-kind", "nodes[2]", 6),
    ]


@pytest.mark.parametrize("key", ["worktree", "container", "mutates_checkout", "requires", "outcome_field"])
def test_archons_own_business_is_one_warning(world: World, key: str) -> None:
    """Accepted with `no-effect`."""
    values: dict[str, Any] = {"worktree": {"enabled": True}, "requires": ["github"], "outcome_field": "ok"}
    text = f"{key}: {json.dumps(values.get(key, False))}\nnodes: [{{id: a, bash: echo}}]\n"
    (problem,) = ion.validate(world.write(text), project=world.project)
    assert (problem.code, problem.severity) == ("no-effect", "warning")


def test_what_has_no_effect_is_said_once_for_all_nodes(world: World) -> None:
    """With the number of times."""
    text = "nodes: [{id: a, bash: echo, output_type: report}, {id: b, bash: echo, output_type: report}]\n"
    (problem,) = ion.validate(world.write(text), project=world.project)
    assert (problem.code, problem.path) == ("no-effect", "nodes[0].output_type")
    assert "2 times" in problem.message


@pytest.mark.parametrize(
    ("node", "key"),
    [
        ("{id: a, bash: echo, wehn: x}", "when"),
        ("{id: a, bash: echo, depends: [a]}", None),
        ("{id: a, bash: echo, depend_on: []}", "depends_on"),
        ("{id: a, bash: echo, timout: 5s}", "timeout"),
        ("{id: a, bash: echo, retri: {max_attempts: 1}}", "retry"),
        ("{id: a, bash: echo, alwaysrun: true}", "always_run"),
        ("{id: a, prompt: hi, idle_timout: 5s}", "idle_timeout"),
        ("{id: a, loop: {prompt: hi, untill: X, until_bash: x, max_iterations: 2}}", "until"),
        ("{id: a, loop: {prompt: hi, until: X, max_iteration: 2, max_iterations: 2}}", "max_iterations"),
        ("{id: a, approval: {message: hi, on_rejct: {prompt: x}}}", "on_reject"),
        ("{id: a, prompt: hi, mdel: x}", None),
    ],
)
def test_a_typo_must_not_change_what_runs(world: World, node: str, key: str | None) -> None:
    """An unknown key near to one that governs control flow is an error that says which; any other is a warning."""
    found = ion.validate(world.write(f"nodes:\n  - {node}\n"), project=world.project)
    (problem,) = [problem for problem in found if problem.code == "unknown-field"]
    assert problem.severity == ("error" if key else "warning")
    if key:
        assert f"did you mean '{key}'?" in problem.hint


INPUTS = """
    inputs:
      name: {required: true, description: Whom to greet}
      greeting: {default: Hello, enum: [Hello, Goodbye]}
      times: {type: integer, default: 1}
      extra: {type: object}
      ratio: {type: number, default: 1}
      loud: {type: boolean, default: false}
    nodes:
      - {id: a, bash: 'echo "$INPUTS.greeting $INPUTS.name $INPUTS.times"; echo "[$INPUTS_EXTRA]"'}
"""


def test_inputs_have_defaults_and_types(world: World) -> None:
    """A text is read as the declared type; what was not given has its default, or nothing."""
    run = world.run(INPUTS, inputs={"name": "Ana", "times": "3", "extra": '{"a": [1]}'})
    assert output(run, "a") == 'Hello Ana 3\n[{"a":[1]}]'
    assert output(world.run(INPUTS, inputs={"name": "Ana"}), "a") == "Hello Ana 1\n[]"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "missing input 'name': Whom to greet"),
        ({"name": "Ana", "greting": "Hi"}, "did you mean 'greeting'?"),
        ({"name": "Ana", "greeting": "Hi"}, "'greeting'"),
        ({"name": "Ana", "times": "many"}, "'times'"),
        ({"name": "Ana", "times": "NaN"}, "'times' must be of the type integer"),
        ({"name": "Ana", "ratio": "NaN"}, "'ratio' must be of the type number"),
        ({"name": "Ana", "ratio": "1e999"}, "'ratio' must be of the type number"),
        ({"name": "Ana", "ratio": float("nan")}, "'ratio' holds NaN or an infinity"),
        ({"name": "Ana", "extra": {"a": [float("-inf")]}}, "'extra' holds NaN or an infinity"),
        ({"name": "Ana", "extra": {1, 2}}, "'extra' is not JSON"),
        ({"name": "Ana", "loud": "yes"}, "'loud' must be of the type boolean: true or false"),
    ],
)
def test_inputs_that_do_not_fit_begin_no_run(world: World, inputs: dict[str, Any], said: str) -> None:
    """A required one is missing, an unknown one is given, a value is not of its type or not in its `enum`."""
    with pytest.raises(UsageError) as refused:
        world.run(INPUTS, inputs=inputs)
    assert said in refused.value.message
    assert ion.list_runs(store=world.store, project=world.project) == []


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        ("{type: boolean, default: true}", True),
        ("{type: integer, default: true}", False),
        ("{type: integer, default: 1}", True),
        ("{type: string, default: 1}", False),
        ("{enum: [a, b], default: b}", True),
        ("{enum: [a, b], default: c}", False),
        ("{default: [1, {two: 3}]}", True),
    ],
)
def test_a_default_must_fit_what_is_declared(declared: str, fits: bool) -> None:
    """Its type, and its `enum`."""
    text = f"inputs: {{x: {declared}}}\nnodes: [{{id: a, bash: echo}}]\n"
    if fits:
        assert ion.parse_workflow(whole(text)).inputs[0].has_default
    else:
        assert codes(text) == ["bad-default"]


@pytest.mark.parametrize(
    ("returns", "result"),
    [("", "second"), ("returns: last\n", "third"), ("returns: quiet\n", ""), ("returns: bad\n", None)],
)
def test_what_a_runs_result_is(world: World, returns: str, result: str | None) -> None:
    """The output of the node that `returns` names; else of the first terminal node, in file order, that completed with
    text."""
    run = world.run(
        returns
        + """
nodes:
  - {id: first, bash: echo first}
  - {id: quiet, bash: "true", depends_on: [first]}
  - {id: blank, bash: 'echo "  "', depends_on: [first]}
  - {id: bad, bash: echo skipped, depends_on: [first], when: $first.output == 'x'}
  - {id: second, bash: echo second, depends_on: [first]}
  - {id: last, bash: echo third}
"""
    )
    assert (run.status, run.output) == ("completed", result)


def test_max_concurrency_holds_and_defaults_to_four_for_each_processor(world: World) -> None:
    """No more turns than that at once."""
    lock = threading.Lock()
    busy, most = 0, 0

    async def ask(request: PromptRequest) -> str:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        await asyncio.sleep(0.05)
        busy -= 1
        return "done"

    nodes = "nodes:\n" + "".join(f"  - {{id: n{i}, prompt: go}}\n" for i in range(9))
    world.run("max_concurrency: 3\n" + nodes, agent=ask)
    assert most == 3


HOUR = 3_600_000


def test_a_runs_timeout_stands_still_while_it_is_paused(world: World, hurry: Clock) -> None:
    """Only the time that a process owns the run counts: an hour passes before the answer."""
    run = world.run("""
        timeout: 10m
        nodes:
          - {id: gate, approval: {message: "Go?"}}
          - {id: a, bash: echo, depends_on: [gate]}
        """)
    assert run.status == "paused"
    hurry.skip(HOUR)
    assert world.approve(run).status == "completed"


def test_a_runs_timeout_stands_still_while_it_is_interrupted(lasting: World, hurry: Clock) -> None:
    """Nobody owns it then."""
    run = lasting.interrupt("timeout: 10m\nnodes: [{id: a, prompt: hi}]\n", at="a")
    hurry.skip(HOUR)
    assert lasting.resume(run, agent=agent()).status == "completed"


def test_a_runs_timeout_ends_it_as_failed_and_a_resume_gives_it_the_same_time_again(world: World, hurry: Clock) -> None:
    """What runs is stopped, what waits is skipped, and the run can be resumed."""
    text = """
        timeout: 10m
        nodes:
          - {id: long, prompt: think}
          - {id: after, bash: echo after, depends_on: [long]}
        """

    async def ask(request: PromptRequest) -> str:
        hurry.skip(HOUR)
        await asyncio.sleep(60)
        return "never"

    run = world.run(text, agent=ask)
    assert (run.status, run.data["error"]["code"]) == ("failed", "timeout")
    assert statuses(run) == {"long": "cancelled", "after": "skipped"}
    assert world.resume(run, agent=agent()).status == "completed"


def test_time_that_was_used_before_an_interruption_counts(lasting: World, hurry: Clock) -> None:
    """Only while it is interrupted the clock stands still."""
    text = """
        timeout: 10m
        nodes:
          - {id: slow, prompt: think}
          - {id: cut, prompt: hi, depends_on: [slow]}
        """

    def slow(request: PromptRequest) -> str:
        hurry.skip(400_000)
        return "done"

    run = lasting.interrupt(text, at="cut", agent=agent(slow=slow, cut=[]))

    async def ask(request: PromptRequest) -> str:
        hurry.skip(400_000)
        await asyncio.sleep(60)
        return "never"

    result = lasting.resume(run, agent=ask)
    assert (result.status, result.data["error"]["code"]) == ("failed", "timeout")


def test_fail_fast_stops_what_runs_skips_the_rest_and_closes_gates(world: World) -> None:
    """As soon as a node fails."""

    async def ask(request: PromptRequest) -> str:
        await asyncio.sleep(60)
        return "never"

    run = world.run(
        """
        fail_fast: true
        nodes:
          - {id: bad, bash: exit 1, depends_on: [first]}
          - {id: first, bash: echo first}
          - {id: long, prompt: think}
          - {id: gate, approval: {message: "Go?"}}
          - {id: rest, bash: echo rest, depends_on: [long]}
        """,
        agent=ask,
    )
    assert run.status == "failed"
    assert {node: (data["status"], data["reason"]) for node, data in run.data["nodes"].items()} == {
        "bad": ("failed", None),
        "first": ("completed", None),
        "long": ("cancelled", "fail_fast"),
        "gate": ("cancelled", "fail_fast"),
        "rest": ("skipped", "fail_fast"),
    }
    with pytest.raises(ion.errors.RefusedError):
        world.approve(run, "gate")


def test_without_fail_fast_what_does_not_depend_on_the_failure_goes_on(world: World) -> None:
    """The default."""
    run = world.run("nodes: [{id: bad, bash: exit 1}, {id: a, bash: echo}, {id: b, bash: echo, depends_on: [a]}]\n")
    assert statuses(run) == {"bad": "failed", "a": "completed", "b": "completed"}


def test_env_reaches_every_process(world: World) -> None:
    """Bash, scripts, checks of loops and agents; a node's own `env` is stronger; values are texts."""
    answering = agent(work=["first", "DONE"])
    run = world.run(
        """
        inputs: {who: {default: Ana}}
        env: {GREETING: "Hello $INPUTS.who, $ARGUMENTS", PLACE: here}
        nodes:
          - {id: a, bash: 'echo "$GREETING $PLACE"', env: {PLACE: there}}
          - {id: b, runtime: python, script: 'import os; print(os.environ["GREETING"], os.environ["PLACE"])'}
          - {id: work, loop: {prompt: go, max_iterations: 2, until_bash: 'test "$PLACE" = here'}}
          - {id: c, depends_on: [a], bash: 'echo "$FROM_A"', env: {FROM_A: "<$a.output>"}}
        """,
        arguments="bye",
        agent=answering,
    )
    assert output(run, "a") == "Hello Ana, bye there"
    assert output(run, "b") == "Hello Ana, bye here"
    assert output(run, "work") == "first"
    assert output(run, "c") == "<Hello Ana, bye there>"
    assert answering.requests[0].env["GREETING"] == "Hello Ana, bye"


def test_ions_own_environment_reaches_every_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """But nothing of a run around this one: not its arguments, nor the file that replaces them."""
    for name in ("ARGUMENTS_FILE", "ION_NODE_ID", "MY_TOKEN_FILE", "MY_TOKEN"):
        monkeypatch.setenv(name, "outer")
    run = world.run("nodes: [{id: a, bash: 'echo \"$ARGUMENTS_FILE|$ION_NODE_ID|$MY_TOKEN_FILE|$MY_TOKEN\"'}]\n")
    assert output(run, "a") == "|a|outer|outer"


def test_the_workflows_env_may_not_name_nodes() -> None:
    """It is the same for all of them."""
    assert codes("env: {X: $a.output}\nnodes: [{id: a, bash: echo}]\n") == ["env-names-node"]


def test_agent_options_of_the_workflow_are_defaults_for_its_nodes(world: World) -> None:
    """A node's own option wins; an empty list is not an absent one."""
    answering = agent()
    world.run(
        """
        model: large
        allowed_tools: [read]
        nodes:
          - {id: a, prompt: hi}
          - {id: b, prompt: hi, model: small, allowed_tools: []}
        """,
        agent=answering,
    )
    assert answering.of("a")[0].options == {"model": "large", "allowed_tools": ["read"]}
    assert answering.of("b")[0].options == {"model": "small", "allowed_tools": []}


def test_the_workflow_names_an_agent_of_the_settings(world: World) -> None:
    """For all its nodes that name none themselves."""
    world.file(".ion/config.yaml", "agents: {shouter: {command: tr a-z A-Z}, same: {command: cat}}\n")
    run = world.run("agent: shouter\nnodes: [{id: a, prompt: one}, {id: b, prompt: two, agent: same}]\n")
    assert (output(run, "a"), output(run, "b")) == ("ONE", "two")


def test_unknown_keys_of_agent_nodes_are_handed_to_the_agent(world: World) -> None:
    """With a warning; Ion validates no model name."""
    text = "nodes: [{id: a, prompt: hi, model: no-such-model, temperature: 0.5, mood: {kind: good}}]\n"
    found = ion.validate(world.write(text), project=world.project)
    assert [(p.code, p.severity, p.path) for p in found] == [
        ("unknown-field", "warning", "nodes[0].temperature"),
        ("unknown-field", "warning", "nodes[0].mood"),
    ]
    answering = agent()
    world.run(text, agent=answering)
    assert answering.of("a")[0].options == {"model": "no-such-model", "temperature": 0.5, "mood": {"kind": "good"}}


def test_the_first_event_says_what_was_asked(lasting: World) -> None:
    """§10: node ids and kinds in file order, inputs, arguments, agent, working directory, Ion's version."""
    run = lasting.run(
        "inputs: {x: {default: 1.10}}\nnodes: [{id: b, prompt: $ARGUMENTS}, {id: a, bash: echo}]\n",
        arguments="go",
        agent=agent(),
    )
    (started,) = lasting.log(run, e.WorkflowStarted)
    assert started.nodes == (("b", "prompt"), ("a", "bash"))
    assert (started.inputs, started.arguments, started.cwd) == ({"x": "1.10"}, "go", str(lasting.project))
    assert started.agent == "python:tester"
    assert started.ion_version == ion.__version__
    assert started.by["via"] == "library"
    assert error(lasting.run("nodes: [{id: a, bash: exit 2}]\n"), "a")
