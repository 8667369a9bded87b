"""The front matter of an SOP, if it has one: a YAML mapping between two lines of `---` at the very top.

`name` and `description` override the file name and the Overview; `context: fresh` and `split: substeps` choose how the
steps run. Other keys are kept with the document; Ion ignores them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ion.language.sop.problems import SopProblems
from ion.records import dataclass

_CHOICES = {"context": ("shared", "fresh"), "split": ("steps", "substeps")}
_OPEN = re.compile(r"---[ \t]*")
_CLOSE = re.compile(r"(?:---|\.\.\.)[ \t]*")


@dataclass(frozen=True, slots=True)
class FrontMatter:
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
    values = _read(lines[1:end], notes)
    texts = {key: _text(key, values[key], notes) for key in ("name", "description") if key in values}
    chosen = {key: values[key] for key in _CHOICES if _is_choice(key, values, notes)}
    return FrontMatter(
        end + 1,
        texts.get("name", ""),
        texts.get("description", ""),
        chosen.get("context", "shared"),
        chosen.get("split") == "substeps",
    )


def _read(lines: list[str], notes: SopProblems) -> dict[str, Any]:
    from ion.language.yaml import read_yaml

    document = read_yaml("\n".join(lines), notes.file)
    for problem in document.problems:
        notes.add(replace(problem, line=problem.line + 1))
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
