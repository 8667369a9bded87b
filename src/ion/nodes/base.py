"""What carrying out a turn needs: the turn itself, and the context of its run.

`async run(turn, context) -> Outcome` is the one signature in this room. A turn renders its texts itself, from the
values in the context, at the moment it starts. Nodes know no store: `context.keep` takes what is to be kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

from ion.agents.base import Agent
from ion.core.events import Content, PromptAnswered
from ion.core.outcomes import Question
from ion.core.state import NodeState
from ion.language.workflow import Node, Workflow
from ion.records import dataclass, field

DEFAULT_GRACE_MS = 5000


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn to carry out (see `events.NodeStarted.turn` for the kinds).

    `start` counts the starts of the node in this run, `previous` is the last iteration's output, `judged` the reply of
    a loop that a check or a gate judges (for a check `previous` is that of the iteration before), `session` and
    `session_agent` what to continue, `reask` what was wrong with the last reply, `answer` the host's answer to a
    pending prompt, `signaled` whether the loop's last reply was judged done (for the gate's status line), `rework` the
    last reply to a rejection of the gate.
    """

    node: Node
    kind: str
    attempt: int = 1
    iteration: int = 0
    signaled: bool = False
    session: str | None = None
    session_agent: str | None = None
    reask: tuple[str, ...] = ()
    previous: Content | None = None
    user_input: str = ""
    rejection_reason: str = ""
    answer: PromptAnswered | None = None
    start: int = 1
    judged: Content | None = None
    rework: Content | None = None

    @property
    def log_name(self) -> str:
        """A path stem inside the run's log folder, another one for each start: `node/2-bash`."""
        return f"{self.node.id}/{self.start}-{self.kind}"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a run keeps files. `artifacts` is `$ARTIFACTS_DIR`, `state` is `$STATE_DIR` (kept across runs), `logs`
    holds what processes write, `scratch` what Ion writes for them (scripts, data), `source` the frozen scripts;
    `register` is the file in which the programs of the run are written down (`process.register`)."""

    run: Path
    artifacts: Path
    state: Path
    docs: Path
    logs: Path
    scratch: Path
    source: Path
    register: Path


@dataclass(frozen=True, slots=True)
class Context:
    """A run as its turns see it.

    `inputs` are the run's inputs with defaults applied, `env` the workflow's own environment (not yet rendered),
    `nodes` the live states by id (read only), `agent_for` who answers a node's prompts (None: the host), `keep` stores
    a text or a file's bytes and gives its `Content`, `open` reads one back, `progress` shows a line of a node to
    whoever watches, `lines` one of a program's (None: nobody wants them), `base_branch` looks the default branch up
    (None: not to be found), `secrets` are the values that no message may hold, `standing` is what turns found out that
    is so for all others too. `ask` has a person decide on what the agent of a node asks for, while its turn is held
    open: the decision, or None if nobody did in time. Without it turns cannot be held.
    """

    run_id: str
    workflow: Workflow
    folders: Folders
    project: Path
    cwd: Path
    nodes: dict[str, NodeState]
    inputs: dict[str, Any]
    arguments: str
    external_context: str
    agent_for: Callable[[Node], Agent | None]
    keep: Callable[[str | Path], Content]
    open: Callable[[Content], BinaryIO]
    progress: Callable[[str, str], None]
    base_branch: Callable[[], str | None]
    environ: dict[str, str] = field(default_factory=dict)
    grace_ms: int = DEFAULT_GRACE_MS
    secrets: tuple[str, ...] = ()
    ask: Callable[[str, Question], Awaitable[str | None]] | None = None
    standing: dict[Any, Any] = field(default_factory=dict)
    lines: Callable[[str, str], None] | None = None

    def read(self, content: Content) -> str:
        """A content's whole text."""
        if content.text is not None:
            return content.text
        with self.open(content) as stream:
            return stream.read().decode("utf-8", "surrogateescape")

    def idempotency_key(self, node: str, iteration: int) -> str:
        """`run/node`, and `run/node/iteration` in loops (language.md §10)."""
        return f"{self.run_id}/{node}/{iteration}" if iteration else f"{self.run_id}/{node}"
