"""The file format: types and ranges, exactly one kind, unknown keys, fields without effect, the JSON Schema, and the
property that no value of any type at any key does more than give a placed problem."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import HEAD, codes, good, load, node, only, shown

from ion.language.fields import CONTROL_FLOW, EFFECTS, NO_EFFECT, ROOT_FIELDS
from ion.language.load import parse_workflow
from ion.language.schema import workflow_json_schema
from ion.language.yaml import read_yaml

# Every field of the format once, by kind.
FULL = """\
name: full
description: Every field there is
inputs:
  topic: {required: true, description: what about, type: string, enum: [a, b]}
  count: {default: 3, type: integer}
  free:
returns: ask
interactive: true
tags: [one, two]
max_concurrency: 4
timeout: 2h
fail_fast: true
strict: true
workspace: git
env: {PORT: 8080, NAME: x, FLAG: true}
secrets: [TOKEN]
agent: claude
provider: claude
model: small
systemPrompt: Be brief.
nodes:
  - id: fetch
    description: gets it
    bash: echo hi
    strict: false
    with: {topic: $INPUTS.topic, list: [1, {a: b}]}
    retry:
      max_attempts: 2
      delay_ms: 2000
      on_error: all
      on_exit_status: [75]
      never_on_exit_status: [2]
      backoff: double
      max_delay: 5m
    timeout: 90s
    grace: 2s
    cwd: sub
    allow_failure: {exit_status: [1, 5], codes: [timeout]}
    always_run: true
    runs_on: gpu
    env: {A: "1"}
  - id: work
    script: console.log(1)
    runtime: bun
    deps: [zod]
    depends_on: [fetch]
    when: $fetch.output == 'hi'
    trigger_rule: all_done
    with: {x: {from: $fetch.output, if_skipped: none}}
  - id: ask
    prompt: What?
    depends_on: [work]
    agent: codex
    context: fresh
    idle_timeout: 5m
    output_format: {type: object, properties: {done: {type: boolean}}, required: [done]}
    allowed_tools: []
    temperature: 0.5
  - id: read
    command: review
    context: {resume: ask}
    depends_on: [ask]
  - id: again
    loop:
      prompt: Go on
      until: DONE
      until_bash: test -f done
      until_field: done
      until_all: false
      max_iterations: 3
      fresh_context: true
      interactive: true
      gate_message: Enough?
      signal_completes: true
    output_format: {type: object, properties: {done: {type: boolean}}, required: [done]}
  - id: gate
    approval:
      message: Ship?
      capture_response: true
      on_reject: {prompt: Mend it, max_attempts: 2}
  - id: route
    approval:
      message: Where?
      decisions: [{id: approve, label: Yes}, {id: send-back}]
      timeout: 2d
      on_timeout: send-back
      remind: [1h, 1d]
  - id: pause
    wait: {duration: 30m}
  - id: checks
    wait: {check: gh pr checks, every: 2m, deadline: 4h, on_expired: skip}
    cwd: sub
  - id: stop
    cancel: Enough
    catches: [gate, route]
finally:
  timeout: 10m
  nodes:
    - {id: freed, bash: "echo $RUN.status $fetch.outcome.stderr", allow_failure: true}
    - {id: tell, prompt: $RUN.error, depends_on: [freed]}
