"""The file format as pydantic models: the one importer of pydantic.

`shape.py` decides which node model applies and what an unknown field means; `check` validates a value against a model
and reports everything that is wrong with it at once; `workflow_json_schema` gives editors the same rules.
"""

from __future__ import annotations

from ion.language.schema.faults import Fault, boolean_meant, check
from ion.language.schema.models import (
    NODE_MODELS,
    AgentNode,
    AgentOptions,
    ApprovalModel,
    ApprovalNode,
    Bound,
    DecisionModel,
    EvidencePolicy,
    FannedOut,
    FanOutModel,
    GroupModel,
    GroupNode,
    IncludeNode,
    InputModel,
    LoopGroupModel,
    LoopGroupNode,
    LoopModel,
    LoopNode,
    Model,
    NodeModel,
    OnRejectModel,
    RetryModel,
    ScriptNode,
    WorkflowModel,
    WorkflowNode,
    field_names,
    workflow_json_schema,
)
from ion.language.schema.values import describe

__all__ = [
    "NODE_MODELS",
    "AgentNode",
    "AgentOptions",
    "ApprovalModel",
    "ApprovalNode",
    "Bound",
    "DecisionModel",
    "EvidencePolicy",
    "FanOutModel",
    "FannedOut",
    "Fault",
    "GroupModel",
    "GroupNode",
    "IncludeNode",
    "InputModel",
    "LoopGroupModel",
    "LoopGroupNode",
    "LoopModel",
    "LoopNode",
    "Model",
    "NodeModel",
    "OnRejectModel",
    "RetryModel",
    "ScriptNode",
    "WorkflowModel",
    "WorkflowNode",
    "boolean_meant",
    "check",
    "describe",
    "field_names",
    "workflow_json_schema",
]
