"""The secrets that this command may not show: learned when a run is looked up or begun, masked in all that is printed.

`terminal` masks every line, JSON value and byte that it writes; what shortens a text masks it before, so that no part
of a secret is left at the cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ion import masking

if TYPE_CHECKING:
    from ion.api.workspace import Workspace

_secrets: list[str] = []


def forget() -> None:
    """A new command knows no secrets."""
    _secrets.clear()


def hide(names: Iterable[str]) -> None:
    """Mask the values of these variables from here on."""
    _secrets.extend(value for value in masking.secret_values(names, os.environ) if value not in _secrets)


def hide_run(workspace: Workspace, run_id: str) -> None:
    """Mask the secrets of a run: those that its workflow names and those of the settings, as this process has them."""
    from ion.api.reading import secret_names

    hide(secret_names(workspace, run_id))


def values() -> tuple[str, ...]:
    """What is masked."""
    return tuple(_secrets)


def masked(text: str) -> str:
    return masking.mask(text, values())


def masked_json(value: Any) -> Any:
    return masking.mask_json(value, values()) if _secrets else value


def masked_bytes(stream: BinaryIO) -> Iterator[bytes]:
    return masking.mask_stream(stream, values())
