"""Regular expressions that are compiled when they are first used.

Python compiles them in Python, up to a millisecond each; a run needs few of those of the language, since it is read
from the cache.
"""

from __future__ import annotations

import re
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
