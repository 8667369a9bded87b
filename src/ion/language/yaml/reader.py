"""Builds values with their places from the events of a YAML document, one by one.

A loop calls `take` with each event, so nothing recurses; the limits of depth, size and expansion are enforced here. An
error becomes a problem, and reading continues after it where that makes sense.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from msgspec import Struct, field

from ion.errors import Problem
from ion.language.document import Document, DocumentPath
from ion.language.problems import MAX_ERRORS, path_text
from ion.language.yaml.errors import explain

MAX_DEPTH = 50
MAX_VALUES = 500_000
MAX_ALIASED_VALUES = 20_000

_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = {None, "!", _TAG + "map", _TAG + "seq"}
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    _TAG + "int": (int,),
    _TAG + "float": (float, int),
    _TAG + "bool": (bool,),
    _TAG + "null": (type(None),),
}


class _Frame(Struct):
    """An open list or mapping. `dropped`: it is read, but belongs to nothing that is kept."""

    value: Any
    path: DocumentPath
    anchor: str | None
    counted: int  # values read before it, to know its size
    aliased: int
    dropped: bool = False
    is_key: bool = False
    key: str | None = None
    key_dropped: bool = False
    merging: bool = False
    height: int = 1
    merges: list[Any] = field(default_factory=list)


class _Anchored(Struct):
    value: Any
    size: int
    height: int
    path: DocumentPath = ()


class StopReadingError(Exception):
    """Nothing after this point can be checked; the problem has been reported."""


class Reader:
    """Takes the events one by one and builds the document."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.count = 0
        self.aliased = 0
        self.documents = 0
        self.take_by_type = {
            yaml.ScalarEvent: self.scalar,
            yaml.MappingStartEvent: lambda event: self.open(event, {}),
            yaml.SequenceStartEvent: lambda event: self.open(event, []),
            yaml.MappingEndEvent: self.close,
            yaml.SequenceEndEvent: self.close,
            yaml.AliasEvent: self.alias,
            yaml.DocumentStartEvent: self.start_document,
        }

    def take(self, event: Any) -> None:
        handler = self.take_by_type.get(type(event))
        if handler is not None:
            handler(event)

    def here(self) -> DocumentPath:
        """The path of the value that is being read, or of the mapping whose next key is."""
        for frame in reversed(self.stack):
            if not frame.dropped:
                inside = type(frame.value) is list or frame.key is not None
                return self.next_path(frame) if inside else frame.path
        return ()

    def problem(self, code: str, message: str, index: int, *, hint: str = "", end: int = 0, key: str = "") -> None:
        source = self.document.source
        line, column = source.place(min(index, len(source.text)))
        length = max(1, min(end, source.line_end(index)) - index)
        self.document.problems.append(
            Problem(
                code,
                message,
                file=self.file,
                line=line,
                column=column,
                path=path_text((*self.here(), key) if key else self.here()),
                hint=hint,
                length=length,
            )
        )
        if len(self.document.problems) >= MAX_ERRORS:
            raise StopReadingError

    def spoil(self) -> None:
        """The value that is being read is not what the author meant."""
        if self.stack:
            self.document.spoiled.add(self.here())

    def start_document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            hint = "one file holds one workflow: remove the '---', or put what follows in a file of its own"
            self.problem("second-document", "a second YAML document begins here", event.start_mark.index, hint=hint)
            raise StopReadingError

    # Values

    def scalar(self, event: Any) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            self.key(frame, event, start, end)
            return
        value = event.value
        if not event.implicit[1] or event.tag:  # plain, or with a tag
            value = self.resolve(event, start, end)
        elif not value.isascii() or "\0" in value:
            self.check_escapes(value, start, end)
        self.keep(value, start, end, event.anchor, 1, 0)

    def check_escapes(self, value: str, start: int, end: int) -> None:
        found = re.search("[\0\ud800-\udfff]", value)
        if found:
            name = "a NUL character" if found[0] == "\0" else f"half a character (U+{ord(found[0]):04X})"
            hint = "no process and no agent can be given that: remove the escape"
            self.spoil()
            self.problem("control-character", f"this text holds {name}", start, end=end, hint=hint)

    def resolve(self, event: Any, start: int, end: int) -> Any:
        """The value of a plain or tagged scalar by the 1.2 core schema."""
        tag, text = event.tag, event.value
        if tag in (_TAG + "str", "!"):
            return text
        value = self.plain(text, start, end)
        if tag is None or isinstance(value, _SCALAR_TAGS.get(tag, ())):
            return value
        self.custom_tag(tag, start, end)
        return text

    def plain(self, text: str, start: int, end: int) -> Any:
        value = plain_value(text)
        if isinstance(value, float) and not math.isfinite(value):
            hint = "put it in quotes if it is meant as text"
            self.spoil()
            self.problem("bad-number", f"'{text[:20]}' is not a number that Ion can hold", start, end=end, hint=hint)
            return text
        return value

    def custom_tag(self, tag: str, start: int, end: int) -> None:
        shown = tag.replace(_TAG, "!!")
        self.spoil()
        hint = "quote this value if the '!' belongs to it, else remove the tag"
        self.problem("custom-tag", f"the tag '{shown}' is not supported", start, end=end, hint=hint)

    def key(self, frame: _Frame, event: Any, start: int, end: int) -> None:
        text = event.value
        self.grow(1, start)
        if event.implicit[0] and not event.tag:
            self.check_plain_key(frame, text, start, end)
        path = (*frame.path, text)
        duplicate = not frame.dropped and not frame.merging and path in self.document.keys
        if duplicate:
            line, _ = self.document.source.place(self.document.keys[path][0])
            message = f"'{text}' is given twice; the first is in line {line}"
            self.problem("duplicate-key", message, start, end=end, hint="remove one of the two", key=text)
        elif not frame.dropped and not frame.merging:
            self.document.keys[path] = (start, end)
        frame.key, frame.key_dropped = text, frame.dropped or duplicate

    def check_plain_key(self, frame: _Frame, text: str, start: int, end: int) -> None:
        if text == "<<":
            frame.merging = True
            hint = "write the fields out: Ion does not merge mappings"
            self.problem("merge-key", "'<<' is not supported", start, end=end, hint=hint, key=text)
        elif not isinstance(plain_value(text), str):
            shown = f"'{text}'" if text else "an empty key"
            hint = f'write "{text}" in quotes' if text else "give it a name"
            self.problem("key-not-text", f"a key must be text, not {shown}", start, end=end, hint=hint, key=text)

    def alias(self, event: Any) -> None:
        start, end = event.start_mark.index, event.end_mark.index
        name = event.anchor
        anchored = self.anchors.get(name)
        if anchored is None:
            what = f"the anchor '&{name}' is used inside of itself" if name in self.anchors else f"no anchor '&{name}'"
            hint = "quote this value if the '*' belongs to it"
            self.problem("unknown-alias", what, start, end=end, hint=hint)
            self.spoil()
            anchored = _Anchored(None, 1, 0)
        self.aliased += anchored.size
        if self.aliased > MAX_ALIASED_VALUES:
            message = f"the aliases of this file stand for more than {MAX_ALIASED_VALUES:,} values"
            self.problem("alias-expansion", message, start, end=end, hint="write the values out, or use fewer aliases")
            raise StopReadingError
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.key is None and type(frame.value) is dict:
            self.key_not_scalar(start, end)
            frame.key, frame.key_dropped = "", True
            return
        if frame is not None and not (frame.dropped or frame.key_dropped):
            self.document.aliases[self.next_path(frame)] = anchored.path
        self.keep(anchored.value, start, end, None, anchored.size, anchored.height)

    # Collections

    def open(self, event: Any, value: Any) -> None:
        start = event.start_mark.index
        if event.tag not in _COLLECTION_TAGS:
            self.custom_tag(event.tag, start, event.end_mark.index)
        self.grow(1, start)
        self.check_depth(1, start)
        frame = _Frame(value, (), event.anchor, self.count, self.aliased)
        if event.anchor:
            self.anchors[event.anchor] = None
        if self.stack:
            parent = self.stack[-1]
            if type(parent.value) is dict and parent.key is None:
                self.key_not_scalar(start, start + 1)
                frame.is_key = frame.dropped = True
            else:
                frame.dropped = parent.dropped or parent.key_dropped
                frame.path = self.next_path(parent)
        if not frame.dropped:
            self.document.values[frame.path] = (start, start + 1)
        self.stack.append(frame)

    def close(self, _event: Any) -> None:
        frame = self.stack.pop()
        for merged in frame.merges:
            for item in merged if isinstance(merged, list) else [merged]:
                if isinstance(item, dict):
                    frame.value |= {key: value for key, value in item.items() if key not in frame.value}
        if frame.anchor:
            size = 1 + self.count - frame.counted + self.aliased - frame.aliased
            self.anchors[frame.anchor] = _Anchored(frame.value, size, frame.height, frame.path)
        if frame.is_key:
            parent = self.stack[-1]
            parent.key, parent.key_dropped = "", True
        else:
            self.store(frame.value, frame.height)

    def key_not_scalar(self, start: int, end: int) -> None:
        text = self.document.source.text
        if self.stack[-1].dropped:
            return  # a key inside of such a key
        self.spoil()
        hint = "a key is plain text"
        if text[max(0, start - 1) : start + 1] == "{{":
            hint = "quote this value: '{{ … }}' opens two YAML mappings"
        self.problem("key-not-text", "a key must be text, not a list or a mapping", start, end=end, hint=hint)

    def keep(self, value: Any, start: int, end: int, anchor: str | None, size: int, height: int) -> None:
        """Stores a finished scalar or alias and its place."""
        self.grow(1, start)
        self.check_depth(height, start)
        if anchor:
            self.anchors[anchor] = _Anchored(value, size, height, self.here())
        parent = self.stack[-1] if self.stack else None
        if parent is None:
            self.document.values[()] = (start, end)
        elif not (parent.dropped or parent.key_dropped):
            self.document.values[self.next_path(parent)] = (start, end)
        self.store(value, height)

    def store(self, value: Any, height: int) -> None:
        if not self.stack:
            self.document.value = value
            return
        parent = self.stack[-1]
        if height >= parent.height:
            parent.height = height + 1
        if type(parent.value) is list:
            parent.value.append(value)
            return
        if parent.merging:
            parent.merges.append(value)
        elif not parent.key_dropped:
            parent.value[parent.key] = value
        parent.key, parent.key_dropped, parent.merging = None, False, False

    def next_path(self, parent: _Frame) -> DocumentPath:
        last = len(parent.value) if type(parent.value) is list else parent.key
        return (*parent.path, last)  # type: ignore[arg-type]

    def grow(self, size: int, index: int) -> None:
        self.count += size
        if self.count > MAX_VALUES:
            self.problem("too-many-values", f"the file holds more than {MAX_VALUES:,} values", index)
            raise StopReadingError

    def check_depth(self, height: int, index: int) -> None:
        if len(self.stack) + height > MAX_DEPTH:
            self.too_deep(index)
            raise StopReadingError

    def too_deep(self, index: int) -> None:
        hint = "is a bracket missing its end?"
        self.problem("too-deep", f"this is nested more than {MAX_DEPTH} levels deep", index, hint=hint)

    def syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        index, message, hint = explain(error, self.document.source)
        if "maximum nesting depth" in str(error.problem):  # PyYAML 6.0.4 gives up on its own, far beyond our limit
            self.too_deep(index)
            return
        line, _ = self.document.source.place(index)
        if any(problem.line == line for problem in self.document.problems):
            return  # what was said about this line is the cause
        self.problem("yaml-tab" if message.startswith("a tab") else "yaml-syntax", message, index, hint=hint)


# Plain scalars by the YAML 1.2 core schema: `on`, `no`, `12:30` and `1e3x` are texts, `010` is ten.

MAX_NUMBER_LENGTH = 100

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT = frozenset("0123456789-+.~nNtTfF")  # how a plain scalar begins that may be something other than text


def plain_value(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. A YAML number that JSON cannot hold is not finite."""
    if text[:1] not in _NOT_TEXT and text:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        too_long = len(text) > MAX_NUMBER_LENGTH
        return math.inf if too_long else int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.inf if _NO_NUMBER.fullmatch(text) else text
