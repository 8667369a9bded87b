"""Why a node is as it is, and with which values: what `ion show RUN NODE` says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from ion.api.described import node_duration
from ion.api.result import FIRST_INSTANCES
from ion.core.decide import trigger_rule_holds
from ion.core.requests import iteration_of, node_of  # noqa: F401 for the faces
from ion.core.surroundings import Surroundings, surroundings
from ion.core.values import lookup
from ion.kinds import KINDS
from ion.language.changing import references_of
from ion.language.conditions import explain
from ion.language.references import reference_text
from ion.language.templates import Template, templates_of
from ion.language.workflow import (
    Bash,
    InputReference,
    Loop,
    Node,
    NodeReference,
    Prompt,
    Script,
    Shell,
)
from ion.language.workflow import Command as CommandFile
from ion.views.rows import attempts_of, named_from, waits_of
from ion.views.text import cut, duration, elapsed, moment, one_line, plural, size, width
from ion.views.waiting import Answered, Command, all_asked, labels_at, labels_of
from ion.views.words import counted, failure_text, foreseen, said_of, spent

if TYPE_CHECKING:
    from ion.api.result import RunShown
    from ion.core.state import NodeState, RunState
    from ion.language.workflow import Workflow


# How many columns a screen of 80 has beside the labels.
_NARROW_COLUMNS = 65


class Subject(Struct, frozen=True):
    """What is shown: a node or an instance inside of one, its run, the run's frozen workflow, its log files' sizes by
    stream (bytes), and the answers that people gave. `iteration` is which one of a repeated group is shown alone; 0:
    the node is."""

    result: RunShown
    workflow: Workflow
    now: NodeState
    logged: dict[str, int]
    answers: tuple[Answered, ...] = ()
    iteration: int = 0

    @property
    def state(self) -> RunState:
        return self.result.state

    @property
    def template(self) -> Template:
        """Where it is written."""
        return templates_of(self.workflow)[self.now.id]

    @property
    def node(self) -> Node:
        return self.template.node


def rows_of(subject: Subject, command: Command) -> list[tuple[str, str]]:
    """What there is to say about the node, each with its label: facts of one line."""
    return [
        *_waited_for(subject),
        *_rule(subject),
        *_catches(subject),
        *_condition(subject),
        *_ran(subject),
        *_references(subject),
        *_output(subject, command),
        *_failure(subject),
    ]


def talk_of(subject: Subject, command: Command) -> list[tuple[str, str]]:
    """What was and is asked and answered, each with its label: texts of people and agents, whole."""
    return [*_answers(subject), *_waits(subject, command)]


def head_of(subject: Subject) -> list[str]:
    """`attempt 2 of 3`, `exit 1 after 3.2s`: what is shown beside the node's state."""
    now, node = subject.now, subject.node
    parts = []
    if now.attempts and node.kind == "wait":
        parts.append(attempts_of(now))
    elif now.attempts and not KINDS[node.kind].iterates:
        allowed = f" of {node.retry.max_attempts + 1}" if node.retry is not None else ""
        parts.append(f"attempt {now.attempts}{allowed}" if allowed or now.attempts > 1 else "")
    took = duration(node_duration(now, subject.result.described.owned))
    if now.error is not None and now.status == "failed":
        parts.append(f"{failure_text(now.error).headline} after {took}")
    elif took:
        parts.append(f"after {took}" if now.terminal else f"for {took}")
    return [part for part in parts if part]


def _waited_for(subject: Subject) -> Iterator[tuple[str, str]]:
    started_at = subject.state.started_at or 0
    said = []
    for other in waits_of(subject.state, subject.node, subject.now.id):
        when = f" {elapsed(other.ended_at - started_at)}" if other.ended_at is not None else ""
        only_order = ", order only" if other.id in subject.node.order and "." not in subject.now.id else ""
        said.append(f"{other.id} ({said_of(subject.state, other)}{when}{only_order})")
    if said:
        yield "waited for" if subject.now.begun or subject.now.terminal else "waits for", ", ".join(said)


def _rule(subject: Subject) -> Iterator[tuple[str, str]]:
    node = subject.node
    if not node.depends_on:
        return
    waited = waits_of(subject.state, node, subject.now.id)[: len(node.depends_on)]
    if not all(other.terminal for other in waited):
        yield "rule", f"{node.trigger_rule}: not decided yet"
        return
    others = [_with_state(subject, other) for other in waited if other.status != "completed"]
    holds = trigger_rule_holds(node.trigger_rule, [other.vote for other in waited])
    why = f" ({', '.join(others)})" if others else ""
    yield "rule", f"{node.trigger_rule}: {'yes' if holds else 'no'}{why}"


def _with_state(subject: Subject, node: NodeState) -> str:
    """`deploy failed (caught by rollback)`: one of several in a line."""
    said = foreseen(subject.state, node)
    return f"{node.id} {node.status}{f' ({said})' if said else ''}"


