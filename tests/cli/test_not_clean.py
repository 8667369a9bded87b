"""Failures that a workflow foresees, wherever a run is shown: never plain green, and said with who allowed or caught
them."""

from __future__ import annotations

import io
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import ion as library
from ion.api.result import RunResult
from ion.cli.context import CliContext
from ion.cli.live import Head, Live, Tree
from ion.cli.terminal import Screen
from ion.core.fold import apply
from ion.core.state import RunState
from ion.views.marks import role_of
from ion.views.rows import folded
from processes import PATIENCE_S, until

from .kit import Ion, Project
from .terminals import Open

DEPLOY = """
name: deploy
description: Lint may fail, a failed deploy is taken back
nodes:
  - {id: lint, bash: 'echo "3 warnings"; echo "14 in all" >&2; exit 3', allow_failure: true}
  - {id: build, bash: 'echo built'}
  - {id: deploy, depends_on: [build], bash: '[ ! -e broken ] || { echo "disk full" >&2; exit 1; }'}
  - {id: after, depends_on: [deploy], bash: 'echo after'}
  - {id: rollback, catches: [deploy], bash: 'echo "took it back"'}
  - {id: report, depends_on: [lint, rollback], bash: 'echo "$lint.output; $rollback.output"'}
"""
FAN = """
name: fan
description: d
nodes:
  - id: all
    group:
      nodes:
        - {id: each, fan_out: {items: [0, 1], join: all_done}, bash: 'exit $INPUTS.item'}
"""


@pytest.fixture
def ran(ion: Ion, project: Project) -> Ion:
    """The run `caught`, of which a failure was allowed and another was caught; `allowed`, with the first alone."""
    project.write("deploy", DEPLOY)
    assert ion("run", "deploy", "--run-id", "allowed", "--quiet").status == 0
    (project.folder / "broken").touch()
    assert ion("run", "deploy", "--run-id", "caught", "--quiet").status == 0
    return ion


def told(text: str) -> list[str]:
    """The lines without their bars, times and runs of blanks."""
    return [re.sub(r"\s+", " ", re.sub(r"▐?█*|\b\d+\.\ds", "", line)).strip() for line in text.splitlines()]


def block(run: str) -> str:
    return (
        r"✓! deploy completed after , not clean\n"
        rf"lint failed, allowed: exit 3: 14 in all ion output {run} lint\n"
        rf"deploy failed, caught by rollback: exit 1: disk.* ion show {run} deploy\Z"
    )


def test_json_says_it(ran: Ion, project: Project) -> None:
    data = ran("show", "caught", "--json").json("run")
    assert (data["status"], data["clean"], data["output"]) == ("completed", False, "3 warnings; took it back")
    assert (data["allowed"], data["caught"]) == (["lint"], [{"node": "deploy", "by": "rollback"}])
    nodes = {name: (one["status"], one["allowed"], one["caught_by"]) for name, one in data["nodes"].items()}
    assert nodes == {
        "lint": ("failed", True, None),
        "build": ("completed", False, None),
        "deploy": ("failed", False, "rollback"),
        "after": ("skipped", False, None),
        "rollback": ("completed", False, None),
        "report": ("completed", False, None),
    }
    assert (data["nodes"]["lint"]["output"], data["nodes"]["lint"]["error"]["code"]) == ("3 warnings", "exit-status")
    other = ran("show", "allowed", "--json").json("run")
    assert (other["clean"], other["allowed"], other["caught"]) == (False, ["lint"], [])
    assert other["nodes"]["rollback"]["reason"] == "no_failure"
    found = library.get_run("caught", project=project.folder)
    assert (found.clean, found.allowed, found.caught) == (False, ("lint",), {"deploy": "rollback"})
    assert (found.nodes["lint"].allowed, found.nodes["deploy"].caught_by) == (True, "rollback")