"""


def test_the_full_format_loads_without_a_word() -> None:
    """Every field in its place: no error, and no warning but the key that only an agent knows."""
    loaded = parse_workflow(FULL)
    assert loaded.workflow is not None, shown(loaded)
    assert [(p.code, p.path) for p in loaded.problems] == [("unknown-field", "nodes[2].temperature")]


# Kinds


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("- id: a", "no-kind", ""),
        ("- {id: a, promt: x}", "no-kind", "did you mean 'prompt'?"),
        ("- {id: a, prompt: x, bash: y}", "several-kinds", "two nodes"),
        ("- {id: a, prompt: x, wait: 30m}", "several-kinds", "two nodes"),
        ("- {id: a, prompt: x, group: {nodes: [{id: b, bash: x}]}}", "several-kinds", "two nodes"),
    ],
)
def test_a_node_has_exactly_one_kind(text: str, code: str, hint: str) -> None:
    """None or two: one clear problem each, and not one more about that node."""
    problem = only(load(text))
    assert problem.code == code
    assert hint in problem.hint


def test_what_is_not_read_breaks_nothing_else() -> None:
    """What refers to what an include that was not found would bring adds no problem; other nodes are still checked."""
    loaded = load("""
      - {id: inc, include: block}
      - {id: after, bash: "echo $inc__child.output", depends_on: [inc__child]}
      - {id: ask, prompt: "$inc.output", depends_on: [inc], when: $inc.output == 'x'}
      - {id: wrong, bash: "echo $nothing.output"}
    """)
    assert codes(loaded) == ["unknown-workflow", "unknown-node"]


def test_the_old_steps_format_says_what_to_do() -> None:
    """`steps:` is one problem, without a second one about the missing nodes."""
    problem = only(parse_workflow("name: x\ndescription: y\nsteps: [{command: a}]\n"))
    assert problem.code == "steps-format"
    assert "depends_on" in problem.hint


@pytest.mark.parametrize("text", ["", "[]", "just text", "a: 1", "- name: x", "null", "12"])
def test_what_is_no_workflow_at_all_is_one_problem(text: str) -> None:
    loaded = parse_workflow(text, file="f")
    assert codes(loaded) == ["not-a-workflow"]
    assert loaded.problems[0].line == 1


# Types and ranges


@pytest.mark.parametrize(
    ("nodes", "code", "path", "message"),
    [
        ("- {bash: x}", "missing-field", "nodes[0]", "a bash node needs 'id'"),
        ("- {id: a, script: x y}", "missing-field", "nodes[0]", "a script node needs 'runtime'"),
        ("- {id: a, loop: {prompt: x, until: y}}", "missing-field", "nodes[0].loop", "'loop' needs 'max_iterations'"),
        ("- {id: a, approval: {}}", "missing-field", "nodes[0].approval", "'approval' needs 'message'"),
        ("- just text", "wrong-type", "nodes[0]", "a node must be a mapping, not 'just text'"),
        ("- {id: a, bash: 5}", "wrong-type", "nodes[0].bash", "'bash' must be text, not 5"),
        ("- {id: a, bash: }", "wrong-type", "nodes[0].bash", "'bash' has no value"),
        ("- {id: a, bash: '  '}", "bad-value", "nodes[0].bash", "'bash' is empty"),
        ("- {id: a, bash: x, when: }", "wrong-type", "nodes[0].when", "'when' has no value"),
        ("- {id: a, bash: x, when: true}", "wrong-type", "nodes[0].when", "'when' must be text, not true"),
        ("- {id: a, bash: x, depends_on: b}", "wrong-type", "nodes[0].depends_on", "must be a list, not 'b'"),
        ("- {id: a, bash: x, always_run: yes}", "wrong-type", "nodes[0].always_run", "true or false, not 'yes'"),
        ("- {id: a, bash: x, trigger_rule: one_succes}", "bad-value", "nodes[0].trigger_rule", "must be 'all_success'"),
        ("- {id: a, bash: x, env: {A B: 1}}", "bad-name", "nodes[0].env['A B']", "cannot name an environment"),
        ("- {id: a, bash: x, env: {A: [1]}}", "wrong-type", "nodes[0].env.A", "must be text, not a list"),
        ("- {id: a, bash: x, with: {a.b: 1}}", "bad-name", "nodes[0].with['a.b']", "cannot name an input"),
        ("- {id: a, script: x y, runtime: deno}", "bad-value", "nodes[0].runtime", "'bun', 'node', 'uv' or 'python'"),
        ("- {id: a, command: sub/x}", "bad-name", "nodes[0].command", "takes a name"),
        ("- {id: a, command: .x}", "bad-name", "nodes[0].command", "takes a name"),
        ("- {id: a, script: ../x.py, runtime: uv}", "bad-name", "nodes[0].script", "takes a name or code"),
        ("- {id: a, prompt: x, context: new}", "bad-value", "nodes[0].context", "fresh, shared or {resume: node}"),
        ("- {id: a, prompt: x, context: {resume: 1}}", "bad-value", "nodes[0].context", "fresh, shared"),
        ("- {id: a, prompt: x, output_format: [x]}", "wrong-type", "nodes[0].output_format", "must be a mapping"),
        ("- {id: a, bash: x, retry: {max_attempts: 6}}", "bad-value", "nodes[0].retry.max_attempts", "at most 5"),
        ("- {id: a, bash: x, retry: {max_attempts: 1, delay_ms: 5}}", "bad-value", "nodes[0].retry.delay_ms", "1000"),
        ("- {id: a, approval: {message: m, on_reject: {prompt: p, max_attempts: 11}}}", "bad-value",
         "nodes[0].approval.on_reject.max_attempts", "at most 10"),
        ("- {id: a, loop: {prompt: p, until: u, max_iterations: 0}}", "bad-value", "nodes[0].loop.max_iterations",
         "at least 1, not 0"),
        ("- {id: a, loop: {prompt: p, until: u, max_iterations: 1.5}}", "wrong-type", "nodes[0].loop.max_iterations",
         "a whole number, not 1.5"),
        ("- {id: a, loop: {prompt: p, until: u, max_iterations: true}}", "wrong-type", "nodes[0].loop.max_iterations",
         "a whole number, not true"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_path(nodes: str, code: str, path: str, message: str) -> None:
    """One problem, at the path of the value, in the words of the file format."""
    problem = only(load(nodes))
    assert (problem.code, problem.path) == (code, path)
    assert message in problem.message


@pytest.mark.parametrize(
    ("root", "code", "path"),
    [
        ("max_concurrency: 0", "bad-value", "max_concurrency"),
        ("fail_fast: 1", "wrong-type", "fail_fast"),
        ("workspace: everywhere", "bad-value", "workspace"),
        ("tags: x", "wrong-type", "tags"),
        ("secrets: [A-B]", "bad-name", "secrets[0]"),
        ("inputs: {a b: {}}", "bad-name", "inputs['a b']"),
        ("inputs: {a: {type: text}}", "bad-value", "inputs.a.type"),
        ("inputs: {a: {enum: []}}", "bad-value", "inputs.a.enum"),
        ("inputs: [a]", "wrong-type", "inputs"),
        ("timeout: soon", "bad-duration", "timeout"),
        ("evidence_policy: true", "wrong-type", "evidence_policy"),
        ("evidence_policy: {required: true}", "evidence-policy", "evidence_policy.required"),
    ],
)
def test_a_wrong_field_of_the_workflow(root: str, code: str, path: str) -> None:
    problem = only(load("- {id: a, bash: x}", root=root))
    assert (problem.code, problem.path) == (code, path)


def test_all_problems_of_a_file_are_told_at_once() -> None:
    """Types, keys, ids, conditions, references and the graph: one look shows them all, in the order of the file."""
    loaded = load(
        """
      - {id: a, bash: 5}
      - {id: a, prompt: "$nothing.output", retry: {max_attempts: 9, extra: 1}}
      - {id: b, bash: x, depends_on: [c], when: "($a.output)"}
      - {id: c, bash: x, depends_on: [b]}
    """,
        root="tags: 3",
    )
    assert codes(loaded) == [
        "wrong-type",  # tags
        "wrong-type",  # bash: 5
        "duplicate-id",
        "unknown-node",
        "bad-value",  # max_attempts
        "unknown-field",  # extra
        "dependency-cycle",
        "bad-condition",
    ]


@pytest.mark.parametrize("name", ["a", "_x", "A-b_9", "INPUTS_", "loop_prev"])
def test_ids(name: str) -> None:
    assert good(f"- {{id: {name}, bash: x}}").nodes[0].id == name


@pytest.mark.parametrize("name", ["1st", "a.b", "a b", "é", "-a", "INPUTS", "LOOP_PREV", "' a'", "''", '"a\\n"'])
def test_ids_that_nothing_could_refer_to(name: str) -> None:
    assert only(load(f"- {{id: {name}, bash: x}}")).code == "bad-id"


# Durations


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("1500", 1500),
        ("90s", 90_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("500ms", 500),
        ("1.5s", 1500),
        ("1e3", 1000),
    ],
)
def test_durations(written: str, milliseconds: int) -> None:
    """Milliseconds as a number, or a text with its unit."""
    assert node(f"- {{id: a, bash: x, timeout: {written}}}").timeout_ms == milliseconds


@pytest.mark.parametrize("written", ["0", "-5", "true", "5 minutes", "'5000'", "1h30m", "[1]", "s", "99999999h", "１s"])
def test_what_is_no_duration(written: str) -> None:
    problem = only(load(f"- {{id: a, bash: x, timeout: {written}}}"))
    assert problem.code == "bad-duration"
    assert "90s" in problem.hint


def test_a_time_below_a_second_is_probably_meant_in_seconds() -> None:
    """`timeout: 30` loads, with a warning; `500ms` was meant."""
    loaded = load("- {id: a, bash: x, timeout: 30}\n- {id: b, bash: x, timeout: 500ms}", root="timeout: 999")
    assert [(p.code, p.path) for p in loaded.problems] == [
        ("short-timeout", "timeout"),
        ("short-timeout", "nodes[0].timeout"),
    ]
    assert loaded.problems[1].hint == "write 30s if you mean seconds"
    assert codes(load("- {id: a, prompt: x, idle_timeout: 5}")) == ["short-timeout"]


# Unknown keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("depend_on", "depends_on"),
        ("dependsOn", "depends_on"),
        ("wehn", "when"),
        ("When", "when"),
        ("tigger_rule", "trigger_rule"),
        ("retyr", "retry"),
        ("timout", "timeout"),
        ("idletimeout", "idle_timeout"),
        ("alwaysRun", "always_run"),
        ("untl", "until"),
        ("until-bash", "until_bash"),
        ("max_iteration", "max_iterations"),
        ("on_rejects", "on_reject"),
        ("interactiv", "interactive"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "- {{id: a, bash: x, {key}: 1}}",
        "- {{id: a, prompt: x, {key}: 1}}",
        "- {{id: a, loop: {{prompt: p, until: u, max_iterations: 1, {key}: 1}}}}",
    ],
)
def test_a_typo_must_not_change_what_runs(key: str, meant: str, place: str) -> None:
    """A key near one that governs control flow is an error, wherever it stands, and says what it would change."""
    problem = only(load(place.format(key=key)))
    assert problem.code == "unknown-field"
    assert problem.hint == f"did you mean '{meant}'?\nit would change what runs: {CONTROL_FLOW[meant]}"


@pytest.mark.parametrize("key", ["utils", "wish", "color", "temperature", "x-note", "retries_", "tmeoutss"])
def test_other_unknown_keys_are_warnings(key: str) -> None:
    """Further away, and two edits off in a word under six letters, an unknown key is only a warning."""
    loaded = load(f"- {{id: a, bash: x, {key}: 1}}")
    assert only(loaded, "warning").code == "unknown-field"
    assert loaded.workflow is not None


def test_a_known_key_in_the_wrong_place_says_where_it_belongs() -> None:
    loaded = load("- {id: a, bash: x, max_iterations: 3, runtime: bun, fail_fast: true, prompts: 1}")
    assert [(problem.severity, problem.hint.split("\n")[0]) for problem in loaded.problems] == [
        ("error", "it belongs below 'loop'"),
        ("warning", "it belongs to script nodes"),
        ("error", "it belongs to the workflow itself, or below 'fan_out'"),
        ("warning", "did you mean 'prompt'?"),
    ]


@pytest.mark.parametrize("key", sorted({*CONTROL_FLOW, *EFFECTS} - ROOT_FIELDS))
def test_a_field_of_nodes_at_the_top_is_an_error(key: str) -> None:
    """Where it stands it governs nothing, and its author believes that it does."""
    loaded = load("- {id: a, bash: x}", root=f"{key}: 1")
    assert (only(loaded).code, only(loaded).path) == ("unknown-field", key)
    assert only(loaded).hint.startswith("it belongs ")


def test_unknown_keys_of_an_agent_node_are_handed_to_the_agent() -> None:
    """With a warning all the same, untouched, beside the options that the language names."""
    agent = node("- {id: a, prompt: x, temperature: {deep: [1]}, allowed_tools: []}", root="model: small\ntoplevel: 1")
    assert agent.options == {"model": "small", "allowed_tools": [], "temperature": {"deep": [1]}}


def test_a_key_of_another_part_is_unknown_in_this_one() -> None:
    """Whatever its name is elsewhere; the rest of the node is read."""
    loaded = load("- {id: a, approval: {message: m, prompt: x, label: y}}")
    assert codes(loaded, "warning") == ["unknown-field", "unknown-field"]
    assert loaded.workflow is not None


def test_unknown_keys_inside_of_parts() -> None:
    """Keys of retry, loop, approval, decisions and inputs are checked too, and the rest of the node is still read."""
    loaded = load(
        """
      - {id: a, bash: x, retry: {max_attempts: 1, jitter: 1}}
      - {id: b, approval: {message: m, colour: red, decisions: [{id: approve, text: x}]}}
      - {id: c, approval: {message: m, on_reject: {prompt: p, tries: 1}}}
    """,
        root="inputs: {x: {require: true}}",
    )
    assert [(p.path, p.severity) for p in loaded.problems] == [
        ("inputs.x.require", "warning"),
        ("nodes[0].retry.jitter", "warning"),
        ("nodes[1].approval.colour", "warning"),
        ("nodes[1].approval.decisions[0].text", "warning"),
        ("nodes[2].approval.on_reject.tries", "warning"),
    ]
    assert loaded.workflow is not None
    assert loaded.problems[0].hint == "did you mean 'required'?"


# Fields for others


def test_fields_for_an_agent_on_a_node_without_one_are_warnings() -> None:
    loaded = load("- {id: a, bash: x, model: small, idle_timeout: 5m, allowed_tools: [], context: fresh}")
    assert codes(loaded) == ["agent-field-ignored"] * 4
    assert codes(load("- {id: a, cancel: x, output_format: {type: string}}")) == ["agent-field-ignored"]
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[0].options == {}


@pytest.mark.parametrize("field", sorted(NO_EFFECT))
def test_fields_without_effect_are_one_warning_each(field: str) -> None:
    """Archon's own business is accepted wherever it stands, told once for the file, and not handed on."""
    loaded = load(f"- {{id: a, bash: x, {field}: 1}}\n- {{id: b, prompt: x, {field}: 1}}", root=f"{field}: {{a: 1}}")
    assert codes(loaded) == ["no-effect"]
    assert loaded.problems[0].path == field
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[1].options == {}


