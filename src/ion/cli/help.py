"""`ion help`: the pages of the documentation, and what each command does."""

from __future__ import annotations

import sys

import click

from ion.api import installed
from ion.errors import UsageError
from ion.views.problems import did_you_mean


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_(ctx: click.Context, topic: str | None) -> None:
    """Print a page of the documentation, or what a command does; without TOPIC, which topics there are."""
    from ion.cli.main import COMMANDS, ion

    pages = installed.pages()
    if topic is None:
        click.echo(ion.get_help(ctx.parent or ctx))
        click.echo("\nTopics (ion help TOPIC):\n  " + "\n  ".join(f"{name:<13} {_title(name)}" for name in pages))
    elif topic in pages:
        text = pages[topic].read_text(encoding="utf-8")
        if sys.stdin.isatty() and sys.stdout.isatty():
            click.echo_via_pager(text)
        else:
            click.echo(text, nl=False)
    elif topic in COMMANDS:
        ion.main([topic, "--help"], prog_name="ion", standalone_mode=False)
    else:
        near = did_you_mean(topic, [*pages, *COMMANDS])
        raise UsageError(
            f"unknown topic '{topic}'", hint=f"did you mean 'ion help {near}'?" if near else "ion help lists the topics"
        )


def _title(name: str) -> str:
    """The heading of a page."""
    with installed.pages()[name].open(encoding="utf-8") as page:
        return page.readline().lstrip("# ").strip()
