"""The workflow as every other room sees it: frozen data, lowered from whatever file format it was written in.

A `Workflow` is what a run freezes and what the cache keeps, so each class goes to JSON and back without loss
(`to_json`/`from_json`), and nothing here imports pydantic, yaml or anything else that costs start-up time.
All times are milliseconds. Texts are kept as written; `references.py` and `shell.py` say how they are filled in.
The types of fields are not written as texts, as in `core/events.py`.
"""

from collections.abc import Iterator
from functools import cache, cached_property, lru_cache
from typing import Any, TypeAlias

from msgspec import Struct, field, json

from ion import codec

# What `runs_on` may name.
WORKER_LABEL = "[a-z0-9][a-z0-9_-]{0,62}"
TRIGGER_RULES = ("all_success", "one_success", "none_failed_min_one_success", "all_done")
WORKSPACES = ("shared", "pinned", "git")
JOINS = ("all_success", "all_done")
MAX_ITEMS = 10_000
OPERATORS = ("==", "!=", "<=", ">=", "<", ">")
# What `$node.outcome.…` can read of a node, of one that is fanned out, and of the run (language.md §15).
OUTCOMES = ("status", "code", "message", "exit_status", "attempts", "stderr")
COUNTS = ("completed", "failed", "skipped", "total")
RUN_NAMES = ("status", "error")
# The failures that `allow_failure` can name by their code.
FAILURE_CODES = (
    *("exit-status", "timeout", "rate_limited", "crashed", "bad_output"),
    *("refused", "not_found", "budget", "max_iterations"),
)
BACKOFFS = ("double", "fixed")
# The kinds of the nodes in `finally`, and inside of them.
FINAL_KINDS = ("bash", "script", "prompt", "command", "group")
EXPIRIES = ("continue", "fail", "skip")
DEFAULT_CHECK_EVERY_MS = 60_000
DEFAULT_FINALLY_TIMEOUT_MS = 300_000
DEFAULT_MAX_DELAY_MS = 600_000
RUNTIMES = ("bun", "node", "uv", "python")
DEFAULT_IDLE_TIMEOUT_MS = 1_800_000


