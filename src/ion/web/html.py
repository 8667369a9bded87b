"""HTML made of elements. A text in it is masked, printable and escaped, whoever wrote it; only `Html` is taken as it
is, and nothing but this module and the drawing of graphs makes any."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias
from urllib.parse import quote

from ion.views.masking import shown
from ion.views.text import readable_lines

_VOID = frozenset({"br", "input", "link", "meta"})


class Html(str):
    """Markup, safe to be shown."""

    __slots__ = ()


Child: TypeAlias = "Html | str | Iterable[Child] | None"
NOTHING = Html()


def text(value: str) -> Html:
    """A text on one line."""
    return value if isinstance(value, Html) else Html(escape(shown(value)))


def h(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element. An attribute that is None or False is left out, one that is True has no value; `class_` is `class`,
    `data_x` is `data-x`."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'


def join(children: Iterable[Child]) -> Html:
    """Children one after the other."""
    return Html("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, str):
        return text(child)
    return join(child)


def block(content: str, /, **attributes: str | int | bool | None) -> Html:
    """A text of many lines, as it is laid out."""
    lines = "\n".join(escape(line) for line in readable_lines(content))
    return h("pre", Html(lines), **attributes)


def url(*parts: str, **query: str | int | None) -> str:
    """The path of these parts, whatever is in them."""
    given = {name.rstrip("_"): str(value) for name, value in query.items() if value not in (None, "", 0)}
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return "/" + "/".join(quote(part, safe="") for part in parts) + (f"?{asked}" if asked else "")
