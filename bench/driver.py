"""What can only be measured from inside a process: runs by the library, timed around the work proper.

Run as a program; the last line that it prints is a JSON object with `seconds`, `cpu` (of this process and the children
it waited for) and `peak_own` (KiB, of this process alone).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Figures = dict[str, float]


@contextmanager
def timed(figures: Figures) -> Iterator[None]:
    """Adds what happens inside."""
    began, used = time.perf_counter(), _cpu()
    yield
    figures["seconds"] = figures.get("seconds", 0.0) + time.perf_counter() - began
    figures["cpu"] = figures.get("cpu", 0.0) + _cpu() - used


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


async def answer(_request: Any) -> str:
    """An agent that costs nothing."""
    return "ok"


def prompts(shape: str, count: str, url: str, folder: str) -> Figures:
    """Run a chain or a fan of prompts that this process answers; the store is open before, as the floor's is."""
    import ion
    from bench.growth import workflow as of_prompts

    figures: Figures = {}
    made, place = of_prompts(shape, int(count)), _project(folder)
    store = ion.create_store(url, project=place)
    try:
        with timed(figures):
            result = ion.execute_workflow_sync(made, agent=answer, store=store, project=place)
    finally:
        store.close()
    _require(result.status == "completed", result.status)
    return figures


def workflow(name: str, folder: str) -> Figures:
    """Run a workflow of a project; `duration` is from the first event of the run to its last, in seconds."""
    from ion import RunOptions, execute_workflow_sync

    figures: Figures = {}
    with timed(figures):
        result = execute_workflow_sync(name, project=folder, options=RunOptions(max_concurrency=8))
    _require(result.status == "completed", result.status)
    figures["duration"] = result.data["duration_ms"] / 1000
    figures["rate"] = len(result.data["nodes"]) / figures["duration"]
    return figures


def cluster(name: str, folder: str, count: str) -> Figures:
    """Run a workflow of so many nodes on a Temporal server; `rate` is how many of them a second."""
    from bench.cluster import run

    return {"rate": int(count) / run(name, Path(folder), 8)}


def runs(count: str, length: str, folder: str) -> Figures:
    """Run as many chains of bash at once in this process."""
    import ion
    from bench.graphs import chain
    from ion.language.workflow import Bash, Node, Shell, Workflow

    nodes = tuple(Node(node, Bash(Shell(text)), depends_on=tuple(after)) for node, after, text in chain(int(length)))
    made, place, figures = Workflow("chain", nodes), _project(folder), Figures()
    options, run = ion.RunOptions(max_concurrency=8), ion.execute_workflow

    async def all_of_them() -> list[Any]:
        store = ion.create_store("sqlite:.ion/ion.db", project=place)
        try:
            each = (run(made, store=store, project=place, options=options) for _ in range(int(count)))
            return await asyncio.gather(*each)
        finally:
            store.close()

    with timed(figures):
        results = asyncio.run(all_of_them())
    _require(all(result.status == "completed" for result in results), "a run failed")
    return figures


def growth(kind: str, count: str, folder: str) -> Figures:
    """One of the works of `bench.growth`, timed there."""
    from bench import growth as works

    return works.MEASURES[kind](int(count), _project(folder))


def peak(*arguments: str) -> Figures:
    """The command line, in this process, for its own peak memory."""
    from ion.cli.main import main

    try:
        main(arguments)
    except SystemExit as ended:
        _require(not ended.code, str(ended.code))
    return {}


def _project(folder: str) -> Path:
    place = Path(folder)
    (place / ".ion").mkdir(parents=True, exist_ok=True)
    return place


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"the work was not done: {what}")


MODES: dict[str, Callable[..., Figures]] = {
    "prompts": prompts,
    "workflow": workflow,
    "cluster": cluster,
    "runs": runs,
    "growth": growth,
    "peak": peak,
}


def main() -> None:
    """Do the work that the command line names."""
    figures = MODES[sys.argv[1]](*sys.argv[2:])
    figures["peak_own"] = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    sys.stdout.flush()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
