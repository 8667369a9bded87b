"""The order of a file's nodes: `depends_on`, the edges that references make, and whose session continues.

A reference to a node that is not in `depends_on` becomes an ordering edge, with a warning unless `depends_on` implies
the order already. A cycle through any edges is an error that names its nodes (language.md §3.1, §3.3). The nodes inside
of a node are a graph of their own; to the graph around it, what they refer to is what the node refers to (§13).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from ion.errors import Problem
from ion.kinds import AGENT_KINDS
from ion.language import graph
from ion.language.document import DocumentPath
from ion.language.include import Block
from ion.language.problems import Report
from ion.language.references import reference_text
from ion.language.shape import Draft
from ion.language.texts import Stated, Text, note
from ion.language.workflow import NodeReference, OutcomeReference

_CYCLE_SHOWN = 20
FINALLY: DocumentPath = ("finally",)


class Use(Struct, frozen=True, gc=False):
    """Where a node first refers to another one."""

    reference: NodeReference | OutcomeReference
    text: Text
    offset: int

    @property
    def length(self) -> int:
        return len(reference_text(self.reference))


class Graph(Struct):
    """The nodes of the file, those of its `finally`, or those inside of one (`owner`), and, by path, the nodes that
    each one refers to. The graph of `finally` has no owner, and the nodes of the file around it.

    `blocks` are what its includes bring; in the order of the nodes an include counts as one. `stated` is where defaults
    for agents are looked up.
    """

    drafts: list[Draft]
    stated: Stated
    owner: Draft | None = None
    outer: Graph | None = None
    by_id: dict[str, Draft] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    brought: dict[str, str] = field(default_factory=dict)  # a node that an include brings → the include
    last: frozenset[str] = frozenset()  # of the graph of the file: the nodes of its `finally`
    unread: set[str] = field(default_factory=set)  # how the ids begin that an include would bring, if it were read
    uses: dict[DocumentPath, dict[str, Use]] = field(default_factory=dict)
    depends_on: dict[str, list[str]] = field(default_factory=dict)
    catches: dict[str, list[str]] = field(default_factory=dict)
    waits: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, drafts: list[Draft], stated: Stated, owner: Draft | None = None, outer: Graph | None = None) -> Graph:
        made = cls(drafts, stated, owner, outer)
        for draft in drafts:
            if draft.id:
                made.by_id.setdefault(draft.id, draft)
        return made

    @property
    def path(self) -> DocumentPath:
        if self.owner is not None:
            return self.owner.path
        return () if self.outer is None else FINALLY

    @property
    def root(self) -> Graph:
        return self if self.outer is None else self.outer.root

    @property
    def names(self) -> list[str]:
        """All that can be referred to here."""
        return [*self.by_id, *self.brought, *(self.outer.names if self.outer else ())]

    def __contains__(self, name: object) -> bool:
        """Whether a node of that name can be referred to here."""
        return name in self.by_id or name in self.brought or (self.outer is not None and name in self.outer)

    def add(self, draft: Draft, block: Block) -> None:
        """What an include brings."""
        self.blocks[draft.id] = block
        self.brought |= {f"{draft.id}__{node.id}": draft.id for node in block.workflow.nodes}

    def find(self, name: str) -> Draft | None:
        """The node with this id, or the include that brings it."""
        return self.by_id.get(self.brought.get(name, name))

    def may_be_brought(self, name: str) -> bool:
        """Whether an include that could not be read may bring this node; its own problem has been reported."""
        return name.startswith(tuple(self.unread)) or (self.outer is not None and self.outer.may_be_brought(name))


def check_order(scope: Graph, report: Report) -> dict[DocumentPath, list[str]]:
    """The ordering edges of each node, by its path. Fills in `depends_on` and `waits` of `scope`."""
    order: dict[DocumentPath, list[str]] = {}
    pairs: dict[tuple[str, str], Use] = {}
    for draft in scope.drafts:
        depends_on = _listed(draft, "depends_on", scope, report)
        catches = _listed(draft, "catches", scope, report)
        _check_catches(draft, depends_on, catches, scope, report)
        uses = scope.uses.get(draft.path, {})
        # The output of an include need not be one of its sinks.
        known = {*catches, *(other for other in depends_on if other not in scope.blocks)}
        order[draft.path] = [other for other in uses if other not in known]
        if scope.by_id.get(draft.id) is draft:
            scope.depends_on[draft.id] = [scope.brought.get(other, other) for other in depends_on]
            waits = [scope.brought.get(other, other) for other in order[draft.path]]
            scope.catches[draft.id] = [scope.brought.get(other, other) for other in catches]
            scope.waits[draft.id] = scope.depends_on[draft.id] + waits + scope.catches[draft.id]
            for other, named in zip(waits, order[draft.path], strict=True):
                pairs.setdefault((draft.id, other), uses[named])
    implied = graph.reaches(pairs, {name: others + scope.catches[name] for name, others in scope.depends_on.items()})
    for (name, other), use in pairs.items():
        if (name, other) not in implied:
            _warn_order(name, other, use, report)
    for cycle in graph.find_cycles(scope.waits):
        _note_cycle(cycle, scope, pairs, report)
    return order


def _listed(draft: Draft, key: str, scope: Graph, report: Report) -> list[str]:
    """The nodes of `depends_on` or `catches` that exist; the others are reported."""
    found: dict[str, None] = {}
    for other, index in names_in(draft, key).items():
        if scope.find(other) is not None:
            found[other] = None
        elif not scope.may_be_brought(other):
            why, hint = _not_here(draft, other, key, scope, report)
            message = f"'{draft.name}' {_VERBS[key]} '{other}', {why}"
            report.error("unknown-node", message, (*draft.path, key, index), hint=hint)
    return list(found)


def names_in(draft: Draft, key: str) -> dict[str, int]:
    """The names in `depends_on` or `catches`, each with its place."""
    listed = None if key == "catches" and draft.spliced else draft.raw.get(key)
    listed = listed if isinstance(listed, list) else []
    return {name: index for index, name in enumerate(listed) if isinstance(name, str)}


def _check_catches(draft: Draft, depends_on: list[str], catches: list[str], scope: Graph, report: Report) -> None:
    """A node whose trigger rule skips it because of the failure that it catches never runs."""
    rule = draft.raw.get("trigger_rule", "all_success")
    blocked = catches and set(catches) <= set(depends_on) and rule not in ("one_success", "all_done")
    if blocked and not any(_is_allowed(name, scope) for name in catches):
        message = f"'{draft.name}' never runs: it depends on the completion of all that it catches"
        hint = "remove them from depends_on: it waits for what it catches"
        report.error("never-runs", message, (*draft.path, "catches"), hint=hint, key=True)


def _is_allowed(name: str, scope: Graph) -> bool:
    """Whether a trigger rule may take its failure, or that of a node that it brings, for a completion."""
    draft = scope.find(name)
    block = scope.blocks.get(draft.id) if draft is not None else None
    brought = block.workflow.nodes if block is not None else ()
    return bool(draft and draft.raw.get("allow_failure")) or any(one.allow_failure for one in brought)


_VERBS = {"depends_on": "depends on", "catches": "catches"}


def _not_here(draft: Draft, other: str, key: str, scope: Graph, report: Report) -> tuple[str, str]:
    """Why a node of this graph cannot name this one in `depends_on` or `catches`, and a hint."""
    if other in scope.root.last:
        return "which is in 'finally': that runs after all other nodes", ""
    if draft.is_final and other in scope.root:
        return "which is not in 'finally'", f"remove it: it has settled before, and ${other}.outcome.status can be read"
    if scope.outer is not None and other in scope.outer and scope.owner is not None:
        return f"which is outside of '{scope.owner.name}'", f"put it into {key} of '{scope.owner.name}'"
    return "and no node has that id", report.suggest(other, [*scope.by_id, *scope.brought])


def _warn_order(name: str, other: str, use: Use, report: Report) -> None:
    message = f"'{name}' refers to {reference_text(use.reference)} but does not depend on '{other}'"
    hint = f"it waits for '{other}' all the same: add it to depends_on"
    if isinstance(use.reference, OutcomeReference):
        hint += ", and trigger_rule: all_done if it is to run after a failure too"
    note(report, Problem("order-by-reference", message, "warning", hint=hint, length=use.length), use.text, use.offset)


def _note_cycle(cycle: list[str], scope: Graph, uses: Mapping[tuple[str, str], Use], report: Report) -> None:
    first, second = cycle[0], cycle[1 % len(cycle)]
    draft = scope.by_id[first]
    message = f"'{first}' {_VERBS['depends_on' if first in scope.depends_on[first] else 'catches']} itself"
    if len(cycle) > 1:
        shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[:_CYCLE_SHOWN], f"… {len(cycle) - _CYCLE_SHOWN} more"]
        message = "these nodes wait for each other: " + " → ".join([*shown, first])
    key = next((key for key in _VERBS if second in getattr(scope, key)[first]), "")
    if key:
        listed = [scope.brought.get(f"{other}", other) for other in draft.raw[key]]
        path = (*draft.path, key, listed.index(second))
        report.error("dependency-cycle", message, path, hint="remove one of these edges")
    else:
        use = uses[first, second]
        hint = f"remove one of these edges; '{first}' waits for '{second}' because it refers to it here"
        note(report, Problem("dependency-cycle", message, hint=hint, length=use.length), use.text, use.offset)


# Sessions


def check_sessions(scopes: list[Graph], report: Report) -> dict[DocumentPath, dict[str, str]]:
    """Whose session each agent node continues, for each graph by its path. Empty if the file has errors: then the
    layers mean nothing."""
    resumes: dict[DocumentPath, list[_Resume]] = {}
    for scope in scopes:
        for one in (found for draft in scope.drafts for found in _resumes(draft, scope, report)):
            resumes.setdefault(one.home.path, []).append(one)
    for found in resumes.values():
        reached = graph.reaches([(one.anchor.id, one.target) for one in found], found[0].home.waits)
        for one in found:
            if (one.anchor.id, one.target) not in reached:
                message = f"'{one.anchor.name}' cannot resume the session of '{one.name}': it does not wait for it"
                report.error("bad-resume", message, one.path, hint=f"add '{one.name}' to depends_on")
    if report.errors:
        return {}
    wishes = {scope.path: dict(wishes_of(scope)) for scope in scopes}
    return {
        path: graph.sessions(ChainMap(own, wishes[()]), dict(_expanded(scope)))
        for scope, (path, own) in zip(scopes, wishes.items(), strict=True)
    }


def wishes_of(scope: Graph) -> Iterator[tuple[str, graph.SessionWish]]:
    """What each node wishes, with those that includes bring."""
    for name, draft in scope.by_id.items():
        block = scope.blocks.get(name) if draft.spliced else None
        if block is None:
            yield name, _wish(draft, scope.stated)
            continue
        own = _identity(draft, scope.stated)
        for one, wish in block.wishes.items():
            identity = tuple(theirs or mine for theirs, mine in zip(wish.identity, own, strict=True))
            resume = wish.resume and f"{name}__{wish.resume}"
            yield f"{name}__{one}", replace(wish, identity=identity, resume=resume)


def _expanded(scope: Graph) -> Iterator[tuple[str, list[str]]]:
    """`depends_on` of each node, with those that includes bring."""

    def sinks(names: list[str]) -> list[str]:
        expanded = []
        for name in names:
            block = scope.blocks.get(name) if scope.by_id[name].spliced else None
            expanded += [name] if block is None else [f"{name}__{one}" for one in block.sinks]
        return expanded

    for name, draft in scope.by_id.items():
        block = scope.blocks.get(name) if draft.spliced else None
        if block is None:
            yield name, sinks(scope.depends_on[name])
            continue
        for node in block.workflow.nodes:
            before = [f"{name}__{other}" for other in node.depends_on]
            yield f"{name}__{node.id}", before or sinks(scope.depends_on[name])


def _identity(draft: Draft, stated: Stated) -> tuple[str, ...]:
    """What distinguishes its agent from another."""
    stated = ((draft.path, draft.raw), *stated)
    return tuple(str(next((raw[key] for _, raw in stated if key in raw), "")) for key in ("agent", "provider"))


def _wish(draft: Draft, stated: Stated) -> graph.SessionWish:
    context = draft.raw.get("context") if draft.kind in AGENT_KINDS else None
    resume = context.get("resume") if isinstance(context, Mapping) else None
    return graph.SessionWish(
        kind=draft.kind if draft.kind != "include" else "group",
        context=context if isinstance(context, str) else "",
        resume=resume if isinstance(resume, str) else "",
        identity=_identity(draft, stated),
        several="fan_out" in draft.raw or draft.kind in ("group", "loop_group", "workflow", "include"),
    )


class _Resume(Struct):
    """A node resumes the session of `name`: in the graph `home`, `anchor` is or contains the one, `target` is or brings
    the other."""

    name: str
    path: DocumentPath
    home: Graph
    anchor: Draft
    target: str


def _resumes(draft: Draft, scope: Graph, report: Report) -> Iterator[_Resume]:
    """The session that a node resumes, of its own graph or of the outermost one, if there is one such."""
    resume = _wish(draft, scope.stated).resume
    if not resume:
        return
    path: DocumentPath = (*draft.path, "context", "resume")
    home = scope if scope.find(resume) is not None else scope.root
    if draft.is_final and scope.find(resume) is None and resume in home:
        message = f"the session of '{resume}' has ended: the nodes of 'finally' begin sessions of their own"
        report.error("bad-resume", message, path, hint=f"read what it said: ${resume}.output")
        return
    target, anchor, around = home.find(resume), draft, scope
    while around is not home and around.owner is not None and around.outer is not None:
        anchor, around = around.owner, around.outer
    if target is None:
        if not home.may_be_brought(resume):
            hint = report.suggest(resume, [*scope.by_id, *home.by_id])
            report.error("unknown-node", f"no node has the id '{resume}'", path, hint=hint)
        return
    block = home.blocks.get(target.id) if resume in home.brought else None
    node = block.workflow.by_id[resume.removeprefix(f"{target.id}__")] if block is not None else None
    kind, fanned = (target.kind, "fan_out" in target.raw) if node is None else (node.kind, node.fan_out is not None)
    if kind and kind not in AGENT_KINDS:
        report.error("bad-resume", f"'{resume}' has no session: no agent works on it", path)
    elif kind and fanned:
        report.error("bad-resume", f"'{resume}' has many sessions: it is fanned out", path)
    elif kind:
        yield _Resume(resume, path, home, anchor, target.id)
