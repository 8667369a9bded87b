"""The facts about each kind of node and each kind of turn, in one row each.

A node's kind is what its author writes, and what an event calls it; a turn is one thing that is carried out for it. The
rooms look here instead of comparing names; docs/extending.md lists what else a new kind needs.
"""

from __future__ import annotations

from msgspec import Struct

PROCESS_TIMEOUT_MS = 120_000


class NodeKind(Struct, frozen=True, gc=False):
    """`turn` is its first turn. `asks_agent`: an agent answers its prompts. `runs_program`: it is a process.
    `bound`: it may have `with`. `has_gate`: people may be asked about it. `iterates`: each turn is an iteration, and
    what ends the node is decided between them. `ends_run`: the run ends with it. `timeout_ms`: the limit of a turn,
    if the author names none."""

    turn: str
    asks_agent: bool = False
    runs_program: bool = False
    bound: bool = False
    has_gate: bool = False
    iterates: bool = False
    ends_run: bool = False
    timeout_ms: int | None = None


KINDS: dict[str, NodeKind] = {
    "command": NodeKind("prompt", asks_agent=True, bound=True),
    "prompt": NodeKind("prompt", asks_agent=True),
    "bash": NodeKind("bash", runs_program=True, bound=True, timeout_ms=PROCESS_TIMEOUT_MS),
    "script": NodeKind("script", runs_program=True, bound=True, timeout_ms=PROCESS_TIMEOUT_MS),
    "loop": NodeKind("prompt", asks_agent=True, has_gate=True, iterates=True),
    "approval": NodeKind("gate", has_gate=True),
    "cancel": NodeKind("cancel", ends_run=True),
    "wait": NodeKind("wait"),
    "group": NodeKind("expand"),
    "loop_group": NodeKind("expand", has_gate=True, iterates=True),
    "workflow": NodeKind("expand", bound=True),
}
AGENT_KINDS = frozenset(name for name, kind in KINDS.items() if kind.asks_agent)
PROGRAM_KINDS = frozenset(name for name, kind in KINDS.items() if kind.runs_program)
BOUND_KINDS = frozenset(name for name, kind in KINDS.items() if kind.bound)


class TurnKind(Struct, frozen=True, gc=False):
    """`runner` is what carries it out, `module:function` in `ion.nodes`. `asks_agent`: an agent answers.
    `runs_program`: a process, with a log. `brings` is what its outcome is when all goes well: an `output`, a `verdict`
    on the last output, a `question` to people about it, the `instances` inside of the node, or a `wait`. `continues`:
    it takes up the attempt before it. `of_instances`: it is about what is inside of the node.
    `timeout_ms`: where neither the node nor its kind has one. `doing` is the word for a person where the node's kind
    does not say it."""

    runner: str
    asks_agent: bool = False
    runs_program: bool = False
    brings: str = "output"
    continues: bool = False
    of_instances: bool = False
    timeout_ms: int | None = None
    doing: str = ""

    @property
    def takes_slot(self) -> bool:
        """Whether it holds a slot of `max_concurrency`: those that work do."""
        return self.asks_agent or self.runs_program

    @property
    def is_work(self) -> bool:
        """Whether it makes an output anew, instead of asking what is to follow the last one."""
        return self.brings == "output"


TURNS: dict[str, TurnKind] = {
    "prompt": TurnKind("prompt:run", asks_agent=True),
    "rejection": TurnKind("prompt:run", asks_agent=True, doing="rework"),
    "answer": TurnKind("prompt:run_answer", continues=True),
    "bash": TurnKind("bash:run", runs_program=True),
    "script": TurnKind("script:run", runs_program=True),
    "until_bash": TurnKind(
        "bash:run_until", runs_program=True, brings="verdict", timeout_ms=PROCESS_TIMEOUT_MS, doing="checking"
    ),
    "gate": TurnKind("messages:gate", brings="question"),
    "cancel": TurnKind("messages:cancel"),
    "wait": TurnKind("waiting:begin", brings="wait"),
    "check": TurnKind("waiting:check", runs_program=True, timeout_ms=PROCESS_TIMEOUT_MS, doing="checking"),
    "expand": TurnKind("expand:run", brings="instances", of_instances=True),
    "collect": TurnKind("collect:run", of_instances=True),
}
AGENT_TURNS = frozenset(name for name, turn in TURNS.items() if turn.asks_agent)
SLOT_TURNS = frozenset(name for name, turn in TURNS.items() if turn.takes_slot)
PROGRAM_TURNS = frozenset(name for name, turn in TURNS.items() if turn.runs_program)
FIRST_TURNS = frozenset(kind.turn for kind in KINDS.values())
