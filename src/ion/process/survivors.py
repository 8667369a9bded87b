"""What a run started and what of it is left: found by the journal of its programs and by the run's name in
environments.

The register has one line for each program: its number, start time and boot. It is one file for all programs of a run,
only appended to and never synced: a new file for each program would cost more than everything else that Ion does to
start it. A line stays when its program has ended; the start time in it tells the program from another process that has
the same number by now. If several processes work for one run, each has its own register, named after the process.

On Linux the environment closes the gap between the start of a process and its line. A number that means another process
by now is never touched, nor is the caller or any of its ancestors.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from ion import procfs
from ion.digests import sha256_of

_AROUND = "ION_OUTER_RUNS"


def write_down(register: Path, pid: int, identity: str | None) -> None:
    """Append a program. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(register, flags, 0o600)
    except FileNotFoundError:
        register.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(register, flags, 0o600)
    try:
        os.write(descriptor, f"{pid} {identity or ''}\n".encode())
    finally:
        os.close(descriptor)


def end_recorded(register: Path) -> int:
    """Kill the groups of the programs in `register` that still live, and empty it. Returns how many there were.

    Invalid lines are skipped (the last one may be torn).
    """
    try:
        lines = register.read_bytes().decode("ascii", "replace").splitlines()
    except FileNotFoundError:
        return 0
    ended = 0
    for line in lines:
        number, _, identity = line.partition(" ")
        if number.isdecimal() and identity and procfs.identity(int(number)) == identity:
            signal_group(int(number), signal.SIGKILL)
            ended += 1
    register.unlink(missing_ok=True)
    return ended


def register_here(run: Path) -> Path:
    """The register of the calling process for the run with this folder."""
    return run / "workers" / f"{os.getpid()}.{_place()}.{procfs.identity(os.getpid()) or ''}".replace(":", ".")


def end_recorded_by_the_dead(registers: Path) -> int:
    """Kill what processes that are dead by now had started and recorded in this folder. Returns how many there were.

    Those of another machine, boot or container cannot be judged from here, and are left alone.
    """
    ended = 0
    for register in registers.glob(f"*.{_place()}.*"):
        number, _, identity = register.name.replace(f".{_place()}.", " ").partition(" ")
        alive = (procfs.identity(int(number)) or "").replace(":", ".") if number.isdecimal() else identity
        if identity and identity != alive:
            ended += end_recorded(register)
    return ended


def _place() -> str:
    """Where process numbers mean the same: this machine, and its process-number namespace."""
    return sha256_of(f"{os.uname().nodename}\n{procfs.namespace('pid')}".encode())[:12]


def signal_group(group: int, number: int) -> bool:
    """Whether the group had a member that may be signalled."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_left_behind(register: Path, run_id: str, artifacts: Path, grace_ms: int) -> int:
    """Kill what a dead owner left of a run; returns how many groups and processes there were.

    `register` is the run's (`write_down`). Every process of the run has `ION_RUN_ID` and, as `ARTIFACTS_DIR`, the
    folder `artifacts` in its environment: a run of another project may have the same id. The processes of a run that
    one of them started have that folder among `runs_around`. Such a run ends as by Ctrl-C: its Ion has `grace_ms` to
    end them itself.
    """
    spared = procfs.ancestors(os.getpid())
    own, nested = _of_run(run_id, artifacts, spared)
    if nested:
        for pid in own:
            _tell(pid, signal.SIGTERM)
        _wait_for_the_end(own, grace_ms / 1000)
        own, nested = _of_run(run_id, artifacts, spared)
    ended = end_recorded(register)
    return ended + sum(_tell(pid, signal.SIGKILL) for pid in own | nested)


def end_of_node(run_id: str, artifacts: Path, node: str) -> int:
    """Kill what the programs of one node have left; returns how many processes there were."""
    entry = f"ION_NODE_ID={node}".encode()
    own, _ = _of_run(run_id, artifacts, procfs.ancestors(os.getpid()))
    return sum(_tell(pid, signal.SIGKILL) for pid in own if entry in procfs.environment(pid))


def _tell(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _wait_for_the_end(pids: set[int], seconds: float) -> None:
    living = {pid: procfs.identity(pid) for pid in pids}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(who and procfs.identity(pid) == who for pid, who in living.items()):
        time.sleep(0.02)


def runs_around(environment: Mapping[str, str]) -> dict[str, str]:
    """For the processes of a run that an Ion with this environment drives: the runs in which that Ion itself is a
    process, by their folders, one per line."""
    if "ION_RUN_ID" not in environment or "ARTIFACTS_DIR" not in environment:
        return {}
    outermost = environment.get(_AROUND, "")
    return {_AROUND: f"{outermost}\n{environment['ARTIFACTS_DIR']}".lstrip("\n")}


def runs_of(environment: Mapping[str, str]) -> set[str]:
    """The ids of all runs that a process with this environment is within."""
    around = environment.get(_AROUND, "").splitlines()
    return {environment.get("ION_RUN_ID", ""), *(Path(artifacts).parent.name for artifacts in around)} - {""}


def _of_run(run_id: str, artifacts: Path, spared: set[int]) -> tuple[set[int], set[int]]:
    """The processes of a run, and those of runs within it."""
    own: set[int] = set()
    nested: set[int] = set()
    entry = os.fsencode(f"ION_RUN_ID={run_id}")
    for pid in procfs.pids() - spared:
        entries = procfs.environment(pid)
        if entry in entries and _has_folder(entries, "ARTIFACTS_DIR", artifacts):
            own.add(pid)
        elif _has_folder(entries, _AROUND, artifacts):
            nested.add(pid)
    return own, nested


def _has_folder(entries: list[bytes], name: str, artifacts: Path) -> bool:
    """Whether a variable of this environment names that folder, by whatever path."""
    begin = f"{name}=".encode()
    named = [line for one in entries if one.startswith(begin) for line in one.removeprefix(begin).split(b"\n")]
    return any(_is_same(artifacts, os.fsdecode(path)) for path in named)


def _is_same(folder: Path, path: str) -> bool:
    try:
        return folder.samefile(path)
    except OSError:  # one of them is gone
        return False
