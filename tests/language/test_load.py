"""From a file to a workflow: what each kind becomes, defaults, rules between fields, sizes, and Archon's shape of
files. What references do is in test_check.py, files beside the workflow in test_resources.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import HEAD, codes, good, load, marked, node, only, shown

from ion.language.library import Loaded
from ion.language.load import load_workflow, parse_workflow
from ion.language.workflow import (
    Approval,
    Bash,
    Binding,
    Cancel,
    Command,
    Decision,
    Input,
    Loop,
    OnReject,
    Prompt,
    Retry,
    Script,
    Workflow,
)
from work import assert_linear

# What Archon's own files look like: every one of the seven kinds, joins, structured output, gates.
ARCHON_STYLE = [
    """
    name: classify-and-fix
    description: |
      Use when: somebody wants an issue fixed.
      Does: fetches, classifies, fixes - and says so.
    provider: claude
    model: sonnet
    interactive: true
    worktree:
      enabled: false   # live checkout
    mutates_checkout: false
    nodes:
      # Layer 0
      - id: fetch-issue
        bash: |
          gh issue view "$ARGUMENTS" --json title,body \\
            | jq '{t: .title}'
        timeout: 30000
      - id: classify
        prompt: |
          Classify this:

          $fetch-issue.output
        depends_on: [ fetch-issue ]
        allowed_tools: []
        context: fresh
        output_format:
          type: object
          properties:
            type: {type: string, enum: [bug, feature]}
          required: [type]
      - id: investigate
        command: investigate-issue
        depends_on: [classify]
        when: "$classify.output.type == 'bug'"
        context: fresh
      - id: plan
        command: create-plan
        depends_on: [classify]
        when: "$classify.output.type != 'bug' && $classify.type != ''"
        idle_timeout: 600000
      - id: bridge
        script: |
          import os
          print(os.environ["ARTIFACTS_DIR"])
        runtime: uv
        deps: ["httpx"]
        depends_on: [investigate, plan]
        trigger_rule: one_success
      - id: implement
        loop:
          prompt: |
            Go on. Answer: $LOOP_USER_INPUT
          until: COMPLETE
          max_iterations: 15
          fresh_context: true
          interactive: true
          gate_message: Review the plan.
          until_bash: '[ -f "$ARTIFACTS_DIR/done" ]'
        depends_on: [bridge]
        idle_timeout: 3600000
        hooks:
          PreToolUse:
            - matcher: Write|Edit
              response: {hookSpecificOutput: {hookEventName: PreToolUse}}
      - id: review
        approval:
          message: "Ship it? $implement.output"
          capture_response: true
          on_reject: {prompt: "Mend: $REJECTION_REASON", max_attempts: 2}
        depends_on: [implement]
      - id: stop
        cancel: "Nothing to do for $ARGUMENTS"
        depends_on: [classify]
        when: "$classify.output.type == 'none'"
    """,
    """
    name: e2e-joins
    description: 'joins'
    nodes:
      - id: a
        bash: "echo '{\\"status\\":\\"ok\\",\\"value\\":42}'"
      - id: b
        bash: "echo 'got: $a.output'"
        depends_on: [a]
        when: "$a.output.value > 40"
      - id: c
        bash: |
          fail=0
          x=$a.output
          case "$x" in "'"*"'") fail=1 ;; esac
          for f in $a.output; do echo "$f"; done
          cat <<EOF
          $b.output
          EOF
          exit $fail
        depends_on: [a, b]
        trigger_rule: all_done
        always_run: true
      - id: d
        script: "const x = 1; console.log(x)"
        runtime: bun
        depends_on: [c]
        retry: {max_attempts: 2, on_error: all}
    """,
]


@pytest.mark.parametrize("text", ARCHON_STYLE, ids=["fix", "joins"])
def test_files_in_the_style_of_archon_load_without_errors(text: str) -> None:
    """The portable core loads unchanged; Archon's own fields are warnings."""
    loaded = parse_workflow(dedent(text))
    assert loaded.workflow is not None, shown(loaded)
    assert set(codes(loaded)) <= {"no-effect", "any-of-several"}


