"""The order of a file's nodes: `depends_on`, the edges that references make, and whose session continues.

A reference to a node that is not in `depends_on` becomes an ordering edge, with a warning unless `depends_on` implies
the order already. A cycle through any edges is an error that names its nodes (language.md §3.1, §3.3).
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from ion.errors import Problem
from ion.kinds import AGENT_KINDS
from ion.language import graph
from ion.language.document import DocumentPath
from ion.language.problems import Report
from ion.language.references import reference_text
from ion.language.shape import Draft, Shape
from ion.language.texts import Text, note
from ion.language.workflow import NodeReference

_CYCLE_SHOWN = 20


class Use(Struct, frozen=True, gc=False):
    """Where a node first refers to another one."""

    reference: NodeReference
    text: Text
    offset: int

    @property
    def length(self) -> int:
        return len(reference_text(self.reference))


class Nodes(Struct):
    """The nodes that can be referred to and, by index, the nodes that each one refers to."""

    by_id: dict[str, Draft]
    included: tuple[str, ...]  # how the ids begin that an `include` would bring
    uses: dict[int, dict[str, Use]] = field(default_factory=dict)
    depends_on: dict[str, list[str]] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, shape: Shape) -> Nodes:
        by_id: dict[str, Draft] = {}
        for draft in shape.drafts:
            if draft.id:
                by_id.setdefault(draft.id, draft)
        included = tuple(f"{draft.id}__" for draft in shape.drafts if draft.later == "include" and draft.id)
        return cls(by_id, included)

    def may_be_included(self, name: str) -> bool:
        return bool(self.included) and name.startswith(self.included)


def check_order(shape: Shape, nodes: Nodes, report: Report) -> dict[int, list[str]]:
    """The ordering edges of each node, by index. Fills in `depends_on` and `waits` of `nodes`."""
    order: dict[int, list[str]] = {}
    pairs = []
    for draft in shape.drafts:
        depends_on = _dependencies(draft, nodes, report)
        order[draft.index] = [other for other in nodes.uses.get(draft.index, ()) if other not in set(depends_on)]
        if nodes.by_id.get(draft.id) is draft:
            nodes.depends_on[draft.id] = depends_on
            nodes.waits[draft.id] = depends_on + order[draft.index]
            pairs += [(draft.id, other) for other in order[draft.index]]
    implied = graph.reaches(pairs, nodes.depends_on)
    for name, other in pairs:
        if (name, other) not in implied:
            _warn_order(name, other, nodes, report)
    for cycle in graph.find_cycles(nodes.waits):
        _note_cycle(cycle, nodes, report)
    return order


def _dependencies(draft: Draft, nodes: Nodes, report: Report) -> list[str]:
    """The nodes of `depends_on` that exist; the others are reported."""
    listed = draft.raw.get("depends_on")
    found: dict[str, None] = {}
    for index, other in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(other, str) and other in nodes.by_id:
            found[other] = None
        elif isinstance(other, str) and not draft.later and not nodes.may_be_included(other):
            hint = report.suggest(other, nodes.by_id)
            message = f"'{draft.name}' depends on '{other}', and no node has that id"
            report.error("unknown-node", message, (*draft.path, "depends_on", index), hint=hint)
    return list(found)


def _warn_order(name: str, other: str, nodes: Nodes, report: Report) -> None:
    use = nodes.uses[nodes.by_id[name].index][other]
    message = f"'{name}' refers to {reference_text(use.reference)} but does not depend on '{other}'"
    hint = f"it waits for '{other}' all the same: add it to depends_on"
    note(report, Problem("order-by-reference", message, "warning", hint=hint, length=use.length), use.text, use.offset)


def _note_cycle(cycle: list[str], nodes: Nodes, report: Report) -> None:
    first, second = cycle[0], cycle[1 % len(cycle)]
    draft = nodes.by_id[first]
    message = f"'{first}' depends on itself"
    if len(cycle) > 1:
        shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[:_CYCLE_SHOWN], f"… {len(cycle) - _CYCLE_SHOWN} more"]
        message = "these nodes wait for each other: " + " → ".join([*shown, first])
    if second in nodes.depends_on[first]:
        path = (*draft.path, "depends_on", draft.raw["depends_on"].index(second))
        report.error("dependency-cycle", message, path, hint="remove one of these edges")
    else:
        use = nodes.uses[draft.index][second]
        hint = f"remove one of these edges; '{first}' waits for '{second}' because it refers to it here"
        note(report, Problem("dependency-cycle", message, hint=hint, length=use.length), use.text, use.offset)


def check_sessions(shape: Shape, nodes: Nodes, report: Report) -> dict[str, str]:
    """Whose session each agent node continues. Empty if the file has errors: then the layers mean nothing."""
    wishes: dict[str, graph.SessionWish] = {}
    resumed: list[tuple[str, str]] = []
    for name, draft in nodes.by_id.items():
        wishes[name] = _wish(draft, shape)
        if wishes[name].resume:
            resumed.append((name, wishes[name].resume))
    upstream = graph.reaches(resumed, nodes.waits)
    for name, resume in resumed:
        path = (*nodes.by_id[name].path, "context", "resume")
        _check_resume(name, resume, path, (name, resume) in upstream, nodes, report)
    return {} if report.errors else graph.sessions(wishes, nodes.depends_on)


def _wish(draft: Draft, shape: Shape) -> graph.SessionWish:
    context = draft.raw.get("context") if draft.kind in AGENT_KINDS else None
    identity = tuple(str(draft.raw.get(key, shape.raw.get(key))) for key in ("agent", "provider"))
    resume = context.get("resume") if isinstance(context, Mapping) else None
    return graph.SessionWish(
        draft.kind,
        context if isinstance(context, str) else "",
        resume if isinstance(resume, str) else "",
        identity,
    )


def _check_resume(name: str, resume: str, path: DocumentPath, upstream: bool, nodes: Nodes, report: Report) -> None:
    target = nodes.by_id.get(resume)
    if target is None:
        if not nodes.may_be_included(resume):
            hint = report.suggest(resume, nodes.by_id)
            report.error("unknown-node", f"no node has the id '{resume}'", path, hint=hint)
    elif target.kind and target.kind not in AGENT_KINDS:
        report.error("bad-resume", f"'{resume}' has no session: no agent works on it", path)
    elif target.kind and not upstream:
        message = f"'{name}' cannot resume the session of '{resume}': it does not wait for it"
        report.error("bad-resume", message, path, hint=f"add '{resume}' to depends_on")
