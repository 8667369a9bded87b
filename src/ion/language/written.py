"""Numbers and booleans where a text is expected: they keep the text that the file has (language.md §2).

YAML makes `1.10` a number, which loses the last zero: as a version, a mode or a date it would be another one. So before
anything checks a document, the values in `env`, in `with`, and in the `default` and `enum` of an input without a type
become the text that was written.
"""

from __future__ import annotations

from typing import Any

from ion.language.document import Document, DocumentPath


def with_texts(raw: dict[str, Any], document: Document) -> dict[str, Any]:
    """The document's value with those texts. Changed parts of `raw` are copied: an alias may share them."""
    result = _each(raw, (), {"env": _entries}, document)
    if isinstance(result.get("inputs"), dict):
        result["inputs"] = {
            name: _input(item, ("inputs", name), document) if isinstance(item, dict) else item
            for name, item in result["inputs"].items()
        }
    if isinstance(result.get("nodes"), list):
        result["nodes"] = [
            _each(node, ("nodes", index), {"env": _entries, "with": _bindings}, document)
            if isinstance(node, dict)
            else node
            for index, node in enumerate(result["nodes"])
        ]
    return result


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