# What each kind becomes


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("- {id: a, command: review}", Command("review")),
        ("- {id: a, prompt: '  Do it.\\n '}", Prompt("Do it.\\n")),
        ("- {id: a, cancel: ' enough '}", Cancel("enough")),
        ("- {id: a, script: ' echo-args ', runtime: bun}", Script("bun", name="echo-args")),
        (
            "- {id: a, script: 'print(1)', runtime: uv, deps: [rich, x]}",
            Script("uv", code="print(1)", deps=("rich", "x")),
        ),
        ("- {id: a, approval: {message: ' Ship? '}}", Approval(" Ship? ")),
        (
            "- {id: a, approval: {message: m, capture_response: true, on_reject: {prompt: p}}}",
            Approval("m", True, OnReject("p", 3)),
        ),
        (
            "- {id: a, approval: {message: m, decisions: [{id: approve, label: Yes}, {id: send-back}]}}",
            Approval("m", decisions=(Decision("approve", "Yes"), Decision("send-back"))),
        ),
        ("- {id: a, loop: {prompt: ' p ', until: ' D ', max_iterations: 2}}", Loop(2, prompt=" p ", until=" D ")),
        (
            "- {id: a, loop: {command: c, until: D, max_iterations: 2, interactive: true, gate_message: g}}",
            Loop(2, command="c", until="D", interactive=True, gate_message="g"),
        ),
    ],
)
def test_the_body_of_each_kind(text: str, body: object) -> None:
    """Texts of prompt, bash, script and cancel are trimmed as Archon does; those of loops and approvals are not."""
    assert node(text.replace("\\\\n", "\\n")).body == body


def test_shell_text_is_placed() -> None:
    """bash and until_bash come with the places of their references, in the trimmed text."""
    body = (
        good("""
      - {id: a, bash: echo}
      - id: b
        bash: |2

            echo $a.output
        depends_on: [a]
    """)
        .nodes[1]
        .body
    )
    assert isinstance(body, Bash)
    assert body.shell.text == "echo $a.output"
    assert [(p.start, p.end) for p in body.shell.placements] == [(5, 14)]
    loop = node("- {id: a, loop: {prompt: p, until_bash: ' test -f x ', max_iterations: 1}}").body
    assert isinstance(loop, Loop)
    assert loop.until_bash is not None
    assert loop.until_bash.text == " test -f x "


@pytest.mark.parametrize(
    ("script", "is_code"),
    [("echo-args", False), ("echo_args2", False), ("a b", True), ("f()", True), ("a;b", True), ("a\nb", True)]
    + [(f"a{character}b", True) for character in ";(){}&|<>$`\"' \n"]
    + [(f"a{character}b", False) for character in "-_:,+=!?#%@é"],
)
def test_an_inline_script_and_the_name_of_one(script: str, is_code: bool) -> None:
    """Code has a newline or one of the characters that language.md lists; everything else is a name."""
    quoted = script.replace('"', '\\"').replace("\n", "\\n")
    body = node(f'- {{id: a, script: "{quoted}", runtime: bun}}').body
    assert isinstance(body, Script)
    assert (body.code is not None) == is_code
    assert (body.code or body.name) == script


# Defaults


def test_defaults_of_a_process() -> None:
    """bash and scripts: 120 seconds, no idle limit, no agent."""
    bash = node("- {id: a, bash: x}", root="agent: claude\nmodel: small")
    assert (bash.timeout_ms, bash.idle_timeout_ms, bash.agent, bash.options) == (120_000, None, None, {})
    assert (bash.trigger_rule, bash.retry, bash.always_run, bash.depends_on) == ("all_success", None, False, ())
    assert node("- {id: a, script: x y, runtime: uv, timeout: 5s}").timeout_ms == 5000


def test_defaults_of_an_agent() -> None:
    """Agents: no time limit, half an hour of silence, and the options of the workflow below their own."""
    root = "agent: claude\nmodel: small\nallowed_tools: [Read]\nhooks: {a: 1}\nbetas: [x]"
    agent = node("- {id: a, prompt: x, model: large, allowed_tools: [], agent: codex}", root=root)
    assert (agent.timeout_ms, agent.idle_timeout_ms, agent.agent) == (None, 1_800_000, "codex")
    assert agent.options == {"model": "large", "allowed_tools": [], "hooks": {"a": 1}, "betas": ["x"]}
    loop = node("- {id: a, loop: {prompt: x, until: D, max_iterations: 1}, timeout: 1h, idle_timeout: 2m}", root=root)
    assert (loop.timeout_ms, loop.idle_timeout_ms, loop.agent) == (3_600_000, 120_000, "claude")


