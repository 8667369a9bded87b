"""Regular expressions that are compiled when they are first used, and the one of placeholders.

Python compiles them in Python, up to a millisecond each; a run needs few of those of the language, since it is read
from the cache. `{name}` in a text is how SOPs, and defaults with `refers_to`, name an input; `{{x}}` and a shell's
`${x}` are not placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast


class _Late:
    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` returns, for calling its methods."""
    return cast("re.Pattern[str]", _Late(text, flags))


PLACEHOLDER = pattern(r"(?<![{$])\{([A-Za-z_][A-Za-z0-9_-]*)\}(?!\})", re.ASCII)


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """`text` with the placeholders that `values` names filled in, in one pass; the others stay as they are."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
