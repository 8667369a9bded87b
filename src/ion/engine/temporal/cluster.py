"""Where a Temporal cluster is, and how to connect: `temporal://HOST:PORT[/NAMESPACE][?queue=NAME&…]`.

A URL is in the log of each of its runs, so it names files and environment variables and never holds a secret. The
variables begin with `ION_TEMPORAL_`: no log can make a command send another variable to an address of its choice.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from ion.digests import sha256_of
from ion.errors import UsageError
from ion.language.workflow import WORKER_LABEL
from ion.stores.base import Owner

SCHEME = "temporal://"
WORKFLOW_NAME = "ion-run"
# The code of an agent that a worker does not know by its name.
UNKNOWN_AGENT = "unknown-agent"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CREDENTIALS = re.compile(r"//[^@/]*@")
_URL = re.compile(r"temporal://([A-Za-z0-9._\[\]:-]+:\d{1,5})(?:/([A-Za-z0-9._-]+))?/?(?:\?(.+))?", re.DOTALL)
_LOOPBACK = re.compile(r"(localhost|127\.[0-9.]+|\[::1\]):\d+")
_FILE = re.compile(r"[/~][^\0]*")
_VARIABLE = re.compile(r"ION_TEMPORAL_[A-Z0-9_]{1,80}")
_PARAMETERS = {
    "queue": (_NAME, "a name of at most 100 letters, digits, ., _ and -"),
    "tls": (re.compile("true"), "true"),
    "ca": (_FILE, "a file's absolute path"),
    "cert": (_FILE, "a file's absolute path"),
    "cert_key": (_FILE, "a file's absolute path"),
    "server_name": (_NAME, "the name in the server's certificate"),
    "api_key_env": (_VARIABLE, "an environment variable ION_TEMPORAL_…"),
    "key_env": (_VARIABLE, "an environment variable ION_TEMPORAL_…"),
}


class Cluster(Struct, frozen=True, gc=False):
    """A cluster's frontend, a namespace in it, and the name of the task queue, if one was given.

    `tls`, or any of `ca`, `cert` with `cert_key` (PEM files), `server_name` and `api_key_env`: the connection is TLS.
    `api_key_env` and `key_env` are names of environment variables: the key for the server, and the key that clients and
    workers share (`security.Encryption`).
    """

    address: str
    namespace: str
    queue: str | None = None
    tls: str | None = None
    ca: str | None = None
    cert: str | None = None
    cert_key: str | None = None
    server_name: str | None = None
    api_key_env: str | None = None
    key_env: str | None = None

    @property
    def url(self) -> str:
        given = {name: value for name in _PARAMETERS if (value := getattr(self, name)) is not None}
        query = f"?{urlencode(given, safe='/~')}" if given else ""
        return f"{SCHEME}{self.address}/{self.namespace}{query}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The environment variables that hold secrets of this connection."""
        return tuple(name for name in (self.api_key_env, self.key_env) if name is not None)

    @property
    def is_open(self) -> bool:
        """Whether anyone who reaches the address over the network may speak to the workers as Ion does."""
        return _LOOPBACK.fullmatch(self.address) is None and not (self.cert or self.api_key_env or self.key_env)


def cluster_of(url: str) -> Cluster:
    """Raises `UsageError` for an invalid URL, and (code `missing-extra`) if the SDK is not installed."""
    found = _URL.fullmatch(url)
    if found is None:
        raise UsageError(f"{url!r} is not an engine", hint="write temporal://HOST:PORT[/NAMESPACE][?queue=NAME]")
    parameters = _parameters(found[3] or "")
    if importlib.util.find_spec("temporalio") is None:
        raise UsageError(
            "the Temporal engine needs its SDK", hint="pip install 'ion-workflows[temporal]'", code="missing-extra"
        )
    return Cluster(found[1], found[2] or "default", **parameters)


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS or name in found:
            what = "is given twice" if name in found else "is unknown"
            raise UsageError(f"the engine's parameter {name!r} {what}", hint=f"there are: {', '.join(_PARAMETERS)}")
        pattern, wanted = _PARAMETERS[name]
        if not pattern.fullmatch(value):
            raise UsageError(f"the engine's parameter {name}={value!r} is invalid", hint=f"expected {wanted}")
        found[name] = value
    if ("cert" in found) != ("cert_key" in found):
        raise UsageError("a client certificate needs both cert= and cert_key=", hint="two PEM files")
    return found


def queue_of(cluster: Cluster, project: Path, store_url: str) -> str:
    """The task queue of the runs that one project keeps in one store: all workers for them name both in the same way,
    and a worker of another project is not given a turn that it cannot carry out. Who logs in to the store does not
    count.

    If workers have the project under other paths, the queue is named in the cluster's URL.
    """
    if cluster.queue is not None:
        return cluster.queue
    place = f"{project}\n{_CREDENTIALS.sub('//', store_url)}"
    return f"ion-{sha256_of(place.encode())[:12]}"


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
    """The name of a worker: the given one, or its machine's. Raises `UsageError` for an invalid name."""
    name = given if given is not None else re.sub("[^A-Za-z0-9._-]", "-", os.uname().nodename)[:100] or "worker"
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a worker", hint="use at most 100 letters, digits, ., _ and -")
    return name


def worker_labels(given: Iterable[str]) -> tuple[str, ...]:
    """Labels as in `runs_on`, each once. Raises `UsageError` for an invalid one."""
    for label in given:
        if not re.fullmatch(WORKER_LABEL, label):
            raise UsageError(
                f"{label!r} is not a valid worker label", hint="use at most 63 lower-case letters, digits, _ and -"
            )
    return tuple(dict.fromkeys(given))


def workflow_id(queue: str, run_id: str) -> str:
    """The id of the workflow that drives a run: run ids are unique in one store only."""
    return f"{queue}/{run_id}"


def owner_of(run_id: str, engine: str) -> Owner:
    """The owner of a run that a cluster drives: not a process, so that none is ever found dead."""
    return Owner(engine, "temporal", 0, "", run_id)
