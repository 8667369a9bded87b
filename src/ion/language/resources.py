"""The files that a workflow uses besides its own: command texts and scripts, found by name in the folders of
language.md §1, and the project that they belong to.

Nothing here runs anything. A symbolic link that leads out of the project is not followed, since a repository's files
may be a stranger's; the user's own folder may link anywhere. A lookup has a fingerprint, so that a cache can tell
whether its answer is still the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from ion.digests import sha256_of
from ion.errors import Problem
from ion.language import named
from ion.language.patterns import pattern
from ion.language.source import Source, decode, forbidden_characters, read_file, trim

MAX_SCRIPT_BYTES = 10 * 1024 * 1024
SCRIPT_SUFFIXES = {
    "bun": (".ts", ".js", ".mjs"),
    "node": (".ts", ".js", ".mjs"),
    "uv": (".py",),
    "python": (".py",),
}
_PASSED_OVER = frozenset({".git", "node_modules", "__pycache__"})
_FRONT_MATTER = pattern(r"---[ \t]*\r?\n(?:[^\n]*\n)*?---[ \t]*(?:\r?\n|\Z)")

# For a folder, its files by (name without ending, ending); the first of several wins.
Listings: TypeAlias = dict[Path, dict[tuple[str, str], Path]]
# What is looked for: a `command`, a `script` (for a runtime) or a `workflow`, by name, and the file that names it: ''
# for the one that is loaded, a path for one that it includes or calls.
Lookup: TypeAlias = tuple[str, str, str, str]


class CommandSource(Struct, frozen=True, gc=False):
    """A command file. Its text begins at character `start` of `source`, after any front matter."""

    path: str
    data: bytes
    source: Source
    start: int
    problems: tuple[Problem, ...] = ()

    @property
    def text(self) -> str:
        return self.source.text[self.start :]


class ScriptSource(Struct, frozen=True, gc=False):
    """A script and the folder it is in: `files` maps a path relative to the folder to the sha256 of its bytes."""

    path: str
    folder: str
    entry: str
    files: dict[str, str]
    problems: tuple[Problem, ...] = ()


class Folder(Struct, frozen=True, gc=False):
    """A folder to search. Links in it may lead to anything below `boundary`; None: to anything."""

    path: Path
    boundary: Path | None


class Resources(Struct):
    """Where the files of a workflow are searched, first match wins. `files`: whether commands and scripts are looked
    for. `listings` may be shared by the workflows of a project, `lookups` and `found` (workflows
    by name) by those that are loaded together."""

    commands: tuple[Folder, ...]
    scripts: tuple[Folder, ...]
    project: Path
    user_config: Path
    file: str = ""
    files: bool = True
    listings: Listings = field(default_factory=dict)
    lookups: dict[Lookup, str] = field(default_factory=dict)
    found: dict[str, list[tuple[Path, bytes]]] = field(default_factory=dict)
    _frozen: dict[Path, tuple[dict[str, str], Problem | None]] = field(default_factory=dict)

    def command(self, name: str) -> CommandSource | None:
        """The command file `<name>.md`, or None."""
        found = self._find(self.commands, name, (".md",))
        source = _read_command(found[0]) if found else None
        content = sha256_of(source.data) if source else ""
        self.lookups["command", name, "", self.file] = _fingerprint(source.path if source else "", content)
        return source

    def script(self, name: str, runtime: str) -> ScriptSource | None:
        """The script `name` with an ending that `runtime` runs, or None."""
        found = self._find(self.scripts, name, SCRIPT_SUFFIXES.get(runtime, ()))
        source = self._freeze(*found) if found else None
        files = sorted(source.files.items()) if source else []
        self.lookups["script", name, runtime, self.file] = _fingerprint(source.path if source else "", repr(files))
        return source

    def workflow(self, name: str) -> list[tuple[Path, bytes]]:
        """The workflow files of this name in the first folder that has any, and their bytes."""
        if name not in self.found:
            folders = (self._files_named(name, folder) for _, folder in self.workflow_folders)
            self.found[name] = next(filter(None, folders), [])
        found = self.found[name]
        hashes = [f"{path}\0{sha256_of(data)}" for path, data in found]
        self.lookups["workflow", name, "", self.file] = _fingerprint("\0".join(hashes), "")
        return found

    def _files_named(self, name: str, folder: Folder) -> list[tuple[Path, bytes]]:
        found = []
        for path in filter(named.is_workflow_file, walk_files(folder)):
            data, problem = read_file(path)
            if problem is None and named.may_be_named(data, path, name) and named.name_in(data, path) == name:
                found.append((path, data))
        return found

    @property
    def workflow_folders(self) -> list[tuple[str, Folder]]:
        """Where workflows are searched, by scope."""
        return list(workflow_folders(self.project, self.user_config))

    def fingerprint(self, lookup: Lookup) -> str:
        """Look again, and return what identifies the answer."""
        kind, name, runtime, file = lookup
        found = self.of(Path(file)) if file != self.file else self
        if kind == "command":
            found.command(name)
        elif kind == "script":
            found.script(name, runtime)
        else:
            found.workflow(name)
        return self.lookups[lookup]

    def of(self, path: Path) -> Resources:
        """Those of a workflow file that this one names."""
        found = resources_for(path, self.project, self.user_config, self.listings)
        return replace(found, file=str(path), files=self.files, lookups=self.lookups, found=self.found)

    def places(self, kind: str) -> list[str]:
        """The folders searched for a kind, as texts."""
        return [str(folder.path) for folder in (self.commands if kind == "command" else self.scripts)]

    def passed_over(self, kind: str, name: str) -> list[str]:
        """The links out of the project, or to nothing, that may hold what was searched, by name or as a folder."""
        found: list[Path] = []
        for folder in self.commands if kind == "command" else self.scripts:
            for _ in walk_files(folder, found):
                pass
        return [str(path) for path in found if path.stem == name or path.is_dir()]

    def _find(self, folders: tuple[Folder, ...], name: str, suffixes: tuple[str, ...]) -> tuple[Path, Folder] | None:
        for folder in folders:
            if folder.path not in self.listings:
                self.listings[folder.path] = _listing(folder)
            for suffix in suffixes:
                path = self.listings[folder.path].get((name, suffix))
                if path is not None:
                    return path, folder
        return None

    def _freeze(self, path: Path, searched: Folder) -> ScriptSource:
        folder = path.parent
        if folder not in self._frozen:
            self._frozen[folder] = _hash_folder(Folder(folder, searched.boundary))
        files, problem = self._frozen[folder]
        return ScriptSource(str(path), str(folder), path.name, files, (problem,) if problem else ())


def find_project(start: Path) -> Path:
    """The nearest parent of `start`, or `start` itself, that holds `.ion`, `.archon` or `.git`; else `start`."""
    start = Path(os.path.normpath(start.absolute()))
    for folder in (start, *start.parents):
        if any((folder / name).exists() for name in (".ion", ".archon", ".git")):
            return folder
    return start


def user_config_folder() -> Path:
    """`$XDG_CONFIG_HOME`, or `~/.config`."""
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".config"


def resources_for(file: Path, project: Path, user_config: Path, listings: Listings | None = None) -> Resources:
    """What a workflow file may use: beside it, in the project, in the user's folder (language.md §1)."""
    beside = file.parent
    boundary: Path | None = beside
    if beside.is_relative_to(user_config / "ion"):
        boundary = None
    elif Path(os.path.realpath(beside)).is_relative_to(os.path.realpath(project)):
        boundary = project

    def folders(kind: str) -> tuple[Folder, ...]:
        return (
            Folder(beside / kind, boundary),
            Folder(project / ".ion" / kind, project),
            Folder(project / ".archon" / kind, project),
            Folder(user_config / "ion" / kind, None),
        )

    found = Resources(folders("commands"), folders("scripts"), project, user_config)
    return found if listings is None else replace(found, listings=listings)


