"""Owners: told apart by host, boot, pid and start time, and known to be dead only where that can be known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from msgspec import structs
from store_kit import LEASE_MS, HandClock, begin, dead, elsewhere, living

from ion import clocks, procfs
from ion.errors import RefusedError
from ion.stores import lease as lease_module
from ion.stores.lease import effective_status, is_alive, lease_clock, owner_is_live, this_process
from ion.stores.memory import MemoryStore
from processes import until


def test_this_process_is_alive_and_each_call_is_another_owner() -> None:
    first, second = this_process(), this_process()
    assert is_alive(first) is True
    assert first.pid == os.getpid()
    assert first.token != second.token
    assert abs((first.clock_zero or 0) - (second.clock_zero or 0)) < 60_000  # taken when it was made
    same = {"token": "", "clock_zero": None}
    assert structs.replace(first, **same) == structs.replace(second, **same)


def test_a_killed_process_is_dead_even_before_it_is_reaped() -> None:
    script = "from ion.stores.lease import this_process as t; o = t(); print(*vars_of(o), flush=True); input()"
    script = f"import json, msgspec\nvars_of = lambda o: [json.dumps(msgspec.structs.asdict(o))]\n{script}"
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        import json

        assert process.stdout is not None
        owner = lease_module.Owner(**json.loads(process.stdout.readline()))
        assert is_alive(owner) is True
        process.send_signal(signal.SIGKILL)
        until(lambda: is_alive(owner) is False)  # a zombie counts as dead
        process.wait()
        assert is_alive(owner) is False


def test_a_pid_used_again_is_another_process() -> None:
    assert is_alive(structs.replace(this_process(), process_started="1")) is False


@pytest.mark.parametrize("changed", [{"host": "another-host"}, {"boot_id": "another boot"}])
def test_elsewhere_nothing_is_known(changed: dict[str, str]) -> None:
    for owner in (living(), dead()):
        assert is_alive(structs.replace(owner, **changed)) is None


def test_a_process_of_another_user_is_known_by_its_start_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_permitted(_pid: int, _signal: int) -> None:
        raise PermissionError

    owner = this_process()
    monkeypatch.setattr(os, "kill", not_permitted)
    assert is_alive(owner) is True
    monkeypatch.setattr(lease_module, "_process_started", lambda _pid: None)
    assert is_alive(owner) is None, "a process that hides its start time may be the owner"


def test_without_proc_the_start_time_comes_from_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "stat", lambda _pid: None)
    owner = this_process()
    assert owner.process_started[:3] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    assert is_alive(owner) is True
    assert is_alive(structs.replace(owner, process_started="Thu Jan  1 00:00:00 1970")) is False


@pytest.mark.parametrize(
    ("owner", "remaining_ms", "live"),
    [
        (living(), 1, True),
        (living(), 0, False),
        (elsewhere(), 1, True),
        (elsewhere(), 0, False),
        (dead(), 1, False),
        (None, 1, False),
    ],
    ids=["living", "living, lease over", "elsewhere", "elsewhere, lease over", "dead", "nobody"],
)
def test_a_run_is_owned_while_its_lease_lasts_and_its_owner_is_not_dead(
    owner: lease_module.Owner | None, remaining_ms: int, live: bool
) -> None:
    assert owner_is_live(owner, 50_000 + remaining_ms, 50_000) is live
    assert owner_is_live(owner, None, 50_000) is False


def test_a_running_run_without_live_owner_is_interrupted() -> None:
    clock = HandClock()
    store = MemoryStore(clock=clock)
    lease = begin(store, "owned")
    begin(store, "orphan", owner=dead())
    assert effective_status(store.get_workflow_run("owned"), clock.now) == "running"
    assert effective_status(store.get_workflow_run("orphan"), clock.now) == "interrupted"
    assert effective_status(store.get_workflow_run("owned"), clock.now + LEASE_MS) == "interrupted"
    store.update_workflow_run("owned", status="paused", at=2, lease=lease)
    store.release_lease(lease)
    assert effective_status(store.get_workflow_run("owned"), clock.now) == "paused"


def test_the_refusal_names_who_owns_the_run() -> None:
    store = MemoryStore()
    begin(store, owner=elsewhere())
    with pytest.raises(RefusedError) as refusal:
        store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    assert refusal.value.message == (f"run r1 belongs to process {os.getpid()} on another-host, which is running it")
    assert refusal.value.hint == "wait for it, or end it: ion cancel r1"


def test_on_this_boot_leases_go_by_a_clock_that_nobody_can_set(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, now = this_process(), time.time_ns() // 1_000_000
    monkeypatch.setattr(clocks, "now_ms", lambda: now + 3_600_000)
    assert abs(lease_clock(owner) - now) < 60_000
    for other in (None, elsewhere(), structs.replace(owner, clock_zero=None)):
        assert lease_clock(other) == now + 3_600_000
