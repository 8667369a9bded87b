"""The constraints of a step: the bullets below `**Constraints:**`, and how binding each of them is (RFC 2119).

The prompt keeps them unchanged; here they become data as well, for lint and for display.
"""

from __future__ import annotations

import re

from ion.language.sop.model import Constraint
from ion.language.sop.page import Block, Page, item_text

_LABEL = re.compile(r"[*_\s]*constraints?\b[^.\n]*?(?::[*_\s]*|[*_]+\s*)", re.IGNORECASE)
# In one alternation the longer words stand first; the first one in a bullet says its level.
_KEYWORD = re.compile(
    r"\b(?:(MUST NOT|MUST NEVER|SHALL NOT|NEVER)|(SHOULD NOT|SHOULD NEVER|NOT RECOMMENDED)"
    r"|(MUST|SHALL|REQUIRED)|(SHOULD|RECOMMENDED)|(MAY|OPTIONAL))\b"
)
_LEVELS = ("must_not", "should_not", "must", "should", "may")


def read_constraints(page: Page, blocks: list[Block]) -> tuple[Constraint, ...]:
    """The constraints among the blocks of a step, those of sub-steps included."""
    found: list[Constraint] = []
    labelled = False
    for block in blocks:
        if labelled and block.kind in ("bullet_list", "ordered_list"):
            found += (_constraint(page, item) for item in block.children)
        labelled = _is_label(block)
    return tuple(found)


def _is_label(block: Block) -> bool:
    if block.kind == "heading":
        return block.text.strip(" *_:").lower() == "constraints"
    return block.kind == "paragraph" and _LABEL.fullmatch(block.text.rpartition("\n")[2]) is not None


def _constraint(page: Page, item: Block) -> Constraint:
    text, column = item_text(page, item)
    words = " ".join(line.strip() for line in page.prose[item.start : item.end])
    return Constraint(level(words), text, item.start + 1, column + 1)


def level(words: str) -> str:
    """The level of a constraint, from the first keyword in its words (without code); '' if there is none."""
    found = _KEYWORD.search(words)
    return _LEVELS[(found.lastindex or 1) - 1] if found else ""
