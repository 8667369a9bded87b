"""Record the histories in `histories/` anew:
`PYTHONPATH=.:tests uv run python -m tests.engine.temporal.record_histories`.

They say what workflows that are running rely on. When the replay test fails, the change breaks runs that are under way
on a cluster: either it has to go through `workflow.patched`, or, before a first release that anybody runs, they are
recorded anew.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from temporalio.client import Client
from tests.engine.temporal.kit import GATE, SLOW, WORKFLOWS, Project, Server, chain

from ion.engine.temporal.cluster import cluster_of, queue_of, workflow_id
from processes import until

HISTORIES = Path(__file__).parent / "histories"


def _runs(project: Project) -> Iterator[str]:
    """Do what is to be recorded; gives the ids of the runs, which are the names of the files."""
    agent = ("--agent", "scribe")
    for name in ("graph", "agents", "retried", "inside", "foreseen"):
        project.write(name, WORKFLOWS[name])
        project.run(name, "--run-id", name, *agent)
        yield name
    project.write("gate", GATE)
    project.run("gate", "--run-id", "gate")
    project.ion("approve", "gate", "--comment", "yes")
    yield "gate"
    project.run("gate", "--run-id", "rejected")
    project.ion("reject", "rejected", "--reason", "no")
    yield "rejected"
    project.write("slow", SLOW)
    project.run("slow", "--run-id", "cancelled", "--detach")
    until((project.folder / "pids").exists)
    project.ion("cancel", "cancelled", "--reason", "enough")
    until(lambda: project.status("cancelled") == "cancelled")
    yield "cancelled"
    project.run("agents", "--run-id", "submitted")
    project.ion("submit", "submitted", "ask", "--file", "agent.py")
    project.ion("submit", "submitted", "json", "--file", str(project.write_file("answer", '{"ok": true}')))
    project.ion("submit", "submitted", "loop", "--file", str(project.write_file("answer", "DONE")))
    yield "submitted"
    project.write("long", chain(20))
    project.run("long", "--run-id", "continued", ION_LONGEST_HISTORY="60")
    yield "continued"


async def _fetch(address: str, queue: str, run_id: str) -> str:
    client = await Client.connect(address)
    return (await client.get_workflow_handle(workflow_id(queue, run_id)).fetch_history()).to_json()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = Server(root)
        project = Project(root / "project", server)
        try:
            project.work()
            store = f"sqlite:{project.folder}/.ion/ion.db"
            queue = queue_of(cluster_of(server.url), project.folder, store)
            for run_id in _runs(project):
                history = asyncio.run(_fetch(server.url.removeprefix("temporal://"), queue, run_id))
                history = re.sub(r'("identity": )"[^"]*"', r'\1"worker"', history)
                (HISTORIES / f"{run_id}.json").write_text(history + "\n")
                sys.stdout.write(f"{run_id}: {project.status(run_id)}\n")
        finally:
            project.close()
            server.kill()


if __name__ == "__main__":
    main()
