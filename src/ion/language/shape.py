"""From the plain values of a file to drafts of nodes: which kind each one is, which fields it has and may have.

The rules about keys are here: exactly one kind for a node, what an unknown or misplaced key means, which fields have no
effect in Ion. Each node is judged by itself, so one bad node hides nothing about the others. A draft keeps the raw
values, so that references are checked even if a model reports faults.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, MutableMapping
from typing import Any

from msgspec import Struct, field

from ion.kinds import AGENT_KINDS
from ion.language import schema
from ion.language.document import DocumentPath, with_texts
from ion.language.fields import (
    AGENT_FIELDS,
    EFFECTS,
    ELSEWHERE,
    FIELDS,
    FOREIGN,
    FOREIGN_AT_TOP,
    KINDS,
    KNOWN_ANYWHERE,
    NO_EFFECT,
    PART_SCOPES,
    PARTS,
    ROOT_FIELDS,
    SHARED_FIELDS,
    control_flow_meant,
    foreign_field,
    foreign_rule,
    no_effect_here,
    scope_of,
    typo_limit,
    unknown_field,
)
from ion.language.problems import Report, near


class Draft(Struct):
    """A node before lowering. `kind` is '' if it does not have exactly one; `id` is '' if nothing can refer to it.
    `model` is None if the node has faults. `extras` are the unknown keys, `inside` the nodes in its body."""

    path: DocumentPath
    raw: dict[str, Any]
    id: str = ""
    kind: str = ""
    model: Any = None
    extras: dict[str, Any] = field(default_factory=dict)
    inside: list[Draft] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.id or f"node {int(self.path[-1]) + 1}"

    @property
    def fan_out(self) -> schema.FanOutModel | None:
        return self.model.fan_out if isinstance(self.model, schema.FannedOut) else None

    @property
    def spliced(self) -> bool:
        """Whether it is gone once the file is loaded: an include that is not fanned out."""
        return self.kind == "include" and "fan_out" not in self.raw

    @property
    def uses_agent(self) -> bool:
        """Whether an agent answers prompts of this node: its kind, or the rework prompt of an approval."""
        return self.kind in AGENT_KINDS or "on_reject" in self.kinds

    @property
    def kinds(self) -> frozenset[str]:
        """Its kind, `on_reject` or `check` if its body has that, and `fan_out` if an include has: what control fields
        can act on."""
        body, key = self.raw.get(self.kind), {"approval": "on_reject", "wait": "check"}.get(self.kind)
        if self.kind == "include" and not self.spliced:
            key, body = "fan_out", self.raw
        return frozenset((self.kind, key) if key and isinstance(body, dict) and key in body else (self.kind,))

    @property
    def is_final(self) -> bool:
        """Whether it is in `finally`, or inside of a node that is."""
        return self.path[0] == "finally"


class Shape(Struct):
    """The whole file before lowering. `root` is None if the fields of the workflow have faults. `final` are the nodes
    of `finally`."""

    raw: dict[str, Any]
    root: schema.WorkflowModel | None
    drafts: list[Draft]
    final: list[Draft]

    @property
    def everywhere(self) -> Iterator[Draft]:
        """The nodes at every depth, each before those inside of it."""
        left = [*self.drafts, *self.final][::-1]
        while left:
            draft = left.pop()
            left += draft.inside[::-1]
            yield draft


def read_shape(value: Any, report: Report) -> Shape | None:
    """Check the keys and types of a document; None if it is not a workflow at all."""
    if not isinstance(value, dict) or not ({"name", "nodes", "steps"} & value.keys()):
        hint = "a workflow is a mapping with name, description and nodes"
        report.error("not-a-workflow", "this is not a workflow: it has neither 'name' nor 'nodes'", hint=hint)
        return None
    if "steps" in value and "nodes" not in value:
        hint = "list them under 'nodes', each with an id, and order them with depends_on"
        report.error("steps-format", "'steps' is an old format that Ion does not read", ("steps",), hint=hint, key=True)
    value = with_texts(value, report.document)
    no_effect: dict[str, list[DocumentPath]] = {}
    root = _read_root(value, report, no_effect)
    drafts = _read_nodes(value.get("nodes"), ("nodes",), report, no_effect)
    last: Any = value.get("finally")
    if isinstance(last, dict):
        final = _read_nodes(last.get("nodes"), ("finally", "nodes"), report, no_effect)
    else:
        final = _read_nodes(last, ("finally",), report, no_effect)
    for name, paths in no_effect.items():
        more = f" (it is given {len(paths)} times)" if len(paths) > 1 else ""
        report.warning("no-effect", f"'{name}' has no effect in Ion{more}", paths[0], key=True)
    _check_ids([*drafts, *final], {}, report)
    return Shape(value, root, drafts, final)


def _read_nodes(
    nodes: Any, path: DocumentPath, report: Report, no_effect: dict[str, list[DocumentPath]]
) -> list[Draft]:
    return [
        _read_node((*path, index), raw, report, no_effect)
        for index, raw in enumerate(nodes if isinstance(nodes, list) else ())
        if _is_mapping((*path, index), raw, report)
    ]


def _read_root(
    raw: dict[str, Any], report: Report, no_effect: dict[str, list[DocumentPath]]
) -> schema.WorkflowModel | None:
    kept = {key: item for key, item in raw.items() if key in ROOT_FIELDS}
    for key in raw:
        if key in NO_EFFECT:
            no_effect.setdefault(key, []).append((key,))
        elif key not in ROOT_FIELDS:
            _unknown_at_top(key, raw, report)
    if "steps" in raw:
        kept.setdefault("nodes", ["told already"])
    root, faults = schema.check(schema.WorkflowModel, kept)
    _note_faults((), faults, "a workflow", report)
    policy = raw.get("evidence_policy")
    if isinstance(policy, dict) and policy.get("required") is True:
        message = "Ion does not check evidence, so it cannot require it"
        report.error("evidence-policy", message, ("evidence_policy", "required"), hint="remove evidence_policy")
    _warn_short_time(raw, (), ("timeout",), report)
    if isinstance(raw.get("finally"), dict):
        _warn_short_time(raw["finally"], ("finally",), ("timeout",), report)
    return root


def _unknown_at_top(key: str, raw: dict[str, Any], report: Report) -> None:
    if key == "steps" and "nodes" not in raw:
        return  # told already
    if key in FOREIGN_AT_TOP:
        foreign_field((key,), FOREIGN_AT_TOP[key], report)
    else:
        unknown_field((key,), "a workflow", ROOT_FIELDS, report)


def _is_mapping(path: DocumentPath, raw: Any, report: Report) -> bool:
    if isinstance(raw, dict):
        return True
    hint = "write '- id: name' and the node's fields below it"
    message = f"a node must be a mapping, not {schema.describe(raw)}"
    report.error("wrong-type", message, path, hint=hint)
    return False


def _read_node(
    path: DocumentPath, raw: dict[str, Any], report: Report, no_effect: dict[str, list[DocumentPath]]
) -> Draft:
    draft = Draft(path, raw)
    present = [kind for kind in KINDS if kind in raw]
    if len(present) == 1:
        draft.kind = present[0]
    else:
        _no_single_kind(draft, present, report)
    model: type[schema.NodeModel] = schema.NODE_MODELS.get(draft.kind, schema.NodeModel)
    known = FIELDS.get(draft.kind, SHARED_FIELDS)
    refused = _check_keys(draft, known, report, no_effect)
    raw = {key: item for key, item in raw.items() if key in known and key not in refused}
    draft.model, faults = schema.check(model, raw)
    _note_faults(draft.path, faults, scope_of(draft.kind), report)
    if not any(item.path == ("id",) or (not item.path and item.field == "id") for item in faults):
        draft.id = raw["id"]
    _warn_short_time(raw, draft.path, ("timeout", "idle_timeout", "wait"), report)
    if draft.kind in ("approval", "wait") and isinstance(raw.get(draft.kind), dict):
        times = ("timeout", "duration", "deadline")
        _warn_short_time(raw[draft.kind], (*draft.path, draft.kind), times, report)
    body = draft.raw.get(draft.kind) if draft.kind in ("group", "loop_group") else None
    if isinstance(body, dict):
        draft.inside = _read_nodes(body.get("nodes"), (*path, draft.kind, "nodes"), report, no_effect)
    return draft


def _no_single_kind(draft: Draft, present: list[str], report: Report) -> None:
    if present:
        path = (*draft.path, present[1])
        message = f"a node has exactly one kind, and this one has {' and '.join(present)}"
        report.error("several-kinds", message, path, hint="make it two nodes", key=True)
        return
    meant = [
        (key, kind)
        for key in draft.raw
        if key not in KNOWN_ANYWHERE
        for kind in KINDS
        if near(key, kind, typo_limit(key))
    ]
    other = next((key for key in draft.raw if ELSEWHERE.get(key) in KINDS), "")
    message = "this node has no kind: one of " + ", ".join(KINDS)
    if other:
        report.error("no-kind", message, (*draft.path, other), hint=f"Ion calls it '{ELSEWHERE[other]}'", key=True)
    elif meant:
        hint = f"did you mean '{meant[0][1]}'?"
        report.error("no-kind", message, (*draft.path, meant[0][0]), hint=hint, key=True)
    else:
        report.error("no-kind", message, draft.path)


def _check_keys(
    draft: Draft, known: frozenset[str], report: Report, no_effect: dict[str, list[DocumentPath]]
) -> set[str]:
    """Check the keys of a node that its kind does not know, and its control fields; returns the refused ones."""
    scope = scope_of(draft.kind)
    refused = set()
    for key, value in draft.raw.items():
        path = (*draft.path, key)
        if key in EFFECTS and draft.kind and no_effect_here(path, draft.kinds, draft.kind, report):
            refused.add(key)
        elif key in known or (key in EFFECTS and not draft.kind):
            continue
        elif key in NO_EFFECT:
            no_effect.setdefault(key, []).append(path)
        elif (key, draft.kind) == ("input", "include"):
            hint = "$ARGUMENTS is the run's there; hand the text over in 'with'"
            report.error("no-effect-here", "'input' has no effect on an include node", path, hint=hint, key=True)
        elif key in FOREIGN and not (key == "interactive" and draft.kind in ("loop", "loop_group")):
            foreign_field(path, FOREIGN[key], report)
        elif not draft.kind:
            if control_flow_meant(key):
                unknown_field(path, scope, known, report)
        elif key in AGENT_FIELDS:
            message = f"'{key}' is for an agent, and {scope} has none"
            report.warning("agent-field-ignored", message, path, hint="remove it", key=True)
        else:
            draft.extras[key] = value
            unknown_field(path, scope, known, report, kind=draft.kind)
    return refused


def _note_faults(base: DocumentPath, faults: list[schema.Fault], scope: str, report: Report) -> None:
    for item in faults:
        path = (*base, *item.path)
        holder = item.path[:-1] if item.code == "unknown-field" else item.path
        part = "inputs" if item.path[:1] == ("inputs",) else next((p for p in holder[::-1] if p in PARTS), "")
        where = PART_SCOPES.get(str(part), scope)
        if item.code == "unknown-field" and (part, item.field) == ("loop_group", "until_field"):
            hint = "compute it in a node inside, and write until_node, or until_bash with its output"
            report.error(
                "no-effect-here", "'until_field' has no effect on a loop_group node", path, hint=hint, key=True
            )
        elif item.code == "unknown-field":
            unknown_field(path, where, schema.field_names(PARTS[str(part)]), report, part=str(part))
        elif item.code == "missing-field":
            hint = "write 'id: name'; other nodes refer to it by that name" if item.field == "id" else ""
            hint = _DESCRIPTION_HINT if item.field == "description" else hint
            report.error(item.code, f"{where} needs '{item.field}'", path, hint=hint)
        else:
            hint = _DESCRIPTION_HINT if path == ("description",) else item.hint
            if item.choices and isinstance(item.value, str):
                foreign = foreign_rule(item.value) if item.path == ("trigger_rule",) else ""
                hint = foreign or report.suggest(item.value, item.choices)
            report.error(item.code, item.message, path, hint=hint, key=item.key)


_DESCRIPTION_HINT = "say in a line what the workflow does; ion list shows it"


def _warn_short_time(raw: dict[str, Any], path: DocumentPath, names: tuple[str, ...], report: Report) -> None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1000:
            message = f"'{name}: {value}' is {value} milliseconds"
            report.warning("short-timeout", message, (*path, name), hint=f"write {value}s if you mean seconds")


def _check_ids(drafts: list[Draft], outer: MutableMapping[str, Draft], report: Report) -> None:
    """An id means one node wherever it can be read, so none inside of a node is that of a node outside."""
    first: ChainMap[str, Draft] = ChainMap({}, outer)
    for draft in drafts:
        if draft.id in first:
            span = report.document.span((*first[draft.id].path, "id"))
            line, _ = report.document.source.place(span[0])
            message = f"the id '{draft.id}' is taken already, in line {line}"
            report.error("duplicate-id", message, (*draft.path, "id"), hint="give each node an id of its own")
        elif draft.id:
            first[draft.id] = draft
    for draft in drafts:
        if draft.inside:
            _check_ids(draft.inside, first, report)
