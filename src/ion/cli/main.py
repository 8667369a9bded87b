"""The `ion` command: which commands there are, and the one place where an error becomes words and an exit status.

Commands are named in a table and loaded when they are called, so that `ion --help` costs next to nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ion import __version__
from ion.cli import terminal
from ion.errors import FAILED, INTERRUPTED, USAGE, IonError, UsageError
from ion.views import masking

# name → (module:function, one line of help); the order is that of the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("ion.cli.run:run", "Run a workflow by name or path."),
    "list": ("ion.cli.workflows:list_workflows", "List the workflows that can be found."),
    "validate": ("ion.cli.workflows:validate", "Check workflow files and show every problem."),
    "graph": ("ion.cli.workflows:graph", "Draw a workflow's graph."),
    "runs": ("ion.cli.runs:runs", "List the project's runs, newest first."),
    "show": ("ion.cli.runs:show", "Show the state of a run, or why a node is as it is."),
    "watch": ("ion.cli.resume:watch", "Follow a run that runs elsewhere."),
    "events": ("ion.cli.outputs:events", "Print a run's event log as JSON lines."),
    "logs": ("ion.cli.outputs:logs", "Print what the programs of a run wrote."),
    "output": ("ion.cli.outputs:output", "Print an output whole, a run's or a node's."),
    "approve": ("ion.cli.requests:approve", "Approve an open gate and continue the run."),
    "reject": ("ion.cli.requests:reject", "Reject an open gate and continue the run."),
    "respond": ("ion.cli.requests:respond", "Answer a gate with one of its decisions and continue the run."),
    "next": ("ion.cli.requests:next_prompts", "Print the prompts that wait for you, the agent."),
    "submit": ("ion.cli.requests:submit", "Answer a prompt that waits and continue the run."),
    "resume": ("ion.cli.resume:resume", "Continue a failed, interrupted or answered run."),
    "rerun": ("ion.cli.resume:rerun", "Run a run again, wholly or from a node."),
    "tick": ("ion.cli.tick:tick", "Continue what is due: one pass of a clock."),
    "schedules": ("ion.cli.schedules:schedules", "List what starts by itself, accept it, pause it."),
    "signal": ("ion.cli.requests:signal", "Send a signal to a run that waits for it, or will."),
    "schedule": ("ion.cli.schedule:schedule", "Have this machine call ion tick each minute."),
    "cancel": ("ion.cli.requests:cancel", "End a run, wherever it is running."),
    "convert": ("ion.cli.workflows:convert", "Print an SOP as YAML, or write it as a skill."),
    "serve": ("ion.cli.servers:serve", "Show runs in your browser, and answer them."),
    "mcp": ("ion.cli.servers:mcp", "Serve workflows to an agent over MCP."),
    "worker": ("ion.cli.servers:worker", "Work for runs of a Temporal cluster."),
    "sop": ("ion.cli.workflows:sop", "Write SOPs: markdown procedures that run step by step."),
    "export": ("ion.cli.store:export", "Write a run as one file, for another store or to keep."),
    "import": ("ion.cli.store:import_run", "Take in a run that ion export wrote."),
    "agents": ("ion.cli.setup:agents", "List the agents that can answer prompts, and try one."),
    "prune": ("ion.cli.store:prune", "Forget old runs, after asking."),
    "doctor": ("ion.cli.setup:doctor", "Say what is installed, configured and damaged."),
    "schema": ("ion.cli.setup:schema", "Print the JSON Schema of workflow files."),
    "completion": ("ion.cli.completing:completion", "Print the completion script of a shell."),
    "init": ("ion.cli.setup:init", "Write a first workflow and a settings file."),
    "help": ("ion.cli.help:help_", "Print a page of the documentation: ion help TOPIC."),
}


# The command that one looks for → what other tools call it.
CALLED = {
    "cancel": ("stop", "kill", "abort"),
    "show": ("status", "inspect"),
    "runs": ("ps", "history"),
    "resume": ("retry", "continue"),
    "run": ("start", "exec"),
    "list": ("ls",),
    "validate": ("check", "lint"),
    "logs": ("tail",),
    "watch": ("attach", "follow"),
    "respond": ("answer",),
    "output": ("result",),
}


class Commands(click.Group):
    """A group whose commands are loaded when they are called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, name = target[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            raise UsageError(f"unknown command '{args[0]}'", hint=_instead(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does it, but from the table, so that no command is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read our stdout has what it wanted
            terminal.discard_stdout()
            return 0


def _instead(name: str) -> str:
    """What to type for a command that there is not."""
    from ion.views.problems import did_you_mean

    for command, others in CALLED.items():
        if name in others:
            return f"ion {command}: {COMMANDS[command][1]}"
    near = did_you_mean(name, COMMANDS)
    return f"did you mean 'ion {near}'?" if near else "ion --help lists the commands"


def _say_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    """`ion 0.2.0 (commit 0123456789, extras acp, serve)`: what a report of a bug has to say."""
    if not asked or ctx.resilient_parsing:
        return
    from ion.api import installed

    commit = installed.commit()
    extras = ", ".join(name for name, found in installed.extras().items() if found)
    more = [*([f"commit {commit}"] if commit else []), f"extras {extras}" if extras else "no extras"]
    click.echo(f"ion {__version__} ({', '.join(more)})")
    ctx.exit()


@click.group("ion", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version, help="Show the version."
)
def ion() -> None:
    """Run workflows of agents and shell: durable, with gates, by any agent.

    RUN is a run's id, any unique prefix of one, or 'last', the newest.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """The program: ends the process with the status that cli.md gives to what happened."""
    if os.getpid() == 1:
        from ion.process.container_init import leave_to_the_first

        leave_to_the_first()
    terminal.open_standard_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    status = outcome(given)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        terminal.discard_stdout()
        if not isinstance(error, BrokenPipeError):
            terminal.talk().line(("error", "error"), f": the output cannot be written: {error.strerror}")
            status = status or FAILED
    if "temporalio" in sys.modules:
        leave_at_once(status)
    sys.exit(status)


def leave_at_once(status: int) -> NoReturn:
    """End the process without taking the interpreter down: the threads of Temporal's SDK know nothing of that, and one
    that asks for the interpreter just then aborts the process (seen as SIGABRT after all work was done)."""
    import logging

    logging.shutdown()
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
    os._exit(status)


def outcome(arguments: list[str]) -> int:
    """Carry a command line out and give its exit status; errors are shown."""
    masking.begin(arguments)

    as_json = "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
    command = f"ion {arguments[0]}" if arguments and arguments[0] in COMMANDS else "ion"
    try:
        _refuse_undecodable(arguments)
        status = ion.main(arguments or ["--help"], prog_name="ion", standalone_mode=False)
        if not arguments:
            return USAGE
        return status if isinstance(status, int) else 0
    except (IonError, click.ClickException, OSError) as error:
        from ion.cli import failures

        return failures.show_error(failures.as_ion_error(error, command, arguments), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        terminal.talk().line("Interrupted.")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 a bug of ours: said so by name, with a report
        from ion.cli import failures

        return failures.show_bug(error, arguments, as_json=as_json)


def _refuse_undecodable(arguments: list[str]) -> None:
    """Raise `UsageError` for an argument that is not UTF-8: no log and no JSON could hold it."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f"argument {number} is not UTF-8 text: {argument!a}") from None
