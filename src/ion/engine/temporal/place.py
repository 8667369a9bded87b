"""Where a Temporal cluster is: `temporal://HOST:PORT[/NAMESPACE][?queue=NAME]`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ion.errors import UsageError
from ion.language.workflow import WORKER_LABEL
from ion.records import dataclass

SCHEME = "temporal://"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CREDENTIALS = re.compile(r"//[^@/]*@")
_URL = re.compile(
    r"temporal://([A-Za-z0-9._\[\]:-]+:\d{1,5})(?:/([A-Za-z0-9._-]+))?/?(?:\?queue=([A-Za-z0-9._-]{1,100}))?"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's frontend, a namespace in it, and how the task queue is called, if somebody said so."""

    address: str
    namespace: str
    queue: str | None = None

    @property
    def url(self) -> str:
        named = f"?queue={self.queue}" if self.queue is not None else ""
        return f"{SCHEME}{self.address}/{self.namespace}{named}"


def cluster_of(url: str) -> Cluster:
    """Raises `UsageError` for what is no such URL, and (code `missing-extra`) where the SDK is not installed."""
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(f"{url!r} is no engine", hint="write temporal://HOST:PORT[/NAMESPACE][?queue=NAME]")
    if importlib.util.find_spec("temporalio") is None:
        raise UsageError(
            "the Temporal engine needs its SDK", hint="pip install 'ion-workflows[temporal]'", code="missing-extra"
        )
    return Cluster(found[1], found[2] or "default", found[3])


def queue_of(cluster: Cluster, project: Path, store_url: str) -> str:
    """The task queue of the runs that one project keeps in one store: all workers for them name both alike, and none
    of another project is given a turn that it cannot carry out. Who logs in to the store does not count.

    Where workers have the project under other paths, the queue is called by its name in the cluster's URL.
    """
    if cluster.queue is not None:
        return cluster.queue
    place = f"{project}\n{_CREDENTIALS.sub('//', store_url)}"
    return f"ion-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def labelled(queue: str, label: str | None) -> str:
    """The task queue of the nodes with this label; without one, of all others and of the workflows."""
    return queue if label is None else f"{queue}.{label}"


def pinned(queue: str, worker: str) -> str:
    """The task queue of the worker of this name."""
    return f"{queue}@{worker}"


def queue_for(queue: str, runs_on: str | None, worker: str | None) -> str:
    """The task queue of a node of a run that this worker carries out alone (None: any worker may)."""
    return labelled(queue, runs_on) if worker is None else pinned(queue, worker)


def worker_name(given: str | None) -> str:
    """How a worker is called: as was said, else like its machine. Raises `UsageError` for what is no name."""
    name = given if given is not None else re.sub("[^A-Za-z0-9._-]", "-", os.uname().nodename)[:100] or "worker"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a worker", hint="use at most 100 letters, digits, ., _ and -")
    return name


def worker_labels(given: Iterable[str]) -> tuple[str, ...]:
    """Labels as `runs_on` has them, each once. Raises `UsageError` for what is none."""
    for label in given:
        if not re.fullmatch(WORKER_LABEL, label):
            raise UsageError(f"{label!r} is no label", hint="use at most 63 lower-case letters, digits, _ and -")
    return tuple(dict.fromkeys(given))


def workflow_id(queue: str, run_id: str) -> str:
    """The id of the workflow that drives a run: run ids are unique in one store only."""
    return f"{queue}/{run_id}"
