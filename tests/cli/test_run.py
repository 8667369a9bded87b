"""`ion run`: output, exit statuses, inputs, the screens after it, dry runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .kit import Ion, Project, fits

HELLO = """
name: hello
description: Greets.
inputs:
  name: {default: world, description: who}
nodes:
  - id: greet
    bash: printf 'Hello, %s! (%s)' "$INPUTS.name" "$ARGUMENTS"
"""
FAILS = """
name: fails
description: One node fails, one is skipped for it, one for its condition.
nodes:
  - id: fetch
    bash: echo '{"type":"bug"}'
  - id: plan
    depends_on: [fetch]
    when: $fetch.output.type == 'feature'
    bash: echo planned
  - id: tests
    depends_on: [fetch]
    bash: |
      echo "E   assert token.expired is False" >&2
      exit 3
  - id: publish
    depends_on: [tests]
    bash: echo published
"""
GATE = """
name: gate
description: Waits for a person.
nodes:
  - id: build
    bash: echo built
  - id: review
    depends_on: [build]
    approval: {message: "Publish $build.output?"}
  - id: publish
    depends_on: [review]
    bash: echo published
"""
CANCELS = """
name: cancels
description: Ends itself.
nodes:
  - id: check
    bash: echo no
  - id: stop
    depends_on: [check]
    cancel: nothing to do
"""


def test_the_output_is_printed_on_stdout_and_progress_on_stderr(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    result = ion("run", "hello", "--input", "name=Ada", "two", "words")
    assert (result.status, result.out) == (0, "Hello, Ada! (two words)\n")
    lines = result.err.splitlines()
    assert lines[0].startswith("00:00.0  run    ")
    assert lines[0].endswith(" hello")
    assert re.fullmatch(r"\d\d:\d\d\.\d  start  greet", lines[1])
    assert re.fullmatch(r"\d\d:\d\d\.\d  done   greet            \d+\.\ds", lines[2])
    assert lines[3].endswith("  run    completed")


def test_quiet_leaves_the_output_only(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    result = ion("run", "hello", "--quiet")
    assert (result.out, result.err) == ("Hello, world! ()\n", "")


@pytest.mark.parametrize(
    ("workflow", "status", "state"),
    [(HELLO, 0, "completed"), (FAILS, 1, "failed"), (GATE, 3, "paused"), (CANCELS, 4, "cancelled")],
)
def test_the_exit_status_is_that_of_the_run(ion: Ion, project: Project, workflow: str, status: int, state: str) -> None:
    path = project.write("it", workflow)
    result = ion("run", str(path), "--json")
    assert result.status == status
    assert result.json("run")["status"] == state


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere"], "unknown workflow 'nowhere'"),
        (["run", "helo"], "did you mean 'hello'?"),
        (["run", "hello", "--input", "nam=x"], "did you mean 'name'?"),
        (["run", "hello", "--input", "name"], "--input takes NAME=VALUE"),
        (["run", "hello", "--input", "name=a", "--input", "name=b"], "--input name was given twice"),
        (["run", "hello", "--input", "name=@missing.txt"], "the file missing.txt cannot be read"),
        (["run", "hello", "--inputs", "missing.json"], "the file missing.json cannot be read"),
        (["run", "hello", "--input", "name=@/dev/zero"], "the file /dev/zero is longer than 67,108,864 bytes"),
        (["run", "hello", "--stub", "greet=x"], "--stub is for --dry-run"),
        (["run", "hello", "--detach", "--dry-run"], "--detach and --dry-run do not go together"),
        (["run", "hello", "--jobs", "0"], "--jobs"),
        (["run", "hello", "--cwd", "nowhere"], "nowhere is not a directory"),
        (["run", "hello", "--run-id", "../x"], "cannot be a run's id"),
        (["run", "hello", "--run-id", "last"], "'last' cannot be a run's id"),
        (["run", "hello", "--store", "nonsense"], "is not a store URL"),
        (["run", "hello", "--project", "nowhere"], "nowhere is not a directory"),
        (["run", "hello", "--inptu", "x=y"], "did you mean '--input'?"),
        (["run", "hello", "--engine", "x"], "'x' is not an engine"),
        (["run"], "Missing argument 'WORKFLOW'"),
        (["run", "broken"], "error[unknown-field]"),
    ],
)
def test_what_cannot_be_asked_has_status_2_and_says_what_to_do(
    ion: Ion, project: Project, arguments: list[str], said: str
) -> None:
    project.write("hello", HELLO)
    project.write("broken", HELLO.replace("name: hello", "name: broken").replace("bash:", "depend_on: [x]\n    bash:"))
    result = ion(*arguments)
    assert result.status == 2
    assert said in result.err
    assert result.out == ""
    as_json = ion(*arguments, "--json")
    assert as_json.status == 2
    assert as_json.err == ""
    assert as_json.json("error")["error"]["message"]


def test_events_and_one_object_do_not_go_together(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    result = ion("run", "hello", "--events", "--json")
    assert result.status == 2
    assert result.json("error")["error"]["message"] == "--events and --json do not go together"


def test_a_run_id_is_taken_only_once(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    assert ion("run", "hello", "--run-id", "mine").status == 0
    result = ion("run", "hello", "--run-id", "mine", "--json")
    assert result.status == 5
    assert result.json("error")["error"]["code"] == "run-exists"


def test_inputs_come_from_files_stdin_and_the_command_line_the_last_wins(project: Project) -> None:
    project.write(
        "show",
        """
