"""What is to be run, and how: one record, whoever asks for it (a program, a command line, a client) and whoever is to
drive it (this process, a process of its own, a cluster)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from ion.api.agents import AgentLike
from ion.engine.options import DEFAULT_OPTIONS, RunOptions
from ion.language.workflow import Workflow


class RunSpec(Struct, frozen=True):
    """The parameters of `ion.execute_workflow`. `engine` is the URL of the cluster that is to drive the run (None: this
    process); `max_budget_usd` is what the run may spend in all, in place of the workflow's own budget."""

    workflow: Workflow | str | Path
    arguments: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    context: str = ""
    agent: AgentLike = None
    cwd: Path | str | None = None
    run_id: str | None = None
    engine: str | None = None
    max_budget_usd: float | None = None
    options: RunOptions = DEFAULT_OPTIONS
