"""The graph as a DBOS workflow on SQLite, one step for each node. Run as a program where DBOS is installed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from dbos import DBOS, DBOSConfig

nodes = json.loads(Path(sys.argv[1]).read_text())
configuration: DBOSConfig = {
    "name": "bench",
    "system_database_url": f"sqlite:///{sys.argv[2]}",
    "run_admin_server": False,
    "log_level": "ERROR",
}
DBOS(config=configuration)


@DBOS.step()
async def command(text: str) -> int:
    """One node."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", text, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(text)
    return process.returncode


@DBOS.workflow()
async def graph() -> None:
    """All of them: a node begins when the last one that it waits for has ended."""
    waits = {node: len(after) for node, after, _ in nodes}
    followers: dict[str, list[str]] = {node: [] for node in waits}
    for node, after, _ in nodes:
        for other in after:
            followers[other].append(node)
    texts = {node: text for node, _, text in nodes}
    running = {asyncio.ensure_future(command(texts[node])): node for node, count in waits.items() if count == 0}
    while running:
        ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
            for follower in followers[running.pop(task)]:
                waits[follower] -= 1
                if waits[follower] == 0:
                    running[asyncio.ensure_future(command(texts[follower]))] = follower


async def main() -> None:
    DBOS.launch()
    handle = await DBOS.start_workflow_async(graph)
    await handle.get_result()
    DBOS.destroy()


asyncio.run(main())
