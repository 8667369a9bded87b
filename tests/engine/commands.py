"""`ion` as real processes on a store that they share, and what must hold of a run's log whatever was done to them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ion
from ion.core import events as e
from ion.stores import create_store
from ion.stores.base import WorkflowStore
from processes import PATIENCE_S, with_environment

COMMAND = [sys.executable, "-P", "-m", "ion.cli"]
URLS = {"sqlite": "sqlite:.ion/ion.db", "file": "file:.ion/store"}


@dataclass(frozen=True)
class Site:
    """A project folder, the URL of its store, and the id of the run there: no other test's processes have it."""

    folder: Path
    url: str
    id: str = field(default_factory=lambda: f"r{os.urandom(6).hex()}")

    def write(self, text: str, name: str = "w") -> None:
        """Write the workflow `.ion/workflows/NAME.yaml`."""
        place = self.folder / ".ion" / "workflows" / f"{name}.yaml"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"name: {name}\ndescription: test\n{textwrap.dedent(text)}")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        own = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "ION_STORE": self.url}
        return {**kept, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **own, **more}

    def start(self, *arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """`ion ARGUMENTS` as a process that continues; `before` is a program that starts it."""
        return subprocess.Popen(
            [*before, *COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        """`ion ARGUMENTS` to its end: exit status, stdout, stderr."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in err, err
        return process.returncode, out, err

    def store(self) -> WorkflowStore:
        return create_store(self.url, project=self.folder)

    def log(self) -> list[e.Event]:
        """The events of the run, read anew."""
        store = self.store()
        try:
            return [record.event for record in store.get_workflow_events(self.id)]
        finally:
            store.close()

    def shown(self) -> Any:
        """What `ion show --json` says, without a process for it."""
        return ion.get_run(self.id, store=self.url, project=self.folder).to_json()

    def path(self, name: str) -> Path:
        return self.folder / name


def assert_sound(site: Site) -> None:
    """No node has two recorded successes, none was started again after one, and nothing of the run lives on."""
    log = site.log()
    done = Counter(event.node for event in log if isinstance(event, e.NodeCompleted))
    assert set(done.values()) <= {1}, done
    completed: set[str] = set()
    for event in log:
        if isinstance(event, e.NodeCompleted):
            completed.add(event.node)
        elif isinstance(event, e.NodeStarted):
            assert event.node not in completed, f"{event.node} was started after it had completed"
    assert with_environment(f"ION_RUN_ID={site.id}") == []
