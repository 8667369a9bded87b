"""Archon's facts 71–85: approvals, retries, resume. What Ion changes is tested as Ion has it (language.md §8–§10)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

import ion
from conformance.kit import Clock, World, agent, error, mend, output, ran, statuses
from ion import AgentError
from ion.core import events as e
from ion.errors import RefusedError
from processes import PATIENCE_S, until

GATE = """
    nodes:
      - {id: gate, approval: {message: "Go?"}}
      - {id: after, depends_on: [gate], bash: 'echo "<$gate.output>"'}
"""


def test_fact_71_a_gate_pauses_the_run_and_nothing_behind_it_runs(world: World) -> None:
    """71 [Ion]: paused is not success: exit status 3; branches that do not wait for the gate continue."""
    run = world.run(GATE + "      - {id: beside, bash: echo beside}\n")
    assert (run.status, run.exit_status) == ("paused", 3)
    assert statuses(run) == {"gate": "waiting", "after": "pending", "beside": "completed"}


@pytest.mark.parametrize(
    ("capture", "comment", "seen"), [("false", "go", ""), ("true", "go", "go"), ("true", "", "Approved")]
)
def test_fact_72_what_an_approved_gate_gives(world: World, capture: str, comment: str, seen: str) -> None:
    """72: nothing, or with `capture_response` the comment, `Approved` if there is none."""
    text = GATE.replace('"Go?"', f'"Go?", capture_response: {capture}')
    run = world.approve(world.run(text), comment=comment)
    assert (run.status, output(run, "gate"), output(run, "after")) == ("completed", seen, f"<{seen}>")


def test_fact_73_a_rejection_without_rework_cancels_the_run(world: World) -> None:
    """73: what waited for the gate is skipped, and the reason is the person's."""
    run = world.reject(world.run(GATE), reason="not today")
    assert (run.status, run.exit_status) == ("cancelled", 4)
    assert statuses(run) == {"gate": "cancelled", "after": "skipped"}
    assert {data["reason"] for data in run.data["nodes"].values()} == {"cancelled"}
    assert run.data["error"]["message"] == "not today"


REWORK = """
    nodes:
      - id: gate
        approval:
          message: Good?
          on_reject: {prompt: "Mend it: $REJECTION_REASON", max_attempts: 3}
"""


def test_fact_74_rejections_are_reworked_until_the_last_allowed_one_cancels(world: World) -> None:
    """74: of three allowed rejections two run the rework prompt and ask again, the third cancels."""
    answering = agent(gate=["mended", "mended again"])
    run = world.run(REWORK, agent=answering)
    for count, reason in enumerate(("too long", "too short"), 1):
        run = world.reject(run, reason=reason, agent=answering)
        assert (run.status, len(answering.requests)) == ("paused", count)
    assert answering.prompts("gate") == ["Mend it: too long", "Mend it: too short"]
    run = world.reject(run, reason="no", agent=answering)
    assert (run.status, len(answering.requests)) == ("cancelled", 2)


def test_fact_74_an_approval_after_rework_completes_the_gate(world: World) -> None:
    """74: a mended gate can be approved."""
    answering = agent(gate=["mended"])
    run = world.reject(world.run(REWORK, agent=answering), reason="too long", agent=answering)
    assert world.approve(run, agent=answering).status == "completed"


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_fact_75_a_gate_is_answered_once(world: World, second: str) -> None:
    """75: the second answer is told that there was one, and the node completes exactly once."""
    run = world.run(GATE)
    ion.approve(run.run_id, "gate", comment="first", store=world.store, project=world.project)
    with pytest.raises(RefusedError, match="answered already") as refused:
        getattr(ion, second)(run.run_id, "gate", store=world.store, project=world.project)
    assert (refused.value.error_code, refused.value.exit_status) == ("answered", 5)
    world.resume(run)
    assert len(world.log(run, e.NodeCompleted, "gate")) == 1
    assert [event.comment for event in world.log(run, e.ApprovalResolved)] == ["first"]


def test_fact_76_a_decision_is_the_gates_output(world: World) -> None:
    """76: `defer` with a text gives both as JSON, and conditions route by it."""
    run = world.run("""
        nodes:
          - id: gate
            approval:
              message: Now?
              decisions: [{id: approve}, {id: defer, label: Later}]
          - {id: later, depends_on: [gate], when: $gate.output.decision == 'defer', bash: echo later}
          - {id: now, depends_on: [gate], when: $gate.output.decision == 'approve', bash: echo now}
        """)
    assert run.data["waiting"][0]["decisions"] == ["approve", "defer"]
    run = world.respond(run, "gate", "defer", 'say "x"')
    assert json.loads(output(run, "gate")) == {"decision": "defer", "text": 'say "x"'}
    assert statuses(run) == {"gate": "completed", "later": "completed", "now": "skipped"}


