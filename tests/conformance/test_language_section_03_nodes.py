"""language.md §3, §3.1, §3.2, §5.2: nodes, the order they go in, values handed over by name."""

from __future__ import annotations

import pytest

import ion
from conformance.kit import Clock, World, agent, codes, error, output, problems, statuses
from ion import AgentError
from ion.core import events as e


@pytest.mark.parametrize("name", ["1st", "a.b", "a b", "INPUTS", "LOOP_PREV"])
def test_ids_can_be_referred_to(name: str) -> None:
    """Letters, digits, `_` and `-`, beginning with a letter or `_`; two names are taken."""
    (problem,) = problems(f"nodes: [{{id: {name}, bash: echo}}]\n")
    assert (problem.path, problem.code) == ("nodes[0].id", "bad-id")


def test_a_commands_text_is_the_prompt_without_its_front_matter(world: World) -> None:
    """The front matter need not be valid YAML; references in the text are filled in."""
    world.file(".ion/commands/greet.md", "---\ndescription: [not: valid\n---\nGreet $ARGUMENTS.\n\n---\n\nBe brief.\n")
    answering = agent()
    run = world.run(world.write("nodes: [{id: a, command: greet}]\n"), arguments="Ana", agent=answering)
    assert run.status == "completed"
    assert answering.prompts("a")[0].strip() == "Greet Ana.\n\n---\n\nBe brief."


def test_a_missing_command_or_script_file_is_an_error_that_says_where_it_was_looked_for(world: World) -> None:
    """`missing-file`, and no run begins."""
    file = world.write("nodes: [{id: a, command: greet}, {id: b, script: compute, runtime: python}]\n")
    found = ion.validate(file, project=world.project)
    assert [problem.code for problem in found] == ["missing-file", "missing-file"]
    assert all("commands" in found[0].hint and "scripts" in found[1].hint for _ in found)
    with pytest.raises(ion.errors.InvalidWorkflowError):
        world.run(file, agent=agent())


def test_a_script_is_code_or_a_name(world: World) -> None:
    """Code if it has a newline or one of the characters of code, else a file in a `scripts` folder."""
    world.file(".ion/scripts/compute.py", "import helper\nprint(helper.VALUE)\n")
    world.file(".ion/scripts/helper.py", "VALUE = 42\n")
    run = world.run(
        world.write("""
            nodes:
              - {id: named, script: compute, runtime: python}
              - {id: code, script: print(6*7), runtime: python}
            """)
    )
    assert (output(run, "named"), output(run, "code")) == ("42", "42")


def test_a_scripts_runtime_is_required() -> None:
    """And one of four."""
    assert codes("nodes: [{id: a, script: print(1)}]\n") == ["missing-field"]
    assert codes("nodes: [{id: a, script: print(1), runtime: perl}]\n") == ["bad-value"]


@pytest.mark.parametrize(
    ("written", "milliseconds"), [("1500", 1500), ("90s", 90_000), ("5m", 300_000), ("2h", 7_200_000), ("250ms", 250)]
)
def test_times_are_milliseconds_or_text(world: World, written: str, milliseconds: int) -> None:
    """A number is milliseconds; text has its unit."""
    assert world.load(f"nodes: [{{id: a, bash: echo, timeout: {written}}}]\n").nodes[0].timeout_ms == milliseconds


@pytest.mark.parametrize("written", ["0", "-5", "5 parsecs", "true", "null"])
def test_times_that_are_none_are_errors(written: str) -> None:
    """Placed at the field."""
    assert problems(f"nodes: [{{id: a, bash: echo, timeout: {written}}}]\n")[0].path == "nodes[0].timeout"


def test_default_times(world: World) -> None:
    """120 s for bash and script, none for agents, who may be silent for 30 minutes."""
    nodes = world.load("""
        nodes:
          - {id: a, bash: echo}
          - {id: b, script: print(1), runtime: python}
          - {id: c, prompt: hi}
        """).by_id
    assert [nodes[name].timeout_ms for name in "abc"] == [120_000, 120_000, None]
    assert [nodes[name].idle_timeout_ms for name in "abc"] == [None, None, 1_800_000]


