"""Where a Temporal cluster is: `temporal://HOST:PORT[/NAMESPACE]`."""

from __future__ import annotations

import importlib.util
import re

from ion.errors import UsageError
from ion.records import dataclass

SCHEME = "temporal://"
TASK_QUEUE = "ion"
_URL = re.compile(r"temporal://([A-Za-z0-9._\[\]:-]+:\d{1,5})(?:/([A-Za-z0-9._-]+))?/?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's frontend and a namespace in it."""

    address: str
    namespace: str

    @property
    def url(self) -> str:
        return f"{SCHEME}{self.address}/{self.namespace}"


def cluster_of(url: str) -> Cluster:
    """Raises `UsageError` for what is no such URL, and (code `missing-extra`) where the SDK is not installed."""
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(f"{url!r} is no engine", hint="write temporal://HOST:PORT or temporal://HOST:PORT/NAMESPACE")
    if importlib.util.find_spec("temporalio") is None:
        raise UsageError(
            "the Temporal engine needs its SDK", hint="pip install 'ion-workflows[temporal]'", code="missing-extra"
        )
    return Cluster(found[1], found[2] or "default")


def queue_of(label: str | None) -> str:
    """The task queue on which nodes with this label (`runs_on`) are carried out."""
    return TASK_QUEUE if label is None else f"{TASK_QUEUE}-{label}"
