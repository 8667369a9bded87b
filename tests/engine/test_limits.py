"""What the system gives only so much of, and processes that nobody else ends or reaps: `ion` as real processes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import COMMAND, Site

import ion
from ion import process
from ion.core import events as e
from ion.process import child, limits
from processes import PATIENCE_S, alive, until

Write = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "sqlite:.ion/ion.db")


def fan(count: int, slots: int, script: str) -> str:
    nodes = "\n".join(f"  - {{id: n{number}, bash: '{script}'}}" for number in range(count))
    return f"max_concurrency: {slots}\nnodes:\n{nodes}\n"


def descriptors(soft: int, hard: int) -> tuple[str, ...]:
    """A program that starts another one with these limits."""
    return ("bash", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" "$@"')


def outputs(site: Site) -> set[str]:
    return {node["output"] for node in site.shown()["nodes"].values()}


def test_where_few_descriptors_are_allowed_slots_wait_for_them(site: Site) -> None:
    """Sixty programs at once would need some four hundred."""
    site.write(fan(60, 60, "echo a; sleep 0.05; echo b >&2; ulimit -Sn"))
    status, _out, err = site.run("run", "w", "--run-id", site.id, before=descriptors(100, 100))
    assert (status, err.count("FAIL")) == (0, 0)
    assert outputs(site) == {"a\n100"}


def test_where_no_program_can_ever_start_it_is_said_at_once(site: Site) -> None:
    site.write("nodes:\n  - {id: a, bash: echo hi}\n")
    status, _out, err = site.run("run", "w", "--run-id", site.id, before=descriptors(24, 24))
    assert (status, "only 24 files may be open at once, and Ion needs 48" in err) == (1, True), err
    assert site.run("resume", site.id, before=descriptors(48, 48))[0] == 0


def test_the_soft_limit_is_raised_for_ion_and_not_for_its_programs(site: Site) -> None:
    """Forty at once need more than the soft limit."""
    site.write(
        fan(40, 40, "until [ -e n39 ]; do sleep 0.02; done; ulimit -Sn").replace(
            "n39, bash: '", "n39, bash: 'touch n39; "
        )
    )
    status, _out, _err = site.run("run", "w", "--run-id", site.id, before=descriptors(150, 4096))
    assert status == 0
    assert outputs(site) == {"150"}


def test_an_inherited_descriptor_above_the_limit_does_not_matter(site: Site) -> None:
    site.write("nodes:\n  - {id: a, bash: 'ls /dev/fd | grep -c ^90$ || true'}\n")
    held = ("bash", "-c", 'exec 90</dev/null; ulimit -n 80; exec "$0" "$@"')
    status, out, err = site.run("run", "w", "--run-id", site.id, "--quiet", before=held)
    assert (status, out.strip()) == (0, "0"), err


class Scarce:
    """Programs cannot be started until `given` is set; counts the tries."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, times: int) -> None:
        self.tries = 0
        begin = child._opened

        def spawned(*arguments: object) -> int:
            self.tries += 1
            if self.tries <= times:
                raise OSError(number, os.strerror(number))
            return begin(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(child, "_opened", spawned)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_turn_waits_for_what_is_missing(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def ask(_request: ion.PromptRequest) -> str:
        return "hi"

    scarce = Scarce(monkeypatch, number, 3)
    said: list[str] = []

    class Watch:
        def event(self, run_id: str, recorded: object, state: object) -> None: ...

        def progress(self, run_id: str, node: str, line: str) -> None:
            said.append(line)

    options = ion.RunOptions(observers=(Watch(),))
    flow = write("nodes:\n  - {id: a, bash: echo fine}\n")
    result = ion.execute_workflow_sync(flow, store="memory:", project=project, agent=ask, options=options)
    assert (result.output, scarce.tries) == ("fine", 4)
    assert said == [f"waits: {os.strerror(number)}", "fine"]
    assert result.data["nodes"]["a"]["attempts"] == 1


def test_what_stays_missing_fails_the_node_at_last(
    write: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scarce(monkeypatch, errno.EAGAIN, 10**9)
    monkeypatch.setattr(limits, "PATIENCE_S", 0.2)
    result = ion.execute_workflow_sync(
        write("nodes:\n  - {id: a, bash: echo fine}\n"), store="memory:", project=project
    )
    error = result.data["nodes"]["a"]["error"]
    assert (error["code"], os.strerror(errno.EAGAIN) in error["message"]) == ("spawn", True)


def test_the_limit_is_raised_once_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = [(64, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limit[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, pair: limit.append(pair))
    monkeypatch.setattr(limits, "_given", None)
    limits.raise_limit()
    limits.raise_limit()
    assert limit == [(64, 4096), (4096, 4096)]
    with limits.given_back(10):
        assert limit[-1] == (64, 4096)
    assert limit[-1] == (4096, 4096)
    with limits.given_back(60):
        assert limit[-1] == (4096, 4096), "others could open nothing meanwhile"
    assert process.how_many_live() == 0


# ---------------------------------------------------------------------- what nobody else ends

SETSID = "nodes:\n  - {id: x, bash: \"(setsid sh -c 'echo $$ > pid; exec sleep 300' &); sleep 300\"}\n"


def test_cancel_of_a_live_run_ends_what_left_its_group(site: Site) -> None:
    site.write(SETSID)
    owner = site.start("run", "w", "--run-id", site.id)
    pid = written(site.path("pid"))
    assert site.run("cancel", site.id)[0] == 0
    owner.communicate(timeout=PATIENCE_S)
    assert owner.returncode == 4
    until(lambda: not alive(pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_so_does_an_interruption(site: Site, number: signal.Signals) -> None:
    site.write(SETSID)
    owner = site.start("run", "w", "--run-id", site.id, before=DEFAULT_SIGNALS)
    pid = written(site.path("pid"))
    owner.send_signal(number)
    owner.communicate(timeout=PATIENCE_S)
    assert owner.returncode == 130
    until(lambda: not alive(pid))


def test_a_resume_ends_the_programs_of_a_run_within_the_run_that_was_killed(site: Site) -> None:
    site.write("nodes: [{id: x, bash: 'echo $$ > pid; test -e go || exec sleep 300'}]\n", "inner")
    command = " ".join([*COMMAND, "run", "inner", "--run-id", "inner-$RANDOM", "--quiet"])
    site.write(f"nodes: [{{id: o, bash: '{command}'}}]\n")
    owner = site.start("run", "w", "--run-id", site.id)
    pid = written(site.path("pid"))
    owner.kill()
    owner.communicate()
    assert alive(pid)
    site.path("go").touch()
    assert site.run("resume", site.id)[0] == 0
    assert not alive(pid)
    store = site.store()
    inner = {run.status for run in store.list_workflow_runs(workflow="inner")}
    logs = [store.get_workflow_events(run.run_id) for run in store.list_workflow_runs(workflow="inner")]
    store.close()
    assert inner == {"running", "completed"}, "the first one was interrupted"
    assert not any(isinstance(item.event, e.NodeFailed) for log in logs for item in log)


def test_the_first_process_of_a_container_reaps_what_its_programs_orphan(site: Site) -> None:
    gone = "until [ $(ps -eo stat | grep -c ^Z) = 0 ]; do sleep 0.02; done"
    script = f"for i in 1 2 3; do (setsid true &); done; {gone}; echo $PPID"
    site.write(f"nodes:\n  - {{id: a, timeout: 100s, bash: '{script}'}}\n  - {{id: b, bash: exit 7}}\n")
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody make a space of process numbers")
    status, _out, _err = site.run("run", "w", "--run-id", site.id, before=unshare)
    assert status == 1, "that of the program, not of the first process"
    nodes = site.shown()["nodes"]
    assert (nodes["a"]["output"], nodes["b"]["error"]["code"]) == ("2", "exit-status")


def test_the_first_process_of_a_container_passes_signals_on(site: Site) -> None:
    site.write("nodes:\n  - {id: a, bash: 'echo $PPID > pid; exec sleep 300'}\n")
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody make a space of process numbers")
    outer = site.start("run", "w", "--run-id", site.id, before=unshare)
    written(site.path("pid"))
    (first,) = children(outer.pid)
    (program,) = children(first)
    os.kill(program, signal.SIGTSTP)  # as by Ctrl-Z
    os.kill(first, signal.SIGTERM)
    outer.communicate(timeout=PATIENCE_S)
    assert outer.returncode == 130
    assert site.shown()["status"] == "interrupted"


# A background job of a shell ignores SIGINT; the tests may be one.
DEFAULT_SIGNALS = (
    "python3",
    "-c",
    "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nos.execvp(sys.argv[1], sys.argv[1:])",
)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def written(file: Path) -> int:
    """The number in a file, once it is there."""
    until(lambda: file.exists() and file.read_text().strip())
    return int(file.read_text())