def _catches(subject: Subject) -> Iterator[tuple[str, str]]:
    """Whose failures it catches, and whether there were any."""
    found = [named_from(subject.state, subject.now.id, name) for name in subject.node.catches]
    watched = [one for one in found if one is not None]
    if not watched:
        return
    said = ", ".join(_with_state(subject, one) for one in watched)
    if not all(one.terminal for one in watched):
        yield "catches", f"{said}: not decided yet"
    else:
        yield "catches", f"{said}: {'yes' if any(one.status == 'failed' for one in watched) else 'no'}"


def _condition(subject: Subject) -> Iterator[tuple[str, str]]:
    node, state = subject.node, subject.state
    if node.when is None:
        return
    if not (subject.now.begun or subject.now.status in ("failed", "completed") or subject.now.reason == "when"):
        yield "when", f"{node.when.text}      not evaluated"
        return
    label = "when"
    for comparison, seen, holds in explain(node.when, lookup(state, _around(subject))):
        outcome = "not evaluated" if not seen and holds is None else f"{seen}  → {_holds(holds)}"
        yield label, f"{comparison}      {outcome}"
        label = ""


def _around(subject: Subject) -> Surroundings:
    return surroundings(subject.state, subject.template, subject.now.id)


def _holds(holds: bool | None) -> str:
    return "cannot be judged" if holds is None else str(holds).lower()


def _ran(subject: Subject) -> Iterator[tuple[str, str]]:
    now, result = subject.now, subject.result
    started = subject.state.started
    if now.id in subject.state.scopes:
        yield "inside", counted(result.described.tally.counts[now.id])
    elif now.started_at is not None and started is not None:
        key = f"{result.run_id}/{now.id}" + (f"/{now.progress.iteration}" if now.progress.iteration else "")
        yield "ran", f"{_kind(subject)}, in {started.cwd}"
        yield "key", f"{key}  (ION_IDEMPOTENCY_KEY)"
    if subject.template.node.continues is not None:
        yield "continues", f"the session of {subject.template.node.continues}"
    if now.agent is not None or now.session is not None:
        session = f", session {now.session}" if now.session else ""
        repaired = ", its reply was repaired" if now.progress.reply is not None and now.progress.reply.repaired else ""
        yield "agent", f"{now.agent or ''}{session}{repaired}"
    for note in now.notes:
        yield "note", one_line(note)
    usage = result.described.usage_of(now)
    if usage or now.agent is not None:
        yield "cost", spent(usage)


def _kind(subject: Subject) -> str:
    body = subject.node.body
    if KINDS[subject.node.kind].iterates:
        return f"loop, iteration {subject.now.progress.iterations} of {getattr(body, 'max_iterations', '?')}"
    text = body.code or "" if isinstance(body, Script) else next(_texts(body), "")
    return f"{subject.node.kind}, {plural(text.count(chr(10)) + 1, 'line')}" if text else subject.node.kind


def written_at(workflow: Workflow, address: str) -> str:
    """What the file says an agent is asked there, or a shell or a runtime runs; '' for other kinds."""
    template = templates_of(workflow)[address]
    match template.node.body:
        case Prompt(text):
            return text
        case CommandFile(name) | Loop(command=str(name)):
            return template.workflow.commands[name].text
        case Loop(prompt=str(text)):
            return text
        case Bash(shell):
            return shell.text
        case Script(code=str(code)):
            return code
    return ""


def _references(subject: Subject) -> Iterator[tuple[str, str]]:
    label = "references"
    inputs = _inputs(subject)
    for reference in _read_by(subject):
        name = reference_text(reference)
        if isinstance(reference, NodeReference):
            producer = named_from(subject.state, subject.now.id, reference.node)
            content = producer.output if producer is not None and producer.status == "completed" else None
            status = producer.status if producer is not None else "no such node"
            shown = f"{size(content.size)}  {_quoted(content.text)}" if content is not None else status
        else:
            shown = _quoted(inputs[reference.name]) if reference.name in inputs else "not given"
        yield label, f"{name}  {shown}"
        label = ""


def _inputs(subject: Subject) -> dict[str, str]:
    """What `$INPUTS` holds there: the items that it is in, then what the run, or the called workflow, was given."""
    state, around = subject.state, subject.now
    given: dict[str, Any] = {}
    while around.owner:
        owner = state.nodes[around.owner]
        fan_out = templates_of(subject.workflow)[owner.id].node.fan_out
        if fan_out is not None and fan_out.name not in given:
            given[fan_out.name] = subject.result.described.item(around)
        around = owner
    started = state.started.inputs if state.started is not None else {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in (started | given).items()}