def retries(world: World, run: ion.RunResult) -> list[int]:
    """The delays before each retry, in ms."""
    return [event.due_at - event.at for event in world.log(run, e.NodeRetrying)]


@pytest.mark.parametrize("code", ["timeout", "crashed"])
def test_fact_77_prompts_are_tried_three_times_when_it_may_help(world: World, hurry: Clock, code: str) -> None:
    """77 [Ion]: classes come from the adapter, not from words: transient ones are retried after 3 s and 6 s (and up to
    a quarter more, so that many runs do not come back at once)."""
    failures: list[Any] = [AgentError(code, "unauthorized 401") for _ in range(3)]
    run = world.run("nodes:\n  - {id: ask, prompt: hi}\n", agent=agent(ask=failures))
    assert error(run, "ask").startswith(f"{code}: ")
    first, second = retries(world, run)
    assert 3000 <= first <= 3750
    assert 6000 <= second <= 7500
    assert run.data["nodes"]["ask"]["attempts"] == 3


@pytest.mark.parametrize("code", ["not_logged_in", "not_found", "refused", "bad_output", "cancelled"])
def test_fact_77_prompts_are_not_tried_again_when_it_cannot_help(world: World, code: str) -> None:
    """77 [Ion]: whatever the message says."""
    run = world.run("nodes:\n  - {id: ask, prompt: hi}\n", agent=agent(ask=AgentError(code, "429 too many requests")))
    assert error(run, "ask").startswith(f"{code}: ")
    assert retries(world, run) == []


def test_fact_77_bash_is_tried_once(world: World) -> None:
    """77: without `retry` there is one attempt."""
    run = world.run("nodes:\n  - {id: a, bash: 'echo x >> runs; exit 1'}\n")
    assert (run.status, (world.project / "runs").read_text()) == ("failed", "x\n")


@pytest.mark.parametrize(
    ("on_error", "script", "runs"),
    [
        (", on_error: all", "exit 1", 3),
        ("", "exit 1", 1),
        (", on_error: all", "echo permission denied >&2; exit 1", 3),
        (", on_error: all", "echo 403 >&2; exit 1", 3),
        ("", "echo timeout 503 >&2; exit 1", 1),
    ],
)
def test_fact_78_a_failing_script_is_tried_again_only_when_all_errors_are(
    world: World, hurry: Clock, on_error: str, script: str, runs: int
) -> None:
    """78 [Ion]: an exit status is retried with `on_error: all`, whatever stderr says, and not without."""
    run = world.run(f"""
        nodes:
          - id: a
            bash: "echo x >> runs; {script}"
            retry: {{max_attempts: 2, delay_ms: 1000{on_error}}}
        """)
    assert (run.status, (world.project / "runs").read_text().count("x")) == ("failed", runs)


TWO = """
    nodes:
      - id: a
        bash: echo ran >> a.runs; printf 'exact  \\n\\n value'
      - id: b
        depends_on: [a]
        bash: |
          echo ran >> b.runs
          test -e mended || exit 1
          printf '%s' "$a.output"
"""


def test_fact_79_resume_keeps_what_completed(lasting: World) -> None:
    """79: a is not run again and gives the same output; b runs."""
    first = lasting.run(TWO)
    assert statuses(first) == {"a": "completed", "b": "failed"}
    mend(lasting)
    second = lasting.resume(first)
    assert (second.status, output(second, "b")) == ("completed", "exact  \n\n value")
    assert (ran(lasting, "a"), ran(lasting, "b")) == (1, 2)


ALWAYS = """
    nodes:
      - {id: a, always_run: true, bash: echo ran >> a.runs; cat value}
      - {id: b, depends_on: [a], bash: 'echo ran >> b.runs; echo "<$a.output>"'}
      - {id: c, depends_on: [b], bash: "echo ran >> c.runs; test -e mended"}
"""


@pytest.mark.parametrize(("value", "again"), [("old", 1), ("new", 2)])
def test_fact_80_a_completed_node_runs_again_only_if_what_it_saw_has_changed(
    world: World, value: str, again: int
) -> None:
    """80: `always_run` runs a again; b, completed, runs again only if a's output is another one."""
    (world.project / "value").write_text("old")
    first = world.run(ALWAYS)
    mend(world)
    (world.project / "value").write_text(value)
    second = world.resume(first)
    assert (second.status, output(second, "b")) == ("completed", f"<{value}>")
    assert (ran(world, "a"), ran(world, "b")) == (2, again)
    causes = [(event.node, event.reason, event.dependency) for event in world.log(second, e.NodeInvalidated)]
    assert causes == [("a", "always_run", None), ("b", "dependency", "a")][:again]


