"""The rules of `output_format`: a JSON Schema that can validate a reply without network access (language.md §3.3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ion.language.document import DocumentPath
from ion.language.problems import Report


def check_output_format(schema: dict[str, Any], path: DocumentPath, report: Report) -> None:
    """An `output_format` must be a JSON Schema that can validate a reply without network access."""
    text = json.dumps(schema)
    for place, message in _schema_faults(text):
        report.error("bad-output-format", message, (*path, *place))
    if not _schema_faults(text):
        hint = "put it into '$defs' and refer to '#/$defs/name'"
        for place, message in _stray_references(schema):
            report.error("bad-output-format", message, (*path, *place), hint=hint)


@lru_cache(maxsize=256)
def _schema_faults(text: str) -> tuple[tuple[DocumentPath, str], ...]:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    schema = json.loads(text)
    if not isinstance(schema.get("$schema", ""), str):
        return ((("$schema",), "'$schema' must be text"),)
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        return ((tuple(error.absolute_path), f"this is not a JSON Schema: {error.message[:200]}"),)
    except OverflowError:  # of a repetition such as a{99999999999}
        return (((), "this is not a JSON Schema: a pattern in it repeats too often"),)
    return ()


# What names schemas: a key below it is nothing but a name.
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OUTSIDE = "outside of this file; Ion fetches no schema"


def _stray_references(schema: dict[str, Any]) -> Iterator[tuple[DocumentPath, str]]:
    """Each reference of a schema that leads out of it, to nothing, or in a circle. `enum`, `const`, `default` and
    `examples` contain values, not schemas."""
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY, specification_with

    kind = specification_with(schema.get("$schema", ""), default=DRAFT202012)
    resolver = EMPTY_REGISTRY.resolver_with_root(kind.create_resource(schema))
    verdicts: dict[int, str] = {}
    below: list[tuple[Any, DocumentPath, Any]] = [(schema, (), resolver)]
    while below:
        value, path, resolver = below.pop()
        if isinstance(value, dict):
            resolver = resolver.in_subresource(kind.create_resource(value))
            for key, item in value.items():
                if key in _REFERENCES and isinstance(item, str):
                    if said := _unresolved(item, resolver, verdicts):
                        yield (*path, key), said
                elif key in _NAMED and isinstance(item, dict):
                    below += [(inner, (*path, key, name), resolver) for name, inner in item.items()]
                elif key not in ("enum", "const", "default", "examples"):
                    below.append((item, (*path, key), resolver))
        elif isinstance(value, list):
            below += [(item, (*path, index), resolver) for index, item in enumerate(value)]


def _unresolved(reference: str, resolver: Any, verdicts: dict[int, str]) -> str:
    """What is wrong with a reference, or ''. A chain of references is followed, each once, whoever refers to it:
    `verdicts` remembers the result."""
    from referencing.exceptions import Unresolvable

    shown, seen, verdict = f"'{reference[:60]}'", set[int](), None
    while verdict is None:
        try:
            found = resolver.lookup(reference)
        except (Unresolvable, ValueError):
            inside = reference.startswith("#")
            verdict = f"'{reference[:60]}' is {'not in this schema' if inside else _OUTSIDE}"
            break
        target, resolver = found.contents, found.resolver
        if id(target) in seen:
            verdict = f"{shown} refers to itself"
        elif not isinstance(target, dict | bool):
            verdict = f"{shown} is not a schema"
        elif isinstance(target, dict) and isinstance(target.get("$ref"), str):
            verdict, reference = verdicts.get(id(target)), target["$ref"]
            seen.add(id(target))
        else:
            verdict = ""
    verdicts |= dict.fromkeys(seen, verdict)
    return verdict
