"""What every page has: the project, the runs as they were read, how a command is written, and the frame around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from ion.api.readers import Readers
from ion.api.reading import source_changed
from ion.api.workspace import Workspace
from ion.web.html import Html, h
from ion.web.parts import Frame, run_link

if TYPE_CHECKING:
    from starlette.requests import Request

    from ion.api.readers import RunView
    from ion.views.waiting import Command
    from ion.web.guard import Access

# For so long what became of a file is not looked at again.
_CHANGED_SECONDS = 10


class Site(Struct, dict=True):
    """`command` makes a command for pasting, `say` shows a line to the person at the terminal; `access` is set once the
    server has a port. `clock`: what is due is started and continued here. `signalled` are runs that a hook sent a
    signal to."""

    workspace: Workspace
    command: Command
    say: Callable[[str], None]
    allow_answers: bool = False
    clock: bool = False
    signalled: set[str] = field(default_factory=set)
    access: Access | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.readers = Readers(self.workspace, self._hide)
        self._changed: dict[str, tuple[float, str]] = {}

    def _hide(self, run_id: str) -> None:
        """Mask the secrets of a run, and those that the settings name by now."""
        if self.workspace.found is not None:
            self.workspace.found(self.fresh(), run_id)

    @contextmanager
    def read(self, request: Request) -> Iterator[RunView]:
        """The run that a path names: its id or a unique prefix, or `last`. Raises `NotFoundError`, `UsageError`."""
        name = request.path_params["run"]
        with self.readers.read(self.workspace.find_run(name).run_id) as run:
            yield run

    def fresh(self, via: str = "serve") -> Workspace:
        """The project with its settings read anew. The store is the same; where none was made yet, none is opened."""
        own = self.workspace
        return Workspace(
            project=own.project,
            store_url=own.store_url,
            given_store=None if own.is_new else own.store,
            user_config=own.user_config,
            found=own.found,
            via=via,
        )

    @property
    def frame(self) -> Frame:
        csrf = self.access.csrf if self.access is not None and self.allow_answers else ""
        return Frame(self.command, run_link, csrf)

    def source_changed(self, run: RunView) -> str:
        """As `reading.source_changed`, which loads the workflow: what it found holds for some seconds."""
        until, found = self._changed.get(run.run_id, (0.0, ""))
        if time.monotonic() >= until:
            found = source_changed(self.workspace, run.run_id, run.state)
            self._changed = {run.run_id: (time.monotonic() + _CHANGED_SECONDS, found)}
        return found

    def relative(self, file: str) -> str:
        """A file as people of the project write it."""
        path = Path(file)
        return str(path.relative_to(self.workspace.project)) if path.is_relative_to(self.workspace.project) else file


class Page(Struct, frozen=True):
    """What is shown below the frame. `stream` is the path of the event stream that tells of news, '' if there are none;
    `version` is what the page was made of, in the stream's words. `answers`: it has forms."""

    title: str
    body: Html
    stream: str = ""
    version: str = ""
    section: str = ""
    answers: bool = False
    status: int = 200

    def with_stream(self, stream: str, version: str) -> Page:
        """The same page, told of other news."""
        return replace(self, stream=stream, version=version)


SECTIONS = (
    ("runs", "/", "Runs"),
    ("gates", "/gates", "Gates"),
    ("workflows", "/workflows", "Workflows"),
    ("schedules", "/schedules", "Schedules"),
)


def document(page: Page, project: str) -> str:
    """The whole page."""
    links = (
        h("a", label, href=href, aria_current="page" if name == page.section else None)
        for name, href, label in SECTIONS
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
        data_version=page.version or None,
    )
    return f"<!doctype html>\n{h('html', h('head', *head), body, lang='en')}\n"
