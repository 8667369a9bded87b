"""`ion schema`: the JSON Schema of workflow files."""

from __future__ import annotations

import jsonschema

from .kit import Ion


def test_schema_is_a_json_schema_that_takes_a_workflow(ion: Ion) -> None:
    schema = ion("schema").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == ion("schema", "--json").json()
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"name": "x", "description": "d", "nodes": [{"id": "a", "bash": "echo"}]})
    assert not validator.is_valid({"name": "x", "description": "d"})