class _Part(Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What a workflow is made of: in its JSON only what differs from the defaults."""


class _Reference(_Part, frozen=True, gc=False, tag_field="kind"):
    pass


class _Body(_Part, frozen=True, gc=False, tag_field="kind"):
    pass


class NodeReference(_Reference, frozen=True, gc=False, tag="node"):
    """`$node.output.path…`; an empty path is the whole output."""

    node: str
    path: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of the value in `node_completed.values`: `output`, `output.field`, …"""
        return ".".join(("output", *self.path))


class OutcomeReference(_Reference, frozen=True, gc=False, tag="outcome"):
    """`$node.outcome.name`: what became of a node, as text. `name` is of `OUTCOMES`, or of `COUNTS` for a node that is
    fanned out. It can always be read once the node has settled."""

    node: str
    name: str


class RunReference(_Reference, frozen=True, gc=False, tag="run"):
    """`$RUN.status`, `$RUN.error`: how the run ends; only the nodes of `finally` can read it."""

    name: str


class PreviousReference(_Reference, frozen=True, gc=False, tag="previous"):
    """`$LOOP_PREV.node.output.path…`: of a node of the loop_group around, one iteration ago; '' in the first."""

    node: str
    path: tuple[str, ...] = ()


class InputReference(_Reference, frozen=True, gc=False, tag="input"):
    """`$INPUTS.name.path…`: an input, or the item of a fan_out around."""

    name: str
    path: tuple[str, ...] = ()


class EngineReference(_Reference, frozen=True, gc=False, tag="engine"):
    """`$ARGUMENTS`, `$ARTIFACTS_DIR`, … : a name that the engine provides."""

    name: str


Reference: TypeAlias = (
    NodeReference | OutcomeReference | RunReference | PreviousReference | InputReference | EngineReference
)


class Comparison(_Part, frozen=True, gc=False):
    """One atom of a condition. `literal` is the text to compare with, unquoted (`true` and `'true'` are the same)."""

    reference: Reference
    operator: str
    literal: str


class Condition(_Part, frozen=True, gc=False):
    """A `when`: it is true if, in any of `alternatives`, every comparison is true. Without alternatives it is false."""

    text: str
    alternatives: tuple[tuple[Comparison, ...], ...]


class Placement(_Part, frozen=True, gc=False):
    """A reference in shell text and the position it is in (`shell.py` names them).

    `start` and `end` are character offsets of the longest possible match; how many of the trailing `.x` belong to it
    is decided when the value is known (language.md §5). `detail` is what the position needs for its rewriting.
    """

    start: int
    end: int
    reference: Reference
    position: str
    detail: dict[str, Any] = field(default_factory=dict)


class Shell(_Part, frozen=True, gc=False):
    """Text for bash with its references placed. `edits` are further (start, end, replacement) that the placements
    need, such as opening a quoted here-document. `strict`: it runs with `set -euo pipefail`."""

    text: str
    placements: tuple[Placement, ...] = ()
    edits: tuple[tuple[int, int, str], ...] = ()
    strict: bool = False


class Command(_Body, frozen=True, gc=False, tag="command"):
    """`command: name`; the text of the file is in `Workflow.commands`."""

    name: str


class Prompt(_Body, frozen=True, gc=False, tag="prompt"):
    """`continued` is used instead of `text` if the session of the node before really continues: that session knows
    already what `text` repeats for an agent that starts anew."""

    text: str
    continued: str | None = None


class Bash(_Body, frozen=True, gc=False, tag="bash"):
    shell: Shell


class Script(_Body, frozen=True, gc=False, tag="script"):
    """`code` or `name`, never both; a named one is in `Workflow.scripts`."""

    runtime: str
    code: str | None = None
    name: str | None = None
    deps: tuple[str, ...] = ()


class Loop(_Body, frozen=True, gc=False, tag="loop"):
    max_iterations: int
    prompt: str | None = None
    command: str | None = None
    until: str | None = None
    until_bash: Shell | None = None
    until_field: str | None = None
    until_all: bool = False
    fresh_context: bool = False
    interactive: bool = False
    gate_message: str | None = None
    signal_completes: bool = False


class OnReject(_Part, frozen=True, gc=False):
    prompt: str
    max_attempts: int = 3


class Decision(_Part, frozen=True, gc=False):
    id: str
    label: str | None = None


class Approval(_Body, frozen=True, gc=False, tag="approval"):
    """After `timeout_ms` without an answer the gate is as `on_timeout` says: `fail`, `reject`, `approve` or the id of a
    decision. `remind_ms` are the times after its opening at which people are reminded, in order; each is shorter than
    `timeout_ms`."""

    message: str
    capture_response: bool = False
    on_reject: OnReject | None = None
    decisions: tuple[Decision, ...] = ()
    timeout_ms: int | None = None
    on_timeout: str = "fail"
    remind_ms: tuple[int, ...] = ()


class Cancel(_Body, frozen=True, gc=False, tag="cancel"):
    reason: str


class Wait(_Body, frozen=True, gc=False, tag="wait"):
    """Waits, in one of four forms: for `duration_ms`; `until` an instant, a text for `values.moment`; for the signal
    `event`; or until `check` exits with 0, which is tried at once and then every `every_ms`.

    The last two may have `deadline_ms`, counted from when the wait begins; `on_expired` is of `EXPIRIES`.
    """

    duration_ms: int | None = None
    until: str | None = None
    event: str | None = None
    check: Shell | None = None
    every_ms: int = DEFAULT_CHECK_EVERY_MS
    deadline_ms: int | None = None
    on_expired: str = "continue"


# What the output of a wait is.
WAIT_OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"enum": ["elapsed", "received", "satisfied", "expired"]},
        "waited_ms": {"type": "integer"},
        "event": {"type": "string"},
        "payload": {},
        "output": {"type": "string"},
    },
    "required": ["status", "waited_ms"],
}


class Scope(_Part, frozen=True, gc=False):
    """A graph of nodes inside of a node. `returns` is the node whose output is that of the scope; None: the first sink
    in file order that completed with text (language.md §13)."""

    nodes: tuple["Node", ...]
    returns: str | None = None


class Group(_Body, frozen=True, gc=False, tag="group"):
    """Nodes written in place, run once."""

    scope: Scope


class LoopGroup(_Body, frozen=True, gc=False, tag="loop_group"):
    """Nodes written in place, run again and again. `until` is looked for in the output of an iteration; `until_node`
    ends the loop when that node completes, and its failure is allowed."""

    scope: Scope
    max_iterations: int
    until: str | None = None
    until_bash: Shell | None = None
    until_node: str | None = None
    until_all: bool = False
    fresh_context: bool = False
    interactive: bool = False
    gate_message: str | None = None
    signal_completes: bool = False