def test_runs_lists_them_apart(ran: Ion, project: Project) -> None:
    project.write("good", "name: good\ndescription: d\nnodes: [{id: a, bash: 'true'}]\n")
    project.write("bad", "name: bad\ndescription: d\nnodes: [{id: a, bash: 'false'}]\n")
    ran("run", "good", "--run-id", "good", "--quiet")
    ran("run", "bad", "--run-id", "bad", "--quiet")
    clean = {one["run_id"]: one["clean"] for one in ran("runs", "--json").json("runs")}
    assert clean == {"bad": None, "good": True, "caught": False, "allowed": False}
    assert [one["run_id"] for one in ran("runs", "--unclean", "--json").json("runs")] == ["caught", "allowed"]
    assert [one["run_id"] for one in ran("runs", "--unclean", "--limit", "1", "--json").json("runs")] == ["caught"]
    marks = {line.split()[1]: line.split()[0] for line in ran("runs").out.splitlines()}
    assert marks == {"bad": "✗", "good": "✓", "caught": "✓!", "allowed": "✓!"}
    assert ran("runs", "--unclean", "--workflow", "good").err == "No runs like that.\n"


def test_the_end_of_a_run_says_it(ran: Ion) -> None:
    done = ran("run", "deploy", "--run-id", "again", "--plain")
    assert (done.status, done.out) == (0, "3 warnings; took it back\n")
    lines = [re.sub(r"^\d\d:\d\d\.\d ", "", line) for line in told(done.err)]
    assert "FAIL lint exit 3, allowed · ion logs again lint" in lines
    assert "skip after trigger_rule all_success: deploy failed" in lines
    assert "done rollback · caught the failure of deploy" in lines
    assert "run completed not clean: 1 allowed, 1 caught · 3 of 6 completed" in lines
    assert re.search(block("again"), "\n".join(lines))
    assert told(ran("run", "deploy", "--run-id", "quiet", "--quiet").err)[1] == "✓! deploy completed after , not clean"


@pytest.mark.parametrize("command", ["run", "resume", "rerun", "approve"])
def test_strict_clean_is_in_the_exit_status(ion: Ion, project: Project, command: str) -> None:
    gate = "{id: ask, approval: {message: ok?}}"
    lint = "{id: lint, depends_on: [ask], bash: 'exit 3', allow_failure: true}"
    project.write(
        "w", f"name: w\ndescription: d\nnodes: [{gate}, {lint}, {{id: end, depends_on: [lint], bash: echo}}]\n"
    )
    assert ion("run", "w", "--run-id", "one", "--quiet").status == 3
    if command == "run":
        project.write(
            "w", f"name: w\ndescription: d\nnodes: [{lint.replace('[ask]', '[]')}, {{id: end, bash: echo}}]\n"
        )
        words = ["run", "w", "--quiet"]
    elif command == "resume":
        assert ion("approve", "one", "--no-resume").status == 0
        words = ["resume", "one", "--quiet"]
    elif command == "rerun":
        assert ion("approve", "one", "--quiet").status == 0
        words = ["rerun", "one", "--from", "lint", "--quiet"]
    else:
        words = ["approve", "one", "--quiet"]
    assert ion(*words, "--strict-clean").status == 1


def test_show_says_for_each_node_which_rule_it_was(ran: Ion) -> None:
    lines = told(ran("show", "caught").out)
    assert lines[0].startswith("deploy caught completed, not clean started")
    assert [line for line in lines if line.startswith(("lint ✗", "deploy ✗", "after –"))] == [
        "lint ✗ exit 3, allowed",
        "deploy ✗ exit 1, caught by rollback",
        "after – deploy failed",
    ]
    assert "rollback – none of these failed: deploy" in told(ran("show", "allowed").out)
    after = told(ran("show", "caught", "after").out)
    assert "rule all_success: no (deploy failed (caught by rollback))" in after
    assert "skipped upstream_failed: all_success: deploy failed" in after
    report = told(ran("show", "allowed", "report").out)
    assert "rule all_success: yes (lint failed (allowed), rollback skipped)" in report
    rollback = told(ran("show", "allowed", "rollback").out)
    assert "catches deploy completed: no" in rollback
    assert "skipped no_failure: none of these failed: deploy" in rollback
    assert "catches deploy failed (caught by rollback): yes" in told(ran("show", "caught", "rollback").out)
    lint = told(ran("show", "caught", "lint").out)
    assert lint[0] == "lint failed, allowed exit 3 after"
    assert "handled allowed: the run does not fail by it, and is not clean" in lint
    assert ran("show", "caught", "rollback", "--json").json("node")["catches"] == ["deploy"]


