"""The file format of a workflow: one model for the file, one for each kind of node, one for each part of them.

Models are strict (a number is not accepted as a text) and know exactly their fields. A field that may be left out has
the default None without allowing `null`: an empty `when:` must not read as no condition.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from ion.language.schema.descriptions import describe_all
from ion.language.schema.values import (
    Dollars,
    Duration,
    Environment,
    EnvironmentName,
    ExitStatus,
    FileName,
    InputName,
    NodeId,
    Positive,
    Text,
    WorkflowName,
    absent,
    allowed_value,
    check_pause,
    context_value,
    decision_id,
    finally_value,
    input_or_nothing,
    items_value,
    moment_text,
    parallel_value,
    retry_delay,
    signal_name,
    wait_value,
    worker_label,
)
from ion.language.workflow import FINAL_KINDS, MAX_ITEMS


class Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False, defer_build=True)


# Parts of nodes


class RetryModel(Model):
    max_attempts: Annotated[int, Field(ge=1, le=5)]
    delay_ms: Annotated[Duration, AfterValidator(retry_delay)] = absent()
    on_error: Literal["transient", "all"] = absent()
    on_exit_status: Annotated[list[ExitStatus], Field(min_length=1)] = absent()
    never_on_exit_status: Annotated[list[ExitStatus], Field(min_length=1)] = absent()
    backoff: Literal["double", "fixed"] = absent()
    max_delay: Duration = absent()


class AllowedModel(Model):
    exit_status: Annotated[list[ExitStatus], Field(min_length=1)] = absent()
    codes: Annotated[
        list[
            Literal[
                "exit-status",
                "timeout",
                "rate_limited",
                "crashed",
                "bad_output",
                "refused",
                "not_found",
                "budget",
                "max_iterations",
            ]
        ],
        Field(min_length=1),
    ] = absent()


class FinallyModel(Model):
    nodes: Annotated[list[Any], Field(min_length=1)]
    timeout: Duration = absent()


class LoopModel(Model):
    prompt: Text = absent()
    command: FileName = absent()
    until: Text = absent()
    until_bash: Text = absent()
    until_field: Text = absent()
    until_all: bool = absent()
    max_iterations: Positive
    fresh_context: bool = False
    interactive: bool = False
    gate_message: Text = absent()
    signal_completes: bool = False


class GroupModel(Model):
    nodes: Annotated[list[Any], Field(min_length=1)]
    returns: str = absent()


class LoopGroupModel(GroupModel):
    until: Text = absent()
    until_bash: Text = absent()
    until_node: str = absent()
    until_all: bool = absent()
    max_iterations: Positive
    fresh_context: bool = False
    interactive: bool = False
    gate_message: Text = absent()
    signal_completes: bool = False


class FanOutModel(Model):
    items: Annotated[str | list[Any], BeforeValidator(items_value)] = absent()
    lines: Text = absent()
    name: InputName = absent(alias="as")
    max_parallel: Annotated[int | Literal["all"], BeforeValidator(parallel_value)] = 5
    join: Literal["all_success", "all_done"] = absent()
    fail_fast: bool = False
    max_items: Annotated[int, Field(ge=1, le=MAX_ITEMS)] = 1000


class OnRejectModel(Model):
    prompt: Text
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3


class DecisionModel(Model):
    id: Annotated[str, AfterValidator(decision_id)]
    label: Text = absent()


class ApprovalModel(Model):
    message: Text
    capture_response: bool = False
    on_reject: OnRejectModel = absent()
    decisions: Annotated[list[DecisionModel], Field(min_length=1)] = absent()
    timeout: Duration = absent()
    on_timeout: str = absent()
    remind: Annotated[list[Duration], Field(min_length=1)] = absent()


WAIT_FORMS = ("duration", "duration_ms", "until", "event", "check")


class WaitModel(Model):
    duration: Duration = absent()
    duration_ms: Duration = absent()
    until: Annotated[Text, AfterValidator(moment_text)] = absent()
    event: Annotated[str, AfterValidator(signal_name)] = absent()
    check: Text = absent()
    every: Annotated[Duration, AfterValidator(check_pause)] = absent()
    deadline: Duration = absent()
    deadline_ms: Duration = absent()
    on_expired: Literal["continue", "fail", "skip"] = absent()


class InputModel(Model):
    required: bool = False
    default: Any = None
    description: str = ""
    type: Literal["string", "number", "integer", "boolean", "array", "object"] = absent()
    enum: Annotated[list[Any], Field(min_length=1)] = absent()
    refers_to: Annotated[list[InputName], Field(min_length=1)] = absent()
    placeholder: Text = absent()


# Nodes


class NodeModel(Model):
    """What every kind of node shares (language.md §3)."""

    id: NodeId
    description: str = ""
    depends_on: list[str] = absent()
    when: str = absent()
    trigger_rule: Literal["all_success", "one_success", "none_failed_min_one_success", "all_done"] = "all_success"


# Control fields that not every kind has; `fields.py` says where each acts.


class Catching(Model):
    catches: Annotated[list[str], Field(min_length=1)] = absent()


class Allowing(Model):
    allow_failure: Annotated[AllowedModel | None, BeforeValidator(allowed_value)] = absent()


class Rerun(Model):
    always_run: bool = False


class Placed(Model):
    runs_on: Annotated[str, AfterValidator(worker_label)] = absent()


class FannedOut(Model):
    fan_out: FanOutModel = absent()


class Retried(Model):
    retry: RetryModel = absent()


class Timed(Model):
    timeout: Duration = absent()


class Surrounded(Model):
    env: Environment = absent()
    cwd: Text = absent()
    grace: Duration = absent()


class Bound(Model):
    """A node that takes values by name (language.md §5.2)."""

    bindings: dict[InputName, Any] = absent(alias="with")


class AgentOptions(Model):
    """Data for the agent (language.md §3.3): Ion has no provider and checks none of it except the budget, which it
    enforces itself."""

    provider: Any = None
    model: Any = None
    effort: Any = None
    thinking: Any = None
    fallback_model: Any = Field(default=None, alias="fallbackModel")
    betas: Any = None
    sandbox: Any = None
    system_prompt: Any = Field(default=None, alias="systemPrompt")
    setting_sources: Any = Field(default=None, alias="settingSources")
    node_budget_usd: Dollars = absent(alias="maxBudgetUsd")
    allowed_tools: Any = None
    denied_tools: Any = None
    hooks: Any = None
    mcp: Any = None
    skills: Any = None
    agents: Any = None
    web_search_mode: Any = Field(default=None, alias="webSearchMode")
    model_reasoning_effort: Any = Field(default=None, alias="modelReasoningEffort")
    persist_session: Any = None
    pi: Any = None


class Answering(Model):
    output_format: dict[str, Any] = absent()


class AgentNode(NodeModel, Rerun, Catching, Allowing, Placed, FannedOut, Surrounded, Answering, AgentOptions):
    agent: Text = absent()
    context: Annotated[
        str | dict[str, str],
        BeforeValidator(context_value),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["fresh", "shared"]},
                    {"type": "object", "properties": {"resume": {"type": "string"}}, "required": ["resume"]},
                ]
            }
        ),
    ] = absent()
    idle_timeout: Duration = absent()


class CommandNode(AgentNode, Timed, Retried, Bound):
    command: FileName


class PromptNode(AgentNode, Timed, Retried):
    prompt: Text
    continued: Text = absent()


class ProgramNode(
    NodeModel, Rerun, Catching, Allowing, Placed, FannedOut, Timed, Retried, Surrounded, Bound, Answering
):
    """bash and script."""

    on_timeout: Literal["fail", "skip"] = absent()


class BashNode(ProgramNode):
    bash: Text
    strict: bool = absent()


class ScriptNode(ProgramNode):
    script: Text
    runtime: Literal["bun", "node", "uv", "python"]
    deps: list[Text] = absent()


class LoopNode(AgentNode, Timed):
    loop: LoopModel


class ApprovalNode(NodeModel, Rerun, Catching, Allowing, Placed, Retried, Surrounded):
    approval: ApprovalModel


class CancelNode(NodeModel, Rerun, Catching, Placed):
    cancel: Text


class WaitNode(NodeModel, Rerun, Catching, Allowing, Placed, Timed, Surrounded):
    wait: Annotated[WaitModel, BeforeValidator(wait_value)]


class CompositeNode(NodeModel, Rerun, Catching, Allowing, FannedOut, Timed, Retried):
    """One node to its siblings, and a graph inside (language.md §13)."""


class GroupNode(CompositeNode, AgentOptions):
    agent: Text = absent()
    group: GroupModel


class LoopGroupNode(CompositeNode, AgentOptions):
    agent: Text = absent()
    loop_group: LoopGroupModel


class WorkflowNode(CompositeNode, Bound):
    workflow: WorkflowName
    input: str = absent()


class IncludeNode(NodeModel, Catching, Allowing, FannedOut, Bound):
    include: WorkflowName


NODE_MODELS: dict[str, type[NodeModel]] = {
    "command": CommandNode,
    "prompt": PromptNode,
    "bash": BashNode,
    "script": ScriptNode,
    "loop": LoopNode,
    "approval": ApprovalNode,
    "cancel": CancelNode,
    "wait": WaitNode,
    "group": GroupNode,
    "loop_group": LoopGroupNode,
    "workflow": WorkflowNode,
    "include": IncludeNode,
}


class EvidencePolicy(Model):
    required: bool


class WorkflowModel(AgentOptions):
    """The whole file; the nodes are checked one by one, each by the model of its kind."""

    name: Text
    description: Text
    nodes: Annotated[list[Any], Field(min_length=1)]
    inputs: dict[InputName, Annotated[InputModel, BeforeValidator(input_or_nothing)]] = absent()
    returns: str = absent()
    interactive: bool = False
    tags: list[str] = absent()
    max_concurrency: Positive = absent()
    max_budget_usd: Dollars = absent()
    timeout: Duration = absent()
    fail_fast: bool = False
    finally_: Annotated[FinallyModel, BeforeValidator(finally_value)] = absent(alias="finally")
    strict: bool = False
    env: Environment = absent()
    secrets: list[EnvironmentName] = absent()
    agent: Text = absent()
    workspace: Literal["shared", "pinned", "git"] = "shared"
    evidence_policy: EvidencePolicy = absent()


def field_names(model: type[Model]) -> tuple[str, ...]:
    """The keys that a model knows, as a file writes them."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