def workflow_folders(project: Path, user_config: Path) -> Iterator[tuple[str, Folder]]:
    """The folders of workflow files by scope, in order of precedence (language.md §1)."""
    yield "project", Folder(project / ".ion" / "workflows", project)
    yield "archon", Folder(project / ".archon" / "workflows", project)
    yield "user", Folder(user_config / "ion" / "workflows", None)


def walk_files(folder: Folder, passed_over: list[Path] | None = None) -> Iterator[Path]:
    """The files of a folder and those below it, a folder's own files first, each level in the order of names.

    Links that lead out of the boundary, or nowhere, are skipped, and added to `passed_over`; so are pipes and devices,
    silently, and no folder is visited twice. A folder that cannot be read counts as empty.
    """
    boundary = None if folder.boundary is None else os.path.realpath(folder.boundary)
    left = [] if passed_over is None else passed_over
    waiting = [str(folder.path)]
    visited = set()
    if not _within(str(folder.path), boundary):
        left += [Path(waiting.pop())]
    for current in waiting:  # grows while it is walked
        real = os.path.realpath(current)
        if real in visited:
            continue
        visited.add(real)
        try:
            with os.scandir(current) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            kind = _kind(entry, boundary)
            if kind == "link":
                left.append(Path(entry.path))
            elif kind == "file":
                yield Path(entry.path)
            elif kind == "folder" and entry.name not in _PASSED_OVER:
                waiting.append(entry.path)


