"""The text of a `.sop.md` file to an `Sop` and all of its problems.

Only what makes a run impossible is an error; SOPs differ in everything else, and that is a warning at most. Whatever
the text is, this returns an SOP or placed problems, never an exception.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from ion.errors import Problem
from ion.language.problems import did_you_mean
from ion.language.sop.front import FrontMatter, read_front_matter
from ion.language.sop.lint import check_sop
from ion.language.sop.model import Parameter, Section, Sop, Step
from ion.language.sop.page import Block, Page, plain, read_page, unclosed_fence
from ion.language.sop.parameters import read_parameters
from ion.language.sop.problems import SopProblems
from ion.language.sop.steps import SourceSpan, read_steps, slug
from ion.language.sop.to_workflow import MAX_TEXT, text_size
from ion.language.source import Source, forbidden_characters
from ion.records import dataclass

SUFFIX = ".sop.md"
# What authors call the steps when they do not call them so.
_LIKE_STEPS = ("step", "procedure", "procedures", "process", "workflow", "instructions", "手順", "ステップ")
_SECTION_LEVEL = 2


@dataclass(frozen=True, slots=True)
class ParsedSop:
    """An SOP, or None if any problem is an error."""

    sop: Sop | None
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")


@dataclass(frozen=True, slots=True)
class _Part:
    """A heading of level 1 or 2 and the lines up to the next one, from 0."""

    heading: Block
    end: int

    @property
    def title(self) -> str:
        return plain(self.heading.text)

    @property
    def key(self) -> str:
        """`STEPS:` → `steps`."""
        return self.title.rstrip(" :：").lower() if self.heading.level == _SECTION_LEVEL else ""


def sop_name(file: str) -> str:
    """`sops/pay.sop.md` → `pay`; '' without a file."""
    return PurePath(file).name.removesuffix(".md").removesuffix(".sop")


def parse_sop(text: str, *, file: str = "") -> ParsedSop:
    """Parse the text of an SOP. Never raises because of it. `file` gives the SOP its name, and is the name in
    problems."""
    notes = SopProblems(file)
    source = re.sub("\r\n?", "\n", text.removeprefix("\ufeff"))
    for problem in forbidden_characters(Source(source), file):
        notes.add(problem)
    if not source.strip():
        notes.error("empty", "the file is empty", 1, hint="ion sop new writes one to begin with")
        return ParsedSop(None, notes.result())
    front = read_front_matter(source.split("\n"), notes)
    page = read_page(source, skip=front.lines)
    fence = unclosed_fence(page)
    if fence is not None:
        message = "the fence that opens here is never closed: all that follows would be code"
        notes.error("unclosed-fence", message, fence + 1, hint="write the same characters on a line after the code")
    sop = _read(page, front, file, notes) if fence is None else None
    return ParsedSop(None if notes.errors else sop, notes.result())


def _read(page: Page, front: FrontMatter, file: str, notes: SopProblems) -> Sop:
    parts = _parts(page)
    title = _title(parts, notes)
    parameters = _parameters(page, parts, notes)
    steps, spans = _steps(page, parts, notes)
    overview = _overview(page, parts, notes)
    own = tuple(part for part in parts if part.heading.level == _SECTION_LEVEL and part.key != "steps")
    sop = Sop(
        name=front.name or sop_name(file) or slug(title) or "sop",
        title=title,
        outline=_outline(page, spans),
        steps=steps,
        overview=overview,
        description=front.description or " ".join(overview.split()),
        parameters=parameters,
        sections=tuple(
            Section(part.title, part.heading.start + 1, page.text(part.heading.start, part.end)) for part in own
        ),
        context=front.context,
        split=front.split,
        source="\n".join(page.lines),
        front=front.lines,
        file=file,
    )
    check_sop(sop, notes)
    if text_size(sop) > MAX_TEXT:
        message = f"the prompts of the {len(steps)} steps would have {text_size(sop):,} characters, over {MAX_TEXT:,}"
        notes.error("sop-too-large", message, 1, hint="move what single steps need into files that they read")
    return sop


def _parts(page: Page) -> list[_Part]:
    heads = [heading for heading in page.headings() if heading.level <= _SECTION_LEVEL]
    ends = [*(heading.start for heading in heads[1:]), len(page.lines)]
    return [_Part(heading, end) for heading, end in zip(heads, ends, strict=True)] if heads else []


def _named(parts: list[_Part], key: str, notes: SopProblems) -> _Part | None:
    """The section of that name; a second one is an error, since it would be ambiguous."""
    found = [part for part in parts if part.key == key]
    for part in found[1:]:
        message = f"'## {part.title}' is already in line {found[0].heading.start + 1}"
        notes.error("duplicate-section", message, part.heading.start + 1, hint="make one section of the two")
    return found[0] if found else None


def _title(parts: list[_Part], notes: SopProblems) -> str:
    titles = [part for part in parts if part.heading.level < _SECTION_LEVEL]
    if not titles:
        notes.error("no-title", "the title is missing", 1, hint="begin with a line '# Name of the procedure'")
        return ""
    for part in titles[1:]:
        message = f"'# {part.title}' is a second title"
        notes.warning("second-title", message, part.heading.start + 1, hint="write '## ' for a section")
    return titles[0].title


def _overview(page: Page, parts: list[_Part], notes: SopProblems) -> str:
    part = _named([part for part in parts if part.key == "overview"][:1], "overview", notes)
    if part is None:
        message = "the section '## Overview' is missing"
        notes.warning("no-overview", message, 1, hint="say in it what the procedure is for: tools show it in lists")
        return ""
    return page.text(part.heading.end, part.end).strip("\n")


def _parameters(page: Page, parts: list[_Part], notes: SopProblems) -> tuple[Parameter, ...]:
    part = _named(parts, "parameters", notes)
    if part is None:
        message = "the section '## Parameters' is missing"
        notes.warning("no-parameters", message, 1, hint="write one with the text 'None' if there are none")
        return ()
    return read_parameters(page, part.heading.end, part.end, notes)


def _steps(page: Page, parts: list[_Part], notes: SopProblems) -> tuple[tuple[Step, ...], tuple[SourceSpan, ...]]:
    part = _named(parts, "steps", notes)
    if part is not None:
        return read_steps(page, part.heading.end, part.end, notes)
    sections = [part for part in parts if part.heading.level == _SECTION_LEVEL]
    names = ", ".join(f"'## {part.title}'" for part in sections[:20]) or "no '## ' heading at all"
    notes.error(
        "no-steps", f"the section '## Steps' is missing; there is {names}", 1, hint=_steps_meant(page, sections)
    )
    return (), ()


def _steps_meant(page: Page, sections: list[_Part]) -> str:
    for part in sections:
        words = part.key.split()
        if any(word in _LIKE_STEPS for word in words) or did_you_mean(part.key, ["steps"]):
            return f"did you mean '## {part.title}' in line {part.heading.start + 1}? Call it '## Steps'"
    deeper = next((head for head in page.headings() if plain(head.text).rstrip(" :").lower() == "steps"), None)
    if deeper is not None:
        return f"'Steps' in line {deeper.start + 1} is a heading of level {deeper.level}: write '## Steps'"
    return "write '## Steps', and below it '### 1. Name' for each step"


def _outline(page: Page, spans: tuple[SourceSpan, ...]) -> str:
    """The document with only the headings of its steps left, and everything around them, byte for byte."""
    lines: list[str] = []
    done = 0
    for span in spans:
        lines += page.lines[done : span.start] + span.heading.split("\n")
        done = span.end
        if done < len(page.lines) and page.lines[done].strip():
            lines.append("")
    return "\n".join(lines + page.lines[done:])