def test_show_says_also_of_other_ends_which_rule_it_was(ion: Ion, project: Project) -> None:
    project.write("inner", "name: inner\ndescription: d\nnodes: [{id: n, bash: 'true'}]\n")
    project.write(
        "w",
        """
name: w
description: d
inputs: {x: {default: a}}
nodes:
  - {id: late, bash: 'sleep 60', timeout: 50ms, on_timeout: skip}
  - {id: behind, depends_on: [late], bash: 'true'}
  - {id: inc, include: inner, when: "$INPUTS.x == 'b'"}
  - {id: done, bash: 'true'}
""",
    )
    project.write(
        "fast",
        """
name: fast
description: d
fail_fast: true
nodes:
  - {id: bad, bash: 'until [ -e began ]; do sleep 0.02; done; exit 1'}
  - {id: long, bash: 'touch began; sleep 60'}
  - {id: next, depends_on: [long], bash: 'true'}
""",
    )
    assert ion("run", "w", "--run-id", "w", "--quiet").status == 0
    assert ion("run", "fast", "--run-id", "fast", "--quiet").status == 1
    for run, node, why in (
        ("w", "late", "skipped timeout: bash timed out after 50 ms"),
        ("w", "behind", "skipped trigger_rule: all_success: late skipped"),
        ("w", "inc__n", "skipped when: $INPUTS.x == 'b' (was 'a')"),
        ("fast", "long", "cancelled fail_fast"),
        ("fast", "next", "skipped fail_fast: 'bad' failed and fail_fast is set"),
    ):
        assert why in told(ion("show", run, node).out)
    lines = told(ion("show", "w").out)
    assert "late – bash timed out after 50 ms" in lines
    assert "behind – late skipped" in lines
    assert "next – 'bad' failed and fail_fast is set" in told(ion("show", "fast").out)


def test_the_output_of_an_allowed_failure_is_what_it_printed(ran: Ion) -> None:
    assert ran("output", "caught", "lint").out == "3 warnings\n"
    assert ran("output", "caught", "deploy").status == 2


def test_what_is_around_an_allowed_failure_is_not_green_either(ion: Ion, project: Project) -> None:
    project.write("fan", FAN)
    assert ion("run", "fan", "--run-id", "fan", "--quiet").status == 0
    data = ion("show", "fan", "--json").json("run")
    assert (data["clean"], data["allowed"]) == (False, ["all.each.1"])
    rows = folded(describe(project, "fan"), None, None)
    assert {row.node.id: row.state for row in rows} == {
        "all": "partly",
        "all.each": "partly",
        "all.each.0": "completed",
        "all.each.1": "allowed",
    }
    assert role_of("partly") == role_of("allowed") == role_of("unclean") == "attention"


def describe(project: Project, run: str) -> RunResult:
    return library.get_run(run, project=project.folder)


def frames(project: Project, run: str) -> list[list[list[Any]]]:
    """The lines of the live tree after each event."""
    screen = Screen(io.StringIO(), True, False, 100)
    screen.encodable = lambda text: text  # type: ignore[method-assign]
    live = Live(screen, None, CliContext())  # type: ignore[arg-type]
    path = project.folder / ".ion" / "workflows" / "deploy.yaml"
    live.begin(library.parse_workflow(path.read_text()), None)
    state, shown = RunState(), []
    for one in library.get_events(run, project=project.folder):
        apply(state, one.event)
        live.event(run, one, state)
        shown.append(Tree(screen, lambda _: "").lines(Head("deploy", run, 0), live._shown(24), 0, 24, set()))
    return shown


