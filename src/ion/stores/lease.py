"""Who owns a run, and whether that process is still alive.

A process is identified by host, boot id, pid and start time, so that neither a reboot nor a reused pid is mistaken for
it. Death is certain only on this very boot of this very host; everywhere else the end of the lease decides. On that
boot leases use its own clock, which nobody can set: a wall clock that jumps takes no run from a healthy owner. Nothing
here writes: the stores do, in the transaction that also checks.
"""

from __future__ import annotations

import functools
import os
import sys

from ion import clocks, procfs
from ion.errors import OwnershipLostError, RefusedError
from ion.stores.base import DEFAULT_LEASE_MS, Lease, Owner, WorkflowRun


def this_process(lease_ms: int = DEFAULT_LEASE_MS) -> Owner:
    """The calling process, with a new random token each time: two runs in one process have two owners. Its leases
    last `lease_ms`, by a clock that is set now."""
    pid, boot = os.getpid(), _boot_id()
    started = _process_started(pid) or "unknown"
    zero = clocks.zero_ms() if boot else None
    return Owner(
        host=os.uname().nodename,
        boot_id=boot,
        pid=pid,
        process_started=started,
        token=os.urandom(8).hex(),
        clock_zero=zero,
        lease_ms=lease_ms,
    )


def lease_clock(owner: Owner | None) -> int:
    """The time by which the leases of this owner count, in ms since the epoch: on its boot by its own clock,
    elsewhere (and without an owner) by the wall clock."""
    if owner is None or owner.clock_zero is None or not _is_of_this_boot(owner):
        return clocks.now_ms()
    return owner.clock_zero + clocks.steady_ms()


def next_lease(run: WorkflowRun, owner: Owner) -> Lease:
    """The lease of a new owner of a free run, and what is known of the previous owner: when it renewed its lease for
    the last time, or released the run."""
    before, until = run.owner, run.lease_expires_at
    if before is not None and until is not None:
        until = max(0, until - before.lease_ms) if before.lease_ms else None
    return Lease(run.run_id, run.epoch + 1, owner, until, before is not None)


def is_alive(owner: Owner) -> bool | None:
    """Whether the process lives; None if this cannot be known from here (another host, boot or container)."""
    if not _is_of_this_boot(owner):
        return None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    started = _process_started(owner.pid)
    if started is None:
        return None
    return started == owner.process_started


def _is_of_this_boot(owner: Owner) -> bool:
    return (owner.host, owner.boot_id) == (os.uname().nodename, _boot_id())


def owner_is_live(owner: Owner | None, lease_expires_at: int | None, now_ms: int) -> bool:
    """Whether a run belongs to `owner` at `now_ms`: its lease has not ended and it is not known to be dead.

    A stopped process that outlived its lease is not live: its epoch fences it off once somebody else takes over.
    """
    if owner is None or lease_expires_at is None or lease_expires_at <= now_ms:
        return False
    return is_alive(owner) is not False


def effective_status(run: WorkflowRun, now_ms: int) -> str:
    """The status a person sees: the log's, but `interrupted` for a running run without a live owner."""
    if run.status == "running" and not owner_is_live(run.owner, run.lease_expires_at, now_ms):
        return "interrupted"
    return run.status


def require_free(run: WorkflowRun, now_ms: int) -> None:
    """Raise `RefusedError` (code `owned`) while a live process owns the run."""
    owner = run.owner
    if owner is not None and owner_is_live(owner, run.lease_expires_at, now_ms):
        raise RefusedError(
            f"run {run.run_id} belongs to process {owner.pid} on {owner.host}, which is running it",
            hint=f"wait for it, or end it: ion cancel {run.run_id}",
            code="owned",
        )


def require_lease(run: WorkflowRun, lease: Lease) -> None:
    """Raise `OwnershipLostError` unless `lease` is the run's present one."""
    if run.owner is not None and (run.epoch, run.owner.token) == (lease.epoch, lease.owner.token):
        return
    now = "nobody" if run.owner is None else f"process {run.owner.pid} on {run.owner.host}"
    raise OwnershipLostError(
        f"run {run.run_id} no longer belongs to this process but to {now}; nothing was written",
        hint=f"see how it stands: ion show {run.run_id}",
    )


@functools.cache
def _boot_id() -> str:
    """This boot of this kernel, and in it the spaces of pids and of time that this process sees (a container has its
    own)."""
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "kern.bootsessionuuid") or _output_of("sysctl", "-n", "kern.boottime") or ""
    boot, pids = procfs.boot(), procfs.namespace("pid")
    return f"{boot} {pids} {procfs.namespace('time')}".rstrip() if boot and pids else ""


def _process_started(pid: int) -> str | None:
    """The start time as the system reports it, None if it does not; `dead` for a process that only waits to be
    reaped."""
    stat = procfs.stat(pid)
    if stat is None:
        return _output_of("ps", "-o", "lstart=", "-p", str(pid))
    return stat.start if stat.lives else "dead"


def _output_of(*command: str) -> str | None:
    import subprocess

    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