def test_an_approval_with_rework_has_the_workflows_agent() -> None:
    """The prompt of `on_reject` is answered by the workflow's agent with its options; a plain approval has none."""
    rework = node("- {id: a, approval: {message: m, on_reject: {prompt: p}}}", root="agent: claude\nmodel: small")
    assert (rework.agent, rework.options, rework.idle_timeout_ms) == ("claude", {"model": "small"}, 1_800_000)
    plain = node("- {id: a, approval: {message: m}}", root="agent: claude\nmodel: small")
    assert (plain.agent, plain.options, plain.idle_timeout_ms) == (None, {}, None)


def test_the_fields_of_a_node() -> None:
    both = good("""
      - {id: a, bash: x}
      - id: b
        bash: x
        description: why
        depends_on: [a, a]
        trigger_rule: all_done
        retry: {max_attempts: 2, delay_ms: 5s}
        always_run: true
        env: {PORT: 8080, RATIO: 1.0, ON: true, TEXT: "08"}
        with: {x: $a.output, y: {deep: [1]}, z: {from: $a.output.f, if_skipped: null}}
    """)
    b = both.nodes[1]
    assert (b.description, b.depends_on, b.trigger_rule, b.always_run) == ("why", ("a",), "all_done", True)
    assert b.retry == Retry(2, 5000, "transient")
    assert b.env == {"PORT": "8080", "RATIO": "1.0", "ON": "true", "TEXT": "08"}
    assert b.bindings == {
        "x": Binding("$a.output"),
        "y": Binding({"deep": [1]}),
        "z": Binding("$a.output.f", True, None),
    }


def test_the_fields_of_a_workflow() -> None:
    root = """
      inputs:
        topic: {required: true, description: what, type: string}
        mode: {default: fast, enum: [fast, slow]}
        none: {default: null}
        free:
      returns: a
      tags: [" x ", y, x, ""]
      max_concurrency: 3
      timeout: 1h
      fail_fast: true
      workspace: git
      env: {A: 1}
      secrets: [TOKEN, TOKEN]
    """
    workflow = good("- {id: a, bash: x}", root=root)
    assert (workflow.name, workflow.description, workflow.returns) == ("demo", "A demonstration", "a")
    assert workflow.inputs == (
        Input("topic", required=True, description="what", type="string"),
        Input("mode", has_default=True, default="fast", enum=("fast", "slow")),
        Input("none", has_default=True),
        Input("free"),
    )
    assert (workflow.tags, workflow.env, workflow.secrets) == (("x", "y"), {"A": "1"}, ("TOKEN",))
    assert (workflow.max_concurrency, workflow.timeout_ms, workflow.fail_fast) == (3, 3_600_000, True)
    assert (workflow.workspace, good("- {id: a, bash: x}").workspace) == ("git", "shared")


@pytest.mark.parametrize(
    ("nodes", "interactive"),
    [
        ("- {id: a, bash: x}", False),
        ("- {id: a, approval: {message: m}}", True),
        ("- {id: a, loop: {prompt: p, until: D, max_iterations: 1, interactive: true, gate_message: g}}", True),
    ],
)
def test_a_workflow_with_a_gate_is_interactive(nodes: str, interactive: bool) -> None:
    """Declared or not, without a warning."""
    loaded = load(nodes)
    assert loaded.problems == ()
    assert loaded.workflow is not None
    assert loaded.workflow.interactive == interactive


# Rules between fields


