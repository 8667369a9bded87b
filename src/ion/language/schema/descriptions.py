"""What an editor says about each field and each kind of node, beside the JSON Schema of workflow files."""

from __future__ import annotations

from typing import Any

# Those that mean the same wherever they stand.
FIELDS = {
    "agent": "Who answers the prompts: a name of the settings, or a preset.",
    "allow_failure": "true, or which failures: they are kept and shown, and do not fail the run.",
    "always_run": "It runs again in each resume, also if it has completed.",
    "backoff": "double: each delay is twice the one before; fixed: all are the same.",
    "bash": "Shell text. References reach it as values: their texts are never code.",
    "cancel": "Ends the run as cancelled, with this reason.",
    "capture_response": "The output is what the person said.",
    "catches": "It runs if one of these nodes failed; if it completes, the run can.",
    "check": "Shell text that is tried until it exits with 0.",
    "codes": "Failures with one of these codes.",
    "command": "The name of a markdown file whose text is the prompt.",
    "context": "fresh, shared, or {resume: NODE}: whose session it continues.",
    "continued": "Asked instead of the prompt where the session of the node before continues.",
    "cwd": "The folder that it runs in, relative to that of the run.",
    "deadline": "After so long the wait has expired: milliseconds, or text as in 3d.",
    "deadline_ms": "The same in milliseconds, or text.",
    "decisions": "What a person may choose between; one of them has the id approve.",
    "default": "Its value where none is given.",
    "delay_ms": "Before the first retry. Milliseconds, or text as in 5s.",
    "depends_on": "The nodes that must have settled before this one is decided.",
    "deps": "Packages that it needs, as its registry names them.",
    "description": "What it is for, in a line.",
    "duration": "How long: milliseconds, or text as in 30m, 3d.",
    "duration_ms": "The same in milliseconds, or text.",
    "enum": "The values that it may have.",
    "env": "Environment variables of its program.",
    "event": "The name of the signal that ends it.",
    "every": "Between two tries: milliseconds, or text as in 2m; 1m without it.",
    "exit_status": "Failures with one of these exit statuses.",
    "fail_fast": "The first failure stops what has not ended.",
    "fan_out": "It runs once for each item of a list.",
    "fresh_context": "Each iteration begins a session of its own.",
    "finally": "Nodes that run after every end of the run, before it is recorded.",
    "gate_message": "What the person is asked after each iteration.",
    "grace": "Between SIGTERM and SIGKILL, when it is stopped: milliseconds, or text as in 5s.",
    "id": "Its name: letters, digits, _ and -.",
    "idle_timeout": "It fails when its agent says nothing for so long: milliseconds, or text as in 30m.",
    "interactive": "A person is asked after each iteration.",
    "label": "What a person reads beside it.",
    "max_attempts": "How often it is tried again.",
    "max_budget_usd": "What the run may spend in all, in US dollars.",
    "max_concurrency": "How many nodes run at once.",
    "max_delay": "No delay is longer: milliseconds, or text as in 10m.",
    "max_iterations": "After so many it has failed.",
    "message": "What the person is asked.",
    "name": "What it is called where it is run.",
    "never_on_exit_status": "Exit statuses that are never tried again, whatever else is said.",
    "on_error": "transient: only what may pass by itself; all: every failure.",
    "on_exit_status": "Exit statuses that are tried again, whatever on_error says.",
    "on_expired": "What becomes of the node after its deadline: continue completes it, fail fails it, skip skips it.",
    "on_reject": "A rejection asks an agent for rework, and then the person again.",
    "on_timeout": "skip: the node is skipped instead of failed.",
    "output_format": "The JSON Schema that the answer must fit.",
    "placeholder": "The text for an input that was not given.",
    "prompt": "The text for the agent.",
    "refers_to": "Inputs whose values replace {name} in the default.",
    "remind": "How long after the question people are reminded of it: a list of times as in 1h, 1d.",
    "required": "It must be given.",
    "retry": "What fails is tried again.",
    "returns": "The node whose output is that of the whole; without it, the first of the last nodes that has text.",
    "runs_on": "A label of the workers that may carry it out, on a cluster.",
    "runtime": "What runs the script.",
    "script": "Code, or the name of a script's file.",
    "secrets": "Environment variables that the run needs, and whose values are never shown.",
    "signal_completes": "The signal ends it without a question to a person.",
    "strict": "A bash ends at its first failing line, also within a pipe.",
    "tags": "Words to find it by.",
    "timeout": "Milliseconds, or text as in 90s, 5m, 2h; of each attempt.",
    "trigger_rule": "What must have become of the nodes that it depends on.",
    "type": "What its value must be.",
    "until": "It ends when the output has this text.",
    "until_all": "It ends only when all that is named here says so.",
    "until_bash": "It ends when this shell text exits with 0.",
    "until_field": "It ends when this field of the answer is true.",
    "until_node": "It ends when this node inside has completed; its failure only means another iteration.",
    "when": "A condition, as in $plan.output.type == 'bug' && $INPUTS.mode != 'fast'. If it is false, it is skipped.",
    "with": "Values for its inputs, by name. One that is a whole reference keeps its JSON type.",
    "workspace": "Which files nodes see if a cluster drives the run.",
}
# Those that mean something else in one place, by the name of its model.
FIELDS_OF: dict[str, dict[str, str]] = {
    "WorkflowModel": {
        "description": "What it does, in a line; ion list shows it.",
        "evidence_policy": "Read by Archon only.",
        "inputs": "What it is given, by name: $INPUTS.name.",
        "interactive": "It asks people; only told to them.",
        "nodes": "The steps, each with an id and one of the kinds.",
        "timeout": "Of the whole run: milliseconds, or text as in 2h.",
        "env": "Environment variables of all programs of a run.",
    },
    "EvidencePolicy": {"required": "Read by Archon only."},
    "ApprovalModel": {
        "timeout": "How long it waits for an answer: milliseconds, or text as in 2d.",
        "on_timeout": "What is decided then: fail (without it), reject, approve or the id of a decision.",
    },
    "WaitModel": {"until": "The instant, with its offset, as in 2026-12-24T08:00:00+01:00."},
    "FinallyModel": {
        "nodes": "The nodes, each bash, script, prompt, command or group.",
        "timeout": "Of all of them together: milliseconds, or text as in 10m; 5m without it.",
    },
    "FanOutModel": {
        "as": "The name under which each instance has its item: $INPUTS.<as>. Without it, item.",
        "items": "A list, or a text that is one: $list.output, $list.output.files, $INPUTS.files.",
        "lines": "A text whose lines are the items; empty lines are none.",
        "join": "all_success: one failure fails the node, once all have ended; all_done: one success completes it.",
        "max_items": "More items than this are an error.",
        "max_parallel": "How many run at once; all: no bound.",
    },
    "GroupModel": {"nodes": "The nodes inside. They see each other and those outside, which see only its output."},
    "LoopGroupModel": {
        "nodes": "The nodes inside, run again and again. $LOOP_PREV.<id>.output is what one said an iteration ago.",
        "until": "It ends when the output of an iteration has this text.",
        "until_bash": "It ends when this shell text exits with 0; it sees the nodes inside.",
    },
    "IncludeNode": {"include": "The name of a workflow whose nodes become nodes of this one: a__b."},
    "WorkflowNode": {
        "workflow": "The name of a workflow that runs inside of this run, with inputs of its own.",
        "input": "The text that is its $ARGUMENTS.",
    },
}
KINDS = {
    "AllowedModel": "Which failures do not fail the run.",
    "ApprovalNode": "Waits for a person.",
    "BashNode": "Runs shell text.",
    "CancelNode": "Ends the run as cancelled.",
    "CommandNode": "Asks an agent with the text of a markdown file.",
    "FanOutModel": "For what the node runs, how many at once, and what becomes of failures.",
    "FinallyModel": "What runs after every end of the run, and how long it may take.",
    "GroupNode": "Several nodes as one.",
    "IncludeNode": "The nodes of another workflow as nodes of this one.",
    "LoopGroupNode": "Several nodes, run again and again until they are done.",
    "LoopNode": "Repeats a prompt until it is done.",
    "PromptNode": "Asks an agent.",
    "ScriptNode": "Runs code in a language of its own.",
    "WaitNode": "Waits for a time, an instant, a signal, or until a check succeeds.",
    "WorkflowNode": "Runs another workflow as one node.",
}
_OPTION = "For the agent, which is given it as it stands."


def describe_all(definitions: dict[str, dict[str, Any]]) -> None:
    """Give each field of these schemas, and each kind of node, its description."""
    for model, schema in definitions.items():
        if model in KINDS:
            schema["description"] = KINDS[model]
        own = FIELDS_OF.get(model, {})
        for name, field in schema.get("properties", {}).items():
            kind = name if f"{name.title().replace('_', '')}Node" == model else ""
            field.setdefault("description", own.get(name) or FIELDS.get(name) or (KINDS[model] if kind else _OPTION))
