"""The presets, read from their file when a name first needs them."""

from __future__ import annotations

from functools import cache

from ion.agents.presets import FILE, NAMES, Preset, made
from ion.errors import InternalError


def preset(name: str) -> Preset | None:
    """The preset of this name, or None."""
    return _presets()[name] if name in NAMES else None


def presets() -> list[Preset]:
    """All of them, in the order of the file."""
    return list(_presets().values())


@cache
def _presets() -> dict[str, Preset]:
    from ion.language.yaml import read_yaml

    document = read_yaml(FILE.read_text(encoding="utf-8"), str(FILE))
    if document.problems:
        raise InternalError(f"presets.yaml cannot be read: {document.problems[0].message}")
    return {name: made(name, values) for name, values in document.value.items()}
