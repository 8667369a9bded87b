"""The keys that the language knows, and what it means when a key is none of them.

An unknown key is a warning, but one that misspells a field that governs control flow is an error: a typo must not
change what runs (language.md §2). Everything here is derived from the models, so there is one list of fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ion.language import schema
from ion.language.document import DocumentPath
from ion.language.problems import Report, damerau, near

KINDS = tuple(schema.NODE_MODELS)
LATER_KINDS = ("loop_group", "include", "workflow")
LATER_FIELDS = ("fan_out", "isolation")
FIELDS = {kind: frozenset(schema.field_names(model)) for kind, model in schema.NODE_MODELS.items()}
SHARED_FIELDS = frozenset(schema.field_names(schema.NodeModel))
ROOT_FIELDS = frozenset(schema.field_names(schema.WorkflowModel))
AGENT_OPTIONS = schema.field_names(schema.AgentOptions)
AGENT_FIELDS = frozenset(schema.field_names(schema.AgentNode)) - SHARED_FIELDS
PARTS: dict[str, type[schema.Model]] = {
    "loop": schema.LoopModel,
    "approval": schema.ApprovalModel,
    "on_reject": schema.OnRejectModel,
    "decisions": schema.DecisionModel,
    "retry": schema.RetryModel,
    "inputs": schema.InputModel,
    "evidence_policy": schema.EvidencePolicy,
}
# Archon's own business, accepted (language.md, introduction).
NO_EFFECT = frozenset(
    ("worktree", "container", "mutates_checkout", "requires", "output_type", "outcome_field", "persist_sessions")
)
# Fields that govern control flow, and what happens when one is misspelt and so not there.
CONTROL_FLOW = {
    "depends_on": "without it the node starts at once",
    "when": "without it the node always runs",
    "trigger_rule": "without it the node runs only if all that it depends on completed",
    "retry": "without it the usual number of attempts is made",
    "timeout": "without it the usual time limit holds",
    "idle_timeout": "without it an agent may be silent for 30 minutes",
    "always_run": "without it a resume does not run the node again",
    "until": "without it the signal does not end the loop",
    "until_bash": "without it no check ends the loop",
    "until_field": "without it the reply's field does not end the loop",
    "max_iterations": "without it the loop has no limit",
    "on_reject": "without it a rejection cancels the run",
    "interactive": "without it nobody is asked",
}
# What other systems call a field or a kind that Ion has.
ELSEWHERE = {
    **dict.fromkeys(("needs", "dependencies", "after", "upstream"), "depends_on"),
    **dict.fromkeys(("if", "condition", "only_if"), "when"),
    **dict.fromkeys(("run", "cmd", "shell", "sh"), "bash"),
    **dict.fromkeys(("jobs", "tasks", "stages"), "nodes"),
    **dict.fromkeys(("params", "parameters"), "inputs"),
    **dict.fromkeys(("retries", "attempts"), "retry"),
    **dict.fromkeys(("runs-on", "queue", "worker"), "runs_on"),
}
KNOWN_ANYWHERE = frozenset().union(
    *FIELDS.values(),
    *(schema.field_names(part) for part in PARTS.values()),
    ROOT_FIELDS,
    NO_EFFECT,
    CONTROL_FLOW,
    LATER_KINDS,
    LATER_FIELDS,
)

PART_SCOPES = {
    "loop": "'loop'",
    "approval": "'approval'",
    "on_reject": "'on_reject'",
    "decisions": "a decision",
    "retry": "'retry'",
    "inputs": "an input",
    "evidence_policy": "'evidence_policy'",
}


def scope_of(kind: str) -> str:
    """A node of that kind, for a message."""
    return f"an {kind} node" if kind == "approval" else f"a {kind} node" if kind else "a node"


@cache
def control_flow_meant(key: str) -> str:
    """The field that governs control flow and that `key` misspells, or '' (language.md §2)."""
    if key in KNOWN_ANYWHERE or len(key) > 20:
        return ""
    close = [name for name in CONTROL_FLOW if near(key, name, typo_limit(key))]
    return min(close, key=lambda name: damerau(key, name), default="")


def typo_limit(key: str) -> int:
    return 1 if len(key) < 6 else 2


def unknown_field(
    path: DocumentPath, scope: str, known: Iterable[str], report: Report, *, to_agent: bool = False
) -> None:
    key = str(path[-1])
    message = f"'{key}' is not a field of {scope}"
    meant = control_flow_meant(key)
    if meant:
        hint = f"did you mean '{meant}'?\nit would change what runs: {CONTROL_FLOW[meant]}"
        report.error("unknown-field", message, path, hint=hint, key=True)
        return
    hint = (
        _elsewhere(key, known)
        or report.suggest(key, (*known, *KINDS))
        or (_home_of(key) if key in KNOWN_ANYWHERE else "")
    )
    if not hint and to_agent:
        hint = "it is handed to the agent as it is"
    report.warning("unknown-field", message, path, hint=hint, key=True)


def _elsewhere(key: str, known: Iterable[str]) -> str:
    """The field that other systems call `key`, and what happens without it, if it can stand here."""
    meant = ELSEWHERE.get(key, "")
    if not meant or meant in KINDS or meant not in known:
        return ""
    return f"Ion calls it '{meant}'" + (f"\n{CONTROL_FLOW[meant]}" if meant in CONTROL_FLOW else "")


def _home_of(key: str) -> str:
    """Where a key that Ion knows belongs."""
    kinds = [kind for kind, fields in FIELDS.items() if key in fields]
    parts = [name for name, part in PARTS.items() if key in schema.field_names(part)]
    if kinds and len(kinds) < len(KINDS):
        return f"it belongs to {', '.join(kinds)} nodes"
    if kinds:
        return "it belongs to a node"
    return f"it belongs below '{parts[0]}'" if parts else "it belongs to the workflow itself"
