"""What a file says about failures that are foreseen: `allow_failure`, `catches`, `finally`, outcomes, and the rest of
`retry`, `cwd` and `grace` (language.md §3, §9, §15)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import HEAD, block, codes, good, load, load_file, marked, node, only, shown, write

from ion import codec
from ion.language.conditions import parse_condition
from ion.language.frozen import read_frozen
from ion.language.load import parse_workflow
from ion.language.references import find_references, reference_text, render
from ion.language.templates import templates_of
from ion.language.workflow import (
    COUNTS,
    FAILURE_CODES,
    OUTCOMES,
    RUN_NAMES,
    Allowed,
    Bash,
    OutcomeReference,
    Retry,
    RunReference,
    Workflow,
)

RELEASE = """
nodes:
  - {id: lint, bash: ruff, allow_failure: true}
  - {id: build, bash: make, always_run: true}
  - {id: deploy, bash: "echo $build.output", depends_on: [build], allow_failure: {exit_status: [1], codes: [timeout]}}
  - {id: rollback, bash: "echo $deploy.outcome.stderr", catches: [deploy], when: $deploy.outcome.exit_status == 5}
finally:
  - {id: unlock, bash: "echo $RUN.status $lint.output"}
  - {id: tell, prompt: "$RUN.error $deploy.outcome.message", depends_on: [unlock]}