class WorkflowCall(_Body, frozen=True, gc=False, tag="workflow"):
    """The nodes of another workflow as a scope of their own: `name` is a key of the run's `Workflow.workflows`, whose
    `nodes` and `returns` are the scope. Its inputs are the node's `bindings`, or `input`, the text that is its
    `$ARGUMENTS`."""

    name: str
    input: str | None = None


Body: TypeAlias = Command | Prompt | Bash | Script | Loop | Approval | Cancel | Wait | Group | LoopGroup | WorkflowCall
BODIES: dict[str, type[Any]] = {
    "command": Command,
    "prompt": Prompt,
    "bash": Bash,
    "script": Script,
    "loop": Loop,
    "approval": Approval,
    "cancel": Cancel,
    "wait": Wait,
    "group": Group,
    "loop_group": LoopGroup,
    "workflow": WorkflowCall,
}
_KINDS = {body: kind for kind, body in BODIES.items()}


class FanOut(_Part, frozen=True, gc=False):
    """The node runs once for each item. `items` is a list, or a text that is one whole reference or a JSON array once
    it is filled in; or `lines` is a text whose non-empty lines are the items. `name` (`as`) is the input under which an
    instance has its item, '' for none. `max_parallel` None: all at once. `join` is `all_success` or `all_done`. `when`
    names the item, and is decided for each instance."""

    items: Any = None
    lines: str | None = None
    name: str = "item"
    max_parallel: int | None = 5
    join: str = "all_success"
    fail_fast: bool = False
    max_items: int = 1000
    when: Condition | None = None


class Retry(_Part, frozen=True, gc=False):
    """`max_attempts` counts retries after the first try (Archon's sense). An exit status of `never_on_exit_status` is
    never tried again, one of `on_exit_status` always, whatever `on_error` (`transient` or `all`) says. `backoff` is of
    `BACKOFFS`; no delay is longer than `max_delay_ms`."""

    max_attempts: int
    delay_ms: int = 3000
    on_error: str = "transient"
    on_exit_status: tuple[int, ...] = ()
    never_on_exit_status: tuple[int, ...] = ()
    backoff: str = "double"
    max_delay_ms: int = DEFAULT_MAX_DELAY_MS


class Allowed(_Part, frozen=True, gc=False):
    """The failures of a node that are allowed: those with one of these exit statuses or codes; every failure if it
    names none."""

    exit_status: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()


class Binding(_Part, frozen=True, gc=False):
    """One entry of `with:`. `value` is JSON; a text in it is a template, and a text that is one whole reference keeps
    the type of what it refers to. `if_skipped` counts only if `has_default`."""

    value: Any
    has_default: bool = False
    if_skipped: Any = None


class Activation(_Part, frozen=True, gc=False):
    """What decides whether the nodes of an `include` take part: the trigger rule over what it depends on, then its
    `when`. If it does not hold, all of them are skipped."""

    depends_on: tuple[str, ...] = ()
    trigger_rule: str = "all_success"
    when: Condition | None = None


class Node(_Part, frozen=True, gc=False):
    """One node. `order` are the nodes that its texts refer to without depending on them (language.md §3.1).

    `catches` are the nodes of its own scope of which one must fail for it to run. `allow_failure` are its failures that
    do not fail the run. `cwd` is a text, the folder that it runs in; `grace_ms` is the time between SIGTERM and
    SIGKILL, None for the usual one.
    `activations` are those of the includes that brought it, the outermost first: all must hold, once its own trigger
    rule does; `includes` are the ids of these includes. `continues` is the agent node whose session this one continues,
    found from the layers of the graph (§3.3); None starts fresh. `options` are passed to the agent unchanged.
    `timeout_ms` None: no limit; `on_timeout` is `fail` or `skip`. `runs_on` is the label of the workers that may carry
    it out, if a cluster drives the run; None: any.
    """

    id: str
    body: Body
    description: str = ""
    depends_on: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    when: Condition | None = None
    trigger_rule: str = "all_success"
    retry: Retry | None = None
    timeout_ms: int | None = None
    idle_timeout_ms: int | None = None
    always_run: bool = False
    env: dict[str, str] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    agent: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    output_format: dict[str, Any] | None = None
    continues: str | None = None
    runs_on: str | None = None
    on_timeout: str = "fail"
    grace_ms: int | None = None
    cwd: str | None = None
    allow_failure: Allowed | None = None
    catches: tuple[str, ...] = ()
    fan_out: FanOut | None = None
    activations: tuple[Activation, ...] = ()
    includes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What its author wrote: a key of `BODIES`."""
        return _KINDS[type(self.body)]

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Every node that must have settled before this one is decided."""
        return tuple(dict.fromkeys(self.depends_on + self.order + self.catches))

    @property
    def comparisons(self) -> Iterator[Comparison]:
        """All that decide whether it runs."""
        for when in (*(one.when for one in self.activations), self.when):
            for group in when.alternatives if when else ():
                yield from group


