"""Replies that must fit a JSON Schema (`output_format`): extracting the JSON from the text, repairing, validating.

An agent is asked for JSON and answers with text. The JSON is the reply itself, else a fenced block of JSON, else what a
strict repair makes of it, else a value inside of it: the first that fits the author's schema. A pattern, or a
repair, can take forever on some texts: `checking` does this in a separate process unless `validate_quickly` can do it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from ion.errors import OutputFormatError
from ion.language.values import bare_values, canonical, fenced_values, read_whole_json
from ion.masking import head

ERRORS_SHOWN = 20
_ERROR_CHARACTERS = 300
LONGEST_REPLY = 8 * 1024 * 1024
DEEPEST_REPLY = 100
# How many values of one kind in a reply are held against the schema.
_VALUES_TRIED = 50
# Repair looks at every character many times; an agent that sends more than this is asked again.
_REPAIR_CHARACTERS = 200_000
# Repair would make a text of such a number.
_NO_NUMBER = re.compile(r"[:\[,]\s*[-+]?(?:NaN|Infinity)\s*(?:[,}\]]|\Z)")

# Without these a schema is gone through once for each value of a reply: no pattern, no reference, nothing compared
# with everything else. Under `_QUICK_STEPS` (characters of one times characters of the other) that takes milliseconds.
_QUICK_STEPS = 1_000_000
_QUICK_CHARACTERS = 20_000
_PLAIN = frozenset(
    (
        *("$schema", "title", "description", "default", "examples", "type", "enum", "const", "required", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties"),
    )
)
_WITH_SCHEMAS = frozenset(("items", "additionalProperties", "anyOf", "oneOf", "allOf"))


class CheckedReply(Struct, frozen=True, gc=False):
    """A reply that fits: its JSON as compact `text` and as `value`. `repaired`: the text was almost JSON."""

    text: str
    value: Any
    repaired: bool = False


def validate_quickly(output_format: dict[str, Any], text: str) -> CheckedReply | tuple[str, ...] | None:
    """`validate_reply` where it is certain to be quick: the text is far too long, or the schema is plain, both are
    short, and the text is JSON or a fence in it fits. Otherwise None."""
    if len(text) > LONGEST_REPLY:
        return (f"the reply is longer than {LONGEST_REPLY >> 20} MiB",)
    steps = len(text) * len(json.dumps(output_format))
    if len(text) > _QUICK_CHARACTERS or steps > _QUICK_STEPS or not _is_plain(output_format):
        return None
    try:
        return _fit(output_format, read_whole_json(text))
    except ValueError:
        fenced = (_fit(output_format, value) for value in islice(fenced_values(text), _VALUES_TRIED))
        return next((one for one in fenced if isinstance(one, CheckedReply)), None)


def _is_plain(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(map(_is_plain, schema))
    if not isinstance(schema, dict):
        return True
    return all(
        key in _PLAIN
        or (key in _WITH_SCHEMAS and _is_plain(value))
        or (key == "properties" and isinstance(value, dict) and all(map(_is_plain, value.values())))
        for key, value in schema.items()
    )


def validate_reply(output_format: dict[str, Any], text: str) -> CheckedReply | tuple[str, ...]:
    """The reply as JSON that fits the schema, or everything that is wrong with it, in words that an agent can act on.

    Of several values in it the first that fits counts, since an example may stand before the answer. Raises
    `OutputFormatError` if the schema itself cannot be used.
    """
    wrong: tuple[str, ...] = ()
    try:
        for value, repaired in _values_in(text):
            checked = _fit(output_format, value, repaired=repaired)
            if isinstance(checked, CheckedReply):
                return checked
            wrong = wrong or checked
    except ValueError as error:
        wrong = wrong or (f"the reply is not JSON: {error}",)
    return wrong


def _values_in(text: str) -> Iterator[tuple[Any, bool]]:
    """The reply as JSON, else each value in it, and whether it was repaired. Ends with ValueError if no repair helps.

    What is in the text without a fence comes after the repair: it may be a piece of what can be repaired.
    """
    try:
        yield read_whole_json(text), False
        return
    except ValueError:
        yield from ((value, False) for value in islice(fenced_values(text), _VALUES_TRIED))
    bare = list(islice(bare_values(text), _VALUES_TRIED))
    try:
        value = _repaired(text)
    except ValueError:
        if not bare:
            raise
    else:
        yield value, value not in bare
    yield from ((value, False) for value in bare)


def _fit(output_format: dict[str, Any], value: Any, *, repaired: bool = False) -> CheckedReply | tuple[str, ...]:
    if _is_deeper(value, DEEPEST_REPLY):
        return (f"the reply is nested more than {DEEPEST_REPLY} levels deep",)
    errors = tuple(_errors(output_format, value))
    return errors or CheckedReply(canonical([value])[1:-1], value, repaired)


def _is_deeper(value: Any, levels: int) -> bool:
    below = [value]
    for _ in range(levels):
        below = [
            inner
            for one in below
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in below)


def ask_again(prompt: str, errors: tuple[str, ...]) -> str:
    """The prompt, followed by what was wrong with the last reply to it."""
    listed = "\n".join(f"- {error}" for error in errors)
    return (
        f"{prompt}\n\nYour last reply to this did not fit the JSON Schema that it must fit:\n{listed}\n"
        "Reply again, with nothing but JSON that fits."
    )


def _repaired(text: str) -> Any:
    import json_repair

    if len(text) > _REPAIR_CHARACTERS:
        raise ValueError("it is text, and too long to be repaired")
    if found := _NO_NUMBER.search(text):
        raise ValueError(f"{found[0].strip(':[,]} ')} is not a number that JSON can hold")
    try:
        value = json_repair.loads(text, skip_json_loads=True, strict=True)
        json.dumps(value, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:  # its words are about a mode of the library
        said = str(error).replace(" in strict mode", "")
        raise ValueError("it is text, or several values" if "top-level" in said else said) from None
    if not isinstance(value, dict | list):
        raise ValueError("it is text")
    return value


def _errors(schema: dict[str, Any], value: Any) -> Iterator[str]:
    import jsonschema
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        # The registry is empty so that a `$ref` to a web address is refused, not fetched.
        found = kind(schema, registry=EMPTY_REGISTRY).iter_errors(value)
        for error in islice(found, ERRORS_SHOWN):
            yield head(f"{error.json_path}: {error.message}", _ERROR_CHARACTERS)
    except RecursionError:
        raise OutputFormatError("output_format refers to itself without an end") from None
    except (jsonschema.SchemaError, Unresolvable) as error:
        raise OutputFormatError(
            f"output_format is not a JSON Schema that can be used: {str(error).splitlines()[0]}",
            hint="a $ref must point into output_format itself",
        ) from error
