"""Programs really run: their whole group ends, whatever they do, and nothing ever waits without an end.

A program that should be ended sleeps for longer than a test may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ion import process, procfs
from ion.process import files, survivors
from ion.process.child import ProcessSpec
from ion.process.stdio import LineError, start_stdio
from processes import PATIENCE_S, alive, eventually


class Runner:
    """Runs bash text with a marker in the environment, by which whatever is left of it can be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marker = f"ion-test-{uuid.uuid4().hex}"

    async def __call__(self, script: str, **options: object) -> process.Exit:
        return await self.argv(["bash", "-c", script], **options)

    async def argv(self, argv: list[str], **options: object) -> process.Exit:
        arguments: dict[str, object] = {"cwd": self.folder, "env": self.env, "log": self.log, **options}
        return await process.run(argv, **arguments)  # type: ignore[arg-type]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "ION_RUN_ID": self.marker}

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "turn"

    @property
    def register(self) -> Path:
        return self.folder / "programs"

    @property
    def out(self) -> bytes:
        return self._said(".out")

    @property
    def err(self) -> bytes:
        return self._said(".err")

    def _said(self, suffix: str) -> bytes:
        path = process.beside(self.log, suffix)
        return path.read_bytes() if path.exists() else b""

    def alive(self) -> list[int]:
        """The living processes that carry the marker."""
        wanted = f"ION_RUN_ID={self.marker}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return [pid for pid in found if procfs.identity(pid) is not None]

    async def all_gone(self) -> None:
        await eventually(lambda: not self.alive())

    async def started(self, count: int = 1) -> None:
        """Wait until `count` lines are in the output."""
        await eventually(lambda: self.out.count(b"\n") >= count)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path)
    yield runner
    left = runner.alive()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def python(program: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python text in an interpreter of its own."""
    argv = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(argv, env=env, check=True, timeout=PATIENCE_S, capture_output=True, text=True)


def sleeper(env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "3600"], env=env, start_new_session=True)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def zombies() -> list[int]:
    """Children of this process that nobody has waited for."""
    return [pid for pid, row in procfs.stats().items() if row.parent == os.getpid() and row.state == "Z"]


async def test_status_and_both_streams_are_kept_apart(bash: Runner) -> None:
    ended = await bash("echo out; echo err >&2; exit 3")
    assert (ended.status, ended.signal, ended.timed_out, ended.idle) == (3, None, False, False)
    assert (bash.out, bash.err) == (b"out\n", b"err\n")
    assert ended.duration_ms < 5000


async def test_streams_may_be_opened_anew_by_name(bash: Runner) -> None:
    """`> /dev/stderr` and `tee /dev/stdout` are everyday bash; had the program a file there, they would cut it off."""
    await bash("echo 1; echo 2 > /dev/stdout; echo 3 | tee /dev/stderr; echo 4 > /dev/stderr; echo 5 >&2; echo 6")
    assert (bash.out, bash.err) == (b"1\n2\n3\n6\n", b"3\n4\n5\n")


async def test_a_great_output_arrives_whole_and_in_order(bash: Runner) -> None:
    assert (await bash("seq 1 2000000; printf end")).status == 0
    expected = b"".join(b"%d\n" % number for number in range(1, 2_000_001)) + b"end"
    assert bash.out == expected


async def test_what_is_still_in_the_pipe_at_the_end_is_taken(bash: Runner) -> None:
    """A pipe larger than one read, filled while the loop is busy with something else."""
    program = "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); os.write(1, b'x' * (1 << 20))"
    asyncio.get_running_loop().call_later(0.01, time.sleep, 0.7)
    assert (await bash.argv([sys.executable, "-c", program])).status == 0
    assert bash.out == b"x" * (1 << 20)


async def test_a_pipe_that_is_never_empty_is_left_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    stream = files.start_relay(str(tmp_path / "out"))

    def more(stream: files.Relay) -> bool:
        stream.size += 100_000
        return True

    monkeypatch.setattr(files, "_move", more)
    files.finish_relay(stream, loop)
    assert stream.size < 10_000_000


def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, os, resource, sys
        from pathlib import Path
        from ion import process
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            asyncio.run(process.run(["yes"], cwd=Path("/"), env=dict(os.environ), log=Path(sys.argv[1])))
        except process.OutputError as error:
            print(error.error_code, error.message)
        """
    )
    said = python(program, tmp_path / "x")
    assert said.stdout == "output the output of yes cannot be written: File too large\n"


