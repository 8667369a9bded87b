"""Archon's facts 38–58: values in texts, in bash and in scripts, and what a process gives back. What Ion changes is
tested as Ion has it (language.md §5, §6): a value is never pasted into code and never looked at again."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ion
from conformance.kit import World, agent, codes, error, output, statuses


def hand_over(world: World, value: str, bash: str, **values: Any) -> ion.RunResult:
    """A run in which the node `a` has this output and the bash node `b` uses it."""
    return world.run(
        f"""
        inputs:
          value: {{}}
        nodes:
          - id: a
            bash: printf '%s\\n' "$INPUTS.value"
          - id: b
            depends_on: [a]
            bash: {json.dumps(bash)}
        """,
        inputs={"value": value},
        **values,
    )


def asked(world: World, prompt: str, value: str = "", **values: Any) -> str:
    """The prompt that an agent gets to see, where the node `a` has this output."""
    answering = agent()
    run = world.run(
        f"""
        inputs:
          value: {{}}
        nodes:
          - id: a
            bash: printf '%s\\n' "$INPUTS.value"
          - id: ask
            depends_on: [a]
            prompt: {json.dumps(prompt)}
        """,
        inputs={"value": value},
        agent=answering,
        **values,
    )
    assert run.status == "completed", run.data
    return answering.prompts("ask")[0]


# A value that would do harm, or change, wherever it were pasted into a script.
NASTY = 'it\'s  $(touch HARM); `touch HARM` "$HOME" * \\ & | > x\n$a.output $& \\1 {x}\n'


def test_fact_38_in_a_prompt_a_value_stands_as_it_is(world: World) -> None:
    """38: no quoting in prompts."""
    assert asked(world, "Got: $a.output", "it's ok") == "Got: it's ok"


def test_fact_39_in_bash_a_quote_in_a_value_is_a_quote(world: World) -> None:
    """39: `echo $a.output` prints the value."""
    assert output(hand_over(world, "it's alive", "echo $a.output"), "b") == "it's alive"


def test_fact_40_in_bash_a_command_in_a_value_is_not_run(world: World) -> None:
    """40: command substitutions in a value are printed."""
    run = hand_over(world, "$(touch HARM); `id`", "echo $a.output")
    assert output(run, "b") == "$(touch HARM); `id`"
    assert not (world.project / "HARM").exists()


@pytest.mark.parametrize(
    ("value", "bash", "status", "said"),
    [
        ('{"count":42}', "exit $a.output.count", 42, ""),
        ('{"ok":true}', "[ $a.output.ok ]", 0, ""),
        ('{"ok":true}', "[ $a.output.ok = true ] && echo same", 0, "same"),
    ],
)
def test_fact_41_numbers_and_booleans_are_their_text_in_bash(
    world: World, value: str, bash: str, status: int, said: str
) -> None:
    """41: a number can be an exit status, a boolean an operand."""
    run = hand_over(world, value, bash)
    if status:
        assert f"[exit {status}]" in error(run, "b")
    else:
        assert output(run, "b") == said


@pytest.mark.parametrize(
    ("value", "word"),
    [('{"x":1}', '{"x":1}'), ('[ "a", "b" ]', '["a","b"]'), ("null", "null"), ('""', ""), ('"a  b"', "a  b")],
)
def test_fact_42_in_bash_every_field_is_one_word(world: World, value: str, word: str) -> None:
    """42: objects and lists as compact JSON, `null` as such, an empty text as one empty word."""
    run = hand_over(world, f'{{"f": {value}}}', "printf '<%s>' $a.output.f")
    assert output(run, "b") == f"<{word}>"


@pytest.mark.parametrize("reference", ["$unknown.output", "$unknown.output.f"])
def test_fact_43_an_unknown_node_is_an_error_of_the_file(reference: str) -> None:
    """43 [Ion]: found when the file is loaded, wherever it is named; Archon finds it at run time or not at all."""
    assert codes(f"nodes:\n  - {{id: a, bash: 'echo {reference}'}}\n") == ["unknown-node"]
    assert codes(f"nodes:\n  - {{id: a, prompt: 'see {reference}'}}\n") == ["unknown-node"]


QUOTINGS = ["$a.output", '"$a.output"', "'$a.output'"]


@pytest.mark.parametrize("written", QUOTINGS)
def test_fact_44_in_bash_a_value_is_exact_in_any_quoting(world: World, written: str) -> None:
    """44 [Ion]: bare, in double and in single quotes alike: the value, no quotes of the engine's, nothing executed."""
    run = hand_over(world, NASTY, f"printf '%s|' {written}")
    assert output(run, "b") == f"{NASTY}|"
    assert not (world.project / "HARM").exists()


