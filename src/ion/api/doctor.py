"""What is installed, where runs are kept, and what of it is damaged. Read only: nothing is made or repaired."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ion.api.workspace import Workspace
from ion.engine.freeze import require_frozen
from ion.errors import StoreError
from ion.masking import without_password
from ion.stores.check import Damage, check_runs, damage_of, stale_files
from ion.version import VERSION

# What workflows can ask for, and the Python packages of extras.
_PROGRAMS = ("bash", "uv", "python3", "bun", "node", "git")
_EXTRAS = {"postgres": "psycopg"}


class Diagnosis(Struct, frozen=True):
    """The findings. `installed` maps a name to a version or path, None if it is missing; `runs` is None if the store
    does not exist yet or cannot be opened; `notes` are remarks that are not damage."""

    installed: dict[str, str | None]
    project: Path
    store: str
    runs: int | None
    damage: list[Damage]
    stale: list[Path]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The object that `ion doctor --json` prints."""
        return {
            "installed": self.installed,
            "project": str(self.project),
            "store": self.store,
            "runs": self.runs,
            "damage": [structs.asdict(one) for one in self.damage],
            "stale_files": [str(path) for path in self.stale],
            "notes": self.notes,
        }


def diagnose(workspace: Workspace) -> Diagnosis:
    """Check everything. Faults of the store are in the result; raises `UsageError` for an invalid store URL,
    `InvalidWorkflowError` for settings that cannot be read."""
    url = workspace.url
    runs, damage = None, list[Damage]()
    opened, notes = url, list[str]()
    if not _is_missing(workspace, url):
        try:
            opened = workspace.store.url
            runs, damage = check_runs(workspace.store, require_frozen)
            notes = _notes(workspace)
        except StoreError as error:
            damage = [damage_of(error)]
    stale = stale_files(workspace.project / ".ion", opened)
    return Diagnosis(
        installed=_installed(),
        project=workspace.project,
        store=without_password(url),
        runs=runs,
        damage=damage,
        stale=stale,
        notes=notes,
    )


def _notes(workspace: Workspace) -> list[str]:
    notes = []
    if (failure := workspace.store.unwritable) is not None:
        notes.append(f"runs can only be looked at here: {failure.message} ({failure.hint})")
    if (ignore := workspace.unfinished_ignore()) is not None:
        notes.append(f"{ignore} is not there or not whole, so git sees the data of runs; the next run writes it")
    return notes


def _is_missing(workspace: Workspace, url: str) -> bool:
    scheme, _, place = url.partition(":")
    return scheme in ("sqlite", "file") and not (workspace.project / Path(place).expanduser()).exists()


def _installed() -> dict[str, str | None]:
    import platform
    import sqlite3

    found: dict[str, str | None] = {
        "ion": VERSION,
        "python": platform.python_version(),
        "system": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
    }
    found |= {f"ion[{extra}]": _version_of(package) for extra, package in _EXTRAS.items()}
    return found | {name: shutil.which(name, path=os.environ.get("PATH")) for name in _PROGRAMS}


def _version_of(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
