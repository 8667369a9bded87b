"""What this process may not show (`api.hidden`), and the one place where a text becomes fit to be shown.

`shown` masks a text and makes it printable; what it gives is marked as such (`Shown`), so that it happens once however
often a text is cut, padded or handed on. Whatever shortens or folds a text calls it before, so that no half of a secret
is left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ion.api.hidden import Hidden
from ion.language.problems import printable

if TYPE_CHECKING:
    from ion.api.workspace import Workspace

_URLS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_hidden = Hidden()


class Shown(str):
    """A text without secrets that acts on no terminal."""

    __slots__ = ()


def begin(arguments: Iterable[str]) -> None:
    """A new command knows no secrets but the passwords that its words, and the environment's store, hold."""
    global _hidden  # noqa: PLW0603
    _hidden = Hidden()
    for word in (*arguments, os.environ.get("ION_STORE", "")):
        _hidden.url(word.partition("=")[2] if word.startswith("-") else word)


def hide_run(workspace: Workspace, run_id: str) -> None:
    """Mask the secrets of a run: those that its workflow names and those of the settings, as this process has them."""
    _hidden.run(workspace, run_id)


def hide_variables(names: Iterable[str]) -> None:
    """Mask the values of these environment variables."""
    _hidden.names(names)


def hide_urls(text: str) -> None:
    """Hide the passwords of the URLs in what is about to be shown, such as the line of a settings file."""
    for found in _URLS.finditer(text):
        _hidden.url(found[0])


def shown(text: str) -> Shown:
    """The text masked and printable, on one line."""
    return text if isinstance(text, Shown) else Shown(printable(masked(text)))


def shown_lines(text: str) -> list[Shown]:
    """The lines of a text, each fit to be shown."""
    return [Shown(printable(line)) for line in masked(text).splitlines()]


def masked(text: str) -> str:
    return text if isinstance(text, Shown) else _hidden.text(text)


def masked_json(value: Any) -> Any:
    return _hidden.json(value)


def masked_bytes(stream: BinaryIO) -> Iterator[bytes]:
    return _hidden.bytes(stream)