@pytest.mark.parametrize(
    ("nodes", "code", "underlined"),
    [
        ("- {id: a, loop: {prompt: p, max_iterations: 1}}", "loop-without-end", "{"),
        ("- {id: a, loop: {until: D, max_iterations: 1}}", "loop-prompt", "{"),
        ("- {id: a, loop: {prompt: p, command: c, until: D, max_iterations: 1}}", "loop-prompt", "command"),
        (
            "- {id: a, loop: {prompt: p, until: D, max_iterations: 1, interactive: true}}",
            "gate-message-missing",
            "true",
        ),
        (
            "- {id: a, loop: {prompt: p, until: D, max_iterations: 1}, retry: {max_attempts: 1}}",
            "no-effect-here",
            "retry",
        ),
        ("- {id: a, approval: {message: m}, always_run: true}", "always-run-on-approval", "always_run"),
        ("- {id: a, approval: {message: m, decisions: [{id: go}]}}", "bad-decisions", "["),
        ("- {id: a, approval: {message: m, decisions: []}}", "bad-value", "["),
        (
            "- {id: a, approval: {message: m, decisions: [{id: approve}, {id: approve}]}}",
            "bad-decisions",
            "approve",
        ),
        (
            "- {id: a, approval: {message: m, decisions: [{id: approve}], on_reject: {prompt: p}}}",
            "bad-decisions",
            "on_reject",
        ),
        ("- {id: a, approval: {message: m, decisions: [{id: approve}, {id: Go_On}]}}", "bad-id", "Go_On"),
        ("- {id: a, bash: x, with: {my-x: 1, my_x: 2}}", "input-clash", "my_x"),
        ("- {id: a, bash: x, with: {y: {from: $a.output, else: 1}}}", "bad-binding", "{"),
        ("- {id: a, bash: x, with: {y: {from: 3}}}", "bad-binding", "{"),
        ("- {id: a, bash: x, with: {y: {source: $a.output, if_skipped: 1}}}", "bad-binding", "{"),
        ("- {id: a, bash: x, with: {y: {if_skipped: 1}}}", "bad-binding", "{"),
        ("- {id: a, bash: x, with: {y: {form: $a.output}}}", "bad-binding", "form"),
        ("- {id: a, bash: x, with: {y: {From: 3, if_skiped: 1}}}", "bad-binding", "From"),
        ("- {id: a, prompt: x, output_format: {type: objekt}}", "bad-output-format", "objekt"),
        ("- {id: a, prompt: x, output_format: {pattern: '('}}", "bad-output-format", "'('"),
        ("- {id: a, prompt: x, output_format: {pattern: 'a{99999999999999999999}'}}", "bad-output-format", "{"),
        ("- {id: a, prompt: x, output_format: {$schema: [1]}}", "bad-output-format", "["),
        ("- {id: a, prompt: x, output_format: {$ref: 'https://e.org/s'}}", "bad-output-format", "'https://e.org/s'"),
        ("- {id: a, prompt: x, output_format: {items: {$ref: '#/$defs/x'}}}", "bad-output-format", "'#/$defs/x'"),
        ("- {id: a, prompt: x, output_format: {$ref: '#'}}", "bad-output-format", "'#'"),
        ("- {id: a, prompt: x, output_format: {allOf: [{}, {$ref: '#/allOf/٣'}]}}", "bad-output-format", "'#/allOf/٣'"),
        ("- {id: a, prompt: x, output_format: {allOf: [{$ref: '#/allOf/7'}]}}", "bad-output-format", "'#/allOf/7'"),
    ],
)
def test_rules_between_fields(nodes: str, code: str, underlined: str) -> None:
    """One problem each, at the field that is to be changed."""
    loaded = load(nodes)
    problem = only(loaded)
    assert problem.code == code
    assert marked(HEAD + "\nnodes:\n" + nodes, problem) == underlined


