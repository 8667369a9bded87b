"""language.md §15, and what of §3, §3.3 and §9 came with it: failures that are allowed, caught, cleaned up after."""

from __future__ import annotations

import pytest

from conformance.kit import World, agent, error, output, statuses
from ion.core.foreseen import handled


def test_an_allowed_failure_is_completed_to_others_and_its_output_is_read(world: World) -> None:
    """Also by its fields, in conditions and texts, if it is JSON; the run completes, and is not clean."""
    run = world.run("""
        nodes:
          - {id: lint, bash: "echo '{\\"found\\": 14}'; exit 3", allow_failure: {exit_status: [3]}}
          - {id: report, depends_on: [lint], when: "$lint.output.found > 10", bash: "echo found $lint.output.found"}
          - {id: none_failed, depends_on: [lint], trigger_rule: none_failed_min_one_success, bash: echo ran}
        returns: report
        """)
    assert run.status == "completed"
    assert run.output == "found 14"
    assert statuses(run) == {"lint": "failed", "report": "completed", "none_failed": "completed"}
    assert handled(run.state).allowed == ("lint",)


@pytest.mark.parametrize(
    ("allowed", "end"),
    [("true", "completed"), ("{codes: [exit-status]}", "completed"), ("{exit_status: [4]}", "failed")],
)
def test_which_failures_are_allowed(world: World, allowed: str, end: str) -> None:
    run = world.run(f"nodes: [{{id: a, bash: echo x; exit 3, allow_failure: {allowed}}}, {{id: b, bash: echo b}}]\n")
    assert run.status == end


def test_a_prompt_that_may_fail_gives_its_last_text(world: World) -> None:
    run = world.run(
        """
        nodes:
          - {id: ask, prompt: hi, output_format: {type: object}, allow_failure: {codes: [bad_output]}}
          - {id: after, depends_on: [ask], bash: 'echo "$ask.output"'}
        """,
        agent=agent(ask=["no JSON"] * 3),
    )
    assert (run.status, output(run, "after")) == ("completed", "no JSON")


def test_the_last_check_of_a_loop_is_read_by_its_next_iteration(world: World) -> None:
    """`until_node` may fail: its failure is allowed."""
    run = world.run("""
        nodes:
          - id: fix
            loop_group:
              until_node: check
              max_iterations: 3
              nodes:
                - {id: work, bash: 'echo "saw: $LOOP_PREV.check.output"'}
                - {id: check, depends_on: [work], bash: 'echo "$LOOP_ITERATION red"; test "$LOOP_ITERATION" = 2'}
                - {id: after, depends_on: [check], bash: 'echo "$work.output"'}
        """)
    assert run.status == "completed"
    assert run.output == "saw: 1 red"
    assert handled(run.state).is_clean, "what was red before is not"


def test_a_failure_is_caught_by_a_node_that_completes(world: World) -> None:
    """It reads what failed, and still blocks what depends on it; without a failure the catcher is skipped."""
    run = world.run("""
        nodes:
          - {id: build, bash: "true"}
          - {id: never, catches: [build], bash: echo never}
          - {id: deploy, depends_on: [never], bash: "echo half; echo 'disk full' >&2; exit 9"}
          - {id: after, depends_on: [deploy], bash: echo after}
          - id: rollback
            catches: [deploy]
            bash: 'echo "$deploy.outcome.code $deploy.outcome.exit_status $deploy.outcome.stderr"'
        """)
    assert run.status == "completed"
    assert run.output == "exit-status 9 disk full"
    assert statuses(run) == {
        "build": "completed",
        "never": "skipped",
        "deploy": "failed",
        "after": "skipped",
        "rollback": "completed",
    }
    assert [run.state.nodes[name].reason for name in ("never", "after")] == ["no_failure", "upstream_failed"]
    assert handled(run.state).caught == {"deploy": "rollback"}


def test_a_resume_keeps_what_was_caught_and_decides_anew_what_was_not(world: World) -> None:
    run = world.run("""
        nodes:
          - {id: a, bash: "echo a >> ran; exit 1"}
          - {id: caught, catches: [a], bash: echo caught >> ran}
          - {id: b, bash: "echo b >> ran; test -e fixed"}
          - {id: undo, catches: [b], bash: "echo undo >> ran; exit 1"}
        """)
    assert run.status == "failed"
    world.file("fixed", "")
    again = world.resume(run)
    assert again.status == "completed"
    assert statuses(again) == {"a": "failed", "caught": "completed", "b": "completed", "undo": "skipped"}
    assert sorted((world.project / "ran").read_text().split()) == ["a", "b", "b", "caught", "undo"]


def test_fail_fast_stops_the_rest_and_not_what_is_to_catch_the_failure(world: World) -> None:
    run = world.run("""
        fail_fast: true
        nodes:
          - {id: allowed, bash: exit 1, allow_failure: true}
          - {id: a, depends_on: [allowed], bash: exit 1}
          - {id: slow, bash: sleep 600}
          - {id: prepare, depends_on: [slow], trigger_rule: all_done, bash: echo never}
          - {id: need, depends_on: [a], trigger_rule: all_done, bash: echo needed}
          - {id: rescue, catches: [a], depends_on: [need], bash: echo rescued}
        """)
    assert run.status == "completed"
    assert statuses(run) == {
        "allowed": "failed",
        "a": "failed",
        "slow": "cancelled",
        "prepare": "skipped",
        "need": "completed",
        "rescue": "completed",
    }


