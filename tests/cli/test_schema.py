"""`ion schema`: the JSON Schema of workflow files."""

from __future__ import annotations

import jsonschema
import pytest

from ion.language.schema import NODE_MODELS, AgentOptions, workflow_json_schema
from ion.language.schema.descriptions import FIELDS, FIELDS_OF, KINDS

from .kit import Ion


def test_schema_is_a_json_schema_that_takes_a_workflow(ion: Ion) -> None:
    schema = ion("schema").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == ion("schema", "--json").json()
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate({"name": "x", "description": "d", "nodes": [{"id": "a", "bash": "echo"}]})
    assert not validator.is_valid({"name": "x", "description": "d"})


def test_an_editor_has_a_word_on_each_field_and_kind(ion: Ion) -> None:
    """Only what an agent is given as it stands has the same words everywhere."""
    schema = ion("schema").json()
    options = {one.alias or name for name, one in AgentOptions.model_fields.items()}
    for model, definition in {"WorkflowModel": schema, **schema["$defs"]}.items():
        for name, field in definition["properties"].items():
            assert field["description"].endswith("."), (model, name)
            assert ("as it stands" in field["description"]) == (name in options), (model, name)
    assert {model.__name__ for model in NODE_MODELS.values()} <= {
        name for name, one in schema["$defs"].items() if "description" in one
    }


def test_no_description_is_left_of_what_is_gone() -> None:
    schema = workflow_json_schema()
    models = {"WorkflowModel": schema, **schema["$defs"]}
    assert set(FIELDS) <= {name for one in models.values() for name in one["properties"]}
    assert {(model, name) for model, fields in FIELDS_OF.items() for name in fields} <= {
        (model, name) for model, one in models.items() for name in one["properties"]
    }
    assert set(KINDS) <= set(models)


@pytest.mark.parametrize(
    ("node", "fits"),
    [
        ({"fan_out": {"lines": "$list.output", "as": "file", "max_parallel": "all"}, "prompt": "x"}, True),
        ({"fan_out": {"items": [1, 2]}, "group": {"nodes": [{"id": "b", "bash": "echo"}]}}, True),
        ({"loop_group": {"max_iterations": 2, "until_node": "b", "nodes": [{"id": "b", "bash": "echo"}]}}, True),
        ({"workflow": "release", "with": {"target": "a"}}, True),
        ({"include": "lint"}, True),
        ({"fan_out": {"items": [1], "max_items": 99999}, "prompt": "x"}, False),
        ({"loop_group": {"nodes": [{"id": "b", "bash": "echo"}]}}, False),
        ({"group": {"nodes": [{"id": "b"}]}}, False),
    ],
)
def test_an_editor_takes_what_is_inside_of_nodes(ion: Ion, node: dict[str, object], fits: bool) -> None:
    validator = jsonschema.Draft202012Validator(ion("schema").json())
    assert validator.is_valid({"name": "x", "description": "d", "nodes": [{"id": "a", **node}]}) == fits
