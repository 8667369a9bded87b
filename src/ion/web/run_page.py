"""One run: its nodes, when each ran, what it waits for, and what to type next; its graph; its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import to_builtins
from msgspec.structs import replace

from ion.api.described import run_duration
from ion.api.watchers import event_object
from ion.foreign import dumps
from ion.masking import head
from ion.views.graph import Picture, picture_of
from ion.views.happenings import STATE_OF, said_of, verb_of
from ion.views.marks import role_of, symbol
from ion.views.markup import inline_svg
from ion.views.masking import masked, masked_json
from ion.views.text import cut
from ion.views.words import cost_line
from ion.web import parts
from ion.web.html import Child, Html, block, h, url
from ion.web.parts import facts
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from ion import Recorded
    from ion.api.readers import RunView

# How many nodes a graph may have to be drawn, and how many events a page shows.
MOST_DRAWN = 300
EVENTS = 100
_LONGEST_SAID = 400
_LONGEST_EVENT = 8_000
_LONGEST_GIVEN = 16_000
_TABS = (("", "Nodes"), ("graph", "Graph"), ("events", "Events"))


def page(site: Site, request: Request) -> Page:
    """The run as a tree with a timeline."""
    with site.read(request) as run:
        tree = parts.tree(run, site.frame, start=number(request, "from"))
        body = h("section", h("h2", "Nodes", class_="unseen"), tree)
        return shell(site, run, "", parts.next_steps(run, site.frame), body)


def graph(site: Site, request: Request) -> Page:
    """The run's graph, coloured by state."""
    with site.read(request) as run:
        return shell(site, run, "graph", h("section", h("h2", "Graph", class_="unseen"), drawn(site, run)))


def drawn(site: Site, run: RunView) -> Html:
    """The graph, or why there is none."""
    if run.frozen is None:
        return h("p", "The workflow of this run cannot be read any more.")
    if len(run.state.started.nodes if run.state.started else ()) > MOST_DRAWN:
        return too_large(site, "--run", run.run_id)
    picture = picture_of(run.frozen, run.state)
    return figure(picture, lambda node: site.frame.link(run.run_id, node) if node in run.state.nodes else "")


def too_large(site: Site, *words: str) -> Html:
    """A graph that nobody could read."""
    command = h("code", site.command("graph", *words, "--format", "dot"), class_="command")
    return h("p", "The graph is too large to be drawn here. For another program: ", command)


def figure(picture: Picture, link: Callable[[str], str]) -> Html:
    """A graph, drawn; `link` says where a node is shown ('': nowhere)."""
    if _size(picture) > MOST_DRAWN:
        picture = Picture(picture.name, tuple(replace(node, inside=None) for node in picture.nodes), picture.edges)
    return h(
        "div", Html(masked(inline_svg(picture, link))), class_="graph", tabindex=0, role="group", aria_label="Graph"
    )


def _size(picture: Picture) -> int:
    return len(picture.nodes) + sum(_size(node.inside) for node in picture.nodes if node.inside is not None)


def events(site: Site, request: Request) -> Page:
    """The log, from its end."""
    with site.read(request) as run:
        last = min(number(request, "to") or run.row.last_seq, run.row.last_seq)
        found = run.events(after=max(0, last - EVENTS), limit=min(EVENTS, last))
        place = url("r", run.run_id, "events")
        older = h("a", "← older", href=f"{place}?to={last - EVENTS}", rel="prev") if last > EVENTS else None
        newer = last + EVENTS
        later = h("a", "newer →", href=f"{place}?to={newer}", rel="next") if last < run.row.last_seq else None
        where = h("span", f"{found[0].seq}–{last} of {run.row.last_seq} events") if found else h("span", "no events")
        body = h(
            "section",
            h("h2", "Events", class_="unseen"),
            event_table(run, found, site.frame),
            h("nav", older, where, later, class_="pager", aria_label="More events"),
        )
        return shell(site, run, "events", body)


def event_table(run: RunView, found: Sequence[Recorded], frame: parts.Frame, *, named: bool = True) -> Html:
    """Events, a row each. `named`: with the node that they are about."""
    named_head = (("Node", None),) if named else ()
    heads = (("#", "number"), ("At", "number"), ("Event", None), *named_head, ("What", "note"))
    rows = (_event(run, recorded, frame, named=named) for recorded in found)
    head = h("thead", h("tr", (h("th", name, scope="col", class_=css) for name, css in heads)))
    return h("div", h("table", head, h("tbody", rows), class_="events"), class_="wide")