def test_a_number_below_1000_is_warned_of(world: World) -> None:
    """People mean seconds."""
    (problem,) = ion.validate(world.write("nodes: [{id: a, bash: echo, timeout: 30}]\n"), project=world.project)
    assert (problem.code, problem.severity) == ("short-timeout", "warning")
    assert "30s" in problem.hint


# ---------------------------------------------------------------------- order


def test_a_node_starts_the_moment_its_last_dependency_has_settled(world: World) -> None:
    """No node waits for the other chain: in each, one ends only when a later one of the other has begun."""
    run = world.run("""
        max_concurrency: 8
        nodes:
          - {id: a0, bash: 'until [ -e b1 ]; do sleep 0.01; done', timeout: 20s}
          - {id: a1, bash: touch a1, depends_on: [a0]}
          - {id: a2, bash: 'until [ -e b3 ]; do sleep 0.01; done', timeout: 20s, depends_on: [a1]}
          - {id: b0, bash: "true"}
          - {id: b1, bash: touch b1, depends_on: [b0]}
          - {id: b2, bash: 'until [ -e a1 ]; do sleep 0.01; done', timeout: 20s, depends_on: [b1]}
          - {id: b3, bash: touch b3, depends_on: [b2]}
        """)
    assert run.status == "completed"


def test_among_ready_nodes_file_order_decides(world: World) -> None:
    """With one slot, everything that is ready goes in the order of the file."""
    answering = agent()
    world.run(
        """
        max_concurrency: 1
        nodes:
          - {id: d, prompt: hi, depends_on: [b]}
          - {id: c, prompt: hi}
          - {id: b, prompt: hi}
          - {id: a, prompt: hi}
        """,
        agent=answering,
    )
    assert [request.node for request in answering.requests] == ["c", "b", "d", "a"]


@pytest.mark.parametrize(
    "use",
    [
        "bash: echo $a.output",
        "prompt: see $a.output",
        "bash: echo, when: $a.output == 'value'",
        "bash: 'echo $X', env: {X: $a.output}",
        "bash: 'echo $INPUTS.x', with: {x: $a.output}",
        "approval: {message: $a.output}",
        "cancel: because $a.output",
        "loop: {prompt: $a.output, until: X, max_iterations: 1}",
        "loop: {prompt: go, until_bash: 'test $a.output', max_iterations: 1}",
    ],
)
def test_a_reference_is_an_ordering_edge_with_a_warning(world: World, use: str) -> None:
    """The node waits for what its texts name, wherever, although it does not depend on it."""
    text = f"nodes:\n  - {{id: b, {use}}}\n  - {{id: a, bash: sleep 0.05; echo value}}\n"
    (problem,) = ion.validate(world.write(text), project=world.project)
    assert (problem.code, problem.severity) == ("order-by-reference", "warning")
    assert world.load(text).by_id["b"].order == ("a",)
    run = world.run(text, agent=agent(b="X"))
    first = next(event.node for event in world.log(run, e.NodeEvent) if event.type != "node_started")
    assert first == "a"


@pytest.mark.parametrize(("a", "b"), [("bash: exit 1", "failed"), ("bash: echo, when: $INPUTS.x == 'no'", "completed")])
def test_an_ordering_edge_takes_no_part_in_the_trigger_rule(world: World, a: str, b: str) -> None:
    """b starts whatever became of a; the output of a failed node then cannot be read, that of a skipped one is ''."""
    run = world.run(f"""
        inputs: {{x: {{default: yes}}}}
        nodes:
          - {{id: a, {a}}}
          - {{id: b, bash: 'echo "<$a.output>"'}}
        """)
    assert statuses(run)["b"] == b
    if b == "completed":
        assert output(run, "b") == "<>"


def test_a_cycle_through_references_is_an_error_that_names_its_nodes_in_order() -> None:
    """Edges of both kinds count."""
    (problem,) = [
        found
        for found in problems("""
            nodes:
              - {id: a, bash: echo $c.output}
              - {id: b, bash: echo, depends_on: [a]}
              - {id: c, prompt: see $b.output}
            """)
        if found.severity == "error"
    ]
    assert problem.code == "dependency-cycle"
    assert "a → c → b → a" in problem.message


