"""YAML to plain values with the place of every key and value, over PyYAML's event stream.

The stream is walked by a loop, never by `load` or `compose`: deep nesting crashes the C loader, and only the events
have places. Scalars follow the YAML 1.2 core schema. Everything that is wrong becomes a `Problem`; this module never
raises because of a text.
"""

from __future__ import annotations

from typing import Any

import yaml

from ion.language.document import Document
from ion.language.source import MAX_BYTES, Source, forbidden, forbidden_characters, too_large
from ion.language.yaml.reader import Reader, StopReadingError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str, file: str = "") -> Document:
    """Read one YAML document of at most `MAX_BYTES`. A byte order mark at the start is skipped."""
    source = Source(text.removeprefix("\ufeff"))
    document = Document(source)
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        document.problems.append(too_large(size, file))
        document.complete = False
        return document
    document.problems += forbidden_characters(source, file)
    readable = forbidden().sub("\ufffd", source.text) if document.problems else source.text
    reader = Reader(document, file)
    try:
        for event in yaml.parse(readable, Loader=_LOADER):
            reader.take(event)
    except StopReadingError:
        document.complete = False
    except yaml.MarkedYAMLError as error:
        document.complete = False
        reader.syntax_error(error)
    if reader.stack:
        document.value = reader.stack[0].value
    return document
