"""A YAML document in memory: its plain values and, beside them, the place of each key and value in the text."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from msgspec import Struct, field

from ion.errors import Problem
from ion.language.source import Source

DocumentPath: TypeAlias = tuple[str | int, ...]
Span: TypeAlias = tuple[int, int]

_PROPERTIES = re.compile(r"(?:[&!][^\s]*\s+)*")  # anchor and tag before a value


class Document(Struct):
    """What a YAML text says.

    `keys` and `values` map a path to the (start, end) of its characters in `source`. Below an alias nothing is mapped;
    `aliases` maps the alias to the path of its value. `complete` is false if reading stopped early; `value` is then
    what was read so far, and must not be checked further. The values under `spoiled` are not what the author meant, and
    their problem has been reported.
    """

    source: Source
    value: Any = None
    complete: bool = True
    problems: list[Problem] = field(default_factory=list)
    keys: dict[DocumentPath, Span] = field(default_factory=dict)
    values: dict[DocumentPath, Span] = field(default_factory=dict)
    aliases: dict[DocumentPath, DocumentPath] = field(default_factory=dict)
    spoiled: set[DocumentPath] = field(default_factory=set)

    def span(self, path: DocumentPath, *, key: bool = False) -> Span:
        """Where `path` is, or its nearest parent with a place."""
        if key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, (0, 0))

    def written(self, path: DocumentPath) -> str | None:
        """The characters of the plain scalar at `path`, or of the value of an alias there; None if it has no place,
        since `<<` brought it in (which is an error)."""
        length = 1
        while length <= len(path):
            origin = self.aliases.get(path[:length])
            path, length = (path, length + 1) if origin is None else (origin + path[length:], 1)
        if path not in self.values:
            return None
        start, end = self.values[path]
        properties = _PROPERTIES.match(self.source.text, start, end)
        return self.source.text[properties.end() if properties else start : end].strip()

    def index_in(self, path: DocumentPath, text: str, offset: int) -> int | None:
        """The index in the source of character `offset` of `text`, the value at `path`; None if YAML's escapes or
        folding leave no exact place."""
        if path not in self.values:
            return None
        start, end = self.values[path]
        properties = _PROPERTIES.match(self.source.text, start, end)
        start = properties.end() if properties else start
        style = self.source.text[start : start + 1]
        if style == "|":
            return self._index_in_block(start, text, offset)
        start += style in ("'", '"')
        return start + offset if self.source.text.startswith(text[:offset], start) else None

    def _index_in_block(self, start: int, text: str, offset: int) -> int | None:
        source = self.source
        line, _ = source.place(start)
        header = source.text[start : source.line_end(start)]
        lines_before = text.count("\n", 0, offset)
        column = offset - (text.rfind("\n", 0, offset) + 1)
        begin = source.start_of_line(line + 1 + lines_before)
        if begin is None:
            return None
        index = begin + self._block_indent(header, line, text) + column
        if text[offset : offset + 1] in ("", "\n"):
            return min(index, source.line_end(begin))
        return index if source.text[index : index + 1] == text[offset] else None

    def _block_indent(self, header: str, line: int, text: str) -> int:
        """How many columns the lines of a literal block are indented: those before its first line with text."""
        skipped = len(text) - len(text.lstrip("\n"))
        first = self.source.start_of_line(line + 1 + skipped)
        if first is None:
            return 0
        shown = self.source.text[first : self.source.line_end(first)]
        own = text[skipped:].split("\n", 1)[0] if re.search(r"[1-9]", header.split("#", 1)[0]) else ""
        return len(shown) - len(shown.lstrip(" ")) - (len(own) - len(own.lstrip(" ")))


# Numbers and booleans where a text is expected keep the text that the file has (language.md §2). YAML makes `1.10` a
# number, which loses the last zero: as a version, a mode or a date it would be another one. So before anything checks a
# document, the values in `env`, in `with`, and in the `default` and `enum` of an input without a type become the text
# that was written.


def with_texts(raw: dict[str, Any], document: Document) -> dict[str, Any]:
    """The document's value with those texts. Changed parts of `raw` are copied: an alias may share them."""
    result = _each(raw, (), {"env": _entries}, document)
    if isinstance(result.get("inputs"), dict):
        result["inputs"] = {
            name: _input(item, ("inputs", name), document) if isinstance(item, dict) else item
            for name, item in result["inputs"].items()
        }
    return _each(result, (), {"nodes": _nodes, "finally": _finally}, document)


def _finally(value: Any, path: DocumentPath, document: Document) -> Any:
    return _nodes(value, path, document) if isinstance(value, list) else _body(value, path, document)


def _nodes(value: Any, path: DocumentPath, document: Document) -> Any:
    if not isinstance(value, list):
        return value
    fields = {"env": _entries, "with": _bindings, "group": _body, "loop_group": _body}
    return [
        _each(node, (*path, index), fields, document) if isinstance(node, dict) else node
        for index, node in enumerate(value)
    ]


def _body(value: Any, path: DocumentPath, document: Document) -> Any:
    return _each(value, path, {"nodes": _nodes}, document) if isinstance(value, dict) else value


def _each(raw: dict[str, Any], path: DocumentPath, fields: dict[str, Any], document: Document) -> dict[str, Any]:
    """`raw` with some fields changed."""
    changed = {key: change(raw[key], (*path, key), document) for key, change in fields.items() if key in raw}
    return {**raw, **changed}


def _input(raw: dict[str, Any], path: DocumentPath, document: Document) -> dict[str, Any]:
    typed = raw.get("type")
    fields = (
        {} if typed not in (None, "string") else {"enum": _entries} if typed else {"default": _text, "enum": _entries}
    )
    return _each(raw, path, fields, document)


def _bindings(value: Any, path: DocumentPath, document: Document) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: _each(item, (*path, name), {"if_skipped": _text}, document)
        if isinstance(item, dict) and "from" in item
        else _text(item, (*path, name), document)
        for name, item in value.items()
    }


def _entries(value: Any, path: DocumentPath, document: Document) -> Any:
    if isinstance(value, dict):
        return {key: _text(item, (*path, key), document) for key, item in value.items()}
    if isinstance(value, list):
        return [_text(item, (*path, index), document) for index, item in enumerate(value)]
    return value


def _text(value: Any, path: DocumentPath, document: Document) -> Any:
    text = document.written(path) if isinstance(value, int | float) else None
    return value if text is None else text
