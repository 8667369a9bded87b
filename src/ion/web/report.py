"""One run as one file that needs no server: what its page shows, all nodes opened, without a script. It is made to be
sent on: to a colleague, with a pull request."""

from __future__ import annotations

from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING

from ion.api.reading import log_files_of, open_content
from ion.views.explain import Subject, head_of, rows_of, talk_of
from ion.views.following import LogFile, readable, tail
from ion.views.graph import picture_of
from ion.views.marks import role_of, symbol
from ion.views.rows import members_of
from ion.views.text import size
from ion.views.waiting import answers_of
from ion.views.words import mark_of_node, said_of
from ion.web import parts
from ion.web.html import NOTHING, Html, block, h
from ion.web.run_page import MOST_DRAWN, figure, header, mark_of
from ion.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ion import NodeState, RunState
    from ion.api.readers import RunView
    from ion.api.reading import Content

# How many nodes are opened, and how much of an output or a log is shown of each.
MOST_OPENED, LONGEST_TEXT = 200, 3 * 1024
# How many events of a node are looked at for the answers that people gave.
_EVENTS = 40
# What names logs and outputs, which are not in it or stand below.
_LEFT_OUT = ("output", "whole", "wrote", "logs")
_CSS = """
.node { border-top: 1px solid var(--line); padding-top: .8rem; }
main { padding-top: 1.5rem; }
pre { max-height: none; }
"""


def report(site: Site, run_id: str) -> str:
    """The whole file."""
    with site.readers.read(run_id) as run:
        frame = parts.Frame(site.command, _anchor)
        opened = _opened(run)
        body = h(
            "main",
            h("article", header(site, run), parts.next_steps(run, frame)),
            h("section", h("h2", "Nodes"), parts.tree(run, frame)),
            _graph(run),
            h("section", h("h2", "Each node"), (_node(site, run, node, frame) for node in opened)),
            _left(site, run, len(opened)),
            id="content",
        )
        css = files("ion.web").joinpath("static", "style.css").read_text(encoding="utf-8") + _CSS
        head = (
            h("meta", charset="utf-8"),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            # Opened from wherever it is kept, it still asks nobody for anything.
            h("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
            h("title", f"{symbol(mark_of(run))} {run.workflow} {run.run_id}"),
            h("style", Html(css)),
        )
        return f"<!doctype html>\n{h('html', h('head', *head), h('body', body), lang='en')}\n"


def _anchor(_run_id: str, node: str = "") -> str:
    return f"#node-{node}"


def _opened(run: RunView) -> list[NodeState]:
    """The nodes that are opened, each before what is inside of it."""
    return list(islice((node for node in _inside(run.state) if node.begun or node.terminal), MOST_OPENED))


def _inside(state: RunState, address: str = "") -> Iterator[NodeState]:
    for node in members_of(state, address):
        yield node
        yield from _inside(state, node.id)


def _graph(run: RunView) -> Html:
    started = run.state.started
    if run.frozen is None or started is None or len(started.nodes) > MOST_DRAWN:
        return NOTHING
    drawn = figure(picture_of(run.frozen, run.state), lambda node: _anchor("", node) if node in run.state.nodes else "")
    return h("section", h("h2", "Graph"), drawn)


def _node(site: Site, run: RunView, node: NodeState, frame: parts.Frame) -> Html:
    name = mark_of_node(run.state, node, run.status)
    logs = readable(log_files_of(site.workspace, run.run_id, node.id))
    last = max((log.start for log in logs), default=0)
    said: list[str] = []
    why = NOTHING
    if run.frozen is not None:
        answers = answers_of(run.events_of(node.id, _EVENTS), node.id) if node.asked else ()
        subject = Subject(result=run, workflow=run.frozen, now=node, logged={}, answers=answers)
        said = head_of(subject)
        told = [(label, text) for label, text in rows_of(subject, frame.command) if label not in _LEFT_OUT]
        told += [one for one in talk_of(subject, frame.command) if one[0] not in ("asks", "answer")]
        why = parts.facts([*told]) if told else NOTHING
    return h(
        "section",
        h("h3", parts.state(name), " ", node.id, " ", h("span", said_of(run.state, node), class_=role_of(name))),
        h("p", " · ".join(said), class_="faint") if said else None,
        why,
        _output(site, node.last_output) if node.last_output is not None else None,
        (_log(log) for log in logs if log.start == last and not _is_output(log, node)),
        class_="node",
        id=f"node-{node.id}",
    )


def _output(site: Site, content: Content) -> Html:
    with open_content(site.workspace, content) as stream:
        data = stream.read(LONGEST_TEXT + 1)
    text = data[:LONGEST_TEXT].decode("utf-8", "replace")
    return _text("output", f"{text}…" if len(data) > LONGEST_TEXT else text, content.size, "the first")


def _is_output(log: LogFile, node: NodeState) -> bool:
    """Whether a log says no more than the output, which is its text less the last end of line."""
    content = node.output
    if log.stream != "stdout" or content is None or content.text is None or content.size > LONGEST_TEXT:
        return False
    return tail(log.path, LONGEST_TEXT)[0].removesuffix("\n") == content.text


def _log(log: LogFile) -> Html:
    text, length = tail(log.path, LONGEST_TEXT)
    return _text(log.stream, text, length, "the last")


def _text(title: str, text: str, length: int, which: str) -> Html:
    shown = f"{which} {size(LONGEST_TEXT)} of {size(length)}" if length > LONGEST_TEXT else size(length)
    return h("div", h("h4", title, " ", h("span", shown, class_="faint")), block(text))


def _left(site: Site, run: RunView, opened: int) -> Html:
    every = sum(node.begun or node.terminal for node in run.state.nodes.values())
    command = h("code", site.command("show", run.run_id, "NODE"), class_="command")
    return h("p", f"{every - opened} more are not opened here: ", command) if every > opened else NOTHING
