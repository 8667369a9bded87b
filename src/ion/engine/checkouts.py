"""Checkouts of the commits of runs: the files that nodes see if workers share none (`workspace: git`).

A checkout is a worktree of the worker's own repository, made for the worker's first turn of a run and removed when the
run has completed or was cancelled. A file beside it says that it is complete; an incomplete one is made again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ion.errors import IonError
from ion.masking import tail

_COMMIT = re.compile("[0-9a-f]{40,64}")
_SHORT_S = 60
_LONG_S = 1800


class CheckoutError(IonError):
    """The run's commit cannot be checked out here."""

    code = "checkout"


def check_out(project: Path, checkouts: Path, run_id: str, commit: str) -> Path:
    """Return the project's folder in a checkout of this commit for this run, under the folder `checkouts`; make it
    if it does not exist. A commit that the repository does not have is fetched from its remotes. Raises
    `CheckoutError`."""
    if not _COMMIT.fullmatch(commit):
        raise CheckoutError(f"the run's log names no commit: {commit[:64]!r}")
    root = Path(_git(project, "rev-parse", "--show-toplevel"))
    folder, whole = checkouts / run_id, checkouts / f"{run_id}.whole"
    checkouts.mkdir(parents=True, exist_ok=True)
    with FileLock(checkouts / ".lock"):
        if not (whole.exists() and folder.is_dir()):
            _remove(root, folder)
            if not _has(root, commit):
                _git(root, "fetch", "--quiet", "--all", seconds=_LONG_S)
            if not _has(root, commit):
                raise CheckoutError(
                    f"the run's commit {commit[:12]} is not in the repository of this worker, nor at its remotes",
                    hint="push it to where workers fetch from, then ion resume",
                )
            _git(root, "worktree", "add", "--quiet", "--detach", "--force", str(folder), commit, seconds=_LONG_S)
            whole.touch()
    return folder / project.resolve().relative_to(root.resolve())


def remove_checkouts(project: Path, checkouts: Path, still_needed: Callable[[str], bool]) -> None:
    """Remove the checkouts of runs that no longer need one. Raises `CheckoutError`."""
    ended = [path.name for path in checkouts.glob("*") if path.is_dir() and not still_needed(path.name)]
    if not ended:
        return
    root = Path(_git(project, "rev-parse", "--show-toplevel"))
    with FileLock(checkouts / ".lock"):
        for run_id in ended:
            (checkouts / f"{run_id}.whole").unlink(missing_ok=True)
            _remove(root, checkouts / run_id)


def uncommitted(folder: Path) -> int:
    """How many files of the repository around `folder` differ from what is checked out. Raises `CheckoutError`."""
    return len(_git(folder, "status", "--porcelain").splitlines())


def _remove(root: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    _git(root, "worktree", "prune")


def _has(root: Path, commit: str) -> bool:
    command = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=root, capture_output=True, timeout=_SHORT_S, check=False).returncode == 0


def _git(folder: Path, *words: str, seconds: int = _SHORT_S) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckoutError(f"git {words[0]} cannot be carried out: {error}") from error
    if done.returncode != 0:
        said = tail(done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}", 500)
        raise CheckoutError(f"git {words[0]} failed in {folder}: {said}")
    return done.stdout.strip()
