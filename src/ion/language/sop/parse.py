"""The text of a `.sop.md` file to an `Sop` and all of its problems.

Only what makes a run impossible is an error; SOPs differ in everything else, and that is a warning at most. Whatever
the text is, this returns an SOP or placed problems, never an exception.

Front matter is a YAML mapping between two lines of `---` at the very top. `name` and `description` override the file
name and the Overview; `context: fresh` and `split: substeps` choose how the steps run. Other keys are kept with the
document; Ion ignores them.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from msgspec import Struct

from ion.errors import Problem
from ion.language.problems import did_you_mean
from ion.language.sop.lint import check_sop
from ion.language.sop.model import Parameter, Section, Sop, SopProblems, Step
from ion.language.sop.page import Block, Page, plain, read_page, unclosed_fence
from ion.language.sop.parameters import read_parameters
from ion.language.sop.steps import SourceSpan, read_steps, slug
from ion.language.sop.to_workflow import MAX_TEXT, text_size
from ion.language.source import Source, forbidden_characters

SUFFIX = ".sop.md"
# What authors call the steps when they do not call them so.
_LIKE_STEPS = ("step", "procedure", "procedures", "process", "workflow", "instructions", "手順", "ステップ")
_SECTION_LEVEL = 2


class ParsedSop(Struct, frozen=True, gc=False):
    """An SOP, or None if any problem is an error."""

    sop: Sop | None
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")


class _Part(Struct, frozen=True, gc=False):
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
    if not titles or not titles[0].title:
        line = titles[0].heading.start + 1 if titles else 1
        notes.error("no-title", "the title is missing", line, hint="begin with a line '# Name of the procedure'")
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


# Front matter

_CHOICES = {"context": ("shared", "fresh"), "split": ("steps", "substeps")}
_OPEN = re.compile(r"---[ \t]*")
_CLOSE = re.compile(r"(?:---|\.\.\.)[ \t]*")


class FrontMatter(Struct, frozen=True, gc=False):
    """Its content, and how many lines of the file it takes."""

    lines: int = 0
    name: str = ""
    description: str = ""
    context: str = "shared"
    split: bool = False


def read_front_matter(lines: list[str], notes: SopProblems) -> FrontMatter:
    """The front matter of a document. YAML is loaded only if there is one."""
    if not lines or not _OPEN.fullmatch(lines[0]):
        return FrontMatter()
    end = next((number for number, line in enumerate(lines[1:], 1) if _CLOSE.fullmatch(line)), None)
    if end is None:
        message = "the front matter that begins here is never closed"
        notes.error("front-matter", message, 1, length=3, hint="write a line '---' after it")
        return FrontMatter()
    values = _read_front(lines[1:end], notes)
    texts = {key: _text(key, values[key], notes) for key in ("name", "description") if key in values}
    chosen = {key: values[key] for key in _CHOICES if _is_choice(key, values, notes)}
    return FrontMatter(
        end + 1,
        texts.get("name", ""),
        texts.get("description", ""),
        chosen.get("context", "shared"),
        chosen.get("split") == "substeps",
    )


def _read_front(lines: list[str], notes: SopProblems) -> dict[str, Any]:
    from ion.language.yaml import read_yaml

    document = read_yaml("\n".join(lines), notes.file)
    for problem in document.problems:
        notes.add(problem._replace(line=problem.line + 1))
    if isinstance(document.value, dict):
        return document.value
    if document.value is not None and not document.problems:
        notes.error("front-matter", "the front matter is not a mapping", 2, hint="write 'name: …' or 'description: …'")
    return {}


def _text(key: str, value: Any, notes: SopProblems) -> str:
    if isinstance(value, str) and value.strip():
        return " ".join(value.split())
    notes.error("front-matter", f"'{key}' in the front matter must be a text", 2, hint="put it in quotes")
    return ""


def _is_choice(key: str, values: dict[str, Any], notes: SopProblems) -> bool:
    if key not in values or values[key] in _CHOICES[key]:
        return key in values
    message = f"'{key}' in the front matter is one of {', '.join(_CHOICES[key])}"
    notes.error("front-matter", message, 2)
    return False
