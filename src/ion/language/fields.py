"""The keys that the language knows, where each has an effect, and what an unknown key means.

An unknown key is a warning. It is an error if it misspells a field that governs control flow, or is a word by which
other systems govern what runs: neither may change silently what runs (language.md §2). The fields are derived from the
models; `EFFECTS` says where a control field acts, whether or not a model has it yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from ion import kinds
from ion.language import schema
from ion.language.document import DocumentPath
from ion.language.problems import Report, damerau, near

# An `include` is gone once the file is loaded, so no other room knows that kind.
KINDS = (*kinds.KINDS, "include")
FIELDS = {kind: frozenset(schema.field_names(model)) for kind, model in schema.NODE_MODELS.items()}
SHARED_FIELDS = frozenset(schema.field_names(schema.NodeModel))
ROOT_FIELDS = frozenset(schema.field_names(schema.WorkflowModel))
AGENT_OPTIONS = schema.field_names(schema.AgentOptions)
PARTS: dict[str, type[schema.Model]] = {
    "loop": schema.LoopModel,
    "group": schema.GroupModel,
    "loop_group": schema.LoopGroupModel,
    "fan_out": schema.FanOutModel,
    "approval": schema.ApprovalModel,
    "wait": schema.WaitModel,
    "on_reject": schema.OnRejectModel,
    "decisions": schema.DecisionModel,
    "retry": schema.RetryModel,
    "allow_failure": schema.AllowedModel,
    "finally": schema.FinallyModel,
    "inputs": schema.InputModel,
    "evidence_policy": schema.EvidencePolicy,
}
# Archon's own business, accepted (language.md, introduction).
NO_EFFECT = frozenset(
    (
        "worktree",
        "container",
        "mutates_checkout",
        "isolation",
        "requires",
        "output_type",
        "outcome_field",
        "persist_sessions",
    )
)
# Where each control field of a node acts (language.md §3). `on_reject` is the rework prompt of an approval, `check` the
# check of a wait, `fan_out` an include that has one: without it an include is gone once the file is loaded.
_AGENT_KINDS = tuple(kind for kind in KINDS if kind in kinds.AGENT_KINDS)
_PROMPTED = (*_AGENT_KINDS, "on_reject")
_PROGRAMS = tuple(kind for kind in KINDS if kind in kinds.PROGRAM_KINDS)
COMPOSITES = ("group", "loop_group", "workflow")
EFFECTS: dict[str, tuple[str, ...]] = {
    "timeout": (*_AGENT_KINDS, *_PROGRAMS, "check", *COMPOSITES),
    "retry": ("command", "prompt", "on_reject", *_PROGRAMS, *COMPOSITES),
    "env": (*_PROMPTED, *_PROGRAMS, "check"),
    "cwd": (*_PROMPTED, *_PROGRAMS, "check"),
    "grace": (*_PROMPTED, *_PROGRAMS, "check"),
    "with": (*(kind for kind in kinds.KINDS if kinds.KINDS[kind].bound), "include"),
    "on_timeout": _PROGRAMS,
    "strict": ("bash",),
    "fan_out": (*_AGENT_KINDS, *_PROGRAMS, *COMPOSITES, "include"),
    "allow_failure": (*_AGENT_KINDS, "approval", "wait", *_PROGRAMS, *COMPOSITES, "fan_out"),
    "catches": (*kinds.KINDS, "fan_out"),
    "always_run": tuple(kinds.KINDS),
    "runs_on": (*_PROMPTED, *_PROGRAMS, "approval", "cancel", "check"),
}
AGENT_FIELDS = frozenset(schema.field_names(schema.AgentNode)) - SHARED_FIELDS - EFFECTS.keys()
_EFFECT_HINTS = {
    ("retry", "loop"): "each turn of a loop is tried again by itself",
    ("always_run", "include"): "write it on the nodes of the included file",
    ("fan_out", "approval"): "put it into a group, and fan that out",
    ("fan_out", "cancel"): "put it into a group, and fan that out",
    ("fan_out", "wait"): "put it into a group, and fan that out",
    ("timeout", "wait"): "a deadline belongs inside of 'wait'",
    ("on_timeout", "wait"): "what follows a deadline is 'on_expired' inside of 'wait'",
    ("retry", "wait"): "a check is tried again by itself",
    ("env", "group"): "write it on the nodes inside, or at the top of the file",
    ("env", "loop_group"): "write it on the nodes inside, or at the top of the file",
    ("timeout", "approval"): "a gate's deadline belongs inside 'approval'",
    ("on_timeout", "approval"): "what follows a gate's deadline belongs inside 'approval'",
    ("with", "prompt"): "write the references into the prompt itself",
    ("with", "loop"): "write the references into the prompt itself",
}
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
    "until_node": "without it the node does not end the loop",
    "until_all": "without it any one condition ends the loop",
    "max_iterations": "without it the loop has no limit",
    "on_reject": "without it a rejection cancels the run",
    "interactive": "without it nobody is asked",
    "allow_failure": "without it a failure fails the run",
    "catches": "without it the node runs without a failure, too",
    "finally": "without it nothing runs after a failure",
    "fan_out": "without it the node runs once",
    "fail_fast": "without it the rest runs on after a failure",
    "on_timeout": "without it a timeout fails the node",
    "on_exit_status": "without it an exit status is not tried again",
    "on_expired": "without it the run continues",
}
# Words by which other systems govern what runs (language.md §2), on a node and at the top, with Ion's own word or way.
FOREIGN = {
    **dict.fromkeys(("needs", "after", "dependencies", "upstream"), "depends_on"),
    **dict.fromkeys(("if", "only_if", "run_if", "condition"), "when"),
    **dict.fromkeys(("unless", "skip_if"), "write 'when' with the opposite comparison"),
    **dict.fromkeys(("retries", "attempts"), "retry"),
    **dict.fromkeys(("matrix", "strategy", "foreach", "for_each", "with_items"), "fan_out"),
    "parallel": "nodes run at once unless 'depends_on' puts them in order",
    **dict.fromkeys(("continue_on", "continue_on_error", "continue-on-error", "ignore_errors"), "allow_failure"),
    **dict.fromkeys(("catch", "rescue", "on_failure", "on_error"), "catches"),
    **dict.fromkeys(("ensure", "always"), "write trigger_rule: all_done, or list it under 'finally' at the top"),
    **dict.fromkeys(("working-directory", "working_directory", "working_dir", "workdir"), "cwd"),
    **dict.fromkeys(("timeout-minutes", "timeout_minutes"), "write timeout: 10m"),
    "interactive": "a person is asked by an approval node, or by a loop with 'interactive' inside of it",
}
FOREIGN_AT_TOP = {
    **dict.fromkeys(("on", "schedule", "cron"), "a workflow starts nothing by itself: let cron or CI call 'ion run'"),
    "concurrency": "'max_concurrency' bounds the nodes of one run; runs do not wait for each other",
    **dict.fromkeys(("jobs", "stages", "steps"), "nodes"),
    "matrix": "fan_out",
}
# What other systems call a field or a kind that Ion has, where it governs nothing.
ELSEWHERE = {
    **dict.fromkeys(("run", "cmd", "shell", "sh"), "bash"),
    "tasks": "nodes",
    **dict.fromkeys(("params", "parameters"), "inputs"),
    **dict.fromkeys(("runs-on", "queue", "worker"), "runs_on"),
    "on_fail": "catches",
    **dict.fromkeys(("on_failure", "on_exit", "always", "ensure"), "finally"),
}
KNOWN_ANYWHERE = frozenset().union(
    *FIELDS.values(),
    *(schema.field_names(part) for part in PARTS.values()),
    ROOT_FIELDS,
    NO_EFFECT,
    CONTROL_FLOW,
    EFFECTS,
)

PART_SCOPES = {
    "loop": "'loop'",
    "group": "'group'",
    "loop_group": "'loop_group'",
    "fan_out": "'fan_out'",
    "approval": "'approval'",
    "wait": "'wait'",
    "on_reject": "'on_reject'",
    "decisions": "a decision",
    "retry": "'retry'",
    "allow_failure": "'allow_failure'",
    "finally": "'finally'",
    "inputs": "an input",
    "evidence_policy": "'evidence_policy'",
}


def scope_of(kind: str) -> str:
    """A node of that kind, for a message."""
    return f"an {kind} node" if kind in ("approval", "include") else f"a {kind} node" if kind else "a node"


@cache
def control_flow_meant(key: str) -> str:
    """The field that governs control flow and that `key` misspells, or '' (language.md §2)."""
    if key in KNOWN_ANYWHERE or len(key) > 20:
        return ""
    close = [name for name in CONTROL_FLOW if near(key, name, typo_limit(key))]
    return _nearest(key, close)


def typo_limit(key: str) -> int:
    return 1 if len(key) < 6 else 2


def foreign_field(path: DocumentPath, own: str, report: Report) -> None:
    """Report a word by which other systems govern what runs; `own` is Ion's word or way."""
    message = f"'{path[-1]}' governs what runs in other systems, and nothing in Ion"
    report.error("foreign-field", message, path, hint=own if " " in own else _called(own), key=True)