# The JSON Schema of workflow files


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
    for holder in (root, definitions["GroupModel"], definitions["LoopGroupModel"]):
        holder["properties"]["nodes"]["items"] = {"oneOf": kinds}
    _short_forms(root, definitions)
    for schema in (root, *definitions.values()):
        schema.pop("additionalProperties", None)
    describe_all({"WorkflowModel": root, **definitions})
    root["$defs"] = dict(sorted(definitions.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Ion workflow", **_ordered(root)}


def _short_forms(root: dict[str, Any], definitions: dict[str, Any]) -> None:
    """What a validator takes before the model does, and what the model cannot say."""
    nodes = definitions["FinallyModel"]["properties"]["nodes"]
    nodes["items"] = {"oneOf": [{"$ref": f"#/$defs/{NODE_MODELS[kind].__name__}"} for kind in FINAL_KINDS]}
    root["properties"]["finally"] = {"anyOf": [root["properties"]["finally"], nodes]}
    allowed = {"anyOf": [{"$ref": "#/$defs/AllowedModel"}, {"type": "boolean"}]}
    for schema in definitions.values():
        if "allow_failure" in schema.get("properties", {}):
            schema["properties"]["allow_failure"] = allowed.copy()
    definitions["AllowedModel"]["minProperties"] = 1
    wait = definitions["WaitModel"]
    wait["oneOf"] = [{"required": [form]} for form in WAIT_FORMS]
    duration = {"anyOf": wait["properties"]["duration"]["anyOf"]}
    definitions["WaitNode"]["properties"]["wait"] = {"anyOf": [{"$ref": "#/$defs/WaitModel"}, duration]}


def _ordered(root: dict[str, Any]) -> dict[str, Any]:
    return {key: root[key] for key in ("type", "required", "properties", "$defs")}