def test_a_reference_of_a_node_to_itself_is_empty_with_a_warning(world: World) -> None:
    """It does not make an edge."""
    text = "nodes: [{id: a, bash: 'echo \"<$a.output>\"'}]\n"
    (problem,) = ion.validate(world.write(text), project=world.project)
    assert (problem.code, problem.severity) == ("self-reference", "warning")
    assert output(world.run(text), "a") == "<>"


@pytest.mark.parametrize("waits", ["approval: {message: 'Go?'}", "prompt: hi"])
def test_who_waits_for_a_person_or_the_host_holds_no_slot(world: World, waits: str) -> None:
    """The only slot goes to the next node."""
    run = world.run(
        f"max_concurrency: 1\nnodes: [{{id: a, {waits}}}, {{id: b, bash: echo b}}, {{id: c, bash: echo c}}]\n"
    )
    assert statuses(run) == {"a": "waiting", "b": "completed", "c": "completed"}
    assert run.status == "paused"


TIMES_OUT = """
    nodes:
      - {id: other, bash: echo fine}
      - {id: slow, bash: 'echo once >> tries; echo thinking >&2; sleep 60', timeout: 50ms, on_timeout: skip%s}
      - {id: after, depends_on: [slow, other], trigger_rule: none_failed_min_one_success, bash: 'echo "[$slow.output]"'}
      - {id: strict, depends_on: [slow], bash: echo never}
"""


def test_a_timeout_that_skips_is_no_failure(world: World) -> None:
    """`on_timeout: skip`: the reason is `timeout`, the output is empty, the run completes; a resume is not needed."""
    run = world.run(TIMES_OUT % "")
    assert (run.status, output(run, "after")) == ("completed", "[]")
    slow, strict = run.data["nodes"]["slow"], run.data["nodes"]["strict"]
    assert (slow["status"], slow["reason"], slow["error"], slow["attempts"]) == ("skipped", "timeout", None, 1)
    assert (strict["status"], strict["reason"]) == ("skipped", "trigger_rule")
    (skipped,) = world.log(run, e.NodeSkipped, "slow")
    assert skipped.detail == "bash timed out after 50 ms: thinking"


def test_a_timeout_is_tried_again_before_it_skips(world: World, hurry: Clock) -> None:
    """`retry` is for all attempts, `on_timeout` for what comes of them."""
    run = world.run(TIMES_OUT % ", retry: {max_attempts: 1}")
    assert (run.status, run.data["nodes"]["slow"]["reason"]) == ("completed", "timeout")
    assert (world.project / "tries").read_text() == "once\nonce\n"


@pytest.mark.parametrize(
    ("node", "status", "reason"),
    [
        ("bash: exit 3, on_timeout: skip", "failed", None),
        ("bash: sleep 60, timeout: 50ms, on_timeout: fail", "failed", None),
        (
            "script: 'import time; time.sleep(60)', runtime: python, timeout: 50ms, on_timeout: skip",
            "skipped",
            "timeout",
        ),
    ],
)
def test_only_a_timeout_skips_and_only_where_it_is_asked_for(
    world: World, node: str, status: str, reason: str | None
) -> None:
    """In scripts as in bash."""
    run = world.run(f"nodes: [{{id: ok, bash: echo}}, {{id: a, {node}}}]\n")
    assert (run.data["nodes"]["a"]["status"], run.data["nodes"]["a"]["reason"]) == (status, reason)
    assert run.status == ("failed" if status == "failed" else "completed")


def test_a_node_that_a_timeout_skipped_is_decided_anew_by_a_resume(world: World) -> None:
    """As all that was skipped."""
    text = """
        nodes:
          - {id: slow, bash: '[ -e quick ] || sleep 60', timeout: 300ms, on_timeout: skip}
          - {id: b, bash: '[ -e quick ]'}
    """
    run = world.run(text)
    assert statuses(run) == {"slow": "skipped", "b": "failed"}
    (world.project / "quick").touch()
    assert statuses(world.resume(run)) == {"slow": "completed", "b": "completed"}


