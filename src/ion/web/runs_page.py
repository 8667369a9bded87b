"""What needs you, and the runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from ion import clocks
from ion.api.reading import list_runs, now_of
from ion.views.text import duration, moment
from ion.views.words import role_of, symbol
from ion.web.html import Html, h, url
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from ion import WorkflowRun

PAGE_SIZE = 50


def page(site: Site, _request: Request) -> Page:
    """The first page."""
    found = list_runs(site.workspace, limit=PAGE_SIZE)
    now = clocks.now_ms()
    rows = [_row(run, status, now) for run, status in found]
    head = h("tr", *(h("th", name, scope="col") for name in ("", "Workflow", "Run", "Status", "Started", "Took")))
    table = h("table", h("thead", head), h("tbody", *rows), class_="runs")
    return Page("Runs", h("section", h("h1", "Runs"), h("div", table, class_="wide")), section="runs")


def _row(run: WorkflowRun, status: str, now: int) -> Html:
    took = None
    if run.ended_at is not None or status == "running":
        took = (run.ended_at or now_of(run)) - run.started_at
    return h(
        "tr",
        h("td", h("span", symbol(status), class_=role_of(status))),
        h("td", h("a", run.workflow, href=url("r", run.run_id))),
        h("td", h("code", run.run_id)),
        h("td", status, class_=role_of(status)),
        h("td", moment(run.started_at or None, now)),
        h("td", duration(took), class_="number"),
    )
