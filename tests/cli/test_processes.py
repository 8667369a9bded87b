"""What only a real process shows: signals, closed streams, readers that go away, what is loaded, background runs."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processes import PATIENCE_S, until

from .kit import COMMAND, Project
from .workflows import SLOW

STUBBORN = SLOW.replace("trap 'touch ended; exit 1' TERM", "trap 'touch asked' TERM")


HELLO = "name: hello\ndescription: d\nnodes:\n  - id: hello\n    bash: echo hello\n"


GATE = "name: gate\ndescription: d\nnodes:\n  - id: review\n    approval: {message: ok?}\n"


def status_of(project: Project, run: str = "last") -> str:
    return str(project.run("show", run, "--json").json("run")["status"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_ends_the_programs_and_leaves_a_run_that_can_be_resumed(project: Project, number: int) -> None:
    project.write("slow", SLOW)
    process = project.start("run", "slow", "--run-id", "mine")
    until((project.folder / "running").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, "")
    assert f"{signal.Signals(number).name}: ending the run's processes" in err
    assert err.endswith("Interrupted with 1 of 2 nodes completed. Continue with\n  ion resume mine\n")
    assert (project.folder / "ended").exists()
    assert status_of(project) == "interrupted"
    (project.folder / "skip").touch()
    assert project.run("resume", "mine").status == 0


def test_a_second_signal_ends_at_once_what_ignores_the_first(project: Project) -> None:
    """Here the grace is an hour: longer than anything waits for a process in these tests."""
    project.write("slow", STUBBORN)
    patient = "from ion.engine.options import DEFAULT_OPTIONS as o\nfrom msgspec.structs import force_setattr as put\n"
    patient += "put(o, 'grace_ms', 3_600_000)"
    words = [sys.executable, "-P", "-c", f"{patient}\nfrom ion.cli.main import main; main()", "run", "slow"]
    with subprocess.Popen(words, cwd=project.folder, env=project.environment(), stderr=subprocess.DEVNULL) as process:
        until((project.folder / "running").exists)
        process.send_signal(signal.SIGINT)
        until((project.folder / "asked").exists)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 130
    assert status_of(project) == "interrupted"


def test_a_signal_that_is_ignored_stays_ignored(project: Project) -> None:
    """As under nohup, and for a job that a script put into the background."""
    project.write("hello", HELLO.replace("echo hello", "touch running; sleep 0.5; echo hello"))
    process = project.start("run", "hello", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    until((project.folder / "running").exists)
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "hello\n")


@pytest.mark.parametrize("arguments", [("events", "last"), ("run", "hello"), ("run", "hello", "--json"), ("schema",)])
def test_a_stdout_without_a_reader_is_no_error(project: Project, arguments: tuple[str, ...]) -> None:
    project.write("hello", HELLO)
    project.run("run", "hello")
    reader, writer = os.pipe()
    os.close(reader)
    process = project.start(*arguments, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "rror" not in err


def test_closed_streams_are_no_error_and_no_file_takes_their_place(project: Project) -> None:
    project.write("hello", HELLO)
    assert in_shell(project, "run hello --run-id mine <&- >&- 2>&-").returncode == 0
    assert status_of(project, "mine") == "completed"
    done = in_shell(project, "run hello --inputs - <&-")
    assert (done.returncode, done.stderr) == (2, b"error[usage]: stdin is closed\n")


def in_shell(project: Project, command: str) -> subprocess.CompletedProcess[bytes]:
    """`ion COMMAND`, with redirections, run by bash."""
    words = ["bash", "-c", f"{shlex.join(COMMAND)} {command}"]
    folder, environment = project.folder, project.environment()
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, timeout=PATIENCE_S, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_said_in_words(project: Project) -> None:
    project.write("hello", HELLO)
    for arguments in (("schema",), ("validate",), ("run", "hello")):
        with Path("/dev/full").open("w") as full:
            process = project.start(*arguments, stdout=full)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert "the output cannot be written: No space left on device" in err
        assert "Traceback" not in err
    assert status_of(project) == "completed"


def test_without_a_utf8_locale_everything_is_ascii(project: Project) -> None:
    project.write("gate", GATE.replace("ok?", "Tür auf? ✓"))
    result = project.run("run", "gate", LANG="C")
    assert result.status == 3
    assert result.err.isascii()
    assert "gate   review           T\\xfcr auf? ok" in result.err
    shown = project.run("show", LANG="C")
    assert shown.out.isascii()
    assert "review  gate  " in shown.out
    assert project.run("show", LC_ALL="C").out == shown.out
    assert "⏸" in project.run("show").out
    assert project.run("show", "--json", LC_ALL="POSIX").json("run")["waiting"][0]["message"] == "Tür auf? ✓"


def loaded(project: Project, *arguments: str) -> set[str]:
    """The modules that a command line has loaded when it is done."""
    code = (
        "import sys, json\nfrom ion.cli.main import outcome\n"
        f"outcome({list(arguments)!r})\nsys.stdout.flush()\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=project.folder,
        env=project.environment(),
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


# What no run and no look at one may load: faces, engines and stores of others.
FOREIGN = {"starlette", "uvicorn", "mcp", "temporalio", "psycopg", "acp", "opentelemetry", "cronsim", "cryptography"}
FOREIGN |= {"importlib.metadata", "email", "http.client"}


def test_a_command_loads_only_what_it_uses(project: Project) -> None:
    project.write("gate", GATE)
    project.run("run", "gate", "--run-id", "mine")
    project.run("init")
    heavy = {"asyncio", "pydantic", "yaml", "jsonschema", "rich"} | FOREIGN
    assert not loaded(project, "--help") & (heavy | {"sqlite3", "msgspec"})
    asked = {"importlib.metadata", "email"}  # which extras there are
    assert not loaded(project, "--version") & (heavy - asked | {"sqlite3", "msgspec"})
    for arguments in (("runs",), ("show", "mine"), ("show", "mine", "review"), ("events", "mine"), ("logs", "mine")):
        assert not loaded(project, *arguments) & heavy, arguments
    assert not loaded(project, "approve", "mine", "--no-resume") & heavy
    assert not loaded(project, "runs") & {"hashlib", "subprocess", "tempfile", "ion.core.fold", "ion.language.workflow"}


def test_a_run_of_programs_loads_nothing_of_agents_and_nothing_to_read_workflows_with(project: Project) -> None:
    project.write("hello", "nodes:\n  - {id: a, bash: echo hi}\n")
    project.run("run", "hello")  # the second one reads the cache
    seen = loaded(project, "run", "hello", "--quiet")
    assert not seen & FOREIGN
    assert not seen & {"pydantic", "yaml", "jsonschema", "rich", "tempfile", "ion.agents.command", "ion.agents.presets"}
    assert not seen & {
        "ion.nodes.prompt",
        "ion.nodes.script",
        "ion.nodes.messages",
        "ion.cli.live",
        "ion.language.rules",
    }


def test_a_detached_run_outlives_the_command_and_its_id_is_printed(project: Project) -> None:
    project.write("slow", SLOW)
    result = project.run("run", "slow", "--detach")
    assert result.status == 0
    run_id = result.out.strip()
    assert project.run("show", run_id, "--json").json("run")["status"] == "running"
    until((project.folder / "running").exists)
    assert project.run("resume", run_id).status == 5
    cancelled = project.run("cancel", run_id, "--json")
    assert cancelled.status == 0
    assert cancelled.json("run")["status"] == "cancelled"
    log = project.folder / ".ion" / "runs" / run_id / "ion.log"
    assert "run    is to end" in log.read_text()
    until((project.folder / "ended").exists)


def test_a_detached_run_that_cannot_start_is_an_error_here(project: Project) -> None:
    project.write("hello", HELLO)
    assert project.run("run", "nowhere", "--detach").status == 2
    missing = project.run("run", "hello", "--detach", "--input", "x=1", "--json")
    assert missing.status == 2
    assert missing.json("error")["error"]["code"] == "inputs"
    project.run("run", "hello", "--run-id", "mine")
    taken = project.run("run", "hello", "--detach", "--run-id", "mine")
    assert (taken.status, taken.out) == (5, "")
    assert [path.name for path in (project.folder / ".ion" / "runs").iterdir()] == ["mine"]


def test_a_detached_run_can_be_described_at_once(project: Project) -> None:
    project.write("hello", HELLO.replace("echo", "sleep 1; echo"))
    result = project.run("run", "hello", "--detach", "--json")
    assert result.json("run")["status"] == "running"
    watched = project.run("watch", result.json()["run_id"])
    assert watched.status == 0
    assert watched.out.splitlines()[-1].endswith("run    completed")


def test_an_answer_to_a_run_that_runs_elsewhere_is_acted_on_there(project: Project) -> None:
    project.write(
        "both",
        """