def test_who_waits_for_the_next_attempt_holds_no_slot(world: World, hurry: Clock) -> None:
    """Others run during the delay of a retry."""
    answering = agent(a=[AgentError("crashed", "once"), "fine"])
    world.run(
        """
        max_concurrency: 1
        nodes:
          - {id: a, prompt: hi, retry: {max_attempts: 1, delay_ms: 60000}}
          - {id: b, prompt: hi}
          - {id: c, prompt: hi}
        """,
        agent=answering,
    )
    assert [request.node for request in answering.requests] == ["a", "b", "c", "a"]


def test_the_trigger_rule_comes_before_the_condition(world: World) -> None:
    """What the rule skips is not judged: its condition could not even be read."""
    run = world.run("""
        nodes:
          - {id: a, bash: exit 1}
          - {id: b, bash: echo, depends_on: [a], when: $a.output.f == 'x'}
        """)
    assert (statuses(run)["b"], run.data["nodes"]["b"]["reason"]) == ("skipped", "upstream_failed")


# ---------------------------------------------------------------------- values by name


def test_with_hands_values_over_by_name_and_keeps_their_type(world: World) -> None:
    """A whole reference keeps its JSON type; other text is a template; both as `$INPUTS.name` and as a variable."""
    answering = agent()
    world.file(".ion/commands/use.md", "count $INPUTS.count of $INPUTS.items, $INPUTS.text")
    run = world.run(
        world.write("""
            nodes:
              - id: a
                bash: echo '{"count":3,"items":["x","y"],"ok":true}'
              - id: shell
                depends_on: [a]
                with: {ok: $a.output.ok, text: "got $a.output.count", fixed: [1, {two: null}]}
                bash: 'echo "$INPUTS.ok|$INPUTS_TEXT|$INPUTS.fixed"'
              - id: code
                depends_on: [a]
                with: {items: $a.output.items}
                runtime: python
                script: |
                  import json, os
                  print(len(json.loads(os.environ["INPUTS_ITEMS"])))
              - id: ask
                depends_on: [a]
                command: use
                with: {count: $a.output.count, items: $a.output.items, text: "it's $$"}
            """),
        agent=answering,
    )
    assert output(run, "shell") == 'true|got 3|[1,{"two":null}]'
    assert output(run, "code") == "2"
    assert answering.prompts("ask") == ['count 3 of ["x","y"], it\'s $$']


def test_with_covers_a_skipped_producer(world: World) -> None:
    """`if_skipped` replaces a field of a node that did not run, which could not be read."""
    run = world.run("""
        inputs: {x: {default: no}}
        nodes:
          - {id: a, bash: "echo '{\\"f\\":1}'", when: $INPUTS.x == 'yes'}
          - id: b
            depends_on: [a]
            trigger_rule: all_done
            with: {f: {from: $a.output.f, if_skipped: none}}
            bash: echo $INPUTS.f
          - {id: c, depends_on: [a], trigger_rule: all_done, with: {f: $a.output.f}, bash: echo $INPUTS.f}
        """)
    assert output(run, "b") == "none"
    assert "was skipped" in error(run, "c")


def test_node_references_are_spliced_into_inline_code_with_a_warning(world: World) -> None:
    """As Archon does; the warning names `with:`."""
    text = """
        nodes:
          - {id: a, bash: echo 41}
          - {id: b, depends_on: [a], runtime: python, script: "print($a.output + 1)"}
        """
    (problem,) = ion.validate(world.write(text), project=world.project)
    assert (problem.code, problem.severity) == ("reference-in-script", "warning")
    assert "with:" in problem.hint
    assert output(world.run(text), "b") == "42"


def test_a_value_that_no_environment_can_carry_comes_as_a_file(world: World) -> None:
    """Over 128 KiB: `<NAME>_FILE` holds its path and `<NAME>` is unset."""
    run = world.run("""
        nodes:
          - {id: a, bash: "head -c 200000 /dev/zero | tr '\\\\0' x"}
          - id: b
            depends_on: [a]
            with: {big: $a.output}
            runtime: python
            script: |
              import os, pathlib
              print("INPUTS_BIG" in os.environ, len(pathlib.Path(os.environ["INPUTS_BIG_FILE"]).read_text()))
        """)
    assert output(run, "b") == "False 200000"