def _event(run: RunView, recorded: Recorded, frame: parts.Frame, *, named: bool) -> Html:
    event, verb = recorded.event, verb_of(recorded.event)
    node = str(getattr(event, "node", None) or "")
    role = role_of(STATE_OF[verb]) if verb in STATE_OF else "strong"
    link = h("a", node, href=frame.link(run.run_id, node)) if node in run.state.nodes else node
    whole = head(dumps(masked_json(event_object(run.run_id, recorded)), indent=1), _LONGEST_EVENT)
    return h(
        "tr",
        h("td", str(recorded.seq), class_="number faint"),
        h("td", parts.since_start(run, event.at), class_="number"),
        h("td", verb, class_=f"verb {role}"),
        h("td", link, class_="name") if named else None,
        h(
            "td",
            h("details", h("summary", cut(said_of(event), _LONGEST_SAID) or event.type), block(whole)),
            class_="note",
        ),
    )


# ------------------------------------------------------------------ what every page of a run has


def number(request: Request, name: str) -> int:
    """A number in the query; 0 if it is not one."""
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 12 else 0


def shell(site: Site, run: RunView, tab: str, *body: Child) -> Page:
    """The page of a run around what this tab shows."""
    title = f"{run.workflow} {run.run_id}"
    links = (
        h(
            "a",
            label,
            href=url("r", run.run_id, *([name] if name else [])),
            aria_current="page" if name == tab else None,
        )
        for name, label in _TABS
    )
    nav = h("nav", links, class_="tabs", aria_label="This run")
    return Page(
        f"{symbol(mark_of(run))} {title}",
        h("article", header(site, run), nav, *body),
        stream=url("r", run.run_id, "stream"),
        version=version(run),
        section="runs",
        answers=bool(site.frame.csrf),
    )


def version(run: RunView) -> str:
    """What a page of the run was made of."""
    return f"{run.row.last_seq}-{run.status}"


def mark_of(run: RunView) -> str:
    """The key of the symbol of a run."""
    return "unclean" if run.status == "completed" and not run.described.handled.is_clean else run.status


def header(site: Site, run: RunView) -> Html:
    """Who, what, when, as in `ion show`."""
    started = run.state.started
    took = run_duration(run.state, run.status, run.now)
    file = f"{started.file}" if started is not None and started.file else ""
    changed = site.source_changed(run) if file and run.status == "failed" else ""
    rows: list[tuple[str, Child]] = [
        ("started", parts.time(run.state.started_at, run.now)),
        ("took", parts.growing(took, grows=run.status == "running")),
    ]
    if started is not None and {"user", "host"} <= started.by.keys():
        rows.append(("by", f"{started.by['user']}@{started.by['host']}"))
    if file:
        rows.append(("file", site.relative(file) + (f" ({changed})" if changed else "")))
    if started is not None and started.rerun_of:
        rows.append(("rerun of", _origin(started.rerun_of)))
    if cost := cost_line(run.state).removeprefix("cost").strip():
        rows.append(("cost", cost))
    given = _given(run)
    mark = mark_of(run)
    finishing = ", finishing" if run.state.finishing is not None else ""
    word = f"{run.status}, not clean" if mark == "unclean" else f"{run.status}{finishing}"
    return h(
        "header",
        h(
            "h1",
            parts.state(mark),
            " ",
            run.workflow,
            " ",
            h("code", run.run_id),
            " ",
            h("span", word, class_=role_of(mark)),
        ),
        facts(rows),
        given,
        class_="head",
    )


def _origin(origin: dict[str, object]) -> Html:
    run_id, node = str(origin.get("run_id", "")), origin.get("from")
    return h(
        "span",
        h("a", run_id, href=url("r", run_id)),
        f" from {node}" if node else "",
        ", edited" if origin.get("edited") else "",
    )


def _given(run: RunView) -> Html | None:
    """What it was started with."""
    started = run.state.started
    if started is None or not (started.inputs or started.arguments or started.context):
        return None
    given = [(name, _as_text(value)) for name, value in started.inputs.items()]
    given += [("arguments", started.arguments), ("context", started.context)]
    rows: list[tuple[str, Child]] = [(name, block(head(value, _LONGEST_GIVEN))) for name, value in given if value]
    return h("details", h("summary", "Given"), facts(rows), class_="given")


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else dumps(to_builtins(value))
