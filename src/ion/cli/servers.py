"""What serves until it is ended: `ion mcp` an agent, `ion worker` a cluster, `ion serve` a person's browser."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click
from msgspec.structs import replace

from ion.cli import terminal
from ion.cli.context import CliContext, in_context, sop_paths
from ion.errors import UsageError


@click.command()
@click.option("--allow-approve", is_flag=True, help="Let the client answer gates; without it, only people can.")
@click.option("--allow-signal", is_flag=True, help="Let the client send signals to runs that wait for them.")
@click.option("--allow-paths", is_flag=True, help="Let the client run workflow files by their path.")
@sop_paths
@in_context
def mcp(
    cli: CliContext, sop_paths: tuple[Path, ...], allow_approve: bool, allow_signal: bool, allow_paths: bool
) -> int:
    """Serve workflows to an agent over MCP, on stdin and stdout: it answers their prompts, Ion holds the order."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("ion mcp needs the MCP SDK", hint="pip install 'ion-workflows[mcp]'", code="missing-extra")
    from ion.api.engine import Engine
    from ion.api.hidden import Hidden
    from ion.api.project import Project
    from ion.api.workspace import open_workspace
    from ion.mcp.server import serve
    from ion.mcp.tools import ToolContext
    from ion.process.limits import raise_limit

    hidden = Hidden()
    hidden.url(cli.store or os.environ.get("ION_STORE", ""))
    workspace = open_workspace(cli.project, cli.store, found=hidden.run, via="mcp")
    hidden.names(workspace.settings.secrets)
    # Whoever calls is the agent: the configured one is not asked unless a node or the client names it.
    workspace.settings = replace(workspace.settings, agent=None)
    raise_limit()
    serve(ToolContext(Engine(Project(workspace)), hidden, sop_paths, allow_approve, allow_signal, allow_paths))
    return 0


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Which port; default: a free one.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in your browser.")
@click.option("--allow-answers", is_flag=True, help="Let the page answer gates; without it, it only shows them.")
@click.option("--clock", is_flag=True, help="Start what schedules say and continue what is due, as ion tick does.")
@click.option(
    "--hooks-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Take webhooks at this port of this machine, and drive what they start; 0: a free one.",
)
@in_context
def serve(cli: CliContext, port: int, open_page: bool, allow_answers: bool, clock: bool, hooks_port: int | None) -> int:
    """Show the project's runs in your browser, until Ctrl-C: what needs you, what runs, why it failed.

    Nobody but you can open the page: it is reached from this machine alone, by an address that works once. It starts
    and continues nothing, unless it is the clock or takes webhooks too; an answer given there is recorded, and a run
    that is alive continues with it.
    """
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise UsageError(
            "ion serve needs starlette and uvicorn", hint="pip install 'ion-workflows[serve]'", code="missing-extra"
        )
    from ion.api.workspace import open_workspace
    from ion.process.limits import raise_limit
    from ion.views.masking import hide_run
    from ion.web.server import serve
    from ion.web.site import Site

    workspace = open_workspace(cli.project, cli.store, found=hide_run, via="serve")
    if clock or hooks_port is not None:
        raise_limit()
    try:
        site = Site(workspace, cli.command, terminal.talk().line, allow_answers=allow_answers, clock=clock)
        serve(site, port=port, open_page=open_page, hooks_port=hooks_port)
    finally:
        workspace.close()
    return 0


@click.command()
@click.option(
    "--engine", required=True, metavar="URL", help="The cluster: temporal://HOST:PORT[/NAMESPACE][?queue=NAME&…]."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many nodes run here at once.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="Take nodes with runs_on: LABEL too.")
@click.option("--only-labelled", is_flag=True, help="Take no others than these.")
@click.option("--name", metavar="NAME", help="What pinned runs know it by; default: the machine's name.")
@in_context
def worker(
    cli: CliContext, engine: str, jobs: int | None, labels: tuple[str, ...], only_labelled: bool, name: str | None
) -> int:
    """Work for runs of a Temporal cluster, in this project and its store, until a signal ends it.

    Which files nodes see is what their workflow says with workspace: those that all workers share, those of one
    worker, or a checkout of the run's commit.
    """
    from ion.api.clusters import work
    from ion.process.limits import raise_limit

    if only_labelled and not labels:
        raise UsageError("--only-labelled needs a --label")
    raise_limit()
    screen = terminal.talk()
    with cli.open() as workspace:
        work(
            workspace,
            engine,
            slots=jobs or (os.cpu_count() or 1) * 4,
            say=lambda line: screen.line(f"worker: {line}"),
            name=name,
            labels=labels,
            only_labelled=only_labelled,
        )
    return 0
