"""The homes of runs that must be alike: memory, and each of those that it is compared with.

A test is carried out in a world of each. All of a test's worlds are in the same folder, one after the other, and name
their runs alike: so what a run says of paths and of itself is the same text in all of them.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import emptied_database

import ion
from conformance.kit import World
from ion.api import preparing, workspace
from parity.comparison import Told, tell
from parity.temporal_world import TemporalWorld, Working

HOMES = ("file", "sqlite", "postgres", "temporal")
_URLS: dict[str, Callable[[Path], str]] = {
    "memory": lambda _folder: "memory:",
    "file": lambda _folder: "file:.ion/store",
    "sqlite": lambda _folder: "sqlite:.ion/ion.db",
    "postgres": emptied_database,
    "temporal": lambda _folder: "sqlite:.ion/ion.db",
}


@contextlib.contextmanager
def world_in(home: str, folder: Path, name: str, working: Callable[[], Working]) -> Iterator[World]:
    """A world of this home, in `folder/project`, whose runs are called `NAME-1` and so on; what stood there before is
    moved aside. Programs that nodes start find its store as their own would be found."""
    project = folder / "project"
    if project.exists():
        project.rename(folder / "before")
    (project / ".ion").mkdir(parents=True)
    url = _URLS[home](folder)
    store = ion.create_store(url, project=project)
    numbers = itertools.count(1)
    with contextlib.closing(store), pytest.MonkeyPatch.context() as patch:
        for date in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):  # the same commits have the same names
            patch.setenv(date, "2026-01-01T00:00:00Z")
        patch.setattr(preparing, "new_run_id", lambda: f"{name}-{next(numbers)}")
        if home == "memory":
            patch.setitem(workspace._TEMPORARY, store, project / ".ion")
        else:
            patch.setenv("ION_STORE", url)
        if home != "temporal":
            yield World(project, store)
            return
        world = TemporalWorld(project, store, working())
        try:
            yield world
        finally:
            world.working.leave(world)


def tell_all(world: World) -> dict[str, Told]:
    """The logs of all runs of a world, by their ids."""
    found = world.store.list_workflow_runs(project=str(world.project))
    return {run.run_id: tell(world.store, run.run_id) for run in sorted(found, key=lambda run: run.run_id)}
