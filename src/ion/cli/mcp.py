"""`ion mcp`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click
from msgspec.structs import replace

from ion.cli.context import CliContext, in_context, sop_paths
from ion.errors import UsageError


@click.command()
@click.option("--allow-approve", is_flag=True, help="Let the client answer gates; without it, only people can.")
@click.option("--allow-paths", is_flag=True, help="Let the client run workflow files by their path.")
@sop_paths
@in_context
def mcp(cli: CliContext, sop_paths: tuple[Path, ...], allow_approve: bool, allow_paths: bool) -> int:
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
    serve(ToolContext(Engine(Project(workspace)), hidden, sop_paths, allow_approve, allow_paths))
    return 0
