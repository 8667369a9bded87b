"""Every call that touches the disk, one by one: the process is killed at it, or it fails with EIO or ENOSPC.

strace does it to a real process that leads a run through all kinds of writes. A share of the points runs always, all of
them with `-m sweep`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from store_kit import LEASE_MS, SHARED_BETWEEN_PROCESSES, living

from ion.core import events as e
from ion.errors import NotFoundError
from ion.stores import create_store
from processes import PATIENCE_S

CALLS = ("fsync", "fdatasync", "pwrite64", "ftruncate", "rename", "mkdir", "unlink", "write")
FAILING_CALLS = ("fsync", "fdatasync", "pwrite64", "ftruncate", "rename", "mkdir")
FAULTS = {
    "kill": ("signal=SIGKILL", CALLS),
    "EIO": ("error=EIO", FAILING_CALLS),
    "ENOSPC": ("error=ENOSPC", FAILING_CALLS),
}
STORES = [name for name in SHARED_BETWEEN_PROCESSES if name != "postgres"]
LIFE = str(Path(__file__).with_name("life.py"))


def traced(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    strace = ["strace", "-f", "-qq", "-o", str(folder.with_suffix(".trace")), *options]
    command = [*strace, sys.executable, LIFE, url, str(folder)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=environment)


def points(store: str, folder: Path) -> list[tuple[str, str, int]]:
    """(fault, call, which of them) for a life that nothing disturbs."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    url = SHARED_BETWEEN_PROCESSES[store](folder)
    whole = traced(url, folder / "whole", "-e", f"trace={','.join(CALLS)}")
    assert whole.stdout.endswith("done\n"), whole.stderr
    trace = (folder / "whole.trace").read_text().splitlines()
    made = Counter(line.split()[1].partition("(")[0] for line in trace)
    return [
        (fault, call, number)
        for fault, (_inject, calls) in FAULTS.items()
        for call in calls
        for number in range(1, made[call] + 1)
    ]


def hold(store: str, folder: Path, point: tuple[str, str, int]) -> None:
    """One life with one fault; then all that was acknowledged is there, and the run can be continued."""
    fault, call, number = point
    url = SHARED_BETWEEN_PROCESSES[store](folder)
    place = folder / f"{fault}-{call}-{number}"
    life = traced(url, place, "-e", f"trace={call}", "-e", f"inject={call}:{FAULTS[fault][0]}:when={number}")
    assert "Traceback" not in life.stderr, life.stderr
    *said, last = life.stdout.split("\n")
    if fault != "kill":
        assert said[-1] == "done" or said[-1].startswith("failed "), life.stdout
    acknowledged = max((int(line) for line in said if line.isdigit()), default=0)
    assert last == "" or fault == "kill"
    after = create_store(url, project=place)
    try:
        run = after.get_workflow_run("r1")
    except NotFoundError:
        assert acknowledged == 0
        return
    assert run.last_seq >= acknowledged
    records = after.get_workflow_events("r1")
    assert [record.seq for record in records] == list(range(1, run.last_seq + 1))
    for record in records:
        if isinstance(record.event, e.NodeCompleted) and record.event.reply.output.text is None:
            with after.open_blob(record.event.reply.output.sha256) as file:
                assert len(file.read()) == record.event.reply.output.size
    lease = after.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    after.create_workflow_event("r1", [e.NodeStarted(9, "build", "bash")], lease=lease, after=run.last_seq)
    after.close()
    shutil.rmtree(place)


@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("store", STORES)
def test_a_share_of_all_points(store: str, share: int, tmp_path: Path) -> None:
    for point in points(store, tmp_path)[share * 10 :: 20]:
        hold(store, tmp_path, point)


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", STORES)
def test_every_point(store: str, tmp_path: Path) -> None:
    for point in points(store, tmp_path):
        hold(store, tmp_path, point)
