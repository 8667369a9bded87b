"""The steps of an SOP: headings below `## Steps`, or the items of a list, cut out of the source byte for byte.

Text of that section outside of any step (an introduction) stays in the document around the steps, so nothing is lost.
The prompt keeps the constraints of a step (the bullets below `**Constraints:**`) unchanged; here they become data as
well, with how binding each of them is (RFC 2119), for lint and for display.
"""

from __future__ import annotations

import re
import unicodedata

from msgspec import Struct

from ion.language.sop.model import Constraint, SopProblems, Step, Substep
from ion.language.sop.page import Block, Page, item_text, plain

STEP_LEVEL = 3
# `1.`, `1)`, `Step 1:`, `2.1`, `2a)`, `3 -`, and the same in full width; behind it the name.
_NUMBERED = re.compile(
    r"(?:(?:step|phase|ステップ|手順)\s*)?(?P<number>\d{1,9}(?:\.\d{1,9})*[a-z]?)(?:[.):：．、）]+|\s+[-–—]|(?=\s)|$)\s*(?P<name>.*)",
    re.IGNORECASE | re.DOTALL,
)
_BOLD_START = re.compile(r"(?:\*\*|__)(.+?)(?:\*\*|__)")
_LONGEST_ID = 100
_LONGEST_NAME = 80


class SourceSpan(Struct, frozen=True, gc=False):
    """The lines of a step, from 0, without `end`; `heading` represents it in the outline."""

    start: int
    end: int
    heading: str


def read_steps(page: Page, start: int, end: int, notes: SopProblems) -> tuple[tuple[Step, ...], tuple[SourceSpan, ...]]:
    """The steps in the lines of the section, and the place of each."""
    headings = page.headings(start, end)
    if headings:
        return _by_headings(page, headings, end, notes)
    items = [item for block in page.between(start, end) if block.kind == "ordered_list" for item in block.children]
    if not items:
        message = "no steps found below '## Steps'"
        notes.error("no-steps", message, start, hint="write each as '### 1. Name' with its text below")
        return (), ()
    message = f"the steps are a list of {len(items)}: each item is taken as a step"
    notes.warning("list-steps", message, items[0].start + 1, hint="write '### 1. Name' for each step")
    return _by_items(page, items, notes)


def _by_headings(
    page: Page, headings: list[Block], end: int, notes: SopProblems
) -> tuple[tuple[Step, ...], tuple[SourceSpan, ...]]:
    level = min(heading.level for heading in headings)
    heads = [heading for heading in headings if heading.level == level]
    if level != STEP_LEVEL:
        message = f"the steps are headings of level {level}"
        notes.warning("step-level", message, heads[0].start + 1, hint=f"write '{'#' * STEP_LEVEL} 1. Name'")
    groups = _with_their_parts(heads, notes)
    ids = Ids()
    steps, spans = [], []
    for position, ((head, *parts), stop) in enumerate(
        zip(groups, [*(group[0].start for group in groups[1:]), end], strict=True), 1
    ):
        if not page.text(head.end, stop).strip():
            message = f"no text found below the step '{plain(head.text)}'"
            notes.error("empty-step", message, head.start + 1, hint="say below the heading what is to be done")
        steps.append(_step(page, head, parts, stop, ids, position))
        spans.append(SourceSpan(head.start, stop, page.text(head.start, head.end)))
    _check_numbers([(step.number, step.line) for step in steps], notes)
    return tuple(steps), tuple(spans)


def _with_their_parts(heads: list[Block], notes: SopProblems) -> list[list[Block]]:
    """Each heading that begins a step, with those at its level that do not: `2.1` after `2`, and one without a number
    among steps that are numbered."""
    numbers = [split_number(plain(head.text))[0] for head in heads]
    given = [number for number in numbers if number]
    numbered = bool(given) and (_levels(given[0])[0] <= 1 or 2 * len(given) >= len(numbers))
    groups: list[list[Block]] = []
    step = ""
    for head, number in zip(heads, numbers, strict=True):
        levels, above = _levels(number), _levels(step)
        below = len(levels) > len(above) and levels[: len(above)] == above
        if step and (below or (numbered and not number)):
            _note_part(head, groups[-1][0], notes)
            groups[-1].append(head)
        else:
            groups.append([head])
            step = number
    return groups


def _note_part(head: Block, step: Block, notes: SopProblems) -> None:
    text, number = plain(head.text), split_number(plain(head.text))[0]
    message = f"'{text}' is at the level of the steps, and is taken as a part of '{plain(step.text)}'"
    hint = f"write '{'#' * (head.level + 1)} {text}'" + ("" if number else "; a step of its own has a number")
    notes.warning("part-of-step", message, head.start + 1, hint=hint)


