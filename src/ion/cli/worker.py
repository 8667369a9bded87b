"""`ion worker`."""

from __future__ import annotations

import os

import click

from ion.cli.context import CliContext, in_context
from ion.errors import UsageError


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
    from ion.cli import terminal
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
