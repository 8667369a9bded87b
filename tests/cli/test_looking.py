"""Looking at runs and workflows: `show`, `runs`, `logs`, `list`, `validate`, `schema`, `init`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from .conftest import Ion, Project

BUILD = """
name: build
description: One of everything that a run can come to.
nodes:
  - id: fetch
    bash: echo '{"type":"bug"}'; echo noise >&2
  - id: plan
    depends_on: [fetch]
    when: $fetch.output.type == 'feature' && $fetch.output.size == 'big'
    bash: echo planned
  - id: fix
    depends_on: [fetch]
    when: $fetch.output.type == 'bug'
    bash: echo "fixed $fetch.output.type for $INPUTS.who"
  - id: tests
    depends_on: [fix]
    retry: {max_attempts: 1, delay_ms: 1000, on_error: all}
    bash: echo "no luck" >&2; exit 7
  - id: publish
    depends_on: [tests]
    bash: echo published
  - id: review
    depends_on: [fetch]
    approval: {message: Is it good?}
inputs: {who: {default: Ada}}
"""
OTHER = "name: other\ndescription: Needs {}.\ninputs: {{a: {{required: true}}}}\nnodes:\n  - id: x\n    {}\n"


@pytest.fixture
def built(ion: Ion, project: Project) -> Ion:
    """A project with one run, `mine`, of the workflow above."""
    project.write("build", BUILD)
    ion("run", "build", "--run-id", "mine")
    return ion


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
    assert "$fetch.output.size == 'big'      not looked at" in plan
    tests = built("show", "mine", "tests").out
    assert tests.startswith("tests   failed   attempt 2 of 2   exit 7 after ")
    assert "  error        exit-status: exit 7\n               no luck\n" in tests
    assert "stderr 16 B    ion logs mine tests" in tests
    publish = built("show", "mine", "publish").out
    assert "  rule         all_success: no (tests failed)\n" in publish
    assert "  answer       ion approve mine" in built("show", "mine", "review").out


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


def test_runs_lists_them_newest_first(built: Ion, project: Project) -> None:
    project.write("other", OTHER.format("nothing", "bash: echo x"))
    built("run", "other", "--input", "a=1", "--run-id", "other")
    found = built("runs", "--json").json("runs")
    assert [(run["run_id"], run["status"]) for run in found] == [("other", "completed"), ("mine", "paused")]
    assert [run["run_id"] for run in built("runs", "--status", "paused", "--json").json("runs")] == ["mine"]
    assert [run["run_id"] for run in built("runs", "--workflow", "other", "--json").json("runs")] == ["other"]
    assert len(built("runs", "--limit", "1", "--json").json("runs")) == 1
    table = built("runs").out.splitlines()
    assert table[0].startswith("✓ other  other  completed")
    assert table[1].startswith("⏸ mine   build  paused")
    assert built("runs", "--status", "asleep").status == 2


def test_logs_prints_what_programs_wrote(built: Ion) -> None:
    everything = built("logs", "mine").out
    assert '==> fetch, bash, stdout <==\n{"type":"bug"}\n' in everything
    assert "==> fetch, bash, stderr <==\nnoise\n" in everything
    assert "==> tests, bash, start 2, stderr <==\nno luck\n" in everything
    assert built("logs", "mine", "fix").out == "fixed bug for Ada\n"
    entries = built("logs", "mine", "tests", "--json").json()
    assert [(entry["start"], entry["stream"], entry["text"]) for entry in entries] == [
        (1, "stderr", "no luck\n"),
        (2, "stderr", "no luck\n"),
    ]
    nothing = built("logs", "mine", "publish")
    assert (nothing.status, nothing.out) == (0, "")
    assert built("logs", "mine", "nobody").status == 2
    assert built("logs").status == 2


def test_list_shows_all_also_what_is_broken_or_shadowed(ion: Ion, project: Project) -> None:
    project.write("build", BUILD)
    project.write("other", OTHER.format("an agent", "prompt: hi"))
    project.write("broken", "name: broken\ndescription: d\nnodes: []\n")
    archon = project.folder / ".archon" / "workflows"
    archon.mkdir(parents=True)
    (archon / "build.yaml").write_text(BUILD)
    result = ion("list")
    assert result.status == 0
    rows = {line.split("  ")[0]: line for line in result.out.splitlines()[1:]}
    assert re.search(r"One of everything .* \.ion/workflows$", result.out, re.MULTILINE)
    assert "a, agent" in rows["other"]
    assert "1 error · ion validate broken" in rows["✗ broken"]
    assert all(len(line) <= 80 for line in result.out.splitlines())
    found = {(item["name"], item["file"]): item for item in ion("list", "--json").json("list")}
    other = found["other", str(project.folder / ".ion/workflows/other.yaml")]
    assert other["inputs"] == {"a": {"required": True, "description": "", "type": None}}
    shadowed = found["build", str(archon / "build.yaml")]
    assert shadowed["shadowed_by"] == str(project.folder / ".ion/workflows/build.yaml")
    assert found["broken", str(project.folder / ".ion/workflows/broken.yaml")]["problems"]


def test_a_column_is_as_wide_as_its_head(ion: Ion, project: Project) -> None:
    project.write("a", "name: a\ndescription: d\nnodes: [{id: a, bash: x}]\n")
    head, row = ion("list").out.splitlines()
    assert head.split() == ["NAME", "WHAT", "NEEDS", "FROM"]
    assert row.index(".ion") == head.index("FROM")


def test_an_empty_project_says_what_to_do(ion: Ion) -> None:
    assert "ion init writes a first one" in ion("list").err
    assert "ion run WORKFLOW starts one" in ion("runs").err
    assert ion("list", "--json").json("list") == []
    assert ion("runs", "--json").json("runs") == []
    assert ion("validate").out == "no problems in 0 files\n"


def test_validate_shows_problems_with_their_lines(ion: Ion, project: Project) -> None:
    path = project.write(
        "bad", BUILD.replace("depends_on: [fix]", "depend_on: [fix]").replace("name: build", "name: bad")
    )
    project.write("build", BUILD)
    result = ion("validate")
    assert result.status == 1
    assert "  --> .ion/workflows/bad.yaml:16:5\n" in result.out
    assert "16 |     depend_on: [fix]\n   |     ^^^^^^^^^ did you mean 'depends_on'?\n" in result.out
    assert re.search(r"^1 error(, \d+ warnings?)? in 1 of 2 files$", result.out, re.MULTILINE)
    problems = ion("validate", "bad", "--json").json("validate")
    assert (problems[0]["file"], problems[0]["line"], problems[0]["column"]) == (str(path), 16, 5)
    assert ion("validate", "build").status == 0
    assert ion("validate", str(path)).status == 1
    assert ion("validate", "nowhere").status == 2


def test_strict_makes_warnings_fail(ion: Ion, project: Project) -> None:
    project.write("warns", "name: warns\ndescription: d\nnodes:\n  - id: a\n    bash: echo\n    timeout: 50\n")
    assert ion("validate").status == 0
    assert ion("validate", "--strict").status == 1
    assert {problem["severity"] for problem in ion("validate", "--json").json("validate")} == {"warning"}


def test_schema_is_a_json_schema_that_takes_a_workflow(ion: Ion) -> None:
    schema = ion("schema").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == ion("schema", "--json").json()
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"name": "x", "description": "d", "nodes": [{"id": "a", "bash": "echo"}]})
    assert not validator.is_valid({"name": "x", "description": "d"})


def test_init_writes_what_works_and_never_overwrites(ion: Ion, project: Project) -> None:
    result = ion("init")
    assert result.status == 0
    assert ion("run", "hello", "--input", "name=Ada").out == "Hello, Ada! (11 characters)\n"
    assert ion("validate", "--strict").status == 0
    config = project.folder / ".ion" / "config.yaml"
    config.write_text("max_concurrency: 1\n")
    again = ion("init", "--json").json()
    assert [entry["written"] for entry in again] == [False, False, False]
    assert config.read_text() == "max_concurrency: 1\n"


def test_an_editor_finds_the_schema_that_init_wrote(ion: Ion, project: Project) -> None:
    ion("init")
    workflow = project.folder / ".ion" / "workflows" / "hello.yaml"
    named = workflow.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((workflow.parent / named).read_text())
    assert schema == ion("schema").json()
    assert "!workflow.schema.json" in (project.folder / ".ion" / ".gitignore").read_text()


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


def test_each_line_of_the_settings_file_works_without_its_mark(ion: Ion, project: Project) -> None:
    ion("init")
    config = project.folder / ".ion" / "config.yaml"
    settings = re.sub(r"^# (?=( *\w+:))", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(settings)
    assert "command: claude -p" in settings.splitlines()[8]
    assert ion("run", "hello", "--quiet").status == 0


def test_large_outputs_are_in_a_file(ion: Ion, project: Project) -> None:
    project.write(
        "big", "name: big\ndescription: d\nnodes:\n  - id: big\n    bash: head -c 300000 /dev/zero | tr '\\0' x\n"
    )
    result = ion("run", "big", "--json").json("run")
    assert (result["output"], result["output_bytes"]) == (None, 300_000)
    assert Path(result["output_file"]).read_text() == "x" * 300_000
    assert json.loads(ion("events").out.splitlines()[-2])["output"]["bytes"] == 300_000


def test_an_output_is_printed_whole_and_nothing_else(project: Project) -> None:
    """Of a run, of a node, of a loop that waits; what there is not has status 2 and says why."""
    project.write(
        "outputs",
        "name: outputs\ndescription: d\nreturns: long\nnodes:\n"
        '  - {id: long, bash: \'head -c 300000 /dev/zero | tr "\\0" x; printf "\\n\\033[31mred \\044(x)\\n\\n"\'}\n'
        "  - {id: ask, depends_on: [long], approval: {message: ok?}}\n"
        "  - id: draft\n"
        "    loop: {prompt: Write, until: DONE, max_iterations: 3, interactive: true, gate_message: Good?}\n",
    )
    assert project.run("run", "outputs", "--agent", "printf 'first\\nsecond'", "--quiet").status == 3
    none = project.run("output")
    assert (none.status, none.out) == (2, "")
    assert "has no output: it is paused" in none.err
    long = project.run("output", "last", "long")
    assert (long.status, len(long.out), long.out[300_001:]) == (0, 300_016, "\x1b[31mred $(x)\n\n")
    assert project.run("output", "last", "draft").out == "first\nsecond\n"
    assert "'ask' has no output: it is waiting" in project.run("output", "last", "ask").err
    assert project.run("output", "last", "nope").status == 2
    assert "ion output" in project.run("show", "last", "long").out
    assert project.run("approve", "last", "ask", "--quiet").status == 3
    assert project.run("approve", "last", "draft", "--quiet").status == 3
    assert project.run("reject", "last", "draft", "--quiet").status == 4
    assert project.run("output", "last", "long").out == long.out
    data = project.run("output", "last", "long", "--json").json("output")
    assert (data["output"], data["output_bytes"]) == (None, 300_015)
    assert Path(data["output_file"]).read_text() + "\n" == long.out
