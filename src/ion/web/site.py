"""What every page has: the project, the runs as they were read, how a command is written, and the frame around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ion.api.readers import Readers
from ion.api.workspace import Workspace
from ion.web.html import Child, Html, h, join

if TYPE_CHECKING:
    from ion.views.waiting import Command
    from ion.web.guard import Access


class Site(Struct, dict=True):
    """`command` makes a command for pasting, `say` shows a line to the person at the terminal; `access` is set once the
    server has a port."""

    workspace: Workspace
    command: Command
    say: Callable[[str], None]
    allow_answers: bool = False
    access: Access | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.readers = Readers(self.workspace)

    @property
    def csrf(self) -> str:
        return self.access.csrf if self.access is not None else ""


class Page(Struct, frozen=True):
    """What is shown below the frame. `stream` is the path of the event stream that tells of news, '' if there are none.
    `answers`: it has forms."""

    title: str
    body: Html
    stream: str = ""
    section: str = ""
    answers: bool = False
    status: int = 200


_SECTIONS = (("runs", "/", "Runs"), ("gates", "/gates", "Gates"), ("workflows", "/workflows", "Workflows"))


def document(page: Page, project: str) -> str:
    """The whole page."""
    links = (
        h("a", label, href=href, aria_current="page" if name == page.section else None)
        for name, href, label in _SECTIONS
    )
    head = (
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        # A form without a script would otherwise come from nowhere (Origin: null); nothing is told to other sites.
        h("meta", name="referrer", content="same-origin") if page.answers else None,
        h("title", f"{page.title} · Ion" if page.title else "Ion"),
        h("link", rel="stylesheet", href="/static/style.css"),
        h("link", rel="icon", href="data:,"),
        h("script", src="/static/idiomorph.js", defer=True),
        h("script", src="/static/page.js", defer=True),
    )
    body = h(
        "body",
        h("a", "Skip to the content", class_="skip", href="#content"),
        h(
            "header",
            h("a", "Ion", class_="home", href="/", aria_label="Ion, runs"),
            h("nav", *links, aria_label="Pages"),
            h("span", project, class_="project"),
            h("span", "", id="offline", role="status"),
        ),
        h("main", page.body, id="content", tabindex="-1"),
        data_stream=page.stream or None,
    )
    return f"<!doctype html>\n{h('html', h('head', *head), body, lang='en')}\n"


def commands(*lines: tuple[str, str] | str) -> Html:
    """Commands to copy, each with a word on it."""
    rows = [(line, "") if isinstance(line, str) else line for line in lines]
    return h(
        "ul",
        (
            h("li", h("code", command, class_="command"), h("span", note, class_="faint") if note else None)
            for command, note in rows
        ),
        class_="commands",
    )


def facts(rows: list[tuple[str, Child]]) -> Html:
    """Labels and what they stand for; a row without a label continues the one before."""
    grouped: list[tuple[str, list[Child]]] = []
    for label, value in rows:
        if label or not grouped:
            grouped.append((label, []))
        grouped[-1][1].append(value)
    return h(
        "dl",
        (join([h("dt", label), *(h("dd", value) for value in values)]) for label, values in grouped),
        class_="facts",
    )