FINALLY = """
        nodes:
          - {id: a, bash: "touch lock; echo out; %s"}
          - {id: skipped, depends_on: [a], when: "$a.output == 'x'", bash: echo never}
        finally:
          - {id: unlock, bash: 'rm lock; echo "$RUN.status/$a.outcome.status/$skipped.outcome.status/$a.output"'}
          - {id: told, depends_on: [unlock], when: "$RUN.status == 'failed'", prompt: "It failed: $RUN.error"}
          - {id: broken, bash: exit 1}
"""


@pytest.mark.parametrize(("command", "end"), [("true", "completed"), ("exit 4", "failed")])
def test_finally_runs_after_the_end_is_decided_and_cannot_change_it(world: World, command: str, end: str) -> None:
    asked = agent(told="thanks")
    run = world.run(FINALLY % command, agent=asked)
    assert run.status == end
    assert not (world.project / "lock").exists()
    read = "out" if end == "completed" else ""
    assert output(run, "unlock") == f"{end}/{end}/skipped/{read}"
    assert asked.prompts("told") == ([] if end == "completed" else ["It failed: 1 of 2 nodes failed: a"])
    assert run.state.finally_failed == handled(run.state).in_finally == ("broken",)


def test_finally_runs_when_a_gate_is_rejected_and_when_a_cancel_node_ends_the_run(world: World) -> None:
    clean = "finally: [{id: clean, bash: 'echo $RUN.status: $RUN.error'}]\n"
    run = world.run(f"nodes: [{{id: ok, approval: {{message: go?}}}}]\n{clean}")
    assert run.status == "paused"
    ended = world.reject(run, "ok", "not today")
    assert (ended.status, output(ended, "clean")) == ("cancelled", "cancelled: not today")
    run = world.run(f"nodes: [{{id: stop, cancel: enough}}]\n{clean}")
    assert (run.status, output(run, "clean")) == ("cancelled", "cancelled: enough")


def test_a_called_workflow_has_a_finally_of_its_own(world: World) -> None:
    world.write(
        """
        name: inner
        description: has a finally
        nodes: [{id: a, bash: exit 1}]
        finally: [{id: clean, bash: "echo $RUN.status $a.outcome.code"}]
        """,
        "inner",
    )
    run = world.run(world.write("nodes: [{id: call, workflow: inner}]\n", "outer"))
    assert run.status == "failed"
    cleaned = run.state.nodes["call.clean"].output
    assert cleaned is not None
    assert cleaned.text == "failed exit-status"
    assert error(run, "call").startswith("exit-status")


def test_stdout_that_is_to_be_json_is_one_document_that_fits(world: World) -> None:
    """And is not tried again."""
    shape = "output_format: {type: object, required: [n]}, retry: {max_attempts: 2, delay_ms: 1000, on_error: all}"
    run = world.run(f"""
        nodes:
          - {{id: fits, bash: "echo '{{\\"n\\": 1 }}'", {shape}}}
          - {{id: text, bash: "echo result: 1", {shape}}}
          - {{id: other, bash: "echo '{{}}'", {shape}}}
          - {{id: fenced, bash: "printf '```\\\\n{{\\"n\\": 1}}\\\\n```'", {shape}}}
        """)
    assert output(run, "fits") == '{"n":1}'
    for node in ("text", "other", "fenced"):
        assert error(run, node).startswith("bad_output")
        assert run.state.nodes[node].attempts == 1


def test_the_folder_of_a_node(world: World) -> None:
    """Relative to the run's, in which it has to lie unless it is absolute in the file."""
    world.file("sub/deep/here", "")
    (world.project / "out").symlink_to("/")
    run = world.run("""
        nodes:
          - {id: name, bash: printf sub}
          - {id: inner, cwd: $name.output/deep, bash: ls}
          - {id: outside, cwd: /, bash: pwd}
          - {id: up, bash: printf ..}
          - {id: above, cwd: $up.output, bash: pwd}
          - {id: link, cwd: out, bash: pwd}
          - {id: missing, cwd: nowhere, bash: pwd}
          - {id: file, cwd: sub/deep/here, bash: pwd}
          - {id: root, bash: printf /}
          - {id: sneaked, cwd: $root.output, bash: pwd}
        """)
    assert output(run, "inner") == "here"
    assert output(run, "outside") == "/"
    for node in ("above", "link", "missing", "file", "sneaked"):
        assert error(run, node).startswith("cwd:"), node


def test_exit_statuses_that_are_tried_again(world: World) -> None:
    run = world.run("""
        nodes:
          - id: once
            bash: exit 2
            retry: {max_attempts: 1, delay_ms: 1000, on_error: all, never_on_exit_status: [2]}
          - id: again
            bash: "test -e twice || { touch twice; exit 75; }"
            retry: {max_attempts: 1, delay_ms: 1000, on_exit_status: [75], backoff: fixed}
        """)
    assert statuses(run) == {"once": "failed", "again": "completed"}
    assert [run.state.nodes[node].attempts for node in ("once", "again")] == [1, 2]


def test_what_died_at_a_signal_has_an_outcome_too(world: World) -> None:
    """It can always be read: what there is not is ''."""
    run = world.run("""
        nodes:
          - {id: a, bash: "kill -9 $$", allow_failure: true}
          - {id: b, depends_on: [a], bash: 'echo "$a.outcome.code,$a.outcome.exit_status,$b.outcome.status"'}
        """)
    assert output(run, "b") == "signal,,"


def test_the_items_of_a_fan_out_are_counted(world: World) -> None:
    run = world.run("""
        nodes:
          - {id: each, fan_out: {items: [a, b, c], join: all_done}, bash: 'test "$INPUTS.item" != b'}
          - id: told
            depends_on: [each]
            when: "$each.outcome.failed == 1"
            bash: 'echo "$each.outcome.completed of $each.outcome.total"'
        """)
    assert output(run, "told") == "2 of 3"
    assert handled(run.state).allowed == ("each.1",)
