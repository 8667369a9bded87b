"""A run around one turn: a workflow from YAML, outputs of the nodes before it, real folders, real programs."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import textwrap
import uuid
from pathlib import Path
from typing import Any, BinaryIO

from ion import procfs
from ion.agents.base import Agent
from ion.core.events import INLINE_LIMIT_BYTES, Content, Failure, Reply
from ion.core.outcomes import Completed, Failed, Outcome
from ion.core.state import Finished, NodeState
from ion.language.load import parse_workflow
from ion.language.resources import Resources
from ion.language.templates import templates_of
from ion.nodes.base import Context, Folders, Turn
from ion.nodes.registry import RUNNERS
from ion.stores import blobs


class World:
    """A run in `folder`. Nodes before the one under test are put into it with `completed`, `skipped`, `failed`."""

    def __init__(self, folder: Path, nodes: str, *, resources: Resources | None = None, **options: Any) -> None:
        self.folder = folder
        text = f"name: test\ndescription: test\n{textwrap.dedent(nodes)}"
        loaded = parse_workflow(text, resources=resources)
        assert loaded.workflow is not None, loaded.problems
        self.workflow = loaded.workflow
        self.said: list[tuple[str, str]] = []
        self.states = {node.id: NodeState(node.id, node.kind) for node in self.workflow.nodes}
        self.context = self._context(**options)

    def _context(self, *, agent: Agent | None = None, **options: Any) -> Context:
        run, project = self.folder / "run", self.folder / "project"
        project.mkdir(exist_ok=True)
        (run / "artifacts").mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "run_id": f"run-{uuid.uuid4().hex}",
            "workflow": self.workflow,
            "folders": Folders(
                run,
                run / "artifacts",
                self.folder / "state",
                project / "docs",
                run / "logs",
                run / "scratch",
                run / "source",
                run / "programs",
            ),
            "project": project,
            "cwd": project,
            "nodes": self.states,
            "inputs": {i.name: i.default for i in self.workflow.inputs if i.has_default},
            "arguments": "",
            "external_context": "",
            "agent_for": lambda node: agent,
            "keep": self._keep,
            "open": self._open,
            "progress": lambda node, line: self.said.append((node, line)),
            "base_branch": lambda: None,
            "environ": dict(os.environ),
            "grace_ms": 1000,
        }
        return Context(**(values | options))

    def _keep(self, item: str | Path) -> Content:
        if isinstance(item, str):
            content = Content(item)
            return content if content.size <= INLINE_LIMIT_BYTES else blobs.keep(self._blobs, item.encode())
        return blobs.keep(self._blobs, item)

    @functools.cached_property
    def _blobs(self) -> Path:
        return self.folder / "blobs"

    def _open(self, content: Content) -> BinaryIO:
        if content.text is not None:
            return io.BytesIO(content.text.encode("utf-8", "surrogatepass"))
        return blobs.open_kept(self._blobs, content.sha256)

    def completed(self, node: str, output: str | bytes) -> World:
        """Let `node` have completed; bytes are kept as bytes, as a program's output that is not text would be."""
        content = blobs.keep(self._blobs, output) if isinstance(output, bytes) else self._keep(output)
        self.states[node].phase, self.states[node].progress.reply = Finished("completed", 0), Reply(content)
        return self

    def skipped(self, node: str) -> World:
        self.states[node].phase = Finished("skipped", 0)
        return self

    def failed(self, node: str, status: str = "failed") -> World:
        self.states[node].phase = Finished(status, 0, error=Failure("exit-status", "no"))
        return self

    async def run(self, node: str, turn: str = "", **fields: Any) -> Outcome:
        """Carry one turn out."""
        found = templates_of(self.workflow)[node]
        turn = turn or {"command": "prompt", "loop": "prompt", "approval": "gate"}.get(found.node.kind, found.node.kind)
        return await RUNNERS[turn](Turn(found, turn, node, **fields), self.context)

    async def output(self, node: str, turn: str = "", **fields: Any) -> str:
        """The text of a turn that must complete."""
        outcome = await self.run(node, turn, **fields)
        assert isinstance(outcome, Completed), outcome
        return self.context.read(outcome.reply.output)

    async def error(self, node: str, turn: str = "", **fields: Any) -> Failure:
        """The failure of a turn that must fail."""
        outcome = await self.run(node, turn, **fields)
        assert isinstance(outcome, Failed), outcome
        return outcome.error

    def read_bytes(self, content: Content) -> bytes:
        with self.context.open(content) as stream:
            return stream.read()

    def log(self, name: str) -> bytes:
        return (self.context.folders.logs / name).read_bytes()

    def alive(self) -> list[int]:
        """The living processes that carry this run's id."""
        wanted = f"ION_RUN_ID={self.context.run_id}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return [pid for pid in found if procfs.identity(pid) is not None]