def test_evidence_that_is_not_required_is_nothing() -> None:
    assert load("- {id: a, bash: x}", root="evidence_policy: {required: false}").problems == ()


# The JSON Schema


def test_the_json_schema_is_one_and_knows_the_full_format() -> None:
    """The exported schema is valid, accepts every field and is plain JSON."""
    schema = workflow_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(read_yaml(FULL.replace("  free:\n", "")).value, schema)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    "node",
    [
        "wait: 30m",
        "wait: 30000",
        "wait: {event: x}",
        "wait: {check: x, every: 2m, deadline: 1d}",
        "bash: x, allow_failure: true",
        "bash: x, allow_failure: false",
        "bash: x, allow_failure: {codes: [timeout]}",
        "bash: x}\nfinally:\n- {id: b, bash: x",
    ],
)
def test_the_json_schema_accepts_the_short_forms(node: str) -> None:
    text = f"{HEAD}nodes:\n- {{id: a, {node}}}\n"
    assert parse_workflow(text).workflow is not None
    jsonschema.validate(read_yaml(text).value, workflow_json_schema())


@pytest.mark.parametrize(
    "nodes",
    [
        "- {id: a}",
        "- {id: a, wait: {}}",
        "- {id: a, wait: soon}",
        "- {id: a, wait: {event: x, duration: 5m}}",
        "- {id: a, bash: x, allow_failure: {}}",
        "- {id: a, bash: x, allow_failure: {exit_status: [0]}}",
        "- {id: a, bash: x}\nfinally:\n- {id: b, cancel: x}",
        "- {id: a, prompt: x, bash: y}",
        "- {id: 1st, bash: x}",
        "- {id: INPUTS, bash: x}",
        "- {id: a, bash: x, timeout: soon}",
        "- {id: a, bash: x, timeout: 0}",
        "- {id: a, script: x}",
        "- {id: a, loop: {prompt: x, until: y}}",
        "- {id: a, bash: x, trigger_rule: sometimes}",
    ],
)
def test_the_json_schema_refuses_what_the_loader_refuses(nodes: str) -> None:
    """An editor underlines what would not load."""
    text = f"{HEAD}nodes:\n{nodes}\n"
    assert parse_workflow(text).errors
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(read_yaml(text).value, workflow_json_schema())