def test_fact_44_a_here_document_holds_the_value_as_plain_text(world: World) -> None:
    """44 [Ion]: quoted or not."""
    for opening in ("END", "'END'"):
        run = hand_over(world, NASTY, f"cat <<{opening}\n<$a.output>\nEND\n")
        assert output(run, "b") == f"<{NASTY}>"
    assert not (world.project / "HARM").exists()


@pytest.mark.parametrize("written", QUOTINGS)
def test_fact_45_a_large_value_is_the_same_in_bash_as_a_small_one(world: World, written: str) -> None:
    """45 [Ion]: no threshold changes what a script sees; 300 KiB are handed over whole."""
    value = "line of text '\"$\n" * 18_000
    run = hand_over_large(world, value, f"printf '%s|' {written}")
    assert output(run, "b") == f"{value}|"


def hand_over_large(world: World, value: str, bash: str) -> ion.RunResult:
    world.file("large.txt", "").write_text(value + "\n")
    return world.run(f"""
        nodes:
          - id: a
            bash: cat large.txt
          - id: b
            depends_on: [a]
            bash: {json.dumps(bash)}
        """)


def test_fact_45_a_large_value_stands_whole_in_a_prompt(world: World) -> None:
    """45: prompts take values of any size inline."""
    value = "x  y\n" * 60_000
    world.file("large.txt", "").write_text(value + "\n")
    answering = agent()
    world.run(
        """
        nodes:
          - {id: a, bash: cat large.txt}
          - {id: ask, depends_on: [a], prompt: "<$a.output>"}
        """,
        agent=answering,
    )
    assert answering.prompts("ask") == [f"<{value}>"]


def test_fact_46_spaces_in_a_large_value_stay(world: World) -> None:
    """46 [Ion]: 40 KiB of `a   b` come out as they went in."""
    value = "a   b " * 7000
    assert output(hand_over_large(world, value, "echo $a.output"), "b") == value


def test_fact_47_a_field_is_read_as_far_as_the_value_is_an_object(world: World) -> None:
    """47 [Ion]: `$a.output.file.md` of an object whose `file` is text is that text with `.md`; a field of plain text
    still fails the node, and a backslash makes the reference literal."""
    assert asked(world, "see $a.output.file.md.", '{"file":"plan"}') == "see plan.md."
    assert asked(world, r"see \$a.output.md", "plan") == "see $a.output.md"
    assert asked(world, "see $a.output. Then stop.", "plan") == "see plan. Then stop."
    assert output(hand_over(world, '{"file":"plan"}', 'echo "$a.output.file.md"'), "b") == "plan.md"
    assert "the output is not JSON" in error(hand_over(world, "plan", 'echo "$a.output.md"'), "b")


def test_fact_48_a_name_ends_at_a_word_boundary(world: World) -> None:
    """48 [Ion]: `$a.outputs` is not a reference; what follows a whole one is text."""
    assert asked(world, "$a.outputs $a.output[0] $a.output-x $$a.output", "v") == "$a.outputs v[0] v-x $v"


def test_fact_49_in_bash_the_users_text_is_not_run(world: World) -> None:
    """49: `$(id)` in the arguments arrives as text, in every quoting."""
    run = world.run(
        """
        nodes:
          - id: a
            bash: printf '<%s>' $ARGUMENTS "$ARGUMENTS" '$ARGUMENTS' "$USER_MESSAGE"
        """,
        arguments="$(touch HARM)  it's `x`",
    )
    assert output(run, "a") == "<$(touch HARM)  it's `x`>" * 4
    assert not (world.project / "HARM").exists()


def test_fact_50_in_a_script_names_stay_text_and_the_environment_has_them(world: World) -> None:
    """50: a literal `$ARGUMENTS` in a script is left alone, with a warning; the environment variable is there."""
    text = """
        nodes:
          - id: a
            runtime: python
            script: |
              import os
              print("$ARGUMENTS", os.environ["ARGUMENTS"])
        """
    (warning,) = ion.validate(world.write(text), project=world.project)
    assert (warning.code, warning.severity) == ("name-in-script", "warning")
    assert "ARGUMENTS" in warning.hint
    assert output(world.run(text, arguments="it's 'me'"), "a") == "$ARGUMENTS it's 'me'"


@pytest.mark.parametrize("where", ["settings", "workflow", "node"])
def test_fact_51_nothing_can_stand_in_for_the_engines_names(world: World, where: str) -> None:
    """51: an `env` of the project, the workflow or the node cannot shadow `ARGUMENTS`."""
    env = "env: {ARGUMENTS: shadow, OTHER: seen}"
    if where == "settings":
        world.file(".ion/config.yaml", env + "\n")
    text = (env + "\n" if where == "workflow" else "") + "nodes:\n  - id: a\n    bash: echo $ARGUMENTS $OTHER\n"
    if where == "node":
        text += f"    {env}\n"
    run = world.run(text, arguments="mine")
    assert output(run, "a") == "mine seen"


