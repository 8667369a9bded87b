"""One node of a run, or an instance inside of one: why it is as it is, with which values, what it said and wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ion.api.described import node_duration
from ion.api.reading import log_files_of, open_content, sent_prompts
from ion.errors import NotFoundError
from ion.foreign import dumps
from ion.views import rows
from ion.views.explain import KINDS, Subject, head_of, iteration_of, node_of, rows_of, talk_of, written_at
from ion.views.following import LogFile, readable, tail
from ion.views.marks import role_of
from ion.views.masking import masked_bytes
from ion.views.text import duration, plural, size
from ion.views.waiting import answers_of
from ion.views.words import mark_of_node, said_of
from ion.web import parts
from ion.web.html import NOTHING, Child, Html, block, h, join, url
from ion.web.parts import commands, facts
from ion.web.run_page import event_table, number, shell, version
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from ion import NodeState, Recorded
    from ion.api.readers import RunView
    from ion.api.reading import Content

# How much of an output, and of each log, a page shows; how many events, and logs of earlier starts.
LONGEST_OUTPUT, LONGEST_LOG = 64 * 1024, 16 * 1024
EVENTS, LOGS = 40, 6


class _Inside(Struct, frozen=True):
    """Which of the instances inside of a node are shown: from which number on, in which state ('': any), of which
    iteration (0: all)."""

    start: int
    status: str
    iteration: int


_FILTERS = ("failed", "waiting", "running", "completed", "skipped")


def page(site: Site, request: Request) -> Page:
    """Everything about the node."""
    with site.read(request) as run:
        name = request.path_params["node"]
        name, iteration = iteration_of(run.state, name) or (name, 0)
        node = node_of(run.state, name)
        start, status = number(request, "from"), request.query_params.get("status", "")
        beside = h("aside", parts.names(run, site.frame, chosen=node.id), class_="beside", aria_label="Nodes")
        body = h(
            "div",
            beside,
            h("section", *shown(site, run, node, _Inside(start, status, iteration)), class_="node"),
            class_="columns",
        )
        shown_page = shell(site, run, "node", body)
        news = url("r", run.run_id, "n", node.id, "stream")
        return shown_page.with_stream(news, version_of(run, log_files_of(site.workspace, run.run_id, node.id)))


def version_of(run: RunView, files: list[Path]) -> str:
    """What the page was made of: the log of the run, and how much the programs of the node wrote."""
    return f"{version(run)}-{sum(file.stat().st_size for file in files)}"


def shown(site: Site, run: RunView, node: NodeState, wanted: _Inside) -> list[Child]:
    """The sections, in the order in which one asks."""
    found = run.events_of(node.id, EVENTS)
    files = readable(log_files_of(site.workspace, run.run_id, node.id))
    asked = parts.asked_at(run, site.frame, node.id)
    subject, asks = _subject(run, node, files, found), KINDS[node.kind].asks_agent
    return [
        _head(run, node, subject),
        asked,
        _why(site, subject),
        _inside(run, node, site.frame, wanted),
        _prompt(site, run, node, found) if asks else None,
        _output(site, run, node),
        _logs(run, files),
        None if asks else _prompt(site, run, node, found),
        _history(run, found, site.frame),
        _commands(site, run, node, bool(files)),
    ]


def _subject(run: RunView, node: NodeState, files: list[LogFile], found: list[Recorded]) -> Subject | None:
    """What `ion show RUN NODE` explains; None where the workflow cannot be read."""
    if run.frozen is None:
        return None
    logged = {"stdout": 0, "stderr": 0}
    for file in files:
        logged[file.stream] = logged.get(file.stream, 0) + file.path.stat().st_size
    answers = answers_of(found, node.id) if node.asked else ()
    return Subject(result=run, workflow=run.frozen, now=node, logged=logged, answers=answers)


def _head(run: RunView, node: NodeState, subject: Subject | None) -> Html:
    around = _crumbs(run, node.id)
    name = mark_of_node(run.state, node, run.status)
    said = " · ".join(head_of(subject)) if subject is not None else ""
    item = run.described.item(node)
    return h(
        "header",
        h(
            "h2",
            parts.state(name),
            " ",
            around,
            h("span", parts.short_name(node.id)),
            " ",
            h("span", said_of(run.state, node), class_=role_of(name)),
        ),
        h("p", said, class_="faint") if said else None,
        block(item if isinstance(item, str) else dumps(item), class_="item") if item is not None else None,
    )


def _crumbs(run: RunView, address: str) -> Html:
    """What it is inside of, from the outside."""
    owners: list[str] = []
    while owner := run.state.nodes[address].owner:
        owners.append(owner)
        address = owner
    links = (
        join([h("a", parts.short_name(one), href=parts.run_link(run.run_id, one)), h("span", " › ", class_="faint")])
        for one in reversed(owners)
    )
    return join(links)


def _why(site: Site, subject: Subject | None) -> Html:
    if subject is None:
        return h("p", "The workflow of this run cannot be read any more, so it is not known why.")
    told: list[tuple[str, Child]] = [(label, text) for label, text in rows_of(subject, site.command)]
    told += [(label, block(text)) for label, text in talk_of(subject, site.command) if label not in ("asks", "answer")]
    return h("section", h("h3", "Why"), facts(told)) if told else NOTHING


def _inside(run: RunView, node: NodeState, frame: parts.Frame, wanted: _Inside) -> Html:
    """What is inside of it, what failed, waits or runs first."""
    if node.id not in run.state.scopes:
        return NOTHING
    found, count = rows.page(
        run, run.frozen, node, start=wanted.start, size=parts.ROWS, status=wanted.status, iteration=wanted.iteration
    )
    address = f"{node.id}.{wanted.iteration}" if wanted.iteration else node.id

    def at(status: str, start: int = 0) -> str:
        return url("r", run.run_id, "n", address, status=status, from_=start)

    filters = (
        h(
            "a",
            f"{counted} {name}",
            href=at(name),
            aria_current="true" if name == wanted.status else None,
        )
        for name in _FILTERS
        if (counted := run.described.tally.counts[node.id][name])
    )
    every = h("a", "all", href=at(""), aria_current=None if wanted.status else "true")
    body = (
        h(
            "tr",
            h(
                "th",
                parts.state(row.state),
                " ",
                h("a", row.node.id[len(node.id) + 1 :], href=frame.link(run.run_id, row.node.id)),
                scope="row",
            ),
            h("td", row.item, class_="name"),
            h("td", duration(node_duration(row.node, run.described.owned)), class_="number"),
            h("td", row.note, class_="note"),
        )
        for row in found
    )
    return h(
        "section",
        h("h3", f"Inside, iteration {wanted.iteration}" if wanted.iteration else "Inside"),
        h("nav", every, filters, class_="filters", aria_label="Only these"),
        h("div", h("table", h("tbody", body), class_="nodes"), class_="wide"),
        parts.pager(wanted.start, count, "instances", lambda start: at(wanted.status, start)),
    )


def _prompt(site: Site, run: RunView, node: NodeState, found: list[Recorded]) -> Html:
    """The prompt as it was sent: to whoever answers from outside as the log has it, to a program as it was kept; of
    neither, as it is written."""
    sent = next((one.event for one in reversed(found) if hasattr(one.event, "prompt")), None)
    if sent is not None:
        return _text(site, "Prompt, as sent", sent.prompt)
    if files := sent_prompts(site.workspace, run.run_id, node.id)[-LOGS:]:
        earlier = [_prompt_file(file) for file in reversed(files[:-1])]
        hidden = h("details", h("summary", plural(len(earlier), "earlier prompt")), earlier) if earlier else None
        return h("section", h("h3", "Prompt, as sent"), _prompt_file(files[-1]), hidden)
    written = written_at(run.frozen, node.id) if run.frozen is not None else ""
    title = "Prompt, as written" if KINDS[node.kind].asks_agent else "Runs"
    return h("section", h("h3", title), block(written)) if written else NOTHING


def _prompt_file(file: Path) -> Html:
    with file.open("rb") as stream:
        data = stream.read(LONGEST_OUTPUT + 1)
    text = data[:LONGEST_OUTPUT].decode("utf-8", "replace")
    return block(f"{text}…" if len(data) > LONGEST_OUTPUT else text)


def _output(site: Site, run: RunView, node: NodeState) -> Html:
    content = node.last_output
    if content is None:
        return NOTHING
    more = h("a", "download", href=url("r", run.run_id, "n", node.id, "output"), download=True)
    title = "Output" if node.status == "completed" else "Last output"
    return _text(site, title, content, h("span", size(content.size), class_="faint"), more)


def _text(site: Site, title: str, content: Content, *after: Child) -> Html:
    """The beginning of a text, however long it is."""
    with open_content(site.workspace, content) as stream:
        data = stream.read(LONGEST_OUTPUT + 1)
    text = data[:LONGEST_OUTPUT].decode("utf-8", "replace")
    cut_off = len(data) > LONGEST_OUTPUT
    more = h("p", f"The first {size(LONGEST_OUTPUT)} of {size(content.size)}.", class_="faint") if cut_off else None
    return h(
        "section", h("h3", title, *(join([" ", one]) for one in after)), block(f"{text}…" if cut_off else text), more
    )


def _logs(run: RunView, files: list[LogFile]) -> Html:
    """The end of what its programs wrote; of earlier starts where to find it."""
    last = max((file.start for file in files), default=0)
    now = [file for file in files if file.start == last]
    earlier = [file for file in files if file.start != last][-LOGS:]
    links = (h("li", h("a", file.title, href=_log_url(run, file), download=True)) for file in earlier)
    return join(
        [
            *(_log(run, file) for file in now),
            h("section", h("h3", "Earlier starts"), h("ul", links)) if earlier else NOTHING,
        ]
    )


def _log_url(run: RunView, file: LogFile) -> str:
    return url("r", run.run_id, "n", file.node, "log", file.path.name)


def _log(run: RunView, file: LogFile) -> Html:
    text, length = tail(file.path, LONGEST_LOG)
    shown_of = f"the last {size(LONGEST_LOG)} of {size(length)}" if length > LONGEST_LOG else size(length)
    link = h("a", "download", href=_log_url(run, file), download=True)
    title = h("h3", file.stream, " ", h("span", shown_of, class_="faint"), " ", link)
    label = f"{file.stream} of {file.node}"
    return h("section", title, block(text, class_="log", tabindex=0, role="log", aria_label=label, aria_live="off"))


def _history(run: RunView, found: list[Recorded], frame: parts.Frame) -> Html:
    if not found:
        return NOTHING
    return h("section", h("h3", "What happened"), event_table(run, found, frame, named=False))


def _commands(site: Site, run: RunView, node: NodeState, logged: bool) -> Html:
    lines = [site.command("show", run.run_id, node.id)]
    lines += [site.command("logs", run.run_id, node.id)] if logged else []
    lines += [site.command("output", run.run_id, node.id)] if node.last_output is not None else []
    lines += (
        [site.command("rerun", run.run_id, "--from", node.id)] if not node.owner and run.status != "running" else []
    )
    return h("section", h("h3", "At the terminal"), commands(*lines))


# ------------------------------------------------------------------ whole, as files


def output(site: Site, request: Request) -> Response:
    """An output whole."""
    with site.read(request) as run:
        node = node_of(run.state, request.path_params["node"])
        content = node.last_output
    if content is None:
        raise NotFoundError(f"'{node.id}' has no output: it is {node.status}")
    return _download(open_content(site.workspace, content), f"{run.run_id}-{node.id}.txt")


def log(site: Site, request: Request) -> Response:
    """A log whole."""
    with site.read(request) as run:
        node = node_of(run.state, request.path_params["node"])
    name = request.path_params["file"]
    files = {path.name: path for path in log_files_of(site.workspace, run.run_id, node.id)}
    if name not in files:
        raise NotFoundError(f"'{node.id}' has no such log")
    path: Path = files[name]
    return _download(path.open("rb"), f"{run.run_id}-{node.id}-{path.name}.txt")


def _download(stream: BinaryIO, name: str) -> Response:
    """Bytes that no browser shows; names of runs and nodes have no character that would matter here."""

    def chunks() -> Iterator[bytes]:
        with stream:
            yield from masked_bytes(stream)

    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks(), media_type="application/octet-stream", headers=headers)
