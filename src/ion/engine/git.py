"""What Ion asks of git: the commit that is checked out, the repository's default branch, and where it came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ion.masking import without_password


def head(folder: Path) -> str | None:
    """The commit checked out in `folder`'s repository (hex), read from its files; None without one."""
    repository = _repository(folder)
    if repository is None:
        return None
    try:
        text = (repository / "HEAD").read_text().strip()
        return _resolve(repository, text[5:]) if text.startswith("ref: ") else text
    except (OSError, UnicodeDecodeError):
        return None


def remote(folder: Path) -> str | None:
    """The URL of the remote `origin` of `folder`'s repository, without a password, read from its files; None without
    one."""
    repository = _repository(folder)
    if repository is None:
        return None
    try:
        common = repository / "commondir"
        root = repository / common.read_text().strip() if common.is_file() else repository
        text = (root / "config").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    section = ""
    for line in map(str.strip, text.splitlines()):
        name, _, value = line.partition("=")
        if line.startswith("["):
            section = line
        elif section == '[remote "origin"]' and name.strip() == "url":
            return without_password(value.strip())
    return None


def default_branch(folder: Path) -> str | None:
    """The default branch: what `origin/HEAD` points to, else `main` or `master` if it exists, else None."""
    pointed = _git(folder, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
    if pointed:
        return pointed.removeprefix("origin/")
    configured = _git(folder, "config", "--get", "init.defaultBranch")
    for name in (configured, "main", "master"):
        if name and _git(folder, "rev-parse", "--verify", "--quiet", f"refs/heads/{name}"):
            return name
    return None


def _repository(folder: Path) -> Path | None:
    for parent in (folder, *folder.parents):
        place = parent / ".git"
        if place.is_dir():
            return place
        if place.is_file():
            text = place.read_text(errors="replace").strip()
            return (parent / text[8:]).resolve() if text.startswith("gitdir: ") else None
    return None


def _resolve(repository: Path, name: str) -> str | None:
    common = repository / "commondir"
    roots = [repository]
    if common.is_file():
        roots.append((repository / common.read_text().strip()).resolve())
    for root in roots:
        loose = root / name
        if loose.is_file():
            return loose.read_text().strip()
        packed = root / "packed-refs"
        if packed.is_file():
            for line in packed.read_text().splitlines():
                if line.endswith(f" {name}"):
                    return line.split(" ", 1)[0]
    return None


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