def foreign_rule(word: str) -> str:
    """What to write for a trigger rule of other systems, or ''."""
    if word in ("always", "all", "any_state", "finished"):
        return "write all_done: it runs whatever became of the nodes before"
    return _called("catches") if word in ("on_failure", "failure", "failed", "one_failed", "all_failed") else ""


def no_effect_here(path: DocumentPath, kinds: frozenset[str], kind: str, report: Report) -> bool:
    """Report a control field that does not act on a node of these kinds; False if it does.

    `kinds` is the node's kind, and `on_reject` or `fan_out` where that makes a difference.
    """
    key = str(path[-1])
    homes = EFFECTS.get(key, ())
    if not kinds.intersection(homes):
        where = [home for home in homes if home in KINDS]
        hint = _EFFECT_HINTS.get((key, kind), f"it acts on {', '.join(where)} nodes")
        report.error("no-effect-here", f"'{key}' has no effect on {scope_of(kind)}", path, hint=hint, key=True)
        return True
    return False


def unknown_field(
    path: DocumentPath, scope: str, known: Iterable[str], report: Report, *, kind: str = "", part: str = ""
) -> None:
    """Report a key that is not a field where it is: of the workflow, of a node of that `kind`, or of that `part`.

    It is an error if it misspells a field that governs what runs, or is one, elsewhere. All fields of a part of a node
    govern what runs."""
    key = str(path[-1])
    message = f"'{key}' is not a field of {scope}"
    governs = part not in ("", "inputs", "evidence_policy")
    own = _own_meant(key, known) if governs else ""
    if part == "allow_failure" and not own:  # it would allow what its author does not mean
        report.error("unknown-field", message, path, hint=f"it has {', '.join(known)}", key=True)
        return
    slip = own or control_flow_meant(key)
    if slip:
        meant = own or _nearest(key, (*known, *CONTROL_FLOW))
        hint = f"did you mean '{meant}'?"
        hint += f"\nit would change what runs: {CONTROL_FLOW[meant]}" if meant in CONTROL_FLOW else ""
        report.error("unknown-field", message, path, hint=hint, key=True)
        return
    if governs and key in FOREIGN:
        foreign_field(path, FOREIGN[key], report)
        return
    hint = _elsewhere(key, known) or (_home_of(key, kind, part) if key in KNOWN_ANYWHERE else "")
    if (governs or not part) and (key in CONTROL_FLOW or key in EFFECTS):
        hint += f"\nit would change what runs: {CONTROL_FLOW[key]}" if key in CONTROL_FLOW else ""
        report.error("unknown-field", message, path, hint=hint, key=True)
        return
    hint = hint or report.suggest(key, (*known, *KINDS))
    if not hint and kind in kinds.AGENT_KINDS:
        hint = "it is handed to the agent as it is"
    report.warning("unknown-field", message, path, hint=hint, key=True)