def _kind(entry: os.DirEntry[str], boundary: str | None) -> str:
    """`file`, `folder`, `link` for one that leads out of the boundary or nowhere, or '' for anything else."""
    if entry.is_symlink() and not (_within(entry.path, boundary) and Path(entry.path).exists()):
        return "link"
    return "file" if entry.is_file() else "folder" if entry.is_dir() else ""


def _within(path: str, boundary: str | None) -> bool:
    if boundary is None:
        return True
    real = os.path.realpath(path)
    return real == boundary or real.startswith(boundary.rstrip(os.sep) + os.sep)


def _listing(folder: Folder) -> dict[tuple[str, str], Path]:
    listing: dict[tuple[str, str], Path] = {}
    for path in walk_files(folder):
        listing.setdefault((path.stem, path.suffix), path)
    return listing


def _hash_folder(folder: Folder) -> tuple[dict[str, str], Problem | None]:
    """The sha256 of each file in a folder, or the problem that prevents freezing it."""
    files: dict[str, str] = {}
    size = 0
    for path in walk_files(folder):
        try:
            size += path.stat().st_size
            if size > MAX_SCRIPT_BYTES:
                message = f"the script's folder {folder.path} is larger than {MAX_SCRIPT_BYTES // 1024**2} MB"
                hint = "put the script and what it needs into a folder of their own below 'scripts'"
                return {}, Problem("script-too-large", message, file=str(path), line=1, column=1, hint=hint)
            data = path.read_bytes()
        except OSError as error:
            message = f"a file in the script's folder cannot be read: {error.strerror}"
            return {}, Problem("unreadable-file", message, file=str(path), line=1, column=1)
        files[path.relative_to(folder.path).as_posix()] = sha256_of(data)
    return files, None


def _read_command(path: Path) -> CommandSource:
    file = str(path)
    data, problem = read_file(path)
    text = ""
    if problem is None:
        text, problem = decode(data, file)
    source = Source(text)
    problems = [problem] if problem else forbidden_characters(source, file)
    front = _FRONT_MATTER.match(text)
    start = front.end() if front else 0
    if not problems and not trim(text[start:]):
        line, column = source.place(start)
        hint = "write the prompt below any front matter"
        problems = [
            Problem("empty-command", "this command file holds no text", file=file, line=line, column=column, hint=hint)
        ]
    return CommandSource(file, data, source, start, tuple(problems))


def _fingerprint(path: str, content: str) -> str:
    return sha256_of(f"{path}\0{content}".encode("utf-8", "surrogateescape")) if path else ""
