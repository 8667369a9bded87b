"""Telling an open page that there is something new: a stream of server-sent events, one line for each change.

A page says what it was made of (`since`), so that nothing is lost between the page and its stream, or while a laptop
slept. What is new it asks for itself: the stream carries no content.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ion.api.listing import status_of
from ion.api.reading import log_files_of
from ion.errors import IonError
from ion.web import gates_page
from ion.web.site import Site

POLL_SECONDS, POLL_ALL_SECONDS = 0.25, 0.5
# A line now and then, by which the server sees that nobody listens any more.
_ALIVE_SECONDS = 15


async def of_runs(site: Site, request: Request) -> Response:
    """News of any run of the project."""
    return _stream(site, request, partial(gates_page.version, site), POLL_ALL_SECONDS)


async def of_run(site: Site, request: Request) -> Response:
    """News of one run, or of a node of it and what its programs write."""
    run_id = (await run_in_threadpool(site.workspace.find_run, request.path_params["run"])).run_id
    return _stream(site, request, partial(_version, site, run_id, request.path_params.get("node")), POLL_SECONDS)


def _version(site: Site, run_id: str, node: str | None) -> str:
    store = site.workspace.store
    row = store.get_workflow_run(run_id)
    shown = f"{row.last_seq}-{status_of(store, row)}"
    if node is None:
        return shown
    return f"{shown}-{sum(file.stat().st_size for file in log_files_of(site.workspace, run_id, node))}"


def _stream(site: Site, request: Request, version: Callable[[], str], seconds: float) -> Response:
    since = request.headers.get("last-event-id") or request.query_params.get("since", "")
    lines = _lines(site, version, since, seconds)
    return StreamingResponse(lines, media_type="text/event-stream")


async def _lines(site: Site, version: Callable[[], str], since: str, seconds: float) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    quiet = 0.0
    while not site.ended.is_set():
        try:
            now = await run_in_threadpool(version)
        except IonError:  # the run was forgotten, or the store is away: the page says so when it asks
            now = "gone"
        if now != since:
            since, quiet = now, 0.0
            yield f"id: {now}\nevent: change\ndata: {now}\n\n"
        elif quiet >= _ALIVE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        quiet += seconds
        try:
            await asyncio.wait_for(site.ended.wait(), seconds)
        except TimeoutError:
            continue
