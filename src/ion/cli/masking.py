"""What this command may not show (`api.hidden`): `terminal` masks every line, JSON value and byte that it writes; what
shortens a text masks it before, so that the stars too fit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ion.api.hidden import Hidden

if TYPE_CHECKING:
    from ion.api.workspace import Workspace

_URLS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_hidden = Hidden()


def begin(arguments: Iterable[str]) -> None:
    """A new command knows no secrets but the passwords that its words, and the environment's store, hold."""
    global _hidden  # noqa: PLW0603
    _hidden = Hidden()
    for word in (*arguments, os.environ.get("ION_STORE", "")):
        _hidden.url(word.partition("=")[2] if word.startswith("-") else word)


def hide_run(workspace: Workspace, run_id: str) -> None:
    """Mask the secrets of a run: those that its workflow names and those of the settings, as this process has them."""
    _hidden.run(workspace, run_id)


def hide_urls(text: str) -> None:
    """Hide the passwords of the URLs in what is about to be shown, such as the line of a settings file."""
    for found in _URLS.finditer(text):
        _hidden.url(found[0])


def masked(text: str) -> str:
    return _hidden.text(text)


def masked_json(value: Any) -> Any:
    return _hidden.json(value)


def masked_bytes(stream: BinaryIO) -> Iterator[bytes]:
    return _hidden.bytes(stream)