@pytest.mark.parametrize(
    "schema",
    [
        "{type: object, properties: {x: {$ref: '#/$defs/y'}}, $defs: {y: {type: string}}}",
        "{properties: {$ref: {type: string}}, enum: [{$ref: nowhere}]}",
        "{type: array, items: {$ref: '#'}}",
        "{$schema: 'http://json-schema.org/draft-07/schema#', definitions: {a~b/c: {}}, $ref: '#/definitions/a~0b~1c'}",
    ],
)
def test_schemas_that_can_be_used(schema: str) -> None:
    """References inside of the schema, also recursive ones, and drafts that name themselves."""
    assert node(f"- {{id: a, prompt: x, output_format: {schema}}}").output_format is not None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{$ref: 'http://example.org/s'}", "'http://example.org/s' is outside of this file; Ion fetches no schema"),
        ("{$dynamicRef: 'http://[x'}", "'http://[x' is outside of this file; Ion fetches no schema"),
        ("{$dynamicRef: '#x'}", "'#x' is not in this schema"),
        ("{$ref: '#anchor'}", "'#anchor' is not in this schema"),
        ("{properties: {enum: {$ref: '#/nothing'}}}", "'#/nothing' is not in this schema"),
        ("{required: [x], $ref: '#/required/0'}", "'#/required/0' is not a schema"),
        ("{$defs: {a: {$id: 'http://e/x', $ref: '#/$defs/b'}, b: {}}}", "'#/$defs/b' is not in this schema"),
        ("{$ref: '#'}", "'#' refers to itself"),
        ("{$defs: {a: {$anchor: x}, b: {$dynamicAnchor: y}}, allOf: [{$ref: '#x'}, {$dynamicRef: '#y'}]}", None),
        ("{properties: {$ref: {type: string}}, const: {$ref: 'http://example.org/s'}}", None),
    ],
)
def test_references_of_a_schema_stay_inside(schema: str, said: str | None) -> None:
    loaded = load(f"- {{id: a, prompt: x, output_format: {schema}}}")
    assert [problem.message for problem in loaded.problems] == ([] if said is None else [said])


def test_a_long_chain_of_references_is_walked_once() -> None:
    """Definitions that each refer to the next cost no more than their number, and nothing recurses."""

    def file(length: int) -> str:
        chain = ", ".join(f"d{n}: {{$ref: '#/$defs/d{n + 1}'}}" for n in range(length))
        return f"- {{id: a, prompt: x, output_format: {{$ref: '#/$defs/d0', $defs: {{{chain}, d{length}: {{}}}}}}}}"

    assert_linear(node, file, 50)
    assert node(file(2_000))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("", "needs an output_format"),
        ("{type: object}", "has no property 'done'"),
        ("{properties: {dine: {type: boolean}}, required: [dine]}", "has no property 'done'"),
        ("{properties: {done: {type: boolean}}}", "does not require 'done'"),
        ("{properties: {done: {type: string}}, required: [done]}", "is not a boolean"),
        ("{properties: {done: {}}, required: [done]}", None),
    ],
)
def test_until_field_is_a_required_boolean(schema: str, message: str | None) -> None:
    text = "- {id: a, loop: {prompt: p, until_field: done, max_iterations: 1}%s}"
    loaded = load(text % (f", output_format: {schema}" if schema else ""))
    if message is None:
        assert loaded.workflow is not None
    else:
        assert only(loaded).code == "bad-until-field"
        assert message in only(loaded).message


def test_signal_completes_alone_has_no_effect() -> None:
    """Archon warns of it, and so does Ion."""
    loop = "- {id: a, loop: {prompt: p, until: D, max_iterations: 1, signal_completes: true%s}}"
    assert codes(load(loop % "")) == ["no-effect"]
    assert codes(load(loop % ", interactive: true, gate_message: g")) == []


@pytest.mark.parametrize(
    ("inputs", "code", "severity"),
    [
        ("{my-x: {}, my_x: {}}", "input-clash", "error"),
        ("{a: {}, A: {}}", "input-clash", "error"),
        ("{a: {required: true, default: 1}}", "required-with-default", "warning"),
        ("{a: {default: fats, enum: [fast]}}", "bad-default", "error"),
        ("{a: {default: '3', type: integer}}", "bad-default", "error"),
        ("{a: {default: true, type: integer}}", "bad-default", "error"),
    ],
)
def test_inputs(inputs: str, code: str, severity: str) -> None:
    loaded = load("- {id: a, bash: x}", root=f"inputs: {inputs}")
    assert [(p.code, p.severity) for p in loaded.problems] == [(code, severity)]


def test_a_required_input_with_a_default_is_not_required() -> None:
    workflow = good("- {id: a, bash: x}", root="inputs: {a: {required: true, default: 1}}")
    assert not workflow.inputs[0].required