class Input(_Part, frozen=True, gc=False):
    """A declared input. `default` counts only if `has_default`.

    `refers_to` are the inputs whose values replace `{name}` in the default, which is then a text. `placeholder` is the
    text for an input that was not given; without one the node that uses it fails.
    """

    name: str
    required: bool = False
    has_default: bool = False
    default: Any = None
    description: str = ""
    type: str | None = None
    enum: tuple[Any, ...] | None = None
    refers_to: tuple[str, ...] = ()
    placeholder: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that carries it: `INPUTS_<NAME>`."""
        return variable_name(self.name)


@lru_cache
def variable_name(name: str) -> str:
    """`my-input` → `INPUTS_MY_INPUT` (Archon's upper snake case)."""
    return "INPUTS_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()


class CommandFile(_Part, frozen=True, gc=False):
    """A markdown command, frozen: its text without front matter, and where it was found."""

    path: str
    text: str


class ScriptFile(_Part, frozen=True, gc=False):
    """A named script, frozen with its folder: `files` maps a relative path to the sha256 of its bytes."""

    path: str
    entry: str
    files: dict[str, str]


class Workflow(Struct, frozen=True, dict=True, omit_defaults=True, forbid_unknown_fields=True):
    """A whole workflow.

    `workspace` says which files its nodes see if a cluster drives the run: `shared` (all workers see the same),
    `pinned` (one worker carries out all nodes), `git` (each worker has a checkout of the run's commit).
    `workflows` are those that its nodes call, at any depth, by name; only the outermost workflow has them.
    `finally_nodes` are a graph of their own that runs once the end is decided, within `finally_timeout_ms`; their ids
    are those of no other node.
    """

    name: str
    nodes: tuple[Node, ...]
    description: str = ""
    file: str = ""
    inputs: tuple[Input, ...] = ()
    returns: str | None = None
    interactive: bool = False
    tags: tuple[str, ...] = ()
    max_concurrency: int | None = None
    max_budget_usd: float | None = None
    timeout_ms: int | None = None
    fail_fast: bool = False
    finally_nodes: tuple[Node, ...] = ()
    finally_timeout_ms: int = DEFAULT_FINALLY_TIMEOUT_MS
    workspace: str = "shared"
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    commands: dict[str, CommandFile] = field(default_factory=dict)
    scripts: dict[str, ScriptFile] = field(default_factory=dict)
    workflows: dict[str, "Workflow"] = field(default_factory=dict)

    @property
    def with_called(self) -> tuple["Workflow", ...]:
        """It, and those that its nodes call at any depth."""
        return (self, *self.workflows.values())

    @property
    def node_kinds(self) -> tuple[tuple[str, str], ...]:
        """The id and the kind of each of its nodes, those of `finally` last."""
        return tuple((node.id, node.kind) for node in self.nodes + self.finally_nodes)

    @cached_property
    def by_id(self) -> dict[str, Node]:
        return {node.id: node for node in self.nodes}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` returns an equal workflow."""
        data: dict[str, Any] = codec.to_json(self)
        return data

    @classmethod
    def from_json(cls, data: Any) -> "Workflow":
        """Raises `ValueError` for what `to_json` did not write."""
        return codec.from_json(data, decoder())

    @classmethod
    def decode(cls, text: str | bytes) -> "Workflow":
        """The workflow in the text that `codec.encode` wrote. Raises `ValueError` for anything else."""
        return codec.decode(text, decoder())


@cache
def decoder() -> json.Decoder[Workflow]:
    return json.Decoder(Workflow)
