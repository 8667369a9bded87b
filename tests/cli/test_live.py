"""What a person at a terminal sees and answers: `ion` behind a real terminal, its screen read by an emulator."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

import ion
from processes import PATIENCE_S, until

from .kit import COMMAND, Project
from .terminals import BESIDE, GATED, Open

STALLED = """
name: stalled
description: A gate, and work that goes on beside it
nodes:
  - {id: first, bash: 'until [ -e go ]; do sleep 0.05; done'}
  - {id: review, depends_on: [first], approval: {message: "Now?"}}
  - {id: beside, bash: 'until [ -e go ]; do sleep 0.05; done; sleep 1'}
  - {id: after, depends_on: [beside], bash: 'echo after'}
  - {id: reviewed, depends_on: [review, after], bash: 'echo reviewed'}
"""


CHOICES = """
name: choices
description: d
nodes:
  - id: which
    approval:
      message: Which?
      decisions: [{id: approve, label: A}, {id: later-on, label: Keep the archive}, {id: never, label: N}]
  - {id: told, depends_on: [which], bash: 'echo "$which.output.decision: $which.output.text"'}
"""


LONG = "name: long\ndescription: d\nnodes:\n  - id: ask\n    approval:\n      message: |\n" + "".join(
    f"        * note {number} {'is rather long ' * 7}and ends here {number}\n" for number in range(1, 41)
)


SLOW = """
name: slow
description: A gate, and work beside it that fails
nodes:
  - {id: review, approval: {message: "Now?"}}
  - {id: work, bash: 'until [ -e go ]; do sleep 0.05; done; exit 7'}
"""


ROUNDS = """
name: rounds
description: d
nodes:
  - id: draft
    loop:
      prompt: "Write. $LOOP_USER_INPUT"
      until: DONE
      max_iterations: 5
      interactive: true
      gate_message: Is it good?
  - {id: end, depends_on: [draft], bash: 'echo "end: $draft.output"'}
"""


MANY = "name: many\ndescription: d\nmax_concurrency: 2\nnodes:\n" + "".join(
    f"  - {{id: node-{number}, bash: 'echo {number}'}}\n" for number in range(30)
)


HOSTILE = r"""
name: hostile
description: d
nodes:
  - {id: a, bash: 'printf "\033]0;owned\007\033[2J[red]x[/red]\n"; until [ -e go ]; do sleep 0.05; done'}
