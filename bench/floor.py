"""The floor: the same work by the plainest program that can do it. Run as a program, never imported by Ion's side.

`graph FILE JOBS` spawns the same `bash -c` processes with pipes, as many at once, and keeps nothing. `commits N FOLDER`
makes as many one-row commits in SQLite (WAL, synchronous FULL); `postgres N URL` the same there. `yaml FOLDER` reads
every file with the C loader. `commits` and `postgres` print what took how long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def graph(file: str, jobs: str) -> None:
    """Run a graph."""
    import asyncio
    import json
    from pathlib import Path

    nodes = json.loads(Path(file).read_text())

    async def main() -> None:
        slots = asyncio.Semaphore(int(jobs))
        ended = {node: asyncio.Event() for node, _, _ in nodes}

        async def run(node: str, after: list[str], command: str) -> None:
            for other in after:
                await ended[other].wait()
            async with slots:
                process = await asyncio.create_subprocess_exec(
                    "bash",
                    "-c",
                    command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
                output, _ = await process.communicate()
            if process.returncode != 0:
                raise SystemExit(f"{node} failed: {output!r}")
            ended[node].set()

        await asyncio.gather(*(run(*node) for node in nodes))

    asyncio.run(main())


def commits(count: str, folder: str) -> None:
    """One row and one durable commit, again and again."""
    import sqlite3

    connection = sqlite3.connect(f"{folder}/floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("DROP TABLE IF EXISTS log")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, event TEXT)")
    began, used = time.perf_counter(), time.process_time()
    for _ in range(int(count)):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO log (event) VALUES (?)", ("x" * 200,))
        connection.execute("COMMIT")
    _say(began, used)


def postgres(count: str, url: str) -> None:
    """The same on a PostgreSQL server."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS floor_log (id bigserial PRIMARY KEY, event text)")
        began, used = time.perf_counter(), time.process_time()
        for _ in range(int(count)):
            connection.execute("INSERT INTO floor_log (event) VALUES (%s)", ("x" * 200,))
        _say(began, used)


def yaml(folder: str) -> None:
    """Every file of a folder, read and loaded."""
    from pathlib import Path

    from yaml import CSafeLoader, load

    for file in sorted(Path(folder).glob("*.yaml")):
        load(file.read_bytes(), Loader=CSafeLoader)


def _say(began: float, used: float) -> None:
    print(f'{{"seconds": {time.perf_counter() - began}, "cpu": {time.process_time() - used}}}')


WORKS: dict[str, Callable[..., None]] = {"graph": graph, "commits": commits, "postgres": postgres, "yaml": yaml}

if __name__ == "__main__":
    WORKS[sys.argv[1]](*sys.argv[2:])
