"""`finally` runs after every end of a run, and only then: a lock that a run takes is freed (language.md §15)."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from processes import until

from .kit import Project

WORKFLOW = """
name: locked
description: Works under a lock
timeout: {timeout}
inputs: {{work: {{required: true}}, last: {{default: "true"}}}}
nodes:
  - {{id: lock, always_run: true, bash: 'mkdir -p lock; echo taken >> log'}}
  - {{id: work, depends_on: [lock], {work}}}
finally:
  - id: unlock
    bash: |
      rm -r lock
      echo "freed $RUN.status $work.outcome.status" >> log
      bash -c "$INPUTS_LAST"
"""
WAITS = "touch working; until [ -e go ]; do sleep 0.05; done"
DOES = """bash: 'bash -c "$INPUTS_WORK"', timeout: 10m"""


@pytest.fixture
def locked(project: Project) -> Iterator[Project]:
    project.write("locked", WORKFLOW.format(timeout="10m", work=DOES))
    yield project
    (project.folder / "go").touch()  # whatever still waits for it


def log(project: Project) -> list[str]:
    return (project.folder / "log").read_text().splitlines()


def is_free(project: Project) -> bool:
    return not (project.folder / "lock").exists()


def ended(project: Project) -> dict[str, object]:
    result: dict[str, object] = json.loads(project.run("show", "mine", "--json").out)
    return result


def begun(project: Project, work: str = WAITS, last: str = "true", mark: str = "working") -> subprocess.Popen[str]:
    """A run that is in the middle of its work, or of what `mark` stands for."""
    inputs = ("--input", f"work={work}", "--input", f"last={last}")
    process = project.start("run", "locked", "--run-id", "mine", "--quiet", *inputs)
    until((project.folder / mark).exists)
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [("true", 0, "freed completed completed"), ("exit 7", 1, "freed failed failed")],
)
def test_after_a_run_that_completed_or_failed(work: str, status: int, said: str, locked: Project) -> None:
    result = locked.run("run", "locked", "--input", f"work={work}", "--quiet")
    assert (result.status, log(locked), is_free(locked)) == (status, ["taken", said], True)


def test_after_the_time_of_the_run_is_over(locked: Project) -> None:
    locked.write("locked", WORKFLOW.format(timeout="1s", work=DOES))
    result = locked.run("run", "locked", "--input", f"work={WAITS}", "--quiet")
    assert (result.status, log(locked), is_free(locked)) == (1, ["taken", "freed failed cancelled"], True)


def test_after_a_cancel_node(locked: Project) -> None:
    locked.write("locked", WORKFLOW.format(timeout="10m", work="cancel: enough"))
    result = locked.run("run", "locked", "--input", "work=", "--quiet")
    assert (result.status, log(locked)[1].split()[:2], is_free(locked)) == (4, ["freed", "cancelled"], True)


def test_after_a_cancellation_from_another_process(locked: Project) -> None:
    process = begun(locked)
    assert locked.run("cancel", "mine").status == 0
    process.communicate()
    assert (process.returncode, log(locked)) == (4, ["taken", "freed cancelled cancelled"])
    assert ended(locked)["status"] == "cancelled"


def test_after_a_cancellation_of_a_run_that_waits(locked: Project) -> None:
    """Nobody owns it: the command takes it over, and its finally runs before the end is written."""
    locked.write("locked", WORKFLOW.format(timeout="10m", work="approval: {message: go?}"))
    assert locked.run("run", "locked", "--run-id", "mine", "--input", "work=", "--quiet").status == 3
    assert not is_free(locked)
    assert locked.run("cancel", "mine").status == 0
    assert (log(locked)[1].split()[:2], is_free(locked)) == (["freed", "cancelled"], True)
    assert ended(locked)["status"] == "cancelled"


def test_after_a_cancellation_of_a_run_that_was_killed(locked: Project) -> None:
    killed(begun(locked))
    assert not is_free(locked)
    assert locked.run("cancel", "mine").status == 0
    assert (log(locked)[1].split()[:2], is_free(locked)) == (["freed", "cancelled"], True)


def test_at_the_end_of_a_run_that_was_killed_and_resumed(locked: Project) -> None:
    killed(begun(locked))
    assert log(locked) == ["taken"]
    (locked.folder / "go").touch()
    assert locked.run("resume", "mine", "--quiet").status == 0
    assert (log(locked), is_free(locked)) == (["taken", "taken", "freed completed completed"], True)


def test_again_where_it_was_killed_itself(locked: Project) -> None:
    """The end was decided before, and stays what it was."""
    killed(begun(locked, work="exit 7", last=WAITS))
    assert log(locked) == ["taken", "freed failed failed"]
    (locked.folder / "go").touch()
    (locked.folder / "lock").mkdir()
    assert locked.run("resume", "mine", "--quiet").status == 1
    assert log(locked) == ["taken", "freed failed failed", "freed failed failed"]
    assert (ended(locked)["status"], is_free(locked)) == ("failed", True)


def test_what_it_undid_is_there_again_after_a_resume(locked: Project) -> None:
    work = "test -d lock && test -e ready"
    assert locked.run("run", "locked", "--run-id", "mine", "--input", f"work={work}", "--quiet").status == 1
    (locked.folder / "ready").touch()
    assert locked.run("resume", "mine", "--quiet").status == 0
    assert log(locked) == ["taken", "freed failed failed", "taken", "freed completed completed"]


def test_not_after_an_interruption(locked: Project) -> None:
    process = begun(locked)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert (log(locked), is_free(locked)) == (["taken"], False)


def test_its_own_failure_is_told_and_changes_nothing(locked: Project) -> None:
    result = locked.run("run", "locked", "--input", "work=true", "--input", "last=exit 3", "--events")
    end = json.loads(result.out.splitlines()[-1])
    assert (result.status, end["type"], end["finally_failed"]) == (0, "workflow_completed", ["unlock"])


# What fails is in an include, in an item of a group, in a called workflow, and in a group.
PART = """
name: {name}
description: d
nodes:
  - {{id: build, bash: 'echo built'}}
  - {{id: check, depends_on: [build], bash: 'echo "from {name}" >&2; exit 5'}}