async def test_stdin_is_empty_or_what_is_given(bash: Runner) -> None:
    assert (await bash("cat; echo end")).status == 0
    assert bash.out == b"end\n"
    data = bytes(range(256)) * 4096
    await bash("cat", stdin=data)
    assert bash.out == data


async def test_stdin_that_nobody_reads_does_not_hang(bash: Runner) -> None:
    assert (await bash("exit 0", stdin=b"x" * 2_000_000)).status == 0


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGHUP"])
async def test_an_end_by_signal_is_named(bash: Runner, name: str) -> None:
    ended = await bash(f"kill -{name} $$")
    assert (ended.status, ended.signal) == (None, name)


async def test_a_real_time_signal_has_a_name_too(bash: Runner) -> None:
    ended = await bash(f"kill -{signal.SIGRTMIN + 3} $$")
    assert ended.signal == f"SIG{signal.SIGRTMIN + 3}"


async def test_timeout_ends_the_whole_group(bash: Runner) -> None:
    ended = await bash("sleep 3600 & sleep 3600 | cat; wait", timeout_ms=200)
    assert ended.timed_out
    assert ended.signal == "SIGTERM"
    assert not bash.alive()


async def test_a_program_that_ends_within_the_grace_may_clean_up(bash: Runner) -> None:
    ended = await bash("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done", timeout_ms=1000)
    assert (ended.status, ended.timed_out) == (7, True)
    assert bash.out == b"up\nbye\n"


async def test_one_that_ignores_the_request_is_killed_after_the_grace(bash: Runner) -> None:
    ended = await bash(
        "trap 'echo asked' TERM; sleep 3600 & while :; do sleep 0.05; done", timeout_ms=1000, grace_ms=500
    )
    assert (ended.signal, ended.timed_out) == ("SIGKILL", True)
    assert bash.out.startswith(b"asked\n")
    assert not bash.alive()


async def test_a_stopped_program_is_ended_too(bash: Runner) -> None:
    ended = await bash("kill -STOP $$", timeout_ms=200, grace_ms=200)
    assert ended.timed_out
    assert not bash.alive()


async def test_a_grandchild_that_holds_the_output_does_not_hold_us(bash: Runner) -> None:
    ended = await bash("sleep 3600 & echo hi")
    assert ended.status == 0
    assert bash.out == b"hi\n"
    assert not bash.alive()


async def test_leftovers_that_ignore_the_request_are_killed_after_the_grace(bash: Runner) -> None:
    ended = await bash("(trap '' TERM; echo up; while :; do sleep 0.05; done) & sleep 0.2; exit 4", grace_ms=300)
    assert (ended.status, ended.timed_out) == (4, False)
    assert not bash.alive()


async def test_leftovers_may_say_goodbye(bash: Runner) -> None:
    await bash("(trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done) & sleep 0.2", grace_ms=3000)
    assert bash.out == b"up\nbye\n"


@pytest.mark.parametrize(
    "escape",
    ["setsid sleep 3600 & wait", "setsid bash -c 'sleep 3600 & sleep 3600' & wait", "set -m; sleep 3600 & wait"],
)
async def test_relatives_in_other_sessions_and_groups_end_with_a_timeout(bash: Runner, escape: str) -> None:
    assert (await bash(escape, timeout_ms=300)).timed_out
    assert not bash.alive()


async def test_a_daemon_is_out_of_reach_but_holds_nothing_up(bash: Runner) -> None:
    """A double fork with a session of its own leaves no trace to follow: it lives on, as the documentation says."""
    await bash("(setsid sleep 3600 &); sleep 0.3; echo done")
    left = bash.alive()
    assert len(left) == 1
    os.kill(left[0], signal.SIGKILL)
    await bash.all_gone()


async def test_a_daemon_that_never_stops_writing_holds_nothing_up(bash: Runner) -> None:
    await bash("(setsid yes &); sleep 0.3")
    await bash.all_gone()  # nobody listens any more: it dies of that


async def test_cancelling_the_task_ends_everything_and_is_passed_on(bash: Runner) -> None:
    task = asyncio.ensure_future(bash("sleep 3600 & echo up; wait"))
    await bash.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bash.alive()


