"""The routes: which page is where. Each page is a function of the site and the request; it is called in a thread, since
it reads the store."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from ion.errors import IonError, NotFoundError, RefusedError, UsageError
from ion.web import gates_page, node_page, run_page, runs_page, schedules_page, stream, workflows_page
from ion.web.html import h
from ion.web.site import Page, Site, document

PageFunction: TypeAlias = "Callable[[Site, Request], Page | Response]"
StreamFunction: TypeAlias = Callable[[Site, Request], Awaitable[Response]]

# path → the page there
PAGES: dict[str, PageFunction] = {
    "/": runs_page.page,
    "/gates": gates_page.page,
    "/workflows": workflows_page.page,
    "/workflows/{name}": workflows_page.workflow,
    "/schedules": schedules_page.page,
    "/r/{run}": run_page.page,
    "/r/{run}/graph": run_page.graph,
    "/r/{run}/events": run_page.events,
    "/r/{run}/n/{node}": node_page.page,
    "/r/{run}/n/{node}/output": node_page.output,
    "/r/{run}/n/{node}/log/{file}": node_page.log,
}
# path → the news of the page there
STREAMS: dict[str, StreamFunction] = {
    "/stream": stream.of_runs,
    "/r/{run}/stream": stream.of_run,
    "/r/{run}/n/{node}/stream": stream.of_run,
}
# path → what a form there changes
ANSWERS: dict[str, PageFunction] = {"/r/{run}/n/{node}/answer": gates_page.answer}
STATIC = {"style.css": "text/css", "page.js": "text/javascript", "idiomorph.js": "text/javascript"}
_STATUS: tuple[tuple[type[IonError], int], ...] = ((NotFoundError, 404), (UsageError, 400), (RefusedError, 409))


def application(site: Site) -> Starlette:
    """The pages, without the checks of `guard`."""
    routes: list[BaseRoute] = [Route(path, _endpoint(site, page), methods=["GET"]) for path, page in PAGES.items()]
    routes += [Route(path, _streamed(site, news), methods=["GET"]) for path, news in STREAMS.items()]
    routes += [Route(path, _endpoint(site, change), methods=["POST"]) for path, change in ANSWERS.items()]
    routes.append(Route("/static/{name}", _static, methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: partial(_no_such_page, site)})
    app.router.redirect_slashes = False
    return app


def _endpoint(site: Site, page: PageFunction) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, site, page, request)

    return endpoint


def _streamed(site: Site, news: StreamFunction) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        try:
            return await news(site, request)
        except IonError as error:
            raise HTTPException(404) from error

    return endpoint


def answer(site: Site, page: PageFunction, request: Request) -> Response:
    """What a page gives, or the error that it raised, as a page."""
    try:
        found = page(site, request)
    except IonError as error:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        found = _problem(error.message, error.hint, status)
    except Exception as error:  # noqa: BLE001 a bug of ours: said, and the server continues
        site.say(f"{request.url.path} failed: {error!r}")
        found = _problem(f"{type(error).__name__}: {error}", "This is a bug of Ion. Please report it.", 500)
    if isinstance(found, Response):
        return found
    return HTMLResponse(document(found, project_name(site)), found.status)


def project_name(site: Site) -> str:
    """The project's folder, as people write it."""
    folder, home = str(site.workspace.project), os.path.expanduser("~")  # noqa: PTH111 a text is wanted
    return f"~{folder.removeprefix(home)}" if folder.startswith(f"{home}/") else folder


def _problem(message: str, hint: str, status: int) -> Page:
    said = h("p", hint, class_="faint") if hint else None
    return Page("Not shown", h("section", h("h1", "This cannot be shown"), h("p", message), said), status=status)


async def _no_such_page(site: Site, _request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = "There is nothing at this address." if status == 404 else "This address is not used in this way."
    return HTMLResponse(document(_problem(message, "", status), project_name(site)), status)


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    return Response(files("ion.web").joinpath("static", name).read_bytes(), media_type=STATIC[name])
