"""Where a run keeps its files, apart from its log."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from ion.digests import sha256_of
from ion.errors import RefusedError
from ion.language.problems import printable
from ion.nodes.base import Folders

# In a run's folder: which stores have a run of this id. A run that was brought into a second store of the same project
# has its files in the same folder, and may need them longer.
_STORES = ".stores"


def folders_of(data: Path, run_id: str, project: Path) -> Folders:
    """The folders of the run of this id under the `.ion` folder `data`. Nothing is created."""
    run = data / "runs" / run_id
    return Folders(
        run=run,
        artifacts=run / "artifacts",
        state=data / "state",
        docs=project / "docs",
        logs=run / "logs",
        scratch=run / "scratch",
        source=run / "source",
        register=run / "programs",
    )


def claim(run: Path, store: str, project: Path) -> None:
    """Record that the run with this existing folder is (also) of the store with this URL."""
    name = _name_of(store, project)
    mark = mark_of(run, store, project)
    if not mark.exists():
        mark.parent.mkdir(exist_ok=True)
        mark.write_text(f"{name}\n", "utf-8", "surrogateescape")


def require_unclaimed(run: Path, store: str, project: Path) -> None:
    """Raise `RefusedError` (code `run-exists`) if the folder of a run that is to be created is that of a run of another
    store. One in memory has left nothing that anybody could want."""
    if mark_of(run, store, project).exists():
        return
    marks = (run / _STORES).glob("*") if (run / _STORES).is_dir() else ()
    names = (mark.read_text("utf-8", "surrogateescape").strip() for mark in marks if not mark.suffix)
    other = next((name for name in names if not name.startswith("memory:")), None)
    if other is not None:
        hint = f"choose another id; the other run is shown with --store {printable(other)}"
        raise RefusedError(
            f"the store {printable(other)} has a run {run.name!r} with files in this project",
            code="run-exists",
            hint=hint,
        )


def mark_of(run: Path, store: str, project: Path) -> Path:
    """The file that says that a run is of this store."""
    name = _name_of(store, project).encode("utf-8", "surrogateescape")
    return run / _STORES / sha256_of(name)[:16]


def _name_of(store: str, project: Path) -> str:
    """A name for a store that depends neither on the project's location nor on who logs in to it."""
    scheme, _, place = store.partition(":")
    if scheme == "postgresql":
        parts = urlsplit(store)
        return f"{scheme}:{parts.hostname}:{parts.port}{parts.path}"
    path = Path(place)
    return f"{scheme}:{path.relative_to(project) if path.is_relative_to(project) else path}"
