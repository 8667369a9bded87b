"""What one face of Ion (the command, the MCP server) may not show: learned as it comes up, masked in all that it shows.

The secrets of a run are learned when it is looked up or begun, since a `Workspace` tells whom it is given as `found`;
those of the settings with it; the password of a store where its URL is given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ion import masking

if TYPE_CHECKING:
    from ion.api.workspace import Workspace


def secret_names(workspace: Workspace, run_id: str) -> tuple[str, ...]:
    """The secrets that the run's frozen workflow and the settings name."""
    from ion.engine import run_reader

    return tuple(dict.fromkeys((*run_reader.secret_names(workspace.store, run_id), *workspace.settings.secrets)))


class Hidden:
    """The values that may not be shown, as this process has them, and the one place where they are masked."""

    def __init__(self) -> None:
        self._values: dict[str, None] = {}  # not a set: its order, and that threads may add to it

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(self._values)

    def names(self, names: Iterable[str]) -> None:
        """Hide the values of these variables from here on."""
        self._add(masking.secret_values(names, os.environ))

    def run(self, workspace: Workspace, run_id: str) -> None:
        """Hide the secrets of a run."""
        self.names(secret_names(workspace, run_id))

    def url(self, text: str) -> None:
        """Hide the password in what may be a URL."""
        if "://" in text:
            self._add(masking.passwords(text))

    def _add(self, values: Iterable[str]) -> None:
        self._values.update(dict.fromkeys(values))

    def text(self, text: str) -> str:
        return masking.mask(text, self.values)

    def json(self, value: Any) -> Any:
        return masking.mask_json(value, self.values) if self._values else value

    def bytes(self, stream: BinaryIO) -> Iterator[bytes]:
        return masking.mask_stream(stream, self.values)
