"""When a loop's reply says that the work is done, and what of the reply is the output (language.md §7).

Archon's rules are kept where they are sound; two are mended: the signal must be a whole word (`INCOMPLETE` does not end
a loop that waits for `COMPLETE`), and markdown emphasis around it does not hide it. All scans are linear: the text
comes from a model.
"""

from __future__ import annotations

import re

_EMPHASIS = "*_`~"
_AFTER = frozenset(" \t\r\n\f\v.,;:!?\ufeff\u00a0" + _EMPHASIS)
_WORD_BEFORE = re.compile(r"(?<![\w-])[*_`~]*\Z", re.ASCII)
_PROMISE = re.compile(r"<(/?)promise(?:\s[^<>]*)?>", re.IGNORECASE)


def read_signal(text: str, until: str | None) -> tuple[bool, str]:
    """Whether `text` signals `until`, and the text without signal tags, trimmed.

    The signal is `<tag>SIGNAL</tag>` in any letter case, or, case-sensitive, SIGNAL as a whole word at the end of the
    reply or alone on a line. Without `until` nothing is signalled, and only `<promise>` pairs are taken out.
    """
    if until is None:
        return False, _without_promises(text).strip()
    tagged = _tag_pattern(until)
    signaled = tagged.search(text) is not None or _ends_with(text, until) or _alone_on_a_line(text, until)
    return signaled, tagged.sub("", _without_promises(text)).strip()


def _tag_pattern(until: str) -> re.Pattern[str]:
    return re.compile(
        rf"<([a-z][\w-]*)(?:\s[^<>]*)?>\s*{re.escape(until.strip())}\s*</\1\s*>", re.IGNORECASE | re.ASCII
    )


def _ends_with(text: str, until: str) -> bool:
    start = text.rfind(until)
    if start < 0 or any(c not in _AFTER for c in text[start + len(until) :]):
        return False
    return _WORD_BEFORE.search(text[max(0, start - 8) : start]) is not None


def _alone_on_a_line(text: str, until: str) -> bool:
    wanted = until.strip()
    for line in text.splitlines():
        bare = line.strip()
        if bare == wanted or bare.strip(_EMPHASIS) == wanted:
            return True
    return False


def _without_promises(text: str) -> str:
    """Take out every `<promise>…</promise>`, whatever it holds; an opening without an end stays."""
    kept: list[str] = []
    position = 0
    opened: int | None = None
    for match in _PROMISE.finditer(text):
        if not match[1]:
            opened = match.start() if opened is None else opened
        elif opened is not None:
            kept.append(text[position:opened])
            position, opened = match.end(), None
    return "".join((*kept, text[position:]))