def _own_meant(key: str, known: Iterable[str]) -> str:
    """The field of a part that `key` misspells or shortens, or ''."""
    word = re.sub("exit_codes?", "exit_status", key.lower().replace("-", "_"))
    if key in KNOWN_ANYWHERE and key not in FOREIGN:
        return ""
    close = [name for name in known if near(word, name, typo_limit(word))]
    longer = [name for name in known if name.startswith(f"{word}_") or name.endswith(f"_{word}")]
    return _nearest(word, close or longer)


def _nearest(key: str, names: Iterable[str]) -> str:
    return min(names, key=lambda name: damerau(key, name), default="")


def _elsewhere(key: str, known: Iterable[str]) -> str:
    """The field that other systems call `key`, if it is allowed here."""
    if key == "inputs" and "with" in known:
        return "hand values over in 'with'"
    meant = ELSEWHERE.get(key, "")
    return _called(meant) if meant not in KINDS and (meant in known or meant in EFFECTS) else ""


def _called(own: str) -> str:
    """Ion's name for it, what happens without it, and what to write until it is built."""
    return "\n".join([f"Ion calls it '{own}'", *([CONTROL_FLOW[own]] if own in CONTROL_FLOW else [])])


def _home_of(key: str, kind: str = "", part: str = "") -> str:
    """Where a key that Ion knows belongs; it is on a node of that kind, or in that part of one."""
    if key in KINDS:
        return f"it is a node of its own, listed under 'nodes': - {{id: name, {key}: …}}"
    homes = [name for name, fields in FIELDS.items() if key in fields or name in EFFECTS.get(key, ())]
    parts = [name for name, one in PARTS.items() if key in schema.field_names(one)]
    if kind in parts and not part:
        return f"it belongs below '{kind}'"
    if homes and part and (part not in KINDS or part in homes):
        return f"it belongs to the node, beside '{part}'"
    if homes and len(homes) < len(KINDS):
        return f"it belongs to {', '.join(homes)} nodes"
    if homes:
        return "it belongs to a node"
    places = ["to the workflow itself"] if key in ROOT_FIELDS else []
    places += [f"below '{one}'" for one in parts[:1]]
    return f"it belongs {', or '.join(places)}"