name: show
description: Shows its inputs.
inputs: {a: {}, b: {}, c: {}}
nodes:
  - id: show
    bash: echo "$INPUTS.a|$INPUTS.b|$INPUTS.c|$CONTEXT"
""",
    )
    (project.folder / "b.txt").write_text("from\nfile")
    (project.folder / "context.md").write_text("the context")
    result = project.run(
        *("run", "show", "--inputs", "-", "--input", "b=@b.txt", "--input", "c=x=y", "--context", "@context.md"),
        stdin=json.dumps({"a": "from stdin", "b": "not this"}),
    )
    assert result.out == "from stdin|from\nfile|x=y|the context\n"


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000, "\udcff"])
def test_inputs_that_are_no_object_are_refused(ion: Ion, project: Project, text: str) -> None:
    project.write("hello", HELLO)
    (project.folder / "inputs.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = ion("run", "hello", "--inputs", "inputs.json")
    assert result.status == 2
    assert "inputs.json" in result.err


def test_a_failure_shows_the_last_of_stderr_and_what_to_do(ion: Ion, project: Project) -> None:
    project.write("fails", FAILS)
    result = ion("run", "fails", "--run-id", "k7m2q9")
    plain, _, screen = result.err.partition("\n\n")
    assert "  skip   plan             when: $fetch.output.type == 'feature' (was 'bug')" in plain
    assert "  FAIL   tests            exit 3 · ion logs k7m2q9 tests\n         | E   assert token.expired" in plain
    assert "  skip   publish          trigger_rule all_success: tests failed" in plain
    assert plain.endswith("  run    failed           3 of 4 failed or skipped · ion resume k7m2q9")
    assert screen.startswith("✗ fails failed after 0.")
    assert "s: tests exited with 3\n\n    E   assert token.expired is False\n" in screen
    assert screen.endswith(
        "  logs     ion logs k7m2q9 tests\n"
        "  why      ion show k7m2q9 tests\n"
        "  continue ion resume k7m2q9        (1 completed node is kept)\n"
        "  fix      ion rerun k7m2q9 --from tests --edited      (once the file is corrected)\n"
    )


def test_a_pause_shows_the_commands_that_answer(ion: Ion, project: Project) -> None:
    project.write("gate", GATE)
    result = ion("run", "gate", "--run-id", "k7m2q9")
    assert result.status == 3
    assert result.err.endswith(
        "Paused: 1 gate is open.\n"
        "  review  Publish built?\n"
        '  ion approve k7m2q9 --comment "…"      ion reject k7m2q9 --reason "…"\n'
    )


def test_commands_for_pasting_go_to_the_store_and_project_that_were_given(ion: Ion, project: Project) -> None:
    project.write("gate", GATE)
    result = ion("run", "gate", "--store", "sqlite:other place.db", "--project", ".")
    assert "--project . --store 'sqlite:other place.db'" in result.err


def test_events_are_json_lines_and_nothing_else_is_on_stdout(ion: Ion, project: Project) -> None:
    project.write("hello", HELLO)
    result = ion("run", "hello", "--events", "--run-id", "mine")
    events = [json.loads(line) for line in result.out.splitlines()]
    for event in events:
        fits(event, "event")
    assert [event["type"] for event in events] == [
        "workflow_started",
        "node_started",
        "node_completed",
        "workflow_completed",
    ]
    assert ion("events", "mine").out == result.out


def test_an_output_is_printed_exactly(project: Project) -> None:
    """Into a pipe the bytes are those that the program wrote, whatever they are."""
    text = "tab\t \x1b[31mred\x1b[0m ünïcode\n\n  two\r\n"
    (project.folder / "text").write_bytes(text.encode())
    project.write("cat", "name: cat\ndescription: d\nnodes:\n  - id: cat\n    bash: cat text\n")
    assert project.run("run", "cat", "--quiet").out.encode() == text.encode()
    big = b"0123456789abcde\n" * 40_000
    (project.folder / "text").write_bytes(big)
    assert project.run("run", "cat", "--quiet").out.encode() == big


def test_a_dry_run_stores_nothing_and_takes_stubs(ion: Ion, project: Project) -> None:
    project.write("fails", FAILS)
    before = set(project.folder.rglob("*"))
    result = ion("run", "fails", "--dry-run", "--stub", 'fetch={"type":"feature"}', "--json")
    assert result.status == 0
    nodes = result.json("run")["nodes"]
    assert nodes["plan"]["output"] == "[dry run: plan]"
    assert nodes["publish"]["status"] == "completed"
    new = {path for path in set(project.folder.rglob("*")) - before if "cache" not in path.parts}
    assert new == set()
    assert ion("runs", "--json").json() == []


PROBE = """
name: probe
description: Looks at one thing.
inputs: {depth: {type: number, default: 1}}
nodes:
  - {id: look, prompt: "Look at $ARGUMENTS"}
  - {id: note, depends_on: [look], when: $INPUTS.depth > 0, bash: 'echo "$look.output"'}
