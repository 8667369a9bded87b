"""Where a run keeps its files, apart from its log."""

from __future__ import annotations

from pathlib import Path

from ion.nodes.base import Folders


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