def test_the_live_tree_is_amber(ran: Ion, project: Project) -> None:
    last = frames(project, "caught")[-1]
    rows = {line[1].split()[0]: line for line in last[1:]}
    assert (rows["lint"][0], rows["deploy"][0]) == (("attention", "✗"), ("attention", "✗"))
    assert rows["rollback"][0] == ("good", "✓")
    assert "exit 3, allowed" in str(rows["lint"])
    assert "exit 1, caught by rollback" in str(rows["deploy"])


def test_the_graph_draws_who_catches_whom(ran: Ion) -> None:
    assert "rollback catches deploy\n" in ran("graph", "deploy").out
    assert {"from": "deploy", "to": "rollback", "kind": "catches"} in ran("graph", "deploy", "--json").json("graph")[
        "edges"
    ]
    assert "-. catches .->" in ran("graph", "deploy", "--format", "mermaid").out
    assert 'style=dashed, label="catches"' in ran("graph", "deploy", "--format", "dot").out
    nodes = {one["id"]: one.get("handled") for one in ran("graph", "--run", "caught", "--json").json("graph")["nodes"]}
    assert nodes == {"lint": True, "build": None, "deploy": True, "after": None, "rollback": None, "report": None}
    assert ran("graph", "--run", "caught", "--format", "svg").out.count('class="box allowed"') == 2


def test_many_items_that_failed_are_one_line(ion: Ion, project: Project) -> None:
    fan = "{id: each, fan_out: {items: [0, 1, 1, 1], join: all_done}, bash: 'exit $INPUTS.item'}"
    project.write("w", f"name: w\ndescription: d\nnodes: [{fan}, {{id: end, bash: 'exit 2', allow_failure: true}}]\n")
    done = ion("run", "w", "--run-id", "w", "--quiet")
    assert told(done.err)[2:] == [
        "each 3 items failed, allowed: exit 1 ion show w each",
        "end failed, allowed: exit 2 ion show w end",
    ]


def test_the_graph_of_a_fan_out_that_may_fail_is_amber(ion: Ion, project: Project) -> None:
    fan = "{id: each, fan_out: {items: [0, 1]}, allow_failure: true, bash: 'exit $INPUTS.item'}"
    project.write("w", f"name: w\ndescription: d\nnodes: [{fan}, {{id: end, depends_on: [each], bash: 'true'}}]\n")
    assert ion("run", "w", "--run-id", "w", "--quiet").status == 0
    (each, _) = ion("graph", "--run", "w", "--json").json("graph")["nodes"]
    assert (each["status"], each["handled"], each["counts"]) == ("failed", True, {"completed": 1, "failed": 1})
    data = ion("show", "w", "--json").json("run")
    assert (data["clean"], data["allowed"]) == (False, ["each"])