def test_fact_81_a_run_that_ended_is_not_resumed(world: World) -> None:
    """81: completed and cancelled runs are refused, with exit status 5."""
    done = world.run("nodes:\n  - {id: a, bash: echo a}\n")
    gone = world.reject(world.run(GATE))
    for run in (done, gone):
        with pytest.raises(RefusedError, match=run.status) as refused:
            world.resume(run)
        assert refused.value.exit_status == 5


def test_fact_81_a_run_in_which_nothing_completed_can_be_resumed(world: World) -> None:
    """81 [Ion]: the first node failed; the run continues from there."""
    first = world.run("nodes:\n  - {id: a, bash: test -e mended}\n")
    mend(world)
    assert world.resume(first).status == "completed"


def test_fact_82_resume_uses_the_frozen_workflow(lasting: World) -> None:
    """82: the file edited, or deleted, between failure and resume changes nothing."""
    file = lasting.write(TWO)
    first = lasting.run(file)
    mend(lasting)
    file.write_text(file.read_text().replace("printf '%s' \"$a.output\"", "echo edited"))
    other = lasting.run(file)
    assert output(other, "b") == "edited"
    file.unlink()
    assert output(lasting.resume(first), "b") == "exact  \n\n value"


class Tampered:
    """A store in which somebody changed the frozen workflow of every run."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_source(self, run_id: str) -> str:
        return str(self._store.get_source(run_id)).replace("test -e mended", "test -e MENDED")


def test_fact_82_a_tampered_copy_is_refused(lasting: World) -> None:
    """82: its digest is not the one in the log."""
    first = lasting.run(TWO)
    mend(lasting)
    with pytest.raises(RefusedError, match="changed") as refused:
        replace(lasting, store=Tampered(lasting.store)).resume(first)
    assert refused.value.error_code == "changed"
    assert ran(lasting, "b") == 1
    assert lasting.resume(first).status == "completed"


def test_fact_83_a_skipped_node_is_decided_anew_and_a_completed_one_is_not(world: World) -> None:
    """83: on resume the node that its condition skipped is judged again; one that completed keeps its result even
    where its condition would not hold any more."""
    (world.project / "value").write_text("old")
    first = world.run("""
        nodes:
          - {id: a, always_run: true, bash: cat value}
          - {id: kept, bash: echo ran >> kept.runs; echo kept, when: $INPUTS.never != 'x'}
          - {id: skipped, depends_on: [a], when: $a.output == 'new', bash: echo now it runs}
          - {id: fails, bash: test -e mended}
        inputs: {never: {default: y}}
        """)
    assert statuses(first)["skipped"] == "skipped"
    mend(world)
    (world.project / "value").write_text("new")
    second = world.resume(first)
    assert (second.status, output(second, "skipped"), ran(world, "kept")) == ("completed", "now it runs", 1)


@pytest.mark.parametrize("kilobytes", [100, 400])
def test_fact_84_a_large_output_is_whole_after_a_resume(lasting: World, kilobytes: int) -> None:
    """84: no preview, no cut, whatever its size (256 KiB is where outputs leave the log)."""
    text = "0123456789abcde\n" * (kilobytes * 64)
    lasting.file("large.txt", "").write_text(text)
    first = lasting.run("""
        nodes:
          - {id: a, bash: cat large.txt}
          - {id: b, depends_on: [a], bash: 'test -e mended && printf "%s|" "$a.output"'}
        """)
    (lasting.project / "large.txt").unlink()
    mend(lasting)
    second = lasting.resume(first)
    assert output(second, "a") == text[:-1]
    assert output(second, "b") == f"{text[:-1]}|"


RESUMER = """
import pathlib, sys, time
import ion
from ion.errors import RefusedError
pathlib.Path(sys.argv[2] + ".ready").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.002)
try:
    print(ion.resume_workflow_sync(sys.argv[1]).status)
except RefusedError as error:
    print(error.error_code)
"""


def test_fact_85_of_two_processes_that_resume_at_once_one_wins(lasting: World) -> None:
    """85: the other is told that the run is owned (or, if it comes late, that it has ended), and b runs once more."""
    first = lasting.run(TWO.replace("printf '%s'", "sleep 0.2; printf '%s'"))
    mend(lasting)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RESUMER, first.run_id, name], cwd=lasting.project, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    until(lambda: all((lasting.project / f"{name}.ready").exists() for name in ("one", "two")))
    (lasting.project / "go").touch()
    said = sorted(process.communicate(timeout=PATIENCE_S)[0].strip() for process in both)
    assert said in (["completed", "owned"], ["completed", "ended"])
    assert ran(lasting, "b") == 2
