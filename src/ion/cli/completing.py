"""`ion completion`, and what a shell may complete: names of workflows, runs, nodes, agents and decisions.

A completion runs at every press of a key: it reads what is there, runs no code of the repository, creates nothing, and
says nothing when something is wrong; the command itself will.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import click

from ion.cli.context import CliContext, in_context
from ion.errors import IonError
from ion.names import as_address

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ion import RunState
    from ion.api.workspace import Workspace
    from ion.views.waiting import Waiting

# click reads the variable `_ION_COMPLETE`; its value names the shell and what is asked.
VARIABLE = "_ION_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_RUNS_SHOWN = 50
_ADDRESSES_SHOWN = 100
Found = Iterable[tuple[str, str]]
Find = Callable[["Workspace", click.Context, str], Found]
Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completing(find: Find) -> Complete:
    """What click asks for completions, made of what finds names and a word on each; it may look at what is typed."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from ion.api.workspace import open_workspace

        try:
            with closing(open_workspace(context.params.get("project"), context.params.get("store"))) as workspace:
                found = [(name, " ".join(what.split())[:60]) for name, what in find(workspace, context, incomplete)]
        except (IonError, OSError):
            return []
        return [CompletionItem(name, help=what) for name, what in found if name.startswith(incomplete)]

    return complete


@_completing
def workflows(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    from ion.api.workflows import discover

    for one in discover(workspace):
        if one.shadowed_by is None and one.loaded.workflow is not None:
            yield one.name, one.loaded.workflow.description


@_completing
def runs(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    from ion.api.listing import list_runs

    found = list_runs(workspace, limit=_RUNS_SHOWN)
    if found:
        yield "last", "the newest run"
    for run, status in found:
        yield run.run_id, f"{run.workflow}, {status}"


@_completing
def runs_that_ask(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    return _asking(workspace, lambda one: one.gate is not None)


@_completing
def runs_that_wait(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    return _asking(workspace, lambda one: bool(one.event))


@_completing
def signals(workspace: Workspace, context: click.Context, _incomplete: str) -> Found:
    from ion.views.waiting import waiting_in

    state = _state(workspace, context)
    for one in waiting_in(state) if state is not None else ():
        if one.event:
            yield one.event, one.node


@_completing
def runs_with_prompts(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    return _asking(workspace, lambda one: one.prompt is not None)


def _asking(workspace: Workspace, asks: Callable[[Waiting], bool]) -> Found:
    """The runs in which some node asks; `last` only if the newest is one of them."""
    from ion.api.listing import list_runs
    from ion.api.reading import read_state
    from ion.views.waiting import waiting_in

    for number, (run, status) in enumerate(list_runs(workspace, limit=_RUNS_SHOWN)):
        if status not in ("paused", "queued", "running", "interrupted"):
            continue
        asking = [one.node for one in waiting_in(read_state(workspace, run.run_id)) if asks(one)]
        nodes = list(dict.fromkeys(asking))
        if nodes:
            yield from [("last", "the newest run")] if number == 0 else []
            yield run.run_id, f"{run.workflow}, {', '.join(nodes)}"


@_completing
def inputs(workspace: Workspace, context: click.Context, _incomplete: str) -> Found:
    from ion.api.workflows import load

    named = _first(context, "workflow")
    given = {pair.partition("=")[0] for pair in context.params.get("pairs") or ()}
    for one in load(workspace, named).inputs if named else ():
        if one.name not in given:
            yield f"{one.name}=", one.description
            yield from ((f"{one.name}={choice}", "") for choice in one.enum or ())


def _first(context: click.Context, name: str) -> str | None:
    """The first argument. Behind an option whose value is being completed click has not taken the arguments apart."""
    value: str | None = context.params.get(name) or next(iter(context.args), None)
    return value


def _state(workspace: Workspace, context: click.Context) -> RunState | None:
    from ion.api.reading import read_state

    if workspace.is_new:
        return None
    return read_state(workspace, workspace.find_run(_first(context, "run")).run_id)


@_completing
def nodes(workspace: Workspace, context: click.Context, incomplete: str) -> Found:
    from ion.views.rows import below

    state = _state(workspace, context)
    found = below(state, as_address(incomplete).rpartition(".")[0]) if state is not None else ()
    yield from islice((one for one in found if one[0].startswith(incomplete)), _ADDRESSES_SHOWN)


@_completing
def waiting(workspace: Workspace, context: click.Context, incomplete: str) -> Found:
    from ion.views.waiting import waiting_in

    state = _state(workspace, context)
    asking = (one for one in waiting_in(state) if one.node.startswith(incomplete)) if state is not None else ()
    for one in islice((one for one in asking if one.node), _ADDRESSES_SHOWN):
        yield one.node, one.message if one.gate is not None else ""


@_completing
def decisions(workspace: Workspace, context: click.Context, _incomplete: str) -> Found:
    from ion.views.waiting import waiting_in

    state = _state(workspace, context)
    for one in waiting_in(state) if state is not None else ():
        if one.gate is not None and one.node == context.params.get("node"):
            yield from ((name, "") for name in one.gate.decisions or ("approve", "reject"))


@_completing
def agents(workspace: Workspace, _context: click.Context, _incomplete: str) -> Found:
    from ion.api.agent_list import known_agents

    yield from ((one.name, "") for one in known_agents(workspace))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@in_context
def completion(_cli: CliContext, shell: str) -> int:
    """Print the completion script of SHELL, which completes commands, options, workflows, runs, nodes and agents.

    \b
    bash: eval "$(ion completion bash)"             in ~/.bashrc
    zsh:  eval "$(ion completion zsh)"              in ~/.zshrc, after compinit
    fish: ion completion fish | source              in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from ion.cli import terminal
    from ion.cli.main import ion

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    script = found(ion, {}, "ion", VARIABLE)
    terminal.write_text(script.source_template % script.source_vars() + "\n")
    return 0
