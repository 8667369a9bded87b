"""What needs you, and the runs, newest first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.requests import Request

from ion import clocks
from ion.api.listing import is_clean, is_finishing, list_runs, now_of
from ion.errors import IonError
from ion.views.marks import role_of
from ion.views.text import cut, one_line
from ion.views.waiting import PASSING, all_asked, answered, labels_of
from ion.views.words import in_short
from ion.web import gates_page, parts
from ion.web.html import Html, h, url
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from ion import WorkflowRun

PAGE_SIZE = 50
UNCLEAN = "unclean"
STATUSES = ("running", "queued", "paused", "failed", "interrupted", "completed", UNCLEAN, "cancelled")
# Of so many runs that have completed those are found that are not clean.
_LOOKED_AT = 1000
_LONGEST_ASKED = 110
# The nodes of runs with at most so many events are counted.
_COUNTED_EVENTS = 500
# What is due for so long, no clock has seen.
_LATE_MS = 2 * 60_000


def page(site: Site, request: Request) -> Page:
    """The first page. The filters and the place are in the URL."""
    status, workflow = request.query_params.get("status", ""), request.query_params.get("workflow", "")
    status = status if status in STATUSES else ""
    before = _cursor(request.query_params.get("before", ""))
    found = _found(site, status, workflow or None, before)
    more = len(found) > PAGE_SIZE
    shown = found[:PAGE_SIZE]
    body = (
        None if before is not None or status or workflow else _needs_you(site),
        h(
            "section",
            h("h1", "Runs"),
            _filters(status, workflow),
            _table(site, shown),
            _more(status, workflow, shown, more),
        ),
    )
    return Page("Runs", h("div", *body), stream="/stream", version=gates_page.version(site), section="runs")


def _found(
    site: Site, status: str, workflow: str | None, before: tuple[int, str] | None
) -> list[tuple[WorkflowRun, str]]:
    """The runs of this page, and the first one of the next."""
    if status != UNCLEAN:
        return list_runs(site.workspace, status=status or None, workflow=workflow, limit=PAGE_SIZE + 1, before=before)
    found = list_runs(site.workspace, status="completed", workflow=workflow, limit=_LOOKED_AT, before=before)
    return [one for one in found if is_clean(site.workspace, one[0]) is False][: PAGE_SIZE + 1]


def _cursor(text: str) -> tuple[int, str] | None:
    at, _, run_id = text.partition("-")
    return (int(at), run_id) if at.isascii() and at.isdigit() and len(at) < 16 else None


def _filters(status: str, workflow: str) -> Html:
    links = (
        h(
            "a",
            "not clean" if name == UNCLEAN else name or "all",
            href=url("", status=name, workflow=workflow),
            aria_current="true" if name == status else None,
        )
        for name in ("", *STATUSES)
    )
    clear = h("a", f"workflow {workflow} ×", href=url("", status=status), class_="chosen") if workflow else None
    return h("nav", links, clear, class_="filters", aria_label="Only these runs")


def _table(site: Site, found: list[tuple[WorkflowRun, str]]) -> Html:
    if not found:
        command = h("code", site.command("run", "WORKFLOW"), class_="command")
        return h("p", "No runs like that. ", command, " starts one.", class_="calm")
    heads = (
        h("th", name, scope="col", class_=css or None)
        for name, css in (
            ("Workflow", ""),
            ("Run", ""),
            ("Status", ""),
            ("Started", ""),
            ("Took", "number"),
            ("Nodes", "number"),
            ("Cost", "number"),
        )
    )
    now = clocks.now_ms()
    body = h("tbody", (_row(site, run, status, now) for run, status in found))
    return h("div", h("table", h("thead", h("tr", heads)), body, class_="runs"), class_="wide")


def _row(site: Site, run: WorkflowRun, status: str, now: int) -> Html:
    clean, took = is_clean(site.workspace, run), None
    finishing = status == "running" and is_finishing(site.workspace, run)
    word = f"{status}, not clean" if clean is False else f"{status}, finishing" if finishing else status
    if run.ended_at is not None or status == "running":
        took = max(0, (run.ended_at or now_of(run)) - run.started_at)
    link, mark = url("r", run.run_id), "unclean" if clean is False else status
    return h(
        "tr",
        h("th", parts.state(mark), " ", h("a", run.workflow or run.run_id, href=link), scope="row"),
        h("td", h("a", h("code", run.run_id), href=link, tabindex=-1)),
        h("td", word, class_=role_of(mark)),
        h("td", parts.time(run.started_at, now)),
        h("td", parts.growing(took, grows=status == "running"), class_="number"),
        *_counts(site, run),
    )


def _counts(site: Site, found: WorkflowRun) -> tuple[Html, Html]:
    """How many of the nodes are over, how many failed, and what the agents cost; of a run with a long log only its own
    page says that."""
    nodes = cost = ""
    if found.last_seq <= _COUNTED_EVENTS:
        with suppress(IonError), site.readers.read(found.run_id) as run:
            nodes, cost = in_short(run.state)
    return h("td", nodes, class_="number"), h("td", cost, class_="number")


def _more(status: str, workflow: str, shown: list[tuple[WorkflowRun, str]], more: bool) -> Html | None:
    if not more:
        return None
    last = shown[-1][0]
    href = url("", status=status, workflow=workflow, before=f"{last.started_at}-{last.run_id}")
    return h("nav", h("a", "older →", href=href, rel="next"), class_="pager", aria_label="More runs")


# ------------------------------------------------------------------ what needs you


def _needs_you(site: Site) -> Html | None:
    rows = [row for run in gates_page.waiting_runs(site) for row in _asked(site, run)]
    if not rows:
        return None
    return h(
        "section", h("h2", "Needs you", class_="attention"), h("ul", rows, class_="needs"), class_="notice attention"
    )


def _first(commands: tuple[tuple[str, str], ...]) -> str:
    return commands[0][0] if commands else ""


def _asked(site: Site, found: WorkflowRun) -> list[Html]:
    """A line for each of the first things that a run asks."""
    try:
        with site.readers.read(found.run_id) as run:
            name = h("a", run.workflow, " ", h("code", run.run_id), href=parts.run_link(run.run_id))
            if run.status == "interrupted" or (run.status == "paused" and answered(run.state)):
                word = "interrupted" if run.status == "interrupted" else "answered"
                return [_line(run.status, name, word, site.command("resume", run.run_id))]
            asked = [
                one
                for one in all_asked(site.command, run.run_id, run.state, labels_of(run.frozen))
                if one.waiting.kind not in PASSING
            ]
            if not asked and run.status == "paused" and (run.state.due_at or run.now) < run.now - _LATE_MS:
                since = h("span", "is due since ", parts.time(run.state.due_at, run.now))
                return [_line("waiting", name, since, site.command("tick"))]
            lines = []
            for one in asked[:3]:
                where = (
                    h("a", one.waiting.node, href=parts.run_link(run.run_id, one.waiting.node))
                    if one.waiting.node
                    else ""
                )
                said = cut(one_line(one.waiting.message), _LONGEST_ASKED)
                lines.append(_line("waiting", name, h("span", where, " ", said), _first(one.commands)))
            if len(asked) > len(lines):
                lines.append(
                    _line("waiting", name, f"… and {len(asked) - len(lines)} more", site.command("show", run.run_id))
                )
            return lines
    except IonError as error:
        return [_line("damaged", h("code", found.run_id), error.message, site.command("show", found.run_id))]


def _line(mark: str, name: Html, said: Html | str, command: str) -> Html:
    return h(
        "li",
        parts.state(mark),
        h("span", name, class_="who"),
        h("span", said, class_="what"),
        h("span", h("code", command, class_="command")),
    )