def test_fact_52_names_that_are_not_the_engines_stay(world: World) -> None:
    """52 [Ion]: `$CONTEXTUAL`, `$ARGUMENTS_X` and `$FOO` are not names of Ion; a closing `_` is markdown."""
    text = "$CONTEXTUAL $CONTEXT $ARGUMENTS_X $FOO _run $ARGUMENTS_ $ARGUMENTS."
    seen = asked(world, text, arguments="args", context="ctx")
    assert seen == "$CONTEXTUAL ctx $ARGUMENTS_X $FOO _run args_ args."


def test_fact_53_the_users_text_is_verbatim(world: World) -> None:
    """53 [Ion]: one pass, so nothing in a value is a pattern or a reference."""
    text = r"a $& b $$ c $a.output $INPUTS.value \1 {x} $WORKFLOW_ID"
    assert asked(world, "<$ARGUMENTS|$a.output>", "$ARGUMENTS", arguments=text) == f"<{text}|$ARGUMENTS>"


def test_fact_54_a_default_branch_that_is_not_to_be_found_fails_the_node(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """54: outside of a git repository a node that names `$BASE_BRANCH` fails; the others never ask for it."""
    # Whatever lies above the folders of tests is not looked at.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(world.project.parent))
    run = world.run(
        """
        nodes:
          - {id: ask, prompt: "diff against $BASE_BRANCH"}
          - {id: shell, bash: 'echo "$BASE_BRANCH"'}
          - {id: other, bash: echo fine}
        """,
        agent=agent(),
    )
    assert statuses(run) == {"ask": "failed", "shell": "failed", "other": "completed"}
    assert error(run, "ask").startswith("reference: $BASE_BRANCH")


def test_fact_55_an_approvals_message_knows_every_name(world: World) -> None:
    """55 [Ion]: `$ARGUMENTS` in a gate's message is filled in like `$plan.output`."""
    run = world.run(
        """
        nodes:
          - {id: plan, bash: echo the plan}
          - {id: gate, depends_on: [plan], approval: {message: "Deploy $ARGUMENTS by $plan.output?"}}
        """,
        arguments="v2",
    )
    assert run.data["waiting"] == [{"node": "gate", "kind": "approval", "message": "Deploy v2 by the plan?"}]


@pytest.mark.parametrize(
    ("printed", "seen"), [(r"a\n\n", "a\n"), (r"a\r\n", "a\r"), ("a", "a"), (r"\n", ""), (r"  a  \n", "  a  ")]
)
def test_fact_56_output_is_stdout_less_one_newline(world: World, printed: str, seen: str) -> None:
    """56: exactly one final newline goes, nothing else."""
    run = world.run(f"nodes:\n  - id: a\n    bash: printf {json.dumps(printed)}\n")
    assert output(run, "a") == seen


def test_fact_56_stderr_is_kept_and_fails_nothing(world: World) -> None:
    """56: a node that wrote to stderr and ended with 0 has completed; what it wrote is in its log."""
    run = world.run("nodes:\n  - id: a\n    bash: echo careful >&2; echo fine\n")
    assert (run.status, output(run, "a")) == ("completed", "fine")
    logs = ion.get_logs(run.run_id, "a", store=world.store, project=world.project)
    assert {file.suffix: file.read_text() for file in logs} == {".out": "fine\n", ".err": "careful\n"}


def test_fact_57_a_failure_says_the_status_and_the_last_of_stderr(world: World) -> None:
    """57: the message has `[exit 3]` and `boom`, and not the script."""
    run = world.run("nodes:\n  - id: a\n    bash: |\n      secret_step=1\n      echo boom >&2\n      exit 3\n")
    said = error(run, "a")
    assert said.startswith("exit-status: ")
    assert "[exit 3]" in said
    assert "boom" in said
    assert "secret_step" not in said


@pytest.mark.parametrize("use", ["bash: echo $a.output", "prompt: see $a.output", "bash: echo $a.output.f"])
def test_fact_58_the_output_of_a_failed_node_cannot_be_read(world: World, use: str) -> None:
    """58: what follows by `all_done` runs, and fails where it reads the failed node."""
    run = world.run(
        f"""
        nodes:
          - {{id: a, bash: "echo '{{\\"f\\":1}}'; exit 1"}}
          - {{id: b, depends_on: [a], trigger_rule: all_done, {use}}}
        """,
        agent=agent(),
    )
    assert error(run, "b").startswith("reference: $a.output")
    assert "'a' failed" in error(run, "b")