"""
SWEEP = """
name: sweep
description: Every kind that has nodes inside.
nodes:
  - {id: find, bash: 'ls'}
  - {id: first, include: probe, depends_on: [find], with: {depth: 2}}
  - {id: each, workflow: probe, depends_on: [find], fan_out: {items: $find.output, max_parallel: 2}}
  - {id: one, workflow: probe, depends_on: [first], with: {depth: $first.output}}
  - id: heal
    depends_on: [each, one]
    loop_group: {until: CLEAN, max_iterations: 3, nodes: [{id: fix, prompt: "after $LOOP_PREV.fix.output"}]}
"""


def test_a_dry_run_goes_through_what_is_inside_of_nodes(ion: Ion, project: Project) -> None:
    project.write("probe", PROBE)
    project.write("sweep", SWEEP)
    said = ion("run", "sweep", "--dry-run", "--plain")
    assert said.status == 0
    assert "each has one stand-in item" in said.err
    for name in ("first__note", "each.0.note", "one.note", "heal.1.fix"):
        assert f"done   {name}" in said.err, name
    stubbed = ion("run", "sweep", "--dry-run", "--stub", 'find=["a","b","c"]', "--stub", "each.look=seen", "--plain")
    assert (stubbed.status, "stand-in item" in stubbed.err) == (0, False)
    assert "done   each.2.note" in stubbed.err
    refused = ion("run", "sweep", "--dry-run", "--stub", "one=x")
    assert (refused.status, "--stub one.look=TEXT" in refused.err) == (2, True)


def test_a_dry_run_of_what_cancels_itself_is_a_plan_that_works(ion: Ion, project: Project) -> None:
    project.write("cancels", CANCELS)
    assert ion("run", "cancels", "--dry-run").status == 0
    assert ion("run", "cancels", "--dry-run", "--stub", "nobody=x").status == 2


def test_an_agent_can_be_a_command_line(ion: Ion, project: Project) -> None:
    project.write("ask", "name: ask\ndescription: d\nnodes:\n  - id: ask\n    prompt: say $ARGUMENTS\n")
    assert ion("run", "ask", "--agent", "tr a-z A-Z", "hello").out == "SAY HELLO\n"


def test_a_project_can_be_named(ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project.write("hello", HELLO)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert ion("run", "hello", "--project", str(project.folder)).status == 0
    assert len(ion("runs", "--project", str(project.folder), "--json").json("runs")) == 1
