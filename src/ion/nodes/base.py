"""What carrying out a turn needs: the turn itself, and the context of its run.

`async run(turn, context) -> Outcome` is the one signature in this room. A turn renders its texts itself, from the
values in the context, when it starts. Nodes do not know the store: `context.keep` stores what must be kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field

from ion.agents.base import Agent
from ion.core.events import Content, PromptAnswered, Reply
from ion.core.outcomes import Question
from ion.core.state import NodeState
from ion.core.surroundings import TOP, Surroundings
from ion.core.values import condition_values
from ion.digests import sha256_of
from ion.language.templates import Template
from ion.language.workflow import Node, Workflow

DEFAULT_GRACE_MS = 5000


class Turn(Struct, frozen=True, gc=False):
    """One turn to carry out (a key of `kinds.TURNS`), of the instance of `template` at `address`.

    `around` is what its texts see; `members` are the instances inside of it, in order, for a turn that is about them.
    `start` counts the starts of the node in this run. `previous` is the output of the last iteration. `judged` is the
    reply that a check or a gate of a loop judges; for a check, `previous` is the output of the iteration before.
    `session` and `session_agent` name the session to continue, `session_total` is what it has used. `reask` lists what
    was wrong with the last reply. `answer` is the caller's answer to an open prompt. `signaled` says whether the loop's
    last reply was judged done (shown by the gate). `rework` is the last reply to a rejection of the gate. `waits_since`
    (ms since the epoch) is when the wait began that it is in.
    """

    template: Template
    kind: str
    address: str
    attempt: int = 1
    iteration: int = 0
    signaled: bool = False
    session: str | None = None
    session_agent: str | None = None
    session_total: dict[str, Any] = field(default_factory=dict)
    reask: tuple[str, ...] = ()
    previous: Content | None = None
    user_input: str = ""
    rejection_reason: str = ""
    answer: PromptAnswered | None = None
    start: int = 1
    judged: Content | None = None
    rework: Content | None = None
    around: Surroundings = TOP
    members: tuple[NodeState, ...] = ()
    waits_since: int | None = None

    @property
    def node(self) -> Node:
        return self.template.node

    def find(self, node: str, context: Context) -> NodeState | None:
        """The instance that an id means in its texts."""
        return self.around.find(context.nodes, node)

    @property
    def is_item(self) -> bool:
        """Whether it is an item of a fan-out, and not a node inside of one."""
        return self.address.rpartition(".")[2].isdigit()

    @property
    def log_name(self) -> str:
        """A path stem inside the run's log folder, unique for each start: `node/2-bash`."""
        return f"{self.address}/{self.start}-{self.kind}"


class Folders(Struct, frozen=True, gc=False):
    """Where a run keeps files.

    `artifacts` is `$ARTIFACTS_DIR`, `state` is `$STATE_DIR` (kept across runs), `logs` holds what processes write,
    `scratch` what Ion writes for them (scripts, data), `source` the frozen scripts. `register` is the file that lists
    the programs of the run (`process.survivors`).
    """

    run: Path
    artifacts: Path
    state: Path
    docs: Path
    logs: Path
    scratch: Path
    source: Path
    register: Path


def scripts_folder(folder: Path, workflow: Workflow, outermost: Workflow) -> Path:
    """Where the scripts of a workflow are under the run's `folder` for them: those of one that is called apart."""
    if workflow is outermost:
        return folder
    return folder / ".called" / sha256_of(workflow.name.encode("utf-8", "surrogatepass"))[:16]


class Context(Struct, frozen=True):
    """A run as its turns see it.

    `inputs` are the run's inputs with defaults applied, `env` is the workflow's environment before rendering, `nodes`
    the live states by id (read only). `agent_for` returns the agent that answers a node's prompts, or None if the
    caller answers them. `keep` stores a text or a file's bytes and returns its `Content`; `open` reads one back.
    `progress` shows a line of a node to whoever watches, `lines` a line of a program (None: nobody wants them).
    `base_branch` looks up the default branch (None: not found). `secrets` are the values that no message may contain.
    `ask` lets a person decide on a permission while the turn is
    held open; it returns the decision, or None if nobody decided in time. Without `ask`, turns cannot be held.
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
    lines: Callable[[str, str], None] | None = None

    def read(self, content: Content) -> str:
        """Return a content's whole text."""
        if content.text is not None:
            return content.text
        with self.open(content) as stream:
            return stream.read().decode("utf-8", "surrogateescape")

    def idempotency_key(self, address: str, iteration: int) -> str:
        """`run/address`, and `run/address/iteration` in loops (language.md §10)."""
        return f"{self.run_id}/{address}/{iteration}" if iteration else f"{self.run_id}/{address}"


def reply_of(turn: Turn, context: Context, output: Content) -> Reply:
    """What a turn gave, with what conditions read of it."""
    return Reply(output, condition_values(turn.template, output, context.read))