@pytest.mark.parametrize("text", ["description: y\nnodes: [{id: a, bash: x}]", "name: x\nnodes: [{id: a, bash: x}]"])
def test_a_workflow_has_a_name_and_a_description(text: str) -> None:
    assert only(parse_workflow(text)).code == "missing-field"


# Places


def test_problems_have_their_exact_places() -> None:
    """In a literal block, behind its indent, the very reference is underlined, with its path and its file."""
    text = f"{HEAD}nodes:\n  - id: a\n    prompt: |\n\n      Read\n        $nothing.output.x now\n"
    problem = only(parse_workflow(text, file="f.yaml"))
    assert (problem.file, problem.line, problem.column) == ("f.yaml", 8, 9)
    assert problem.path == "nodes[0].prompt"
    assert marked(text, problem) == "$nothing.output.x"


def test_in_folded_texts_the_place_is_that_of_the_text() -> None:
    """Where YAML folded the lines, the whole text is pointed at."""
    text = f"{HEAD}nodes:\n  - id: a\n    prompt: >\n      Read\n      $nothing.output\n"
    assert (only(parse_workflow(text)).line, only(parse_workflow(text)).column) == (5, 13)


# JSON


@pytest.mark.parametrize("text", ARCHON_STYLE)
def test_what_was_loaded_goes_to_json_and_back(text: str) -> None:
    loaded = parse_workflow(dedent(text), file="f")
    assert Loaded.from_json(loaded.to_json()) == loaded
    assert loaded.workflow is not None
    assert Workflow.from_json(loaded.workflow.to_json()) == loaded.workflow


def test_the_name_of_a_broken_file_is_known() -> None:
    """`ion list` shows a broken workflow by its name, where the file got as far as that."""
    assert parse_workflow("name: deploy\nnodes: @\n").name == "deploy"
    assert parse_workflow("name: ' x '\n").name == "x"
    assert parse_workflow("name: [x]\n").name == ""


# Sizes


def big(nodes: int) -> str:
    lines = [HEAD, "nodes:"]
    for number in range(nodes):
        lines += [f"  - id: n{number}", f"    depends_on: [n{number - 1}]" if number else "    env: {A: 1}"]
        if number % 3 == 0:
            lines.append(
                f'    bash: |\n      set -e\n      echo "$ARGUMENTS" {f"$n{number - 1}.output.x" if number else ""}'
            )
        elif number % 3 == 1:
            lines.append(f"    prompt: |\n      Look at $n{number - 1}.output\n    model: small")
        else:
            lines.append(f"    script: print(1)\n    runtime: uv\n    when: $n{number - 2}.output.ok == 'true'")
    return "\n".join(lines) + "\n"


def test_two_thousand_nodes_are_checked_in_line_with_their_number() -> None:
    assert_linear(parse_workflow, big, 30)
    loaded = parse_workflow(big(2000))
    assert loaded.workflow is not None
    assert len(loaded.workflow.nodes) == 2000


@pytest.mark.parametrize(
    ("nodes", "last"),
    [
        (lambda size: "".join(f"- {{id: n, bash: x, wrong{n}: 1}}\n" for n in range(size)), "duplicate-id"),
        (lambda size: "- id: a\n  prompt: x\n" + "".join(f"  zz{n}: 1\n" for n in range(size)), "unknown-field"),
        (
            lambda size: "- id: a\n  prompt: |\n" + "".join(f"    $n{n}.output $INPUTS.i{n}\n" for n in range(size)),
            "unknown-node",
        ),
        (
            lambda size: "".join(f"- {{id: n{n}, bash: x, depends_on: [n{(n + 1) % size}]}}\n" for n in range(size)),
            "dependency-cycle",
        ),
        (lambda size: " [" + "{}," * size + "]", "no-kind"),
    ],
    ids=["ids", "keys", "references", "ring", "empty"],
)
def test_a_file_full_of_mistakes_ends_soon(nodes: Callable[[int], str], last: str) -> None:
    """A hostile file can buy neither time nor a flood of problems."""

    def hostile(size: int) -> str:
        return f"{HEAD}nodes:\n{nodes(size)}"

    assert_linear(parse_workflow, hostile, 50)
    loaded = parse_workflow(hostile(5_000))
    assert last in codes(loaded)
    assert len(loaded.problems) <= 2001