"""
TELLS = """
name: tells
description: d
nodes:
  - {id: in, include: part}
  - {id: ship, workflow: called}
  - id: each
    fan_out: {items: [a, b], join: all_success}
    group:
      nodes:
        - {id: test, bash: 'echo "bad $INPUTS.item" >&2; test "$INPUTS.item" = a'}
        - id: tell
          catches: [test]
          bash: echo "$test.outcome.code; $test.outcome.message; $test.outcome.stderr" > item; exit 1
  - id: group
    group: {nodes: [{id: test, bash: 'echo "from group" >&2; exit 9'}]}
  - id: caught
    catches: [in, ship, each, group]
    bash: |
      echo "in: $in.outcome.code; $in.outcome.message; $in.outcome.exit_status; $in.outcome.stderr"
      echo "ship: $ship.outcome.code; $ship.outcome.message; $ship.outcome.exit_status; $ship.outcome.stderr"
      echo "each: $each.outcome.code; $each.outcome.message; $each.outcome.failed of $each.outcome.total"
      echo "group: $group.outcome.code; $group.outcome.message; $group.outcome.stderr"
finally:
  - id: last
    bash: |
      echo "in: $in__check.outcome.code; $in__check.outcome.message; $in__check.outcome.stderr" > last
      echo "ship: $ship.outcome.code; $ship.outcome.message" >> last
"""


def test_what_failed_is_read_wherever_it_is(project: Project) -> None:
    """Of a node in a file that is included all; of what is inside of another one what its message says, to all outside.
    Where such a node is, its siblings read all."""
    project.write("part", PART.format(name="part"))
    own = "finally: [{id: own, bash: 'echo \"$RUN.status: $check.outcome.code; $check.outcome.stderr\" > own'}]\n"
    project.write("called", PART.format(name="called") + own)
    project.write("tells", TELLS)
    result = project.run("run", "tells", "--run-id", "mine", "--quiet")
    assert result.status == 0, result.err
    assert project.run("output", "mine", "caught").out.splitlines() == [
        "in: exit-status; bash failed [exit 5]: from part; 5; from part",
        "ship: exit-status; 'ship.check' failed: bash failed [exit 5]: from called; ; ",
        "each: exit-status; 'each.1.test' failed: bash failed [exit 1]: bad b (1 of 2 items failed); 1 of 2",
        "group: exit-status; 'group.test' failed: bash failed [exit 9]: from group; ",
    ]
    told = {name: (project.folder / name).read_text().splitlines() for name in ("item", "own", "last")}
    assert told == {
        "item": ["exit-status; bash failed [exit 1]: bad b; bad b"],
        "own": ["failed: exit-status; from called"],
        "last": [
            "in: exit-status; bash failed [exit 5]: from part; from part",
            "ship: exit-status; 'ship.check' failed: bash failed [exit 5]: from called",
        ],
    }


HOSTILE = r"""
name: hostile
description: d
nodes:
  - {id: escapes, bash: 'printf "\033[31mred\033[0m \"; exit 9 #\140id\140" >&2; exit 3'}
  - {id: long, bash: 'head -c 5000000 /dev/zero | tr "\0" x >&2; printf "\nthe end" >&2; exit 3'}
  - {id: bytes, bash: 'printf "\377\000caf\303\251\342\202" >&2; exit 3'}
  - id: told
    catches: [escapes, long, bytes]
    bash: |
      printf '%s\n' "$escapes.outcome.stderr" "$bytes.outcome.stderr" "$bytes.outcome.message"
      printf '%s' "$long.outcome.stderr" | wc -c | tr -d ' '
      printf '%s' "$long.outcome.stderr" | tail -n 1
finally:
  - {id: last, bash: 'test -n "$bytes.outcome.stderr" -a "$RUN.status" = completed'}
"""


def test_what_tells_of_a_failure_does_not_fail_by_what_was_printed(project: Project) -> None:
    project.write("hostile", HOSTILE)
    result = project.run("run", "hostile", "--run-id", "mine", "--quiet")
    assert (result.status, ended(project).get("finally_failed")) == (0, None), result.err
    lines = project.run("output", "mine", "told").out.splitlines()
    strange = "\N{REPLACEMENT CHARACTER}"
    assert lines[0] == '\033[31mred\033[0m "; exit 9 #`id`'
    assert lines[1].startswith(f"{strange}{strange}caf\u00e9{strange}")
    assert lines[2] == f"bash failed [exit 3]: {lines[1]}"
    assert lines[3:] == ["4096", "the end"]


def test_one_that_was_cut_short_says_by_what(locked: Project) -> None:
    process = begun(locked, work="true", last="touch cleaning; until [ -e go ]; do sleep 0.05; done", mark="cleaning")
    assert locked.run("cancel", "mine").status == 0
    said = " ".join(process.communicate())
    (line,) = (one for one in said.splitlines() if one.split()[:1] == ["unlock"])
    assert line.split()[1] == "cancelled", said
