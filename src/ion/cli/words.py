"""What the states of runs and nodes, failures and waiting things are called on the screen, and their symbols."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ion.cli.formatting import one_line
from ion.cli.terminal import Part, Screen
from ion.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ion.cli.context import CliContext
    from ion.cli.questions import Labels
    from ion.core.events import Failure
    from ion.core.gates import Gate
    from ion.core.state import NodeState, RunState

# state → (symbol, ASCII stand-in, role)
_MARKS = {
    "completed": ("✓", "ok", "good"),
    "failed": ("✗", "FAIL", "bad"),
    "running": ("●", "run", "active"),
    "pending": ("○", "wait", "faint"),
    "waiting": ("⏸", "gate", "attention"),
    "paused": ("⏸", "gate", "attention"),
    "retry": ("↻", "retry", "attention"),
    "skipped": ("–", "skip", "faint"),
    "cancelled": ("–", "stop", "faint"),
    "interrupted": ("✗", "cut", "attention"),
    "damaged": ("✗", "BAD", "bad"),
}
# Failures of these codes carry what the program said after the first ': ' (nodes/program.py).
_WITH_OUTPUT = frozenset({"exit-status", "timeout", "signal"})


def mark(screen: Screen, state: str) -> Part:
    """The symbol of a state, as wide as every other one on this screen."""
    return (role_of(state), symbol(state) if screen.unicode else f"{symbol(state, unicode=False):<5}")


def symbol(state: str, *, unicode: bool = True) -> str:
    """The symbol of a state alone."""
    return _MARKS[state][0 if unicode else 1]


def role_of(state: str) -> str:
    """The colour role of a state."""
    return _MARKS[state][2]


def mark_of_node(node: NodeState, run_status: str) -> str:
    """The key of the node's symbol: its state, `retry` while it waits for its next attempt, `interrupted` if it ran
    when the run's process died."""
    if node.status == "running" and run_status == "interrupted":
        return "interrupted"
    return "retry" if node.status == "waiting" and node.retry_at is not None else node.status


@dataclass(frozen=True)
class FailureText:
    """A failure in one line, and the last lines that the program or agent had to say."""

    headline: str
    said: tuple[str, ...]


def failure_text(error: Failure, lines: int = 10) -> FailureText:
    """`exit 1` with the last of stderr, or the message with its further lines."""
    first, _, rest = error.message.partition("\n")
    if error.code in _WITH_OUTPUT:
        first, _, rest = error.message.partition(": ")
    if error.exit_status is not None:
        first = f"exit {error.exit_status}"
    said = [line.rstrip() for line in rest.splitlines() if line.strip()]
    return FailureText(one_line(first), tuple(said[-lines:]))


@dataclass(frozen=True)
class Waiting:
    """What a node waits for: `message` is what is asked, whole; `commands` answer it, each with a word on it or ''."""

    node: NodeState
    message: str
    commands: tuple[tuple[str, str], ...]


def waiting_for(cli: CliContext, run_id: str, state: RunState, labels: Labels) -> list[Waiting]:
    """Everything that waits for a person or a host, in file order. `labels` are those of the workflow's decisions."""
    several = sum((node.gate is not None) + len(node.permissions) for node in state.nodes.values()) > 1
    found = []
    for node in state.nodes.values():
        if node.gate is not None:
            commands = _gate_commands(cli, run_id, node.id, node.gate, labels.get(node.id, {}), several=several)
            found.append(Waiting(node, node.gate.message, tuple(commands)))
        elif node.prompt is not None:
            commands = [
                (cli.command("next", run_id), ""),
                (cli.command("submit", run_id, node.id, "--file FILE"), ""),
            ]
            found.append(Waiting(node, "a prompt waits for an agent", tuple(commands)))
        found += [
            Waiting(node, gate.message, tuple((one, "") for one in _permission_commands(cli, run_id, node, gate)))
            for gate in node.permissions.values()
        ]
    return found


def answering_command(cli: CliContext, run_id: str, node: NodeState) -> str:
    """The shortest command that answers what this node asks; nothing if it asks nothing."""
    if node.gate is not None and node.gate.decisions:
        return cli.command("respond", run_id, node.id, node.gate.decisions[0])
    if node.gate is not None:
        return cli.command("approve", run_id, node.id)
    if node.permissions:
        return cli.command("approve", run_id, node.id, f"--request {next(iter(node.permissions.values())).request}")
    return cli.command("next", run_id) if node.prompt is not None else ""


def budget_command(cli: CliContext, run_id: str, state: RunState) -> str:
    """The command that raises the budget of a run, as a suggestion to twice of what is spent."""
    more = 2 * max(state.spent_usd, state.max_budget_usd or 0)
    amount = f"{math.ceil(more * 100) / 100:.2f}" if more >= 0.01 else f"{more:.1g}"
    return cli.command("resume", run_id, "--max-budget-usd", amount)


def _permission_commands(cli: CliContext, run_id: str, node: NodeState, gate: Gate) -> list[str]:
    """`--request` always stands there: the agent may ask for something else by the time it is typed."""
    which = f"--request {gate.request}"
    wider = [name for name, kind in zip(gate.decisions, gate.kinds, strict=False) if kind.endswith("_always")]
    return [
        cli.command("approve", run_id, node.id, which),
        cli.command("reject", run_id, node.id, which),
        *(cli.command("respond", run_id, node.id, name, which) for name in wider),
    ]


def _gate_commands(
    cli: CliContext, run_id: str, node: str, gate: Gate, labels: Mapping[str, str], *, several: bool
) -> list[tuple[str, str]]:
    if gate.decisions:
        return [(cli.command("respond", run_id, node, name), labels.get(name, "")) for name in gate.decisions]
    name = (node,) if several else ()
    approve, comment = cli.command("approve", run_id, *name), cli.command("approve", run_id, *name, '--comment "…"')
    if gate.kind == "iteration":
        finish = [(approve, "finishes it")] if gate.signaled else []
        return [*finish, (comment, "another round"), (cli.command("reject", run_id, *name), "ends the run")]
    return [(comment, ""), (cli.command("reject", run_id, *name, '--reason "…"'), "")]