def _step(page: Page, head: Block, parts: list[Block], stop: int, ids: Ids, position: int) -> Step:
    """A step up to the line `stop`. Its sub-steps are the headings one level below its own, and those of its own
    level that belong to it; the text of the latter includes everything below them."""
    number, name = split_number(plain(head.text))
    own = page.headings(head.end, parts[0].start if parts else stop)
    below = [*(heading for heading in own if heading.level == head.level + 1), *parts]
    ends = [*(heading.start for heading in below[1:]), stop]
    substeps = []
    for heading, until in zip(below, ends, strict=True) if below else ():
        own_number, own_name = split_number(plain(heading.text))
        substeps.append(Substep(own_name, heading.start + 1, _cut(page, heading.start, until), own_number))
    return Step(
        name=name,
        line=head.start + 1,
        text=_cut(page, head.start, stop),
        id=ids.take(name, position),
        number=number,
        lead=_cut(page, head.start, below[0].start if below else stop),
        constraints=read_constraints(page, page.between(head.end, stop)),
        substeps=tuple(substeps),
        prose=tuple(page.prose[head.start : stop]),
    )


def _by_items(page: Page, items: list[Block], notes: SopProblems) -> tuple[tuple[Step, ...], tuple[SourceSpan, ...]]:
    ids = Ids()
    steps, spans = [], []
    for position, item in enumerate(items, 1):
        text, _ = item_text(page, item)
        name = _item_name(text)
        if not text.strip():
            notes.error("empty-step", f"item {position} is empty", item.start + 1, hint="say what is to be done")
        step = Step(
            name=name or str(position),
            line=item.start + 1,
            text=_cut(page, item.start, item.end),
            id=ids.take(name, position),
            number=item.info or str(position),
            lead=_cut(page, item.start, item.end),
            constraints=read_constraints(page, item.children),
            prose=tuple(page.prose[item.start : item.end]),
        )
        steps.append(step)
        spans.append(SourceSpan(item.start, item.end, f"{step.number}. {step.name}"))
    return tuple(steps), tuple(spans)


def _item_name(text: str) -> str:
    """The beginning of an item: its bold words, else its first sentence, shortened."""
    first = text.split("\n", 1)[0].strip()
    bold = _BOLD_START.match(first)
    name = plain(bold[1] if bold else re.split(r"(?<=[.:!?。])\s", first, maxsplit=1)[0]).rstrip(".:。 ")
    if len(name) <= _LONGEST_NAME:
        return name
    return name[:_LONGEST_NAME].rpartition(" ")[0] or name[:_LONGEST_NAME]


def _cut(page: Page, start: int, end: int) -> str:
    """Some lines, byte for byte, without the empty ones at their end."""
    while end > start + 1 and not page.lines[end - 1].strip():
        end -= 1
    return page.text(start, end)


def split_number(heading: str) -> tuple[str, str]:
    """`2.1 Name`, `Step 3: Name` → the number as written and the name. Without a number: '' and all of it."""
    found = _NUMBERED.fullmatch(heading)
    if found is None or not found["name"].strip():
        return ("", heading) if found is None else (_ascii(found["number"]), heading)
    return _ascii(found["number"]), found["name"].strip()


def _ascii(number: str) -> str:
    return re.sub(r"\d+", lambda found: str(int(found[0])), number).lower()


def _levels(number: str) -> list[int]:
    """`2.1` → [2, 1], and `2a` as well."""
    return [int(part) if part.isdigit() else ord(part) - ord("a") + 1 for part in re.findall("[0-9]+|[a-z]", number)]


def _check_numbers(numbers: list[tuple[str, int]], notes: SopProblems) -> None:
    """Numbers begin at 0 or 1 and increase by one; the order is that of the document in any case."""
    before = ""
    for position, (number, line) in enumerate(numbers):
        if not number:
            notes.warning("numbering", "this step has no number", line, hint="write '### 1. Name'")
        elif position == 0 and _levels(number)[0] > 1:
            notes.warning("numbering", f"the first step has the number {number}", line, hint="begin with 1")
        elif before and not _follows(number, before):
            message = f"step {number} comes after step {before}"
            notes.warning("numbering", message, line, hint="steps run in the order in which they stand")
        before = number


def _follows(number: str, before: str) -> bool:
    """2 after 1; 1.2 after 1.1; 2, 2.0 or 2.1 after 1.7; 1.1 after 1."""
    new, old = _levels(number), _levels(before)
    common = next((i for i, (a, b) in enumerate(zip(new, old, strict=False)) if a != b), min(len(new), len(old)))
    if common == len(old):
        return len(new) > common and all(part in (0, 1) for part in new[common:])
    return common < len(new) and new[common] == old[common] + 1 and all(part in (0, 1) for part in new[common + 1 :])


class Ids:
    """Node ids, each given once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def take(self, name: str, position: int) -> str:
        """The slug of a name; with a number after it if it is taken, `step-<position>` if it has no letter."""
        base = slug(name) or f"step-{position}"
        wanted, number = base, self._last.get(base, 1)
        while wanted in self._taken:
            number += 1
            wanted = f"{base}-{number}"
        self._last[base] = number
        self._taken.add(wanted)
        return wanted


def slug(name: str) -> str:
    """`Plan & Track: x` → `plan-track-x`, an id that can be referred to; '' if the name has no ASCII letter."""
    letters = unicodedata.normalize("NFKD", name)
    letters = "".join(c for c in letters if not unicodedata.combining(c)).lower()
    words = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    if not re.search("[a-z]", words):
        return ""
    if len(words) > _LONGEST_ID:
        words = words[:_LONGEST_ID].rpartition("-")[0] or words[:_LONGEST_ID]
    return words if words[0].isalpha() else f"step-{words}"


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