name: both
description: A gate beside a node that runs until the gate's own branch has run.
nodes:
  - id: wait
    bash: while [ ! -e go ]; do sleep 0.05; done
  - id: review
    approval: {message: ok?}
  - id: after
    depends_on: [review]
    bash: touch go; echo after
""",
    )
    process = project.start("run", "both", "--run-id", "mine")
    until(lambda: "approval_requested" in project.run("events", "mine").out)
    approved = project.run("approve", "mine")
    assert approved.status == 0
    assert "The run continues where it is running (process" in approved.err
    assert "done   after" in approved.err
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_a_run_whose_process_was_killed_is_interrupted_and_goes_on_with_an_answer(project: Project) -> None:
    project.write(
        "it",
        """
name: it
description: A gate beside a node that runs for long.
nodes:
  - id: wait
    bash: test -e skip || sleep 60
  - id: review
    approval: {message: ok?}
""",
    )
    for run_id, arguments, status, state in (
        ("one", ("approve", "one"), 0, "completed"),
        ("two", ("cancel", "two"), 0, "cancelled"),
    ):
        (project.folder / "skip").unlink(missing_ok=True)
        process = project.start("run", "it", "--run-id", run_id)
        until(lambda run_id=run_id: "approval_requested" in project.run("events", run_id).out)
        process.kill()
        process.communicate()
        assert status_of(project, run_id) == "interrupted"
        (project.folder / "skip").touch()
        assert project.run(*arguments).status == status
        assert status_of(project, run_id) == state


def test_a_background_process_that_dies_before_its_answer_is_said_to_have(project: Project) -> None:
    project.write("hello", HELLO)
    (project.folder / "startup").mkdir()
    (project.folder / "startup" / "sitecustomize.py").write_text(
        "import sys, os\nif 'ion.cli.detach' in sys.orig_argv: os._exit(7)\n"
    )
    result = project.run("run", "hello", "--detach", PYTHONPATH=str(project.folder / "startup"))
    assert result.status == 1
    assert "the background process ended before it said that it began (status 7)" in result.err


def test_nothing_from_a_node_acts_on_the_terminal(project: Project) -> None:
    """On a terminal, an output, a gate's message and a log are printable whatever they hold; colours are ours."""
    hostile = "\\033]0;title\\007\\033[2J\\u202eabc\\r\\b"
    project.write(
        "hostile",
        f"""
name: hostile
description: Says things to terminals.
nodes:
  - id: say
    bash: printf '{hostile}' | tee /dev/stderr
  - id: review
    depends_on: [say]
    approval: {{message: "so: $say.output"}}
""",
    )
    for arguments in (
        ("run", "hostile"),
        ("show", "last"),
        ("show", "last", "say"),
        ("logs", "last"),
        ("watch", "last"),
    ):
        shown = on_terminal(project, *arguments)
        without_colours = shown
        for code in ("0", "1", "2", "31", "32", "33", "36", "1;31", "1;33", "34"):
            without_colours = without_colours.replace(f"\x1b[{code}m", "")
        assert "\\x1b]0;title\\x07" in without_colours, arguments
        assert all(c.isprintable() or c == "\n" for c in without_colours.replace("\r\n", "\n")), arguments


def on_terminal(project: Project, *arguments: str) -> str:
    """What a command writes to a terminal that it stands on."""
    leader, follower = pty.openpty()
    process = project.start(*arguments, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    process.wait(timeout=PATIENCE_S)
    return shown.decode()