# Any value anywhere


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, the inner ones too."""
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from paths(inner, (*path, key))


def replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    result = deepcopy(value)
    at = result
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = new
    return result


FULL_VALUE = read_yaml(FULL).value
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab $.{}'\"\\/\n{output}INPUTS-é", max_size=12)
    | st.sampled_from(
        ["$fetch.output", "$nothing.output.x", "fetch", "work", "5m", "fresh", "{", "$ref", "#/x", "../x"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "prompt", "bash", "from", "resume", "required", "type", "properties", "$ref", "when", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@given(st.sampled_from(list(paths(FULL_VALUE))), anything)
def test_any_value_at_any_key_gives_placed_problems(path: tuple[str | int, ...], value: Any) -> None:
    """Whatever stands at whichever key: it loads, or it has placed problems; never a traceback."""
    text = json.dumps(replaced(FULL_VALUE, path, value), indent=1, ensure_ascii=False)
    loaded = parse_workflow(text, file="f.yaml")
    assert (loaded.workflow is None) == bool(loaded.errors)
    lines = text.count("\n") + 1
    for problem in loaded.problems:
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert problem.message
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", problem.code)


@given(st.sampled_from(list(paths(FULL_VALUE))), st.sampled_from([None, True, -1, 2.5, "x", [], ["x"], {}, {"x": 1}]))
def test_a_value_of_another_type_keeps_its_own_problem(path: tuple[str | int, ...], value: Any) -> None:
    """A wrong type is told at its own path or above or below it, not somewhere else."""
    before = {problem.path for problem in parse_workflow(json.dumps(FULL_VALUE)).problems}
    loaded = parse_workflow(json.dumps(replaced(FULL_VALUE, path, value), indent=1))
    told = [p for p in loaded.problems if p.code == "wrong-type" and p.path not in before]
    from ion.language.problems import path_text

    assert all(problem.path.startswith(path_text(path)) for problem in told)