"""


def test_a_release() -> None:
    workflow = parse_workflow(HEAD + RELEASE).workflow
    assert workflow is not None
    lint, _, deploy, rollback = workflow.nodes
    assert (lint.allow_failure, deploy.allow_failure) == (Allowed(), Allowed((1,), ("timeout",)))
    assert (rollback.catches, rollback.depends_on, rollback.order) == (("deploy",), (), ())
    assert [one.id for one in workflow.finally_nodes] == ["unlock", "tell"]
    assert (workflow.finally_nodes[1].depends_on, workflow.finally_timeout_ms) == (("unlock",), 300_000)
    assert parse_workflow(HEAD + RELEASE).problems == ()
    assert read_frozen(codec.encode(workflow)) == workflow


# allow_failure


@pytest.mark.parametrize(
    ("written", "allowed"),
    [
        ("true", Allowed()),
        ("false", None),
        ("{exit_status: [1, 5]}", Allowed((1, 5))),
        ("{codes: [timeout, crashed]}", Allowed((), ("timeout", "crashed"))),
    ],
)
def test_what_is_allowed(written: str, allowed: Allowed | None) -> None:
    assert node(f"- {{id: a, bash: x, allow_failure: {written}}}").allow_failure == allowed


@pytest.mark.parametrize(
    ("written", "path", "hint"),
    [
        ("{}", "", "write allow_failure: true, or allow_failure: {exit_status: [1]}"),
        ("yes", "", "write allow_failure: true, or allow_failure: {exit_status: [1]}"),
        ("null", "", "write allow_failure: true, or allow_failure: {exit_status: [1]}"),
        ("{exit_status: 5}", ".exit_status", "write [5]"),
        ("{exit_status: [0]}", ".exit_status[0]", ""),
        ("{exit_status: [256]}", ".exit_status[0]", ""),
        ("{exit_status: []}", ".exit_status", ""),
        ("{codes: [time_out]}", ".codes[0]", "did you mean 'timeout'?"),
        ("{codes: []}", ".codes", ""),
        ("{exit_code: [1]}", ".exit_code", "did you mean 'exit_status'?"),
        ("{exit_status: [1], reasons: [x]}", ".reasons", "it has exit_status, codes"),
        ("{exit_stats: [1]}", ".exit_stats", "did you mean 'exit_status'?"),
    ],
)
def test_what_cannot_be_allowed(written: str, path: str, hint: str) -> None:
    problem = only(load(f"- {{id: a, bash: x, allow_failure: {written}}}"))
    assert (problem.path, problem.hint.split("\n")[0]) == (f"nodes[0].allow_failure{path}", hint)


def test_the_codes_are_those_of_the_language() -> None:
    listed = ", ".join(FAILURE_CODES)
    assert node(f"- {{id: a, bash: x, allow_failure: {{codes: [{listed}]}}}}").allow_failure == Allowed(
        (), FAILURE_CODES
    )


@pytest.mark.parametrize(
    "fields",
    [
        "prompt: x, allow_failure: {exit_status: [1]}",
        "group: {nodes: [{id: b, bash: x}]}, allow_failure: {exit_status: [1]}",
        "bash: x, fan_out: {items: [1]}, allow_failure: {exit_status: [1]}",
        "prompt: x, retry: {max_attempts: 1, on_exit_status: [1]}",
        "group: {nodes: [{id: b, bash: x}]}, retry: {max_attempts: 1, never_on_exit_status: [1]}",
    ],
)
def test_an_exit_status_where_no_single_program_ends(fields: str) -> None:
    assert only(load(f"- {{id: a, {fields}}}")).code == "no-effect-here"


# catches


@pytest.mark.parametrize(
    ("nodes", "code", "message"),
    [
        ("- {id: b, bash: x, catches: [b]}", "dependency-cycle", "'b' catches itself"),
        ("- {id: b, bash: x, catches: [aa]}", "unknown-node", "'b' catches 'aa', and no node has that id"),
        (
            "- {id: b, bash: x, catches: [c]}\n- {id: c, bash: x, depends_on: [b]}",
            "dependency-cycle",
            "these nodes wait for each other: b → c → b",
        ),
        (
            "- {id: b, bash: echo $c.output, catches: [a]}\n- {id: c, bash: x, catches: [b]}",
            "dependency-cycle",
            "these nodes wait for each other: b → c → b",
        ),
        (
            "- {id: g, group: {nodes: [{id: b, bash: x, catches: [a]}]}}",
            "unknown-node",
            "'b' catches 'a', which is outside of 'g'",
        ),
        ("- {id: b, bash: x, catches: []}", "bad-value", "'catches' is empty"),
        ("- {id: b, bash: x, catches: a}", "wrong-type", "'catches' must be a list, not 'a'"),
        (
            "- {id: b, bash: x, catches: [a], depends_on: [a]}",
            "never-runs",
            "'b' never runs: it depends on the completion of all that it catches",
        ),
        (
            "- {id: b, bash: x, catches: [a], depends_on: [a], trigger_rule: none_failed_min_one_success}",
            "never-runs",
            "'b' never runs: it depends on the completion of all that it catches",
        ),
    ],
)
def test_what_cannot_be_caught(nodes: str, code: str, message: str) -> None:
    problem = only(load(f"- {{id: a, bash: x}}\n{nodes}"))
    assert (problem.code, problem.message) == (code, message)


def test_an_unknown_node_that_is_near_is_suggested() -> None:
    problem = only(load("- {id: deploy, bash: x}\n- {id: b, bash: x, catches: [deplooy]}"))
    assert problem.hint == "did you mean 'deploy'?"


@pytest.mark.parametrize(
    "catcher",
    [
        "catches: [a], depends_on: [a], trigger_rule: all_done",
        "catches: [a], depends_on: [a, c], trigger_rule: one_success",
        "catches: [a, c], depends_on: [a]",
        "catches: [c], depends_on: [c]",
    ],
)
def test_a_catcher_that_can_run(catcher: str) -> None:
    nodes = f"- {{id: a, bash: x}}\n- {{id: c, bash: x, allow_failure: true}}\n- {{id: b, bash: x, {catcher}}}"
    assert load(nodes).problems == ()


def test_what_an_include_brings_may_be_allowed_to_fail(tmp_path: Path) -> None:
    """Then its failure is a completion to the trigger rule, and starts the catcher all the same."""
    nodes = "- {id: inc, include: block}\n- {id: c, bash: x, catches: [inc], depends_on: [inc]}"
    write(tmp_path, block("  - {id: one, bash: x, allow_failure: true}"))
    assert load(nodes, project=tmp_path).problems == ()
    write(tmp_path, block("  - {id: one, bash: x}"))
    assert codes(load(nodes, project=tmp_path)) == ["never-runs"]


def test_a_catcher_waits_for_what_it_catches_once() -> None:
    """What it reads of it needs no `depends_on`."""
    loaded = load(
        """
      - {id: a, bash: x}
      - {id: b, bash: x}
      - {id: c, bash: echo $a.outcome.code, catches: [b, a], depends_on: [b], trigger_rule: all_done}
    """
    )
    assert loaded.problems == ()
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[2].waits_for == ("b", "a")


TWO = "  - {id: one, bash: x}\n  - {id: two, bash: x, depends_on: [one]}"


def test_an_include_that_is_caught_is_any_of_its_nodes(tmp_path: Path) -> None:
    write(tmp_path, block(TWO))
    workflow = good(
        "- {id: inc, include: block}\n- {id: c, bash: echo $inc.outcome.code, catches: [inc]}", project=tmp_path
    )
    assert workflow.nodes[-1].catches == ("inc__one", "inc__two")
    body = workflow.nodes[-1].body
    assert isinstance(body, Bash)
    assert body.shell.placements[0].reference == OutcomeReference("inc__two", "code")


def test_a_catcher_that_is_included_catches_in_its_own_graph(tmp_path: Path) -> None:
    write(tmp_path, block("  - {id: one, bash: x}\n  - {id: two, bash: echo $one.outcome.code, catches: [one]}"))
    assert good("- {id: inc, include: block}", project=tmp_path).nodes[1].catches == ("inc__one",)


def test_an_include_catches_and_is_allowed_to_fail_once_it_is_fanned_out(tmp_path: Path) -> None:
    """Without fan_out there is no node left that could."""
    write(tmp_path, block(TWO))
    fields = "include: block, catches: [a], allow_failure: true"
    nodes = f"- {{id: a, bash: x}}\n- {{id: inc, {fields}}}\n"
    assert codes(load(nodes, project=tmp_path)) == ["no-effect-here"] * 2
    workflow = good(nodes.replace("true", "true, fan_out: {items: [1], as: x}"), project=tmp_path)
    assert (workflow.nodes[1].catches, workflow.nodes[1].allow_failure) == (("a",), Allowed())


def test_what_is_allowed_and_caught_is_the_node_not_each_item() -> None:
    workflow = good("- {id: a, bash: x}\n- {id: b, bash: x, catches: [a], allow_failure: true, fan_out: {items: [1]}}")
    item = templates_of(workflow)["b.0"].node
    assert (item.catches, item.allow_failure, item.waits_for) == ((), None, ("a",))


# finally


@pytest.mark.parametrize(
    ("written", "timeout_ms"),
    [
        ("[{id: z, bash: x}]", 300_000),
        ("{nodes: [{id: z, bash: x}], timeout: 10m}", 600_000),
        ("{nodes: [{id: z, bash: x}]}", 300_000),
    ],
)
def test_both_forms_of_finally(written: str, timeout_ms: int) -> None:
    workflow = good("- {id: a, bash: x}", root=f"finally: {written}")
    assert (workflow.finally_nodes[0].id, workflow.finally_timeout_ms) == ("z", timeout_ms)


@pytest.mark.parametrize(
    ("last", "code", "path"),
    [
        ("[]", "bad-value", "finally"),
        ("null", "wrong-type", "finally"),
        ("clean", "wrong-type", "finally"),
        ("{timeout: 5m}", "missing-field", "finally"),
        ("{nodes: []}", "bad-value", "finally.nodes"),
        ("{nodes: [{id: z, bash: x}], timeout: soon}", "bad-duration", "finally.timeout"),
        ("{nodes: [{id: z, bash: x}], timout: 5m}", "unknown-field", "finally.timout"),
        ("[clean]", "wrong-type", "finally[0]"),
        ("[{id: a, bash: x}]", "duplicate-id", "finally[0].id"),
        ("[{id: z, bash: x, depends_on: [a]}]", "unknown-node", "finally[0].depends_on[0]"),
        ("[{id: z, group: {nodes: [{id: y, bash: x, catches: [a]}]}}]", "unknown-node", "finally[0].group.nodes[0]"),
        ("[{id: z, bash: x, catches: [a]}]", "unknown-node", "finally[0].catches[0]"),
        ("[{id: z, bash: x, always_run: true}]", "no-effect-here", "finally[0].always_run"),
        ("[{id: z, loop: {prompt: x, until: D, max_iterations: 1}}]", "bad-finally", "finally[0].loop"),
        ("[{id: z, approval: {message: x}}]", "bad-finally", "finally[0].approval"),
        ("[{id: z, cancel: x}]", "bad-finally", "finally[0].cancel"),
        ("[{id: z, workflow: w}]", "bad-finally", "finally[0].workflow"),
        ("[{id: z, group: {nodes: [{id: y, cancel: x}]}}]", "bad-finally", "finally[0].group.nodes[0].cancel"),
        ("[{id: y, bash: x, depends_on: [z]}, {id: z, bash: x, depends_on: [y]}]", "dependency-cycle", ""),
        ("[{id: z, bash: echo $nothing.output}]", "unknown-node", "finally[0].bash"),
        ("[{id: z, prompt: x, context: {resume: ask}}]", "bad-resume", "finally[0].context.resume"),
        ("[{id: z, bash: echo $a.outcome.total}]", "bad-outcome", "finally[0].bash"),
    ],
)
def test_what_cannot_be_in_finally(last: str, code: str, path: str) -> None:
    loaded = load("- {id: a, bash: x}\n- {id: ask, prompt: x}", root=f"finally: {last}")
    found = [problem for problem in loaded.errors if problem.code == code]
    assert found, shown(loaded)
    assert found[0].path.startswith(path)


@pytest.mark.parametrize(
    "fields",
    ["depends_on: [z]", "catches: [z]", "bash: echo $z.output", "when: $z.outcome.status == 'failed'"],
)
def test_no_other_node_can_wait_for_one_of_finally(fields: str) -> None:
    fields = fields if "bash" in fields else f"bash: x, {fields}"
    for nodes in (f"- {{id: a, {fields}}}", f"- {{id: g, group: {{nodes: [{{id: a, {fields}}}]}}}}"):
        problem = only(load(nodes, root="finally: [{id: z, bash: x}]"))
        assert problem.code == "unknown-node"
        assert "runs after all other nodes" in problem.message
    returns = only(load("- {id: a, bash: x}", root="finally: [{id: z, bash: x}]\nreturns: z"))
    assert returns.code == "unknown-node"


def test_finally_reads_every_node_and_waits_for_none(tmp_path: Path) -> None:
    write(tmp_path, block(TWO))
    workflow = good(
        "- {id: a, prompt: x}\n- {id: inc, include: block}\n- {id: f, bash: x, fan_out: {items: [1]}}",
        root="""
          finally:
            - {id: y, bash: "echo $a.output $inc.outcome.status $f.outcome.failed $RUN.error"}
            - {id: z, group: {nodes: [{id: in, bash: "echo $y.output $a.outcome.code", when: $RUN.status != 'failed'}]}}
        """,
        project=tmp_path,
    )
    y, z = workflow.finally_nodes
    assert (y.waits_for, z.waits_for) == ((), ("y",))
    body = y.body
    assert isinstance(body, Bash)
    assert body.shell.placements[1].reference == OutcomeReference("inc__two", "status")
    assert read_frozen(codec.encode(workflow)) == workflow


def test_a_file_with_finally_is_called_and_not_included(tmp_path: Path) -> None:
    write(tmp_path, block("  - {id: one, bash: x}", root="finally: [{id: z, bash: x}]\n"))
    assert only(load("- {id: a, include: block}", project=tmp_path)).code == "bad-finally"
    fanned = load("- {id: a, include: block, fan_out: {items: [1], as: x}}", project=tmp_path)
    assert "bad-finally" in codes(fanned)
    workflow = good("- {id: a, workflow: block}", project=tmp_path)
    templates = templates_of(workflow)
    assert [(one.path, one.is_final) for one in templates] == [("a", False), ("a.one", False), ("a.z", True)]


@pytest.mark.parametrize("word", ["on_failure", "always", "on_exit"])
def test_what_others_call_finally(word: str) -> None:
    problem = only(load("- {id: a, bash: x}", root=f"{word}: clean"), "warning")
    assert (problem.code, problem.hint.split("\n")[0]) == ("unknown-field", "Ion calls it 'finally'")


def test_finally_is_at_the_top_alone() -> None:
    problem = only(load("- {id: g, group: {nodes: [{id: a, bash: x}], finally: []}}"))
    assert (problem.code, problem.hint.split("\n")[0]) == ("unknown-field", "it belongs to the workflow itself")


def test_what_finally_undoes_is_a_hint_and_no_warning() -> None:
    loaded = load("- {id: a, bash: x}", root="finally: [{id: z, bash: x}]")
    assert [(one.code, one.severity) for one in loaded.problems] == [("undone-by-finally", "hint")]
    assert load("- {id: a, bash: x, always_run: true}", root="finally: [{id: z, bash: x}]").problems == ()


def test_numbers_in_finally_keep_their_text() -> None:
    workflow = good("- {id: a, bash: x}", root="finally: [{id: z, bash: x, env: {V: 1.10}, with: {m: 0755}}]")
    last = workflow.finally_nodes[0]
    assert (last.env, last.bindings["m"].value) == ({"V": "1.10"}, "0755")


# Outcomes


@pytest.mark.parametrize("name", [*OUTCOMES, *COUNTS])
def test_an_outcome_is_a_name_of_its_own(name: str) -> None:
    written = f"$a.outcome.{name}"
    reference = OutcomeReference("a", name)
    assert [found.reference for found in find_references(f"x {written}.y")] == [reference]
    assert parse_condition(f"{written} == 'x'").alternatives[0][0].reference == reference
    assert reference_text(reference) == written


@pytest.mark.parametrize("name", RUN_NAMES)
def test_the_end_of_the_run_is_a_name(name: str) -> None:
    assert [found.reference for found in find_references(f"$RUN.{name}")] == [RunReference(name)]
    assert parse_condition(f"$RUN.{name} == 'x'").alternatives[0][0].reference == RunReference(name)


@pytest.mark.parametrize(
    "text", ["$a.outcome", "$a.outcomes.status", "$a.outcome.statusx", "$RUN", "$RUN.log", "$RUNS.error"]
)
def test_what_is_no_outcome(text: str) -> None:
    assert find_references(text) == []


@pytest.mark.parametrize(
    ("when", "message", "hint"),
    [
        ("$a.outcome == 'x'", "$a.outcome names no value", "$a.outcome has status, code, message, exit_status"),
        ("$a.outcome.stat == 'x'", "$a.outcome.stat names no value", "$a.outcome has status"),
        ("$RUN.state == 'x'", "$RUN.state names no value", "$RUN has status, error"),
        ("$RUN.status == 'failed'", "$RUN.status is a name only in 'finally'", ""),
        ("$a.outcome.failed > 0", "'a' is not fanned out, so there is nothing that $a.outcome.failed counts", "$a."),
        ("$b.outcome.code == 'x'", "'c' refers to $b.outcome.code, but no node has that id", "did you mean 'a'?"),
    ],
)
def test_a_condition_about_what_there_is_not(when: str, message: str, hint: str) -> None:
    problem = only(load(f'- {{id: a, bash: x}}\n- {{id: c, bash: x, depends_on: [a], when: "{when}"}}'))
    assert problem.message == message
    assert problem.hint.startswith(hint)


def test_a_node_waits_for_the_nodes_whose_outcome_it_reads() -> None:
    """As for each whose output it reads; the hint does not lead to a node that a failure skips."""
    loaded = load("- {id: a, bash: x}\n- {id: b, prompt: of $a.outcome.message}")
    assert (codes(loaded), loaded.problems[0].hint.split(", ")[-1]) == (
        ["order-by-reference"],
        "and trigger_rule: all_done if it is to run after a failure too",
    )
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[1].order == ("a",)
    cycle = only(load("- {id: a, bash: x, depends_on: [b]}\n- {id: b, prompt: $a.outcome.message}"))
    assert cycle.code == "dependency-cycle"


@pytest.mark.parametrize(
    "fields",
    [
        "prompt: $a.outcome.stderr",
        "bash: echo $a.outcome.stderr",
        "bash: x, when: $a.outcome.stderr != ''",
        "bash: x, env: {S: $a.outcome.stderr}",
        "bash: x, with: {s: $a.outcome.stderr}",
        "bash: x, cwd: $a.outcome.stderr",
        "group: {nodes: [{id: c, prompt: $a.outcome.stderr}]}",
        "prompt: $a.outcome.message",
    ],
)
def test_whose_stderr_is_read(fields: str) -> None:
    workflow = good(f"- {{id: a, bash: x}}\n- {{id: b, {fields}, depends_on: [a]}}")
    read = {one.path for one in templates_of(Workflow.from_json(workflow.to_json())) if one.stderr_is_read}
    assert read == ({"a"} if "stderr" in fields else set())


def test_whose_stderr_a_command_file_or_another_workflow_reads(tmp_path: Path) -> None:
    write(tmp_path, {**block("  - {id: a, bash: x}\n  - {id: b, prompt: $a.outcome.stderr, depends_on: [a]}")})
    write(tmp_path, {".ion/commands/c.md": "why? $a.outcome.stderr"})
    write(
        tmp_path,
        {
            ".ion/workflows/demo.yaml": f"{HEAD}nodes:\n  - {{id: a, bash: x}}\n"
            "  - {id: c, command: c, depends_on: [a]}\n  - {id: w, workflow: block}\n"
        },
    )
    loaded = load_file(tmp_path / ".ion/workflows/demo.yaml", tmp_path)
    assert loaded.workflow is not None, shown(loaded)
    assert {one.path for one in templates_of(loaded.workflow) if one.stderr_is_read} == {"a", "w.a"}


def test_the_end_of_the_run_stays_text_outside_of_finally() -> None:
    text = HEAD + "nodes:\n  - {id: a, prompt: it $RUN.status}\n"
    loaded = parse_workflow(text)
    problem = only(loaded, "warning")
    assert (problem.code, problem.hint) == ("not-a-reference", "it is a name only in 'finally'")
    assert marked(text, problem) == "$RUN.status"
    shell = node("- {id: a, bash: echo $RUN.status}").body
    assert isinstance(shell, Bash)
    assert shell.shell.placements == ()
    assert load("- {id: a, bash: 'RUN=3; echo $RUN.status'}").problems == ()


def test_an_inline_script_is_handed_outcomes_by_name() -> None:
    """A message is not pasted into code: it may say anything."""
    loaded = load("- {id: a, bash: x}\n- {id: b, script: f($a.outcome.message), runtime: python}")
    assert (codes(loaded), loaded.problems[0].hint.split(",")[0]) == (
        ["name-in-script"],
        "pass it by name: with: {value: $a.outcome.message}",
    )
    assert load("- {id: b, script: f($x.outcome.message), runtime: node}").problems == ()


def test_the_workflows_own_variables_name_no_outcome() -> None:
    for name in ("$a.outcome.code", "$RUN.status"):
        assert only(load("- {id: a, bash: x}", root=f"env: {{V: {name}}}")).code == "env-names-node"


def test_a_check_that_reads_what_may_fail_in_a_loop() -> None:
    """A failure that is allowed, or caught in the loop, does not end it."""
    loop = (
        "- {{id: fix, loop_group: {{max_iterations: 2, until_bash: 'test $check.outcome.status = completed',"
        " nodes: [{{id: check, bash: x{0}}}{1}]}}}}"
    )
    assert codes(load(loop.format("", ""))) == ["ends-the-loop"]
    assert codes(load(loop.format(", allow_failure: false", ""))) == ["ends-the-loop"]
    assert codes(load(loop.format(", allow_failure: true", ""))) == []
    assert codes(load(loop.format("", ", {id: c, bash: x, catches: [check]}"))) == []


# retry, cwd, grace, output_format


def test_retry_says_all_that_it_can() -> None:
    retry = "{max_attempts: 2, on_exit_status: [75], never_on_exit_status: [2], backoff: fixed}"
    assert node(f"- {{id: a, bash: x, retry: {retry}}}").retry == Retry(
        max_attempts=2, on_exit_status=(75,), never_on_exit_status=(2,), backoff="fixed"
    )
    assert node("- {id: a, bash: x, retry: {max_attempts: 1, max_delay: 1h}}").retry == Retry(1, max_delay_ms=3_600_000)


@pytest.mark.parametrize(
    ("retry", "code", "severity"),
    [
        ("max_delay: 1h, backoff: fixed", "no-effect", "warning"),
        ("max_delay: 2s", "bad-value", "error"),
        ("max_delay: 2s, delay_ms: 2000", "", ""),
        ("on_exit_status: [2], never_on_exit_status: [2]", "no-effect", "warning"),
        ("on_exit_status: 75", "wrong-type", "error"),
        ("on_exit_status: [0]", "bad-value", "error"),
        ("backoff: exponential", "bad-value", "error"),
        ("on_exit_stat: [2]", "unknown-field", "error"),
        ("on_exit_codes: [2]", "unknown-field", "error"),
    ],
)
def test_what_retry_cannot_say(retry: str, code: str, severity: str) -> None:
    problems = load(f"- {{id: a, bash: x, retry: {{max_attempts: 1, {retry}}}}}").problems
    assert [(one.code, one.severity) for one in problems] == ([(code, severity)] if code else [])


@pytest.mark.parametrize(
    ("cwd", "code"),
    [
        ("sub/deep", ""),
        ("/srv/www", ""),
        ("a/../b", ""),
        (".", ""),
        ("..", "bad-cwd"),
        ("sub/../../other", "bad-cwd"),
        ("$a.output/../x", ""),
        ("' '", "bad-value"),
        ("$b.output", "unknown-node"),
    ],
)
def test_the_folder_of_a_node(cwd: str, code: str) -> None:
    """Where a text refers to a value, the run itself looks where it leads."""
    loaded = load(f"- {{id: a, bash: x}}\n- {{id: c, bash: x, depends_on: [a], cwd: {cwd}}}")
    assert codes(loaded) == ([code] if code else [])


def test_grace_and_a_promise_of_json() -> None:
    made = node("- {id: a, bash: x, grace: 2s, output_format: {type: object, properties: {n: {}}}}")
    assert (made.grace_ms, made.output_format) == (2000, {"type": "object", "properties": {"n": {}}})
    assert only(load("- {id: a, script: f(), runtime: bun, output_format: {type: thing}}")).code == "bad-output-format"
    assert only(load("- {id: a, bash: x, grace: never}")).code == "bad-duration"


# Whatever it says


NAMES = st.sampled_from(["a", "b", "z", "RUN", "inc", "nothing"])
TEXT = st.lists(
    st.sampled_from(["$", "\\", "{", "}", "(", ")", "'", '"', " ", ".", "\n", "#", "[", "]", "-", "<<E", "=", "|"])
    | st.builds(
        "${}.{}.{}".format, NAMES, st.sampled_from(["outcome", "output"]), st.sampled_from([*OUTCOMES, "total", "x"])
    )
    | st.builds("$RUN.{}".format, st.sampled_from([*RUN_NAMES, "x"])),
    max_size=8,
).map("".join)


@given(TEXT, TEXT, TEXT)
def test_any_text_anywhere_gives_placed_problems(main: str, last: str, when: str) -> None:
    """No text breaks the reading of a file; what loads can be frozen and read back."""
    document = {
        "name": "demo",
        "description": "x",
        "nodes": [{"id": "a", "bash": main or "x"}, {"id": "b", "prompt": main or "x", "when": when, "catches": ["a"]}],
        "finally": [{"id": "z", "bash": last or "x", "when": when, "cwd": last or "x"}],
    }
    loaded = parse_workflow(codec.encode(document))
    assert (loaded.workflow is None) == bool(loaded.errors)
    assert all(problem.line == 1 and problem.column >= 1 for problem in loaded.problems)
    if loaded.workflow is not None:
        assert read_frozen(codec.encode(loaded.workflow)) == loaded.workflow


@given(TEXT)
def test_references_are_written_back_as_they_were(text: str) -> None:
    from ion.language.references import Resolved, path_of

    found = find_references(text, escapes=False)
    assert [text[one.start : one.end] for one in found] == [reference_text(one.reference) for one in found]
    again = render(text.replace("\\", ""), lambda one: Resolved(reference_text(one), len(path_of(one))))
    assert again == text.replace("\\", "")