async def test_a_second_cancellation_cuts_the_grace_short(bash: Runner) -> None:
    script = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"
    task = asyncio.ensure_future(bash(script, grace_ms=3_600_000))
    await bash.started()
    task.cancel()
    await bash.started(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bash.alive()


async def test_nothing_survives_runs_that_are_cut_off_at_random_moments(bash: Runner) -> None:
    scripts = (
        "sleep 3600 & sleep 3600",
        "trap '' TERM; sleep 3600 & while :; do sleep 0.01; done",
        "yes | head -c 3000000; sleep 3600",
        "set -m; sleep 3600 & sleep 3600",
        "setsid sleep 3600 & wait",
        "for i in 1 2 3 4 5 6; do (sleep 3600; sleep 3600) & done; wait",
        "sleep 0.02 & exit 3",
    )
    chance = random.Random(7)

    async def cut_off(number: int) -> None:
        script, grace = chance.choice(scripts), chance.choice([0, 20, 200])
        log, limit = bash.folder / f"{number}", chance.choice([None, 30, 100])
        task = asyncio.ensure_future(bash(script, log=log, grace_ms=grace, timeout_ms=limit))
        for moment in (chance.random() * 0.15, chance.random() * 0.05):
            await asyncio.sleep(moment)
            task.cancel()
        await asyncio.wait({task})

    before = descriptors()
    for start in range(0, 204, 12):
        await asyncio.gather(*(cut_off(number) for number in range(start, start + 12)))
    assert not bash.alive()
    assert not zombies()
    assert descriptors() == before


async def test_cancelling_before_the_first_step_starts_nothing(bash: Runner) -> None:
    task = asyncio.ensure_future(bash("sleep 3600"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bash.log.parent.exists()


def test_a_loop_torn_down_under_way_leaves_nothing(tmp_path: Path) -> None:
    """The coroutine is thrown away without ever being resumed."""
    runner = Runner(tmp_path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(runner("trap '' TERM; echo up; sleep 3600 & wait", grace_ms=20_000))
    loop.run_until_complete(runner.started())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    task.get_coro().close()
    assert not runner.alive()


def test_an_interpreter_that_exits_takes_its_programs_along(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    program = textwrap.dedent(
        """
        import asyncio, os, sys, threading, time
        from pathlib import Path
        from ion import process
        async def main():
            log = Path(sys.argv[1])
            await process.run(["sleep", "3600"], cwd=Path("/"), env=dict(os.environ), log=log, register=log)
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        while not Path(sys.argv[1]).exists():
            time.sleep(0.01)
        """
    )
    python(program, runner.log, env=runner.env)
    asyncio.run(runner.all_gone())  # it was killed on the way out, and may take a moment to be gone


async def test_idle_means_no_new_byte_in_either_stream(bash: Runner) -> None:
    talking = await bash("for i in 1 2 3 4 5 6; do echo . >&2; sleep 0.1; done", idle_timeout_ms=400)
    assert (talking.status, talking.idle) == (0, False)
    silent = await bash("echo once; sleep 3600", idle_timeout_ms=200)
    assert (silent.idle, silent.timed_out, silent.signal) == (True, False, "SIGTERM")


async def test_the_timeout_counts_though_the_program_talks(bash: Runner) -> None:
    ended = await bash("while :; do echo .; sleep 0.02; done", timeout_ms=300, idle_timeout_ms=5000)
    assert (ended.timed_out, ended.idle) == (True, False)


async def test_a_program_that_is_not_there(bash: Runner) -> None:
    with pytest.raises(process.SpawnError, match="no-such-program") as caught:
        await bash.argv(["no-such-program"])
    assert caught.value.missing
    assert caught.value.error_code == "spawn"


async def test_a_program_that_may_not_run(bash: Runner) -> None:
    path = bash.folder / "plain.txt"
    path.write_text("x")
    with pytest.raises(process.SpawnError, match=r"plain\.txt: Permission denied") as caught:
        await bash.argv([str(path)])
    assert not caught.value.missing


async def test_a_working_directory_that_is_not_there(bash: Runner) -> None:
    with pytest.raises(process.SpawnError, match=r"working directory .*gone") as caught:
        await bash("echo", cwd=bash.folder / "gone")
    assert not caught.value.missing


async def test_an_environment_that_is_too_large(bash: Runner) -> None:
    with pytest.raises(process.SpawnError, match="Argument list too long") as caught:
        await bash("echo", env={**bash.env, "X": "x" * 200_000})
    assert caught.value.hint


async def test_what_no_system_call_can_carry(bash: Runner) -> None:
    for env in ({"X": "a\0b"}, {"X=Y": "z"}, {"X": "\ud800"}):
        with pytest.raises(process.SpawnError, match="bash"):
            await bash("echo", env=bash.env | env)


async def test_the_register_names_the_program_while_it_runs(bash: Runner) -> None:
    task = asyncio.ensure_future(bash("echo $$; sleep 3600", register=bash.register))
    await bash.started()
    pid = int(bash.out)
    assert bash.register.read_text() == f"{pid} {procfs.identity(pid)}\n"
    task.cancel()
    await asyncio.wait({task})


async def test_the_register_holds_the_start_that_the_system_shows(bash: Runner) -> None:
    """The clock and /proc agree, whether the start fell on one tick of the clock or on two."""
    for _ in range(20):
        task = asyncio.ensure_future(bash("echo up; sleep 3600", register=bash.register))
        await bash.started()
        pid, _, identity = bash.register.read_text().splitlines()[-1].partition(" ")
        assert identity == procfs.identity(int(pid))
        task.cancel()
        await asyncio.wait({task})
        process.beside(bash.log, ".out").unlink()


def test_where_clock_and_proc_disagree_proc_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_agreed", [])
    mine = procfs.identity(os.getpid())
    for _ in range(2):
        assert procfs.born(os.getpid(), 1, 1) == mine
    assert procfs._agreed == [False]


def test_the_group_of_a_dead_ion_is_found_in_its_register(bash: Runner) -> None:
    orphan, other = sleeper(bash.env), sleeper(bash.env)
    bash.register.write_text(f"{orphan.pid} {procfs.identity(orphan.pid)}\n{other.pid} another boot:1\n999999 x:1\n")
    try:
        assert survivors.end_recorded(bash.register) == 1
        assert orphan.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert not bash.register.exists()
    assert survivors.end_recorded(bash.register) == 0


@pytest.mark.parametrize(
    "text", ["", "{", "1", "1 ", "x y", "-1 x", "1 \udcff", "\0", "12 45:7", "99999999999999999999 x"]
)
def test_a_register_that_says_nothing_harms_nobody(bash: Runner, text: str) -> None:
    bash.register.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert survivors.end_recorded(bash.register) == 0
    assert not bash.register.exists()


async def test_logs_are_made_anew(bash: Runner) -> None:
    await bash("echo a long first line; echo e >&2")
    await bash("echo b")
    assert (bash.out, bash.err) == (b"b\n", b"")
    await bash("true")
    assert list(bash.log.parent.iterdir()) == []


async def test_a_thousand_runs_leak_no_descriptor_and_no_zombie(tmp_path: Path) -> None:
    runner = Runner(tmp_path)

    async def worker() -> None:
        for _ in range(250):
            await runner.argv(["/bin/true"], log=tmp_path / uuid.uuid4().hex)

    await runner.argv(["/bin/true"])
    before = descriptors()
    await asyncio.gather(*(worker() for _ in range(4)))
    assert descriptors() == before
    assert not zombies()


async def test_failed_starts_leak_no_descriptor(bash: Runner) -> None:
    before = descriptors()
    for _ in range(20):
        with pytest.raises(process.SpawnError):
            await bash.argv(["no-such-program"])
        with pytest.raises(process.SpawnError, match="log cannot be made"):
            await bash("echo", log=Path("/dev/null/log"))
    assert descriptors() == before


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_file_handed_to_one_program(bash: Runner, in_memory: bool) -> None:
    """It can be read as often as the program likes, by nobody else, and is gone afterwards."""
    pieces = [b"x" * 100_000, b"", b"\0\xff\n"]
    with files.write_program_file(bash.folder / "deep" / "place", iter(pieces), in_memory=in_memory) as file:
        given = () if file.descriptor is None else (file,)
        ended = await bash(f"stat -L -c %a {file.path} >&2; cat {file.path}; cat < {file.path}", handed=given)
        assert (ended.status, bash.err) == (0, b"600\n")
        assert bash.out == b"".join(pieces) * 2
        assert (file.descriptor is not None) == in_memory
    assert [path for path in (bash.folder / "deep").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_whose_content_fails_is_not_left(tmp_path: Path, in_memory: bool) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("no more")

    before = descriptors()
    with pytest.raises(ValueError, match="no more"):
        files.write_program_file(tmp_path / "place", pieces(), in_memory=in_memory)
    assert descriptors() == before
    assert list(tmp_path.iterdir()) == []


async def test_systems_without_files_in_memory(bash: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    files._can_be_nameless.cache_clear()
    try:
        await bash("cat", stdin=b"given")
        assert bash.out == b"given"
    finally:
        files._can_be_nameless.cache_clear()


async def test_descriptors_of_ion_are_not_passed_on(bash: Runner) -> None:
    with (bash.folder / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        await bash("ls -l /proc/self/fd")
    assert b"secret" not in bash.out


@pytest.mark.parametrize("missing", [["pidfd_open"], ["pidfd_open", "waitid"]])
async def test_systems_without_pidfd(bash: Runner, monkeypatch: pytest.MonkeyPatch, missing: list[str]) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)
    assert (await bash("sleep 3600 & exit 5")).status == 5
    assert (await bash("sleep 3600", timeout_ms=200)).timed_out
    task = asyncio.ensure_future(bash("echo up; sleep 3600"))
    await bash.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_systems_without_proc(bash: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "_PROC", bash.folder / "nothing")
    assert (await bash("trap '' TERM; (echo up; sleep 3600) & sleep 0.2; exit 5", grace_ms=300)).status == 5
    assert (await bash("sleep 3600", timeout_ms=200)).timed_out


def test_a_host_that_ignores_sigchld_gets_no_false_success(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from pathlib import Path
        from ion import process
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print(asyncio.run(process.run(["false"], cwd=Path("/"), env=dict(os.environ), log=Path(sys.argv[1]))))
        """
    )
    said = python(program, tmp_path / "x")
    assert "status=None, signal=None" in said.stdout


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "err"
    assert process.tail(path) == ""
    path.write_bytes(b"a\xffb\0\x1b[31m")
    assert process.tail(path) == "a\ufffdb\0\x1b[31m"
    path.write_text("é€😀" * 1000)
    assert process.tail(path, 10) == "…" + ("é€😀" * 1000)[-9:]


class TestTalk:
    """A program that is talked to while it lives."""

    def start(self, runner: Runner, script: str) -> ProcessSpec:
        argv = ["bash", "-c", script]
        return ProcessSpec(argv, runner.folder, runner.env, runner.log, register=runner.register)

    async def test_lines_there_and_back_and_stderr_in_a_file(self, bash: Runner) -> None:
        other = start_stdio(self.start(bash, 'echo ready >&2; while read -r line; do echo "<$line>"; done'), 1000)
        for word in (b"one", b"two"):
            await other.write(word + b"\n")
            assert await other.read_line() == b"<" + word + b">"
        await other.end(1000)
        assert bash.err == b"ready\n"
        assert not alive(other.child.pid)
        with pytest.raises(BrokenPipeError):
            await other.write(b"more")
        assert await other.read_line() is None

    async def test_the_end_of_its_output_is_its_own_though_a_child_holds_the_pipe(self, bash: Runner) -> None:
        other = start_stdio(self.start(bash, "sleep 3600 & echo last"), 1000)
        assert await other.read_line() == b"last"
        assert await other.read_line() is None
        await other.end(1000)

    async def test_writing_to_one_that_does_not_read_ends_with_it(self, bash: Runner) -> None:
        other = start_stdio(self.start(bash, "sleep 3600"), 1000)
        writing = asyncio.create_task(other.write(b"x" * 1_000_000))
        await asyncio.sleep(0.1)
        assert not writing.done()
        await other.end(100)
        with pytest.raises(BrokenPipeError):
            await writing

    async def test_a_line_that_is_too_long(self, bash: Runner) -> None:
        other = start_stdio(self.start(bash, "head -c 300000 /dev/zero; sleep 3600"), 1000)
        with pytest.raises(LineError, match="a line of more than 1000 bytes"):
            await other.read_line()
        await other.end(100)

    async def test_one_that_is_not_there_leaves_nothing_open(self, bash: Runner) -> None:
        before = set(Path("/dev/fd").iterdir())
        with pytest.raises(process.SpawnError):
            start_stdio(ProcessSpec(["no-such-program"], bash.folder, bash.env, bash.log), 1000)
        assert set(Path("/dev/fd").iterdir()) == before
