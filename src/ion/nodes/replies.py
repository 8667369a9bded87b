"""Replies that must fit a JSON Schema (`output_format`): taking the JSON out of the text, mending, validating.

An agent is asked for JSON and answers with text. The JSON is the reply itself, else its first fenced block of JSON,
else what a strict repair makes of it; then the author's schema decides. `ion submit` asks here too, before it records.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ion.errors import OutputFormatError
from ion.language.references import canonical
from ion.language.values import read_json
from ion.records import dataclass

ERRORS_SHOWN = 20
_ERROR_CHARACTERS = 300
# Repair looks at every character many times; an agent that sends more than this is asked again.
_REPAIR_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that fits: its JSON as compact `text` and as `value`. `repaired`: the text was almost JSON."""

    text: str
    value: Any
    repaired: bool = False


def validate_reply(output_format: dict[str, Any], text: str) -> Reply | tuple[str, ...]:
    """The reply as JSON that fits the schema, or everything that is wrong with it, in words an agent can act on.

    Raises `OutputFormatError` if the schema itself cannot be used.
    """
    repaired = False
    try:
        value = read_json(text)
    except ValueError:
        try:
            value = _mended(text)
        except ValueError as error:
            return (f"the reply is no JSON: {error}",)
        repaired = True
    return fit(output_format, value, repaired=repaired)


def fit(output_format: dict[str, Any], value: Any, *, repaired: bool = False) -> Reply | tuple[str, ...]:
    """`validate_reply` for an answer that is JSON already."""
    try:
        errors = tuple(_errors(output_format, value))
        return errors or Reply(canonical([value])[1:-1], value, repaired)
    except RecursionError:
        return ("the reply is nested too deeply",)


def ask_again(prompt: str, errors: tuple[str, ...]) -> str:
    """The prompt followed by what was wrong with the last reply to it."""
    listed = "\n".join(f"- {error}" for error in errors)
    return (
        f"{prompt}\n\nYour last reply to this did not fit the JSON Schema that it must fit:\n{listed}\n"
        "Reply again, with nothing but JSON that fits."
    )


def _mended(text: str) -> Any:
    import json_repair

    if len(text) > _REPAIR_CHARACTERS:
        raise ValueError("it is text, and too long to be mended")
    try:
        value = json_repair.loads(text, skip_json_loads=True, strict=True)
        json.dumps(value, allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict | list):
        raise ValueError("it is text")
    return value


def _errors(schema: dict[str, Any], value: Any) -> Iterator[str]:
    from itertools import islice

    import jsonschema
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY

    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        # The registry is empty so that a `$ref` to a web address is refused, not fetched.
        found = kind(schema, registry=EMPTY_REGISTRY).iter_errors(value)
        for error in islice(found, ERRORS_SHOWN):
            yield f"{error.json_path}: {error.message}"[:_ERROR_CHARACTERS]
    except (jsonschema.SchemaError, Unresolvable) as error:
        raise OutputFormatError(
            f"output_format is no JSON Schema that can be used: {str(error).splitlines()[0]}",
            hint="a $ref must point into output_format itself",
        ) from error
