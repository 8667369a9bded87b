"""Which name a workflow file has, judged without loading it."""

from __future__ import annotations

import re
from pathlib import Path

from ion.language.patterns import pattern
from ion.language.source import decode

SOP_SUFFIX = ".sop.md"
_SUFFIXES = (".yaml", ".yml", SOP_SUFFIX)
_NAME_LINE = pattern(r"""^['"]?name['"]?[ \t]*:[ \t]*(.*?)[ \t\r]*$""", re.MULTILINE)
_PLAIN_NAME = pattern(r"(?!(?:true|false|null)\Z)[A-Za-z_][A-Za-z0-9_-]*", re.IGNORECASE)
_NAME_WITH_ESCAPE = re.compile(rb"""^['"]?name['"]?\s*:.*\\""", re.MULTILINE)


def is_workflow_file(path: Path) -> bool:
    """Whether a file, by its name, can hold a workflow."""
    return path.name.endswith(_SUFFIXES)


def stem(path: Path) -> str:
    """The name of a file that declares no other: `pay.sop.md` → `pay`."""
    return path.name.removesuffix(SOP_SUFFIX) if path.name.endswith(SOP_SUFFIX) else path.stem


def may_be_named(data: bytes, path: Path, wanted: str) -> bool:
    """Whether a file with these bytes can hold the workflow `wanted`."""
    words = wanted.encode("utf-8", "surrogatepass").split()
    return stem(path) == wanted or all(word in data for word in words) or _NAME_WITH_ESCAPE.search(data) is not None


def name_in(data: bytes, path: Path) -> str:
    """The name that a file declares, else its own. YAML is parsed only where no line of it tells."""
    text, problem = decode(data, str(path))
    if path.name.endswith(SOP_SUFFIX) or problem is not None:
        return stem(path)
    lines = _NAME_LINE.findall(text)
    if len(lines) == 1 and _PLAIN_NAME.fullmatch(lines[0]):
        return str(lines[0])
    from ion.language.yaml import read_yaml

    return declared_name(read_yaml(text, str(path)).value) or stem(path)


def declared_name(value: object) -> str:
    """The name in the values of a document, '' if there is none."""
    name = value.get("name") if isinstance(value, dict) else None
    return name.strip() if isinstance(name, str) else ""
