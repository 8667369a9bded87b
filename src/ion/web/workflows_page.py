"""The workflows that can be found, what is wrong with them, and their graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from ion.api.workflows import discover
from ion.errors import NotFoundError
from ion.views.graph import picture_of
from ion.views.problems import count, render_problems
from ion.views.text import plural
from ion.views.words import needs_of
from ion.web.html import Child, Html, block, h, url
from ion.web.parts import commands, facts
from ion.web.run_page import MOST_DRAWN, figure, too_large
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from ion.api.workflows import Discovered


def page(site: Site, _request: Request) -> Page:
    """All of them, as `ion list` shows them."""
    found = discover(site.workspace)
    heads = (h("th", name, scope="col") for name in ("Name", "What", "Needs", "From"))
    table = h("table", h("thead", h("tr", heads)), h("tbody", (_row(site, one) for one in found)), class_="workflows")
    nothing = h("p", "No workflows yet. Write a first one with ", h("code", site.command("init"), class_="command"))
    return Page(
        "Workflows",
        h("section", h("h1", "Workflows"), h("div", table, class_="wide") if found else nothing),
        section="workflows",
    )


def _row(site: Site, one: Discovered) -> Html:
    workflow = one.loaded.workflow
    passed = one.shadowed_by is not None or one.passed_over
    name = one.name if passed else h("a", one.name, href=url("workflows", one.name))
    return h(
        "tr",
        h("th", h("span", "✗ ", class_="bad") if one.errors else None, name, scope="row"),
        h("td", _what(one), class_="note"),
        h("td", ", ".join(needs_of(workflow))),
        h("td", site.relative(str(one.path.parent))),
        class_="faint" if passed else None,
    )


def _what(one: Discovered) -> str:
    if one.shadowed_by is not None:
        return f"shadowed by {one.shadowed_by}"
    if one.errors:
        return plural(len(one.errors), "error")
    description = one.loaded.workflow.description if one.loaded.workflow is not None else ""
    warnings = count(one.problems, "warning")
    return f"({warnings}) {description}" if warnings else description


def workflow(site: Site, request: Request) -> Page:
    """One workflow: what it needs, how it is started, what is wrong with it, its graph."""
    name = request.path_params["name"]
    one = next((one for one in discover(site.workspace) if one.name == name and one.shadowed_by is None), None)
    if one is None:
        raise NotFoundError(f"unknown workflow '{name}'", hint=site.command("list"))
    loaded = one.loaded.workflow
    rows: list[tuple[str, Child]] = [("file", site.relative(str(one.path)))]
    inputs = loaded.inputs if loaded is not None else ()
    rows += [(label, _input(item)) for label, item in zip(["inputs", *[""] * len(inputs)], inputs, strict=False)]
    given = [f"--input {item.name}=…" for item in inputs if item.required]
    body = h(
        "article",
        h(
            "header",
            h("h1", name),
            h("p", loaded.description) if loaded is not None else None,
            facts(rows),
            class_="head",
        ),
        _problems(site, one),
        h("p", h("a", "Its runs", href=url("", workflow=name))),
        h("section", h("h2", "Start it"), commands(site.command("run", name, *given))) if loaded is not None else None,
        h("section", h("h2", "Graph"), _graph(site, one)) if loaded is not None else None,
    )
    return Page(name, body, section="workflows")


def _input(item: object) -> str:
    parts = [getattr(item, "name", ""), "" if getattr(item, "required", False) else "optional"]
    return " · ".join(part for part in [*parts, getattr(item, "description", "")] if part)


def _problems(site: Site, one: Discovered) -> Html | None:
    if not one.problems:
        return None
    project: Path = site.workspace.project
    return h(
        "section", h("h2", "Problems"), block(render_problems(one.problems, relative_to=project), class_="problems")
    )


def _graph(site: Site, one: Discovered) -> Html:
    assert one.loaded.workflow is not None
    if len(one.loaded.workflow.nodes) > MOST_DRAWN:
        return too_large(site, one.name)
    return figure(picture_of(one.loaded.workflow), lambda _node: "")
