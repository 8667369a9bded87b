"""A real `ion run`, killed or failed at every call that touches the disk; after each the run is continued.

What is held: what was announced is in the log (O1), no node has two recorded successes (O2) and none is started again
after one (O3), the run completes (O4), what was in the log stays as it was (O5), and no process is left (O6). A share
of the points is tried always, all of them with `-m sweep`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from commands import URLS, Site, assert_sound

from ion.errors import NotFoundError

WORKFLOW = """
nodes:
  - {id: a, bash: echo of a}
  - {id: b, depends_on: [a], bash: 'head -c 70000 /dev/zero | tr "\\0" x'}
  - {id: c, depends_on: [a], bash: 'echo "$a.output, c"'}
  - {id: d, depends_on: [b, c], bash: 'printf "%s" "$b.output" | wc -c'}
  - id: f
    depends_on: [a]
    fan_out: {items: [x, y], as: name, max_parallel: 1}
    group: {nodes: [{id: g, bash: 'echo "$INPUTS.name $a.output"'}, {id: h, depends_on: [g], bash: 'echo $g.output'}]}
  - {id: e, depends_on: [d, f], bash: 'echo "$c.output $d.output $f.output"'}
"""
OUTPUT = 'of a, c 70000 ["x of a","y of a"]\n'
CALLS = ("fsync", "fdatasync", "write", "pwrite64", "ftruncate", "rename", "mkdir")
FAILING_CALLS = ("fsync", "fdatasync", "pwrite64", "ftruncate", "rename", "mkdir")
FAULTS = {
    "kill": ("signal=SIGKILL", CALLS),
    "EIO": ("error=EIO", FAILING_CALLS),
    "ENOSPC": ("error=ENOSPC", FAILING_CALLS),
}
SHARE = 6
Point = tuple[str, str, int]


@pytest.fixture(params=URLS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    site = Site(tmp_path / "whole", URLS[request.param])
    site.write(WORKFLOW)
    return site


def traced(site: Site, *options: str) -> tuple[int, list[dict[str, object]], str]:
    """`ion run` under strace, but not the programs of its nodes: its exit status, the events it announced, and what it
    said."""
    trace = site.folder.with_suffix(".trace")
    before = ("strace", "-f", "-b", "execve", "-qq", "-o", str(trace), *options)
    status, out, err = site.run("run", "w", "--run-id", site.id, "--events", before=before)
    whole = out[: out.rfind("\n") + 1]
    return status, [json.loads(line) for line in whole.splitlines()], err


def points(site: Site) -> list[Point]:
    """(fault, call, which of them) for a run that nothing disturbs. strace counts for each thread and process."""
    assert traced(site, "-e", f"trace={','.join(CALLS)}")[0] == 0
    lines = site.folder.with_suffix(".trace").read_text().splitlines()
    made = Counter((line.split()[0], line.split()[1].partition("(")[0]) for line in lines)
    most = {call: max((count for (_, name), count in made.items() if name == call), default=0) for call in CALLS}
    return [
        (fault, call, number)
        for fault, (_inject, calls) in FAULTS.items()
        for call in calls
        for number in range(1, most[call] + 1)
    ]


def hold(site: Site, point: Point) -> None:
    """One run with one fault, and what must be true after it."""
    fault, call, number = point
    site = Site(site.folder.parent / f"{fault}-{call}-{number}", site.url)
    site.write(WORKFLOW)
    status, announced, err = traced(
        site, "-e", f"trace={call}", "-e", f"inject={call}:{FAULTS[fault][0]}:when={number}"
    )
    if fault != "kill" and status != 0:
        assert any(word in err for word in ("Input/output error", "No space left", "no room", "the disk failed")), err
    try:
        log = site.log()
    except NotFoundError:
        assert announced == []
        return
    assert len(log) >= len(announced)
    for number, event in enumerate(announced):
        assert (event["seq"], event["type"]) == (number + 1, log[number].type)
    if log[-1].type != "workflow_completed":
        status, out, err = site.run("resume", site.id)
        assert (status, out) == (0, OUTPUT), (point, err)
    assert site.log()[: len(log)] == log
    assert site.shown()["output"] == OUTPUT.strip()
    assert_sound(site)
    shutil.rmtree(site.folder)


def test_a_share_of_all_points(site: Site) -> None:
    found = points(site)
    for point in random.Random(len(site.url)).sample(found, SHARE):
        hold(site, point)


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_every_point(site: Site) -> None:
    for point in points(site):
        hold(site, point)
