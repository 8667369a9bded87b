"""The JSON Schema of workflow files, made from the same models that check them."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from ion.language.schema.models import NODE_MODELS, WorkflowModel


class _Schema(GenerateJsonSchema):
    """JSON Schema without the `default: null` of fields that may be left out."""

    def default_schema(self, schema: Any) -> Any:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def workflow_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of workflow files, for editors. Unknown fields pass: they are warnings."""
    root = WorkflowModel.model_json_schema(by_alias=True, schema_generator=_Schema)
    definitions: dict[str, Any] = root.pop("$defs", {})
    for model in NODE_MODELS.values():
        schema = model.model_json_schema(by_alias=True, schema_generator=_Schema)
        definitions |= schema.pop("$defs", {})
        definitions[model.__name__] = schema
    kinds = [{"$ref": f"#/$defs/{model.__name__}"} for model in NODE_MODELS.values()]
    root["properties"]["nodes"]["items"] = {"oneOf": kinds}
    for schema in (root, *definitions.values()):
        schema.pop("additionalProperties", None)
    root["$defs"] = dict(sorted(definitions.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Ion workflow", **_ordered(root)}


def _ordered(root: dict[str, Any]) -> dict[str, Any]:
    return {key: root[key] for key in ("type", "required", "properties", "$defs")}
