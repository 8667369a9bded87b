"""`ion show`: a run, a node, and why it is as it is."""

from __future__ import annotations

import re

from .kit import Ion, Project
from .workflows import BUILD


def test_show_draws_each_node_with_its_time_and_why(built: Ion) -> None:
    result = built("show", "mine")
    assert result.status == 0
    text = re.sub(r"\d+\.\ds", "0.0s", re.sub(r"started [\d: -]+, \ds", "started T, 1.0s", result.out))
    lines = text.splitlines()
    assert lines[0].startswith("build  mine   paused   started ")
    assert any(".ion/workflows/build.yaml" in line for line in lines[:2])
    rows = {line.split()[0]: line for line in lines if line[:1].isalpha()}
    assert re.fullmatch(r"fetch +✓ +▐█* +0\.0s +", rows["fetch"].ljust(90))
    assert re.fullmatch(r"plan +– +when was false", rows["plan"])
    assert re.fullmatch(r"tests +✗ +▐█+ +0\.0s +2 attempts  exit 7", rows["tests"])
    assert re.fullmatch(r"publish +– +tests failed", rows["publish"])
    assert re.fullmatch(r"review +⏸ +▐█+ +0\.0s +gate: Is it good\?", rows["review"])
    assert all(len(line) <= 80 for line in lines)
    assert text.endswith(
        "Paused: 1 gate is open.\n  review  Is it good?\n"
        '  ion approve mine --comment "…"      ion reject mine --reason "…"\n'
    )


def test_show_fits_its_shape(built: Ion) -> None:
    shown = built("show", "mine", "--json").json("run")
    assert shown["nodes"]["plan"] == {
        "status": "skipped",
        "output": None,
        "error": None,
        "reason": "when",
        "attempts": 0,
        "iterations": None,
        "duration_ms": None,
        "agent": None,
        "usage": {},
        "allowed": False,
        "caught_by": None,
        "notes": [],
    }
    assert shown["nodes"]["tests"]["error"]["code"] == "exit-status"
    assert shown["waiting"] == [{"node": "review", "kind": "approval", "message": "Is it good?"}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["started_at"])


def test_show_node_says_why_with_the_values_seen(built: Ion) -> None:
    fix = built("show", "mine", "fix").out
    assert fix.startswith("fix   completed   after 0.")
    assert "  waited for   fetch (completed 00:0" in fix
    assert "  rule         all_success: yes\n" in fix
    assert "  when         $fetch.output.type == 'bug'      'bug'  → true\n" in fix
    assert "mine/fix  (ION_IDEMPOTENCY_KEY)" in fix
    assert '  references   $fetch.output.type  14 B  "{"type":"bug"}"\n               $INPUTS.who  "Ada"\n' in fix
    assert '  output       17 B  "fixed bug for Ada"\n' in fix
    plan = built("show", "mine", "plan").out
    assert "$fetch.output.type == 'feature'      'bug'  → false" in plan
    assert "$fetch.output.size == 'big'      not evaluated" in plan
    tests = built("show", "mine", "tests").out
    assert tests.startswith("tests   failed   attempt 2 of 2   exit 7 after ")
    assert "  error        exit-status: exit 7\n               no luck\n" in tests
    assert "stderr 16 B    ion logs mine tests" in tests
    publish = built("show", "mine", "publish").out
    assert "  rule         all_success: no (tests failed)\n" in publish
    assert "  answer       ion approve mine" in built("show", "mine", "review").out


def test_show_node_cuts_no_command_on_a_narrow_screen(ion: Ion, project: Project) -> None:
    project.write("long", "name: long\ndescription: d\nnodes:\n  - {id: report, bash: 'seq 1000; seq 1000 >&2'}\n")
    ion("run", "long", "--run-id", "a-run-with-a-name-of-some-length", "--quiet")
    shown = [line[15:] for line in ion("show", "last", "report", COLUMNS="80").out.splitlines()]
    assert "ion output a-run-with-a-name-of-some-length report" in shown
    assert "ion logs a-run-with-a-name-of-some-length report" in shown


def test_show_node_as_json(built: Ion) -> None:
    plan = built("show", "mine", "plan", "--json").json()
    assert plan["when"] == [
        {"comparison": "$fetch.output.type == 'feature'", "seen": "'bug'", "holds": False},
        {"comparison": "$fetch.output.size == 'big'", "seen": "", "holds": None},
    ]
    assert plan["waits_for"] == [{"node": "fetch", "status": "completed"}]
    wrong = built("show", "mine", "tset")
    assert wrong.status == 2
    assert "did you mean 'tests'?" in wrong.err


def test_show_says_that_the_file_has_changed_since(built: Ion, project: Project) -> None:
    file = project.folder / ".ion" / "workflows" / "build.yaml"
    assert "since)" not in built("show", "mine").out
    file.touch()
    assert "since)" not in built("show", "mine").out
    file.write_text(BUILD.replace("echo published", "echo hidden"))
    assert "build.yaml (changed since)" in built("show", "mine").out
    file.write_text("nodes: [")
    assert "build.yaml (changed since)" in built("show", "mine").out
    file.unlink()
    assert "build.yaml (gone since)" in built("show", "mine").out


def test_a_script_has_as_many_lines_as_its_code(ion: Ion, project: Project) -> None:
    script = "    script: |\n      x = 1\n      y = 2\n      print(x + y)\n"
    project.write("w", f"name: w\ndescription: d\nnodes:\n  - id: s\n    runtime: python\n{script}")
    assert ion("run", "w", "--run-id", "r1").status == 0
    assert "script, 3 lines" in ion("show", "r1", "s").out