def test_a_file_of_unknown_names_ends_soon() -> None:
    """Names that are alike are looked for until it would take long."""
    nodes = "".join(f"- {{id: n{n}, bash: x, depends_on: [m{n}]}}\n" for n in range(20_000))
    loaded = parse_workflow(f"{HEAD}nodes:\n{nodes}")
    assert "unknown-node" in codes(loaded)
    assert len(loaded.problems) <= 2001


@given(st.text(st.sampled_from("$a.output bINPUTS{}'\"\\\n`()[]|&<>é#=-"), min_size=1, max_size=40))
def test_any_text_in_any_place_is_placed_or_refused(text: str) -> None:
    """Prompts, shell, scripts, conditions, messages: whatever they say, problems have places and nothing raises."""
    import json

    quoted = json.dumps(text, ensure_ascii=False)
    loaded = load(f"""
      - {{id: a, bash: {quoted}, when: {quoted}, env: {{A: {quoted}}}, with: {{x: {{from: {quoted}}}, y: [{quoted}]}}}}
      - {{id: b, prompt: {quoted}, systemPrompt: {quoted}, agents: {{c: {{prompt: {quoted}}}}}}}
      - {{id: c, script: {quoted}, runtime: uv}}
      - {{id: d, loop: {{prompt: {quoted}, until: {quoted}, until_bash: {quoted}, max_iterations: 1}}}}
      - {{id: e, approval: {{message: {quoted}, on_reject: {{prompt: {quoted}}}}}}}
      - {{id: f, cancel: {quoted}}}
    """)
    assert all(problem.line > 0 and problem.column > 0 for problem in loaded.problems)


# Files


def test_a_file_of_the_disk(tmp_path: Path) -> None:
    """The path is in the workflow and in the problems; a byte order mark does not disturb."""
    path = tmp_path / "w.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEAD}nodes:\n- {{id: a, bash: x, model: y}}\n".encode())
    loaded = load_workflow(path, project=tmp_path)
    assert loaded.workflow is not None
    assert loaded.workflow.file == loaded.problems[0].file == str(path)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"name: \xff\n", "not-utf8"), (b"\0\0", "control-character"), (b"x" * 5_000_000, "file-too-large")],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(data)
    loaded = load_workflow(path, project=tmp_path)
    assert code in codes(loaded)
    assert loaded.problems[0].line == 1


def test_labels_of_workers() -> None:
    workflow = good("- {id: a, bash: x, runs_on: gpu}\n- {id: b, bash: x}")
    assert [node.runs_on for node in workflow.nodes] == ["gpu", None]


@pytest.mark.parametrize("label", ["GPU", "a b", "-a", "''", "a.b", "x" * 64])
def test_what_is_no_label(label: str) -> None:
    assert [problem.code for problem in load(f"- {{id: a, bash: x, runs_on: {label}}}").problems] == ["bad-name"]


def test_a_pinned_workspace_has_one_label() -> None:
    """One worker carries out all nodes."""
    mixed = "- {id: a, bash: x, runs_on: gpu}\n- {id: b, bash: x}\n- {id: c, bash: x, runs_on: gpu}"
    assert good(mixed).workspace == "shared"
    assert [(one.code, one.path) for one in load(mixed, root="workspace: pinned").problems] == [
        ("pinned-labels", "nodes[1]")
    ]
    same = good("- {id: a, bash: x, runs_on: gpu}\n- {id: b, bash: x, runs_on: gpu}", root="workspace: pinned")
    assert same.workspace == "pinned"


def test_a_mapping_that_only_resembles_a_binding_is_data() -> None:
    found = node("- {id: a, bash: x, with: {b: {form: contact}, c: {form: $INPUTS.x, size: 1}, d: {to: $INPUTS.x}}}")
    assert {name: binding.value for name, binding in found.bindings.items()} == {
        "b": {"form": "contact"},
        "c": {"form": "$INPUTS.x", "size": 1},
        "d": {"to": "$INPUTS.x"},
    }