def test_who_is_told_of_the_end_is_told_that(ran: Ion, project: Project, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\n")
    hook.chmod(0o755)
    assert ran("run", "deploy", "--quiet", "--notify", str(hook)).status == 0
    report = json.loads((tmp_path / "told").read_text())
    assert (report["clean"], report["allowed"], report["caught"]) == (
        False,
        ["lint"],
        [{"node": "deploy", "by": "rollback"}],
    )


def test_a_question_about_a_failure_that_a_resume_makes_good_is_closed(ion: Ion, project: Project) -> None:
    deploy = "{id: deploy, bash: 'test -e fixed'}, {id: undo, catches: [deploy], approval: {message: Undo it?}}"
    slow = "{id: slow, bash: 'touch begun; until [ -e fixed ]; do sleep 0.05; done'}"
    project.write("asks", f"name: asks\ndescription: d\nnodes: [{deploy}, {slow}]\n")
    process = project.start("run", "asks", "--run-id", "mine", "--quiet")
    until((project.folder / "begun").exists)
    until(lambda: ion("show", "mine", "--json").json("run")["nodes"]["undo"]["status"] == "waiting")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    (project.folder / "fixed").touch()
    done = ion("resume", "mine", "--json").json("run")
    assert (done["status"], done["clean"], done["waiting"]) == ("completed", True, [])
    assert (done["nodes"]["undo"]["status"], done["nodes"]["undo"]["reason"]) == ("skipped", "no_failure")
    assert "skipped no_failure: none of these failed: deploy" in told(ion("show", "mine", "undo").out)
    assert ion("approve", "mine", "undo").status == 5


# ------------------------------------------------------------------ finally

FINALLY = """
name: fin
description: d
nodes:
  - {id: lock, bash: 'touch lock', always_run: true}
  - {id: build, depends_on: [lock], bash: '[ ! -e broken ]'}
finally:
  - {id: unlock, bash: 'rm lock; touch begun; until [ ! -e held ]; do sleep 0.05; done; [ ! -e stuck ] || exit 4'}
  - {id: tell, depends_on: [unlock], trigger_rule: all_done, bash: 'echo "$RUN.status"'}
"""


@pytest.fixture
def cleaned(ion: Ion, project: Project) -> Ion:
    project.write("fin", FINALLY)
    return ion


def test_a_failure_in_finally_is_said_and_changes_no_end(cleaned: Ion, project: Project) -> None:
    (project.folder / "stuck").touch()
    done = cleaned("run", "fin", "--run-id", "stuck", "--plain")
    lines = [re.sub(r"^\d\d:\d\d\.\d ", "", line) for line in told(done.err)]
    assert done.status == 0
    assert "run is ending completed; finally: unlock, tell" in lines
    assert "run completed not clean: 1 in finally · 3 of 4 completed" in lines
    assert lines[-1] == "unlock failed in finally: exit 4 ion show stuck unlock"
    data = cleaned("show", "stuck", "--json").json("run")
    assert (data["status"], data["clean"], data["finally_failed"]) == ("completed", False, ["unlock"])
    assert (data["allowed"], data["caught"]) == ([], [])
    assert library.get_run("stuck", project=project.folder).finally_failed == ("unlock",)
    assert cleaned("runs", "--unclean", "--json").json("runs")[0]["run_id"] == "stuck"
    assert "unlock ✗ exit 4, in finally" in told(cleaned("show", "stuck").out)
    assert cleaned("resume", "stuck").status == 5
    assert cleaned("run", "fin", "--quiet", "--strict-clean").status == 1
    (project.folder / "broken").touch()
    failed = cleaned("run", "fin", "--run-id", "both", "--plain")
    assert (failed.status, told(failed.err)[-1]) == (1, "unlock failed in finally: exit 4 ion show both unlock")
    assert "✗ fin failed after : build exited with 1" in told(failed.err)


def test_a_resume_says_that_finally_has_run(cleaned: Ion, project: Project) -> None:
    (project.folder / "broken").touch()
    said = "finally has run: what it undid is made again only by nodes with always_run"
    failed = cleaned("run", "fin", "--run-id", "bad", "--quiet")
    assert said in told(failed.err)
    assert "continue ion resume bad (1 completed node is kept)" in told(failed.err)
    (project.folder / "broken").unlink()
    again = cleaned("resume", "bad", "--plain")
    assert (again.status, told(again.err)[0]) == (0, f"note: {said}")
    assert said not in cleaned("run", "fin", "--quiet").err


def test_while_finally_runs_the_run_is_finishing(cleaned: Ion, project: Project) -> None:
    (project.folder / "held").touch()
    process = project.start("run", "fin", "--run-id", "mine", "--quiet")
    until((project.folder / "begun").exists)
    until(lambda: cleaned("show", "mine", "--json").json("run").get("finishing") is True)
    assert told(cleaned("show", "mine").out)[0].startswith("fin mine running, finishing started")
    assert cleaned("runs").out.split()[1:4] == ["mine", "fin", "finishing"]
    assert [one["finishing"] for one in cleaned("runs", "--json").json("runs")] == [True]
    (project.folder / "held").unlink()
    assert process.wait(PATIENCE_S) == 0
    data = cleaned("show", "mine", "--json").json("run")
    assert (data["clean"], "finishing" in data, "finally_failed" in data) == (True, False, False)
    assert "finishing" not in cleaned("runs", "--json").json("runs")[0]


def test_the_head_of_the_live_tree_says_that_finally_runs(cleaned: Ion, project: Project, terminal: Open) -> None:
    (project.folder / "held").touch()
    shown = terminal("run", "fin")
    shown.until(lambda text: re.search(r"^fin  \S+ +finishing · 2/4 nodes · ", text) is not None)
    (project.folder / "held").unlink()
    status, text = shown.end()
    assert (status, "finishing" in text) == (0, False)


def test_a_node_of_finally_waits_for_the_end(cleaned: Ion, project: Project) -> None:
    project.write(
        "gated",
        FINALLY.replace("name: fin", "name: gated").replace("bash: '[ ! -e broken ]'", "approval: {message: ok?}"),
    )
    assert cleaned("run", "gated", "--run-id", "gated", "--quiet").status == 3
    lines = told(cleaned("show", "gated").out)
    assert "unlock ○ runs before the end" in lines
    assert "tell ○ waits for unlock" in lines


def test_finally_is_a_box_behind_all_others(cleaned: Ion) -> None:
    assert cleaned("graph", "fin").out == (
        "lock ─ build ─ finally\n\n┌─ finally ─────┐\n│ unlock ─ tell │\n└───────────────┘\n"
    )
    assert 'subgraph n2["finally"]' in cleaned("graph", "fin", "--format", "mermaid").out
    nodes = {one["id"]: one.get("final") for one in cleaned("graph", "fin", "--json").json("graph")["nodes"]}
    assert nodes == {"lock": None, "build": None, "unlock": True, "tell": True}


def test_a_dry_run_goes_through_finally(cleaned: Ion) -> None:
    done = cleaned("run", "fin", "--dry-run", "--plain")
    assert (done.status, "is ending" in done.err) == (0, True)
    assert re.search(r"done   tell", done.err)


def test_what_fails_in_the_finally_of_a_called_workflow_is_said_too(cleaned: Ion, project: Project) -> None:
    (project.folder / "stuck").touch()
    project.write("caller", "name: caller\ndescription: d\nnodes: [{id: ship, workflow: fin}]\n")
    done = cleaned("run", "caller", "--run-id", "mine", "--plain")
    lines = [re.sub(r"^\d\d:\d\d\.\d ", "", line) for line in told(done.err)]
    assert (done.status, lines[-1]) == (0, "ship.unlock failed in finally: exit 4 ion show mine ship.unlock")
    assert "ends ship completed; finally: unlock, tell" in lines
    last = json.loads(cleaned("events", "mine").out.splitlines()[-1])
    assert (last["type"], last["clean"], last["finally_failed"]) == ("workflow_completed", False, ["ship.unlock"])
    data = cleaned("show", "mine", "--json").json("run")
    assert (data["clean"], data["finally_failed"]) == (False, ["ship.unlock"])
    assert [one["clean"] for one in cleaned("runs", "--json").json("runs")] == [False]
    rows = {row.node.id: row.state for row in folded(describe(project, "mine"), None, None)}
    assert (rows["ship"], rows["ship.unlock"], rows["ship.tell"]) == ("partly", "allowed", "completed")


def test_a_node_may_be_called_finally(ion: Ion, project: Project) -> None:
    project.write("fin", FINALLY.replace("id: build", "id: finally"))
    drawn = ion("graph", "fin")
    assert drawn.out.startswith("lock ─ finally ─ (finally)\n"), drawn.err
    assert "┌─ (finally) ───┐" in drawn.out


def test_a_question_is_over_once_the_run_is_ending(project: Project, terminal: Open) -> None:
    nodes = "{id: ask, approval: {message: Really?}}, {id: bad, bash: 'until [ -e go ]; do sleep 0.05; done; exit 1'}"
    held = "{id: held, bash: 'until [ -e over ]; do sleep 0.05; done'}"
    project.write("w", f"name: w\ndescription: d\nfail_fast: true\nnodes: [{nodes}]\nfinally: [{held}]\n")
    shown = terminal("run", "w", "--run-id", "mine")
    shown.until("Really?")
    (project.folder / "go").touch()
    shown.until("answered elsewhere")
    assert "finishing" in project.run("show", "mine").out
    (project.folder / "over").touch()
    shown.until("w failed after")
