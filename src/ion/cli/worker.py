"""`ion worker`."""

from __future__ import annotations

import os

import click

from ion.cli.place import Place, at_place


@click.command()
@click.option("--engine", required=True, metavar="URL", help="The cluster: temporal://HOST:PORT[/NAMESPACE].")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many nodes run here at once.")
@at_place
def worker(place: Place, engine: str, jobs: int | None) -> int:
    """Work for runs of a Temporal cluster, in this project and its store, until a signal ends it.

    Nodes run in the run's working directory: every worker has to see the same files under the same path.
    """
    from ion.api.engines import work
    from ion.cli import terminal

    screen = terminal.talk()
    with place.open() as workspace:
        work(
            workspace, engine, slots=jobs or (os.cpu_count() or 1) * 4, say=lambda line: screen.line(f"worker: {line}")
        )
    return 0