def _read_by(subject: Subject) -> list[NodeReference | InputReference]:
    """The outputs and inputs that its texts refer to, each once; not those of what is inside of it."""
    node: Struct = replace(subject.node, when=None, activations=())
    if subject.template.is_composite:
        node = subject.node.fan_out or subject.node
    found = references_of(node, subject.template.workflow.commands)
    return [one for one in found if isinstance(one, NodeReference | InputReference)]


def _texts(value: Any) -> Iterator[str]:
    """Every text in the body, bindings or environment of a node."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Shell):
        yield value.text
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _texts(getattr(value, name))


def _output(subject: Subject, command: Command) -> Iterator[tuple[str, str]]:
    content, logged = subject.now.output, subject.logged
    logs = command("logs", subject.result.run_id, subject.now.id) if any(logged.values()) else ""
    written = "    ".join(f"{stream} {size(count)}" for stream, count in logged.items() if count)
    if content is not None:
        shown = _quoted(content.text)
        whole = "" if shown == f'"{content.text}"' else command("output", subject.result.run_id, subject.now.id)
        yield from _with_command("output", f"{size(content.size)}  {shown}".rstrip(), "whole", whole)
    if written:
        yield from _with_command("wrote", written, "logs", logs)


def _with_command(label: str, text: str, more: str, command: str) -> Iterator[tuple[str, str]]:
    """A fact and the command that says more of it, which stands below where a narrow screen would cut it."""
    if not command or width(text) + 4 + width(command) <= _NARROW_COLUMNS:
        yield label, f"{text}    {command}".rstrip()
    else:
        yield label, text
        yield more, command


def _quoted(text: str | None) -> str:
    """The beginning of a text in quotes; nothing of one that is kept apart."""
    return "" if not text else f'"{cut(one_line(text), 50)}"'


def _failure(subject: Subject) -> Iterator[tuple[str, str]]:
    now = subject.now
    if now.status == "skipped":
        yield "skipped", f"{now.reason}: {now.detail}" if now.detail else str(now.reason)
    if now.status == "cancelled":
        yield "cancelled", str(now.reason)
    if now.error is None or now.status not in ("failed", "waiting"):
        return
    if handled := foreseen(subject.state, now):
        yield "handled", f"{handled}: the run does not fail by it, and is not clean"
    text = failure_text(now.error)
    label = "error"
    for line in (f"{now.error.code}: {text.headline}", *text.said):
        yield label, line
        label = ""
    if now.error.hint:
        yield "hint", now.error.hint


def _answers(subject: Subject) -> Iterator[tuple[str, str]]:
    """What people answered: on what, who, when, with which words."""
    now = subject.state.last_at
    for one in subject.answers:
        yield "asked", cut(one_line(one.message), 200)
        by = f" by {one.by.get('user', '?')}@{one.by.get('host', '?')}" if one.by else ""
        via = f", {one.by['via']}" if one.by.get("via") else ""
        label = labels_at(labels_of(subject.workflow), subject.now.id).get(one.decision, "")
        said = f"{one.decision} ({label})" if label else one.decision
        yield "answered", f"{said}{by} at {moment(one.at, now)}{via}"
        if one.comment:
            yield "comment", one.comment


def _waits(subject: Subject, command: Command) -> Iterator[tuple[str, str]]:
    for one in all_asked(command, subject.result.run_id, subject.state, labels_of(subject.workflow)):
        if one.waiting.node != subject.now.id:
            continue
        yield "asks", one.waiting.message
        for text, note in one.commands:
            yield "answer", f"{text}      {note}" if note else text


def node_json(subject: Subject, *, instances: bool = False) -> dict[str, Any]:
    """What `ion show RUN NODE --json` prints: the node's entry in the run's object, with why it is so. `instances`:
    with all that is inside of it."""
    from ion.clocks import timestamp

    node, state = subject.node, subject.state
    every = instances or subject.iteration
    entry = subject.result.described.of(subject.now, None if every else FIRST_INSTANCES)
    if subject.iteration:
        prefix = f"{subject.now.id}.{subject.iteration}."
        entry["iteration"] = subject.iteration
        entry["instances"] = [one for one in entry["instances"] if one["address"].startswith(prefix)]
    rows = explain(node.when, lookup(state, _around(subject))) if node.when is not None else []
    return {
        "run_id": subject.result.run_id,
        "node": subject.now.id,
        "kind": node.kind,
        **{name: value for name, value in entry.items() if name != "address"},
        "detail": subject.now.detail,
        "waits_for": [{"node": one.id, "status": one.status} for one in waits_of(state, node, subject.now.id)],
        "trigger_rule": node.trigger_rule,
        "catches": list(node.catches),
        "when": [{"comparison": text, "seen": seen, "holds": holds} for text, seen, holds in rows],
        "session": subject.now.session,
        "log_bytes": subject.logged,
        "answers": [{**asdict(one), "at": timestamp(one.at)} for one in subject.answers],
    }
