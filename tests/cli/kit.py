"""The command line under test: in this process where only words and statuses matter, as a real one where it matters
that it is one (signals, pipes, closed streams, what is loaded)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from ion.language.load import load_workflow
from processes import PATIENCE_S

SCHEMAS = Path(__file__).parents[2] / "schemas"


COMMAND = [sys.executable, "-P", "-m", "ion.cli"]


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str

    def json(self, schema: str | None = None) -> Any:
        """stdout as JSON; with a schema's name (`schemas/NAME.schema.json`) also held against it."""
        value = json.loads(self.out)
        if schema is not None:
            fits(value, schema)
        return value


def fits(value: Any, schema: str) -> None:
    """Fails if the value does not fit `schemas/SCHEMA.schema.json`."""
    text = (SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(value)


@dataclass(frozen=True)
class Project:
    """A project folder with workflows in it."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write a workflow file `.ion/workflows/NAME.yaml`, and load it, as the commands before have on a project in
        use: a process that finds it in the cache takes half the time. docs/ and engine/ have what begins with none."""
        path = self.folder / ".ion" / "workflows" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        load_workflow(path, project=self.folder, user_config=self.folder / "user-config")
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """An environment with a UTF-8 locale and no settings of the user."""
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        config, state = str(self.folder / "user-config"), f"{self.folder}-state"
        home = {"HOME": str(self.folder), "XDG_CONFIG_HOME": config, "XDG_STATE_HOME": state}
        return {**inherited, "LANG": "C.UTF-8", **home, **more}

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        """`ion ARGUMENTS` as a process, to its end."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """`ion ARGUMENTS` as a process that continues."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*COMMAND, *arguments], cwd=self.folder, env=self.environment(), text=True, **pipes)


Ion = Callable[..., Result]
