"""Problems of files as a good compiler shows them: what is wrong, where, the line with a caret, what to write instead.

It writes plain text; a face that has colours hands in a `style`. Whatever a file holds, nothing but printable
characters reaches the screen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from ion.errors import Problem
from ion.language.problems import did_you_mean, printable, sort_problems
from ion.language.source import Source
from ion.views.text import plural
from ion.views.text import width as columns_of

WIDTH = 100
# (role, text) → text; roles: error, warning, code, message, place, gutter, source, caret, hint.
Style: TypeAlias = Callable[[str, str], str]


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint `did you mean …?`, or ''."""
    near = did_you_mean(word, known)
    return f"did you mean '{near}'?" if near else ""


def summary(problems: Iterable[Problem], files: int) -> str:
    """`1 error, 1 warning in 1 of 6 files`."""
    found = list(problems)
    said = ", ".join(filter(None, (count(found, severity) for severity in ("error", "warning", "hint"))))
    if not said:
        return f"no problems in {plural(files, 'file')}"
    touched = len({problem.file for problem in found})
    return f"{said} in {touched} of {plural(files, 'file')}" if files != 1 else f"{said} in 1 file"


def count(problems: Iterable[Problem], severity: str) -> str:
    """`2 warnings`, or '' if there are none of that severity."""
    number = sum(problem.severity == severity for problem in problems)
    return plural(number, severity) if number else ""


def plain_style(_role: str, text: str) -> str:
    """The style of a pipe: no colours."""
    return text


def render_problems(
    problems: Iterable[Problem],
    *,
    sources: Mapping[str, str] | None = None,
    relative_to: Path | None = None,
    style: Style = plain_style,
    width: int = WIDTH,
) -> str:
    """All problems, sorted, each followed by an empty line. A file that is not in `sources` is read from the disk."""
    known = dict(sources or {})
    shown = []
    for problem in sort_problems(problems):
        if problem.file not in known:
            known[problem.file] = _read(problem.file)
        shown.append(render_problem(problem, known[problem.file], relative_to=relative_to, style=style, width=width))
    return "\n\n".join(shown)


def _read(file: str) -> str:
    """The text of a file for display; '' if it cannot be read (that is then the problem itself)."""
    try:
        data = Path(file).read_bytes() if file and Path(file).is_file() else b""
    except OSError:
        return ""
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def render_problem(
    problem: Problem,
    text: str = "",
    *,
    relative_to: Path | None = None,
    style: Style = plain_style,
    width: int = WIDTH,
) -> str:
    """One problem as several lines. Errors show the line of `text` they are in, about `width` characters of it, with
    a caret."""
    severity = problem.severity
    head = style(severity, f"{severity}[{printable(problem.code)}]") + ": "
    lines = [head + style("message", printable(problem.message))]
    place = _place_text(problem, relative_to)
    if place:
        lines.append(style("gutter", "  --> ") + style("place", place))
    for step in filter(None, problem.way.split("\n")):
        shown = step if relative_to is None else step.replace(f"{relative_to}{os.sep}", "")
        lines.append(style("gutter", "      ") + style("place", printable(shown)))
    hints = [printable(hint) for hint in problem.hint.split("\n") if hint]
    if severity == "error" and problem.line:
        lines += _snippet(problem, text, hints, style, width)
    margin = " " * len(str(problem.line)) if problem.line else "  "
    lines += [style("gutter", f"{margin} = ") + style("hint", hint) for hint in hints]
    return "\n".join(lines)


def _place_text(problem: Problem, relative_to: Path | None) -> str:
    file = problem.file
    if file and relative_to is not None and Path(file).is_relative_to(relative_to):
        file = os.path.relpath(file, relative_to)
    place = f"{problem.line}:{problem.column}" if problem.line else ""
    return ":".join(part for part in (printable(file), place) if part) or printable(problem.path)


def _snippet(problem: Problem, text: str, hints: list[str], style: Style, width: int) -> list[str]:
    """The source line with the caret below it; takes a first hint `did you mean` out of `hints`."""
    source = Source(text)
    start = source.start_of_line(problem.line)
    if start is None or not text:
        return []
    line = text[start : source.line_end(start)]
    before, marked, after = _cut(line, problem.column - 1, problem.length, width)
    caret = " " * columns_of(before) + style("caret", "^" * max(1, columns_of(marked)))
    if hints and hints[0].startswith("did you mean"):
        caret += " " + style("hint", hints.pop(0))
    number = str(problem.line)
    bar = style("gutter", " " * len(number) + " |")
    shown = style("gutter", f"{number} | ") + style("source", before + marked + after)
    return [bar, shown.rstrip(), f"{bar} {caret}", *([bar] if hints else [])]


def _cut(line: str, column: int, length: int, width: int) -> tuple[str, str, str]:
    """The line as it is shown, in three parts around what is marked, about `width` characters in all."""
    begin = max(0, column - width // 2) if len(line) > width else 0
    before = printable(line[begin:column])
    end = column + min(length, max(1, width - (column - begin)))
    marked = printable(line[column:end])
    after = line[end:]
    room = max(0, width - len(before) - len(marked))
    return ("…" if begin else "") + before, marked, printable(after[:room]) + ("…" if len(after) > room else "")