"""


def now(project: Project) -> dict[str, Any]:
    """What `ion show mine --json` would say, without a process for each look."""
    return ion.get_run("mine", project=project.folder).to_json()


@pytest.mark.parametrize("columns", [80, 160])
def test_the_tree_and_a_gate_that_is_approved(project: Project, terminal: Open, columns: int) -> None:
    project.write("gated", GATED)
    shown = terminal("run", "gated", columns=columns)
    text = shown.until("[l]ater   ›")
    assert "✓ build" in text
    assert "○ publish" in text
    assert "⏸ review   Publish it?\n\n    Three files changed.\n" in text
    shown.type("a")
    status, text = shown.end()
    assert status == 0
    assert "✓ publish" in text
    assert text.endswith("published, Approved")


def test_a_comment_and_a_word_that_is_none(project: Project, terminal: Open) -> None:
    """A key that is none is said; `c`, which elsewhere means to comment and nothing more, approves nothing."""
    project.write("gated", GATED)
    shown = terminal("run", "gated")
    shown.until("›")
    shown.type("perhaps")
    shown.until(lambda text: text.count("[l]ater   ›") == 2)
    shown.type("c do not publish yet")
    text = shown.until(lambda text: text.count("[l]ater   ›") == 3)
    assert "'perhaps' is not one of the answers: approve, approve with a comment (w)" in text
    assert "'c' is not one of the answers" in text
    shown.type("w")
    shown.until("comment ›")
    shown.type("")
    shown.until(lambda text: text.count("[l]ater   ›") == 4)
    shown.type("w")
    shown.until(lambda text: text.count("comment ›") == 2)
    shown.type("on Friday $(x)")
    status, text = shown.end()
    assert status == 0
    assert text.endswith("published, on Friday $(x)")


def test_a_rejection_with_its_reason(project: Project, terminal: Open) -> None:
    project.write("gated", GATED)
    shown = terminal("run", "gated")
    shown.until("›")
    shown.type("r")
    shown.until("why not? ›")
    shown.type("too early")
    assert shown.end()[0] == 4
    assert project.run("show", "last", "--json").json("run")["error"]["message"] == "too early"


@pytest.mark.parametrize("how", ["l", "end of input", "Ctrl-C"])
def test_later(project: Project, terminal: Open, how: str) -> None:
    """The run waits with status 3, and the commands that answer it are on the screen."""
    project.write("gated", GATED)
    shown = terminal("run", "gated", "--run-id", "mine")
    shown.until("›")
    if how == "Ctrl-C":
        shown.child.sendintr()
    elif how == "end of input":
        shown.child.sendeof()
    else:
        shown.type(how)
    status, text = shown.end()
    assert status == 3
    assert 'ion approve mine --comment "…"      ion reject mine --reason "…"' in text
    assert not [line for line in text.splitlines() if "›" in line and "gated" in line]


def test_a_long_line_with_a_problem_keeps_to_the_terminal(project: Project, terminal: Open) -> None:
    """The caret stands below what it marks."""
    project.write(
        "long", f"name: long\ndescription: d\nnodes: [{{id: a, wen: 'x', bash: x, env: {{A: {'b' * 150}}}}}]\n"
    )
    lines = terminal("validate", "long").end()[1].splitlines()
    caret = next(number for number, line in enumerate(lines) if "^" in line)
    assert lines[caret - 1][lines[caret].index("^") :].startswith("wen")
    assert lines[caret - 1].startswith("3 | nodes: ")


def test_an_answer_from_elsewhere_closes_the_question(project: Project, terminal: Open) -> None:
    project.write("beside", BESIDE)
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("›")
    assert project.run("approve", "mine", "--no-resume").status == 0
    shown.until("answered elsewhere: approved")
    (project.folder / "go").touch()
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, "both")


def test_other_branches_go_on_while_a_gate_is_open(project: Project, terminal: Open) -> None:
    project.write("beside", BESIDE)
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("›")
    (project.folder / "go").touch()
    until(lambda: now(project)["nodes"]["work"]["status"] == "completed")
    shown.type("y")
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, "both")


@pytest.mark.parametrize(("typed", "said"), [("2 in a week", "later-on: in a week"), ("never", "never:")])
def test_decisions_by_number_or_by_name(project: Project, terminal: Open, typed: str, said: str) -> None:
    project.write("choices", CHOICES)
    shown = terminal("run", "choices")
    text = shown.until("›")
    assert "    [2] later-on   Keep the archive\n    [3] never      N\n" in text
    shown.type("4")
    shown.until(lambda text: text.count("›") == 2)
    shown.type(typed)
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, said)


@pytest.mark.parametrize("arguments", [("--json",), ("--quiet",), ("--events",)])
def test_nobody_is_asked_who_wants_to_read_data(project: Project, terminal: Open, arguments: tuple[str, ...]) -> None:
    project.write("gated", GATED)
    status, text = terminal("run", "gated", *arguments).end()
    assert status == 3
    assert "[a]pprove" not in text


def test_nobody_is_asked_in_ci_and_lines_are_plain_there(project: Project, terminal: Open) -> None:
    project.write("gated", GATED)
    status, text = terminal("run", "gated", CI="true").end()
    assert status == 3
    assert "[a]pprove" not in text
    assert re.search(r"^\d\d:\d\d\.\d  start  build", text, re.MULTILINE)


def test_plain_lines_on_a_terminal_ask_too(project: Project, terminal: Open) -> None:
    project.write("gated", GATED)
    shown = terminal("run", "gated", "--plain")
    assert "  done   build" in shown.until("›")
    shown.type("y")
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, "published, Approved")


def test_more_nodes_than_lines(project: Project, terminal: Open) -> None:
    """What is done goes up into the history, each node once."""
    project.write("many", MANY)
    status, text = terminal("run", "many", rows=12).end()
    assert status == 0
    for number in range(30):
        assert text.count(f"✓ node-{number} ") == 1
    assert "30/30 nodes" in text


def test_nothing_that_a_node_says_acts_on_the_terminal(project: Project, terminal: Open) -> None:
    project.write("hostile", HOSTILE)
    shown = terminal("run", "hostile")
    shown.until("[red]x[/red]")
    (project.folder / "go").touch()
    assert shown.end()[0] == 0
    assert b"\x1b]0;" not in shown.bytes
    assert b"\x1b[2J[red]" not in shown.bytes.split(b"\r\n")[0]
    assert shown.screen.title == ""


def test_ctrl_c_ends_the_programs_and_says_how_to_go_on(project: Project, terminal: Open) -> None:
    project.write(
        "beside", BESIDE.replace('  - {id: review, approval: {message: "Now?"}}\n', "").replace("review, ", "")
    )
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("step one")
    shown.child.sendintr()
    status, text = shown.end()
    assert status == 130
    assert "SIGINT: ending the run's processes" in text
    assert text.endswith("ion resume mine")
    assert shown.screen.cursor.hidden is False


def test_a_closed_terminal_leaves_a_run_that_can_be_resumed(project: Project, terminal: Open) -> None:
    project.write("beside", BESIDE)
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("›")
    inner = shown.child.ptyproc
    inner.fileobj.close()
    inner.fd, inner.closed = -1, True
    until(lambda: Path(f"/proc/{inner.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    os.waitpid(inner.pid, 0)
    inner.terminated = shown.child.terminated = shown.child.closed = True
    assert project.run("show", "mine", "--json").json("run")["status"] == "interrupted"


def test_a_terminal_that_stands_still_holds_up_no_run(project: Project, terminal: Open) -> None:
    """Ctrl-S: nothing can be written, and the run continues to its end."""
    project.write(
        "beside", BESIDE.replace('  - {id: review, approval: {message: "Now?"}}\n', "").replace("review, ", "")
    )
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("step one")
    shown.child.send("\x13")
    time.sleep(0.3)
    (project.folder / "go").touch()
    until(lambda: now(project)["status"] == "completed")
    shown.child.send("\x11")
    assert shown.end()[0] == 0


def test_a_gate_that_opens_on_a_terminal_that_stands_still(project: Project, terminal: Open) -> None:
    """The other branch continues; what is typed before the question can be read answers nothing."""
    project.write("stalled", STALLED)
    shown = terminal("run", "stalled", "--run-id", "mine")
    shown.until("● beside")
    shown.child.send("\x13")
    (project.folder / "go").touch()
    until(lambda: now(project)["nodes"]["after"]["status"] == "completed")
    assert project.run("show", "mine", "--json").json("run")["nodes"]["review"]["status"] == "waiting"
    shown.child.send("r\n")
    shown.child.send("\x11")
    text = shown.until("[l]ater   ›")
    assert text.count("[l]ater   ›") == 1
    shown.type("a")
    status, text = shown.end()
    assert (status, text.splitlines()[-1]) == (0, "reviewed")


def test_whoever_answers_later_sees_the_command_in_the_tree(project: Project, terminal: Open) -> None:
    project.write("beside", BESIDE)
    shown = terminal("run", "beside", "--run-id", "mine")
    shown.until("›")
    shown.type("l")
    shown.until("ion approve mine review · gate: Now?")
    assert project.run("approve", "mine", "review", "--no-resume").status == 0
    shown.until("✓ review")
    (project.folder / "go").touch()
    assert shown.end()[0] == 0


@pytest.mark.parametrize("columns", [80, 160])
def test_the_list_of_workflows(project: Project, terminal: Open, columns: int) -> None:
    """As wide as what is in it, and no wider than the terminal."""
    project.write("gated", GATED.replace("description: d", "description: Build, ask, publish"))
    project.write("long", "name: long\ndescription: " + "much to say " * 9 + "\nnodes: [{id: a, bash: x}]\n")
    status, text = terminal("list", columns=columns).end()
    lines = text.splitlines()
    assert status == 0
    wide = min(107, columns - 6 - 5 - 5 - 14)
    said = "much to say " * 9
    assert lines == [
        f"NAME   {'WHAT':<{wide}}  NEEDS  FROM",
        f"gated  {'Build, ask, publish':<{wide}}         .ion/workflows",
        f"long   {said[: wide - 1].rstrip() + '…' if columns == 80 else said.rstrip():<{wide}}         .ion/workflows",
    ]


@pytest.mark.parametrize("columns", [80, 160])
def test_the_list_of_runs(project: Project, terminal: Open, columns: int) -> None:
    project.write("gated", GATED)
    assert project.run("run", "gated", "--run-id", "waits").status == 3
    assert project.run("run", "gated", "--run-id", "done").status == 3
    assert project.run("approve", "done").status == 0
    status, text = terminal("runs", columns=columns).end()
    assert status == 0
    assert re.sub(r"\d\d:\d\d:\d\d( +[\dms.]+)?", "TIME", text).splitlines() == [
        "✓ done   gated  completed    TIME",
        "⏸ waits  gated  paused       TIME",
    ]


def test_a_question_in_ascii(project: Project, terminal: Open) -> None:
    """Stand-ins for all symbols, and nothing is cut."""
    project.write("gated", GATED.replace("Publish it?", "日本語 " * 20))
    shown = terminal("run", "gated", LC_ALL="C", LANG="C")
    text = shown.until("[l]ater   >")
    assert "gate  review" in text
    asked = text[text.index("gate  review") :]
    assert asked.count(r"\u65e5\u672c\u8a9e") == 20
    assert max(map(len, asked.splitlines())) <= 80
    assert text.isascii()
    shown.type("a")
    assert shown.end()[0] == 0


def test_ctrl_c_twice_ends_what_ignores_the_first(project: Project, terminal: Open) -> None:
    project.write(
        "stubborn",
        "name: stubborn\ndescription: d\nnodes:\n"
        "  - {id: deaf, bash: \"trap '' INT TERM; echo deaf; while :; do sleep 0.1; done\"}\n",
    )
    shown = terminal("run", "stubborn", "--run-id", "mine")
    shown.until(lambda text: text.count("deaf") > 1)
    shown.child.sendintr()
    shown.until("once more: at once")
    shown.child.sendintr()
    status, text = shown.end()
    assert status == 130
    assert text.endswith("ion resume mine")


def test_a_reader_that_wants_only_the_first_line(project: Project) -> None:
    """`ion run … 2>&1 | head -1`: the run continues to its end, and says nothing of it."""
    project.write("gated", MANY)
    shell = f"{shlex.join(COMMAND)} run many --run-id mine 2>&1 | head -1"
    child = pexpect.spawn(
        "/bin/sh", ["-c", shell], cwd=str(project.folder), env=project.environment(TERM="xterm"), timeout=PATIENCE_S
    )  # type: ignore[arg-type]
    child.expect(pexpect.EOF)
    child.close()
    assert child.before.decode().splitlines() == ["00:00.0  run    mine many"]
    until(lambda: now(project)["status"] == "completed")


def test_no_colour(project: Project, terminal: Open) -> None:
    project.write("gated", GATED)
    shown = terminal("run", "gated", NO_COLOR="1")
    shown.until("›")
    shown.child.kill(signal.SIGTERM)
    shown.end()
    assert not re.search(rb"\x1b\[[0-9;]*m", shown.bytes)


def test_a_long_message_is_wrapped_and_can_be_viewed_whole(project: Project, terminal: Open) -> None:
    project.write("long", LONG)
    shown = terminal("run", "long", "--run-id", "mine")
    text = shown.until("[l]ater   ›")
    assert re.search(r"… \d+ more lines: \[v\]iew all", text)
    assert "and ends here 1\n" in text
    assert "[v]iew all" in text.splitlines()[-1]
    assert all(len(line) < 80 for line in text.splitlines())
    shown.type("v")
    while "and ends here 40" not in shown.text():
        pages = shown.text().count("Enter: more")
        if pages:
            shown.type("")
        shown.until(lambda text, seen=pages: text.count("Enter: more") > seen or "and ends here 40" in text)
    shown.until(lambda text: text.count("[l]ater   ›") == 2)
    whole = " ".join(shown.text().split())
    assert all(f"and ends here {number}" in whole for number in range(1, 41))
    shown.type("l")
    assert shown.end()[0] == 3
    for said in (project.run("show", "mine", "ask").out, project.run("resume", "mine").err):
        assert all(f"and ends here {number}" in " ".join(said.split()) for number in range(1, 41))
    said = project.run("approve", "mine").err
    assert "and ends here 40" in said


def test_what_happens_meanwhile_is_said_below_the_question(project: Project, terminal: Open) -> None:
    project.write("slow", SLOW)
    shown = terminal("run", "slow", "--run-id", "mine")
    shown.until("[l]ater   ›")
    shown.child.send("half a wor")
    shown.until("half a wor")
    (project.folder / "go").touch()
    text = shown.until("FAIL   work")
    assert text.index("[l]ater   › half a wor") < text.index("FAIL   work")
    assert "exit 7" in text
    shown.child.send("d\n")
    text = shown.until("'half' is not one of the answers")
    shown.type("a")
    status, text = shown.end()
    assert (status, text.count("✗ work"), text.count("FAIL   work")) == (1, 1, 0)


@pytest.mark.parametrize("how", ["dumb", "--plain"])
def test_lines_keep_off_the_one_on_which_somebody_types(project: Project, terminal: Open, how: str) -> None:
    project.write("slow", SLOW)
    arguments = ("--plain",) if how == "--plain" else ()
    shown = terminal("run", "slow", *arguments, **({"TERM": "dumb"} if how == "dumb" else {}))
    shown.until("[l]ater   ›")
    (project.folder / "go").touch()
    text = shown.until(lambda text: text.count("[l]ater   ›") == 2)
    lines = text.splitlines()
    assert not [line for line in lines if "›" in line and not line.endswith("›")]
    assert any(line.endswith("FAIL   work             exit 7 · ion logs") or "FAIL   work" in line for line in lines)
    assert lines[-1].endswith("[l]ater   ›")
    shown.type("a")
    assert shown.end()[0] == 1


def test_the_keys_of_an_interactive_loop(project: Project, terminal: Open) -> None:
    """`a` is another round, never the end of the loop; finishing takes no comment, which would mean another round."""
    project.write("rounds", ROUNDS)
    agent = project.folder / "agent"
    agent.write_text(
        "#!/bin/sh\ncat > said\nn=$(($(cat turns 2>/dev/null || echo 0) + 1)); echo $n > turns\n"
        "echo text $n; [ $n = 1 ] || echo DONE\n"
    )
    agent.chmod(0o755)
    shown = terminal("run", "rounds", "--agent", "./agent")
    text = shown.until("›")
    assert "  [a]nother round   [l]ater   ›" in text
    shown.type("f")
    shown.until("has not said that it is done")
    shown.type("a shorter")
    text = shown.until("[f]inish   [a]nother round   [l]ater   ›")
    assert "shorter" in (project.folder / "said").read_text()
    shown.type("a")
    shown.until("what should change? ›")
    shown.type("")
    shown.until("nothing was answered")
    shown.until(lambda text: text.count("[f]inish   [a]nother") == 2)
    shown.type("f nicely done")
    shown.until("takes no comment")
    shown.type("finish")
    status, text = shown.end()
    assert (status, text.splitlines()[-2:]) == (0, ["end: text 2", "DONE"])
    assert (project.folder / "turns").read_text() == "2\n"


def test_what_is_asked_acts_on_no_terminal(project: Project, terminal: Open) -> None:
    project.write(
        "hostile",
        "name: hostile\ndescription: d\nnodes:\n"
        "  - {id: a, bash: 'printf \"\\033]0;owned\\007\\033[2J\\n  [a]pprove is safe\\n\"'}\n"
        "  - {id: ask, depends_on: [a], approval: {message: 'Go? $a.output'}}\n",
    )
    shown = terminal("run", "hostile", "--run-id", "mine")
    text = shown.until("[l]ater   ›")
    assert r"Go? \x1b]0;owned\x07\x1b[2J" in text
    assert b"\x1b]0;" not in shown.bytes
    shown.type("l")
    shown.end()
    for said in (project.run("show", "mine", "ask").out, project.run("approve", "mine").err):
        assert "\x1b" not in said
        assert r"\x1b]0;owned" in said


def test_what_the_terminal_writes_of_a_key_moves_no_line_of_the_tree(project: Project, terminal: Open) -> None:
    """`^C` behind a line that is as wide as the screen."""
    project.write("wide", f"name: wide\ndescription: d\nnodes:\n  - {{id: a, bash: 'echo {'w' * 200}; sleep 60'}}\n")
    shown = terminal("run", "wide", "--run-id", "mine")
    shown.until("www…")
    shown.child.sendintr()
    status, text = shown.end()
    assert status == 130
    assert text.count("wide  mine") == 1


def test_a_permission_is_asked_for_whole(project: Project, terminal: Open) -> None:
    """What an agent wants to run is read to its end before it is allowed, and its own choices are answers as well."""
    stand_in = Path(__file__).parents[1] / "agents" / "acp_stand_in.py"
    words = json.dumps([sys.executable, "-S", str(stand_in), "asks", str(project.folder / "asked")])
    (project.folder / ".ion" / "config.yaml").write_text(
        f"agent: robot\nagents:\n  robot: {{type: acp, command: {words}, permission: ask}}\n"
    )
    command = " && ".join(f"step-{number} --force" for number in range(200)) + " && rm -rf build"
    project.write("w", f"name: w\ndescription: d\nnodes:\n  - {{id: fix, prompt: 'execute {command}'}}\n")
    shown = terminal("run", "w", "--run-id", "mine")
    text = shown.until("[a]llow   [r]efuse   [v]iew all   [l]ater   ›")
    assert "characters left out" not in text
    shown.type("v")
    while "reject_once: No" not in shown.text():
        pages = shown.text().count("Enter: more")
        if pages:
            shown.type("")
        shown.until(lambda text, seen=pages: text.count("Enter: more") > seen or "reject_once: No" in text)
    assert "rm -rf build" in " ".join(shown.text().split())
    shown.until(lambda text: text.count("[a]llow") == 2)
    shown.type("c")
    said = "'c' is not one of the answers: allow, refuse, allow_once, allow_always, reject_once, later"
    shown.until(lambda text: said in " ".join(text.split()))
    shown.type("allow_always")
    assert shown.end()[0] == 0
    assert project.run("show", "mine", "fix", "--json").json("node")["answers"][0]["decision"] == "allow_always"
