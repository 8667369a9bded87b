"""Exhaustive in a small scope: every DAG of up to three nodes, every trigger rule, every outcome, a death after every
event. What must hold in all of them holds in the large: a plan is a function of the log."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from zlib import crc32

import pytest
from msgspec.structs import replace
from simulate import Simulation, completed, failed, workflow

from ion.core.decide import trigger_rule_holds
from ion.core.events import NodeStarted
from ion.core.fold import fold
from ion.core.outcomes import Outcome
from ion.language.templates import ScopeTemplate, Template, templates_of
from ion.language.workflow import (
    TRIGGER_RULES,
    Bash,
    FanOut,
    Group,
    Node,
    Scope,
    Shell,
    Workflow,
    WorkflowCall,
)

NAMES = "abcd"
OUTCOMES: dict[str, Outcome] = {"completed": completed(), "failed": failed()}


def _nodes(size: int) -> Iterator[list[tuple[str, ...]]]:
    """Every DAG over the nodes in file order: each node depends on any subset of the ones before it."""
    subsets = [[tuple(NAMES[j] for j in range(i) if mask >> j & 1) for mask in range(2**i)] for i in range(size)]
    yield from (list(choice) for choice in itertools.product(*subsets))


def _workflows(size: int, *, only_joins: bool = False) -> Iterator[Workflow]:
    for edges in _nodes(size):
        rules = [
            TRIGGER_RULES if len(dependencies) > (1 if only_joins else 0) else TRIGGER_RULES[:1]
            for dependencies in edges
        ]
        for chosen in itertools.product(*rules):
            yield workflow(
                *(Node(NAMES[i], Bash(Shell("true")), depends_on=edges[i], trigger_rule=chosen[i]) for i in range(size))
            )


def _expected(flow: Workflow, wanted: dict[str, str]) -> dict[str, str]:
    """The oracle, straight from the table of the language: settle the nodes in file order."""
    statuses: dict[str, str] = {}
    votes: dict[str, str] = {}
    for node in flow.nodes:
        before = [votes[other] for other in node.depends_on]
        runs = not before or trigger_rule_holds(node.trigger_rule, before)
        statuses[node.id] = wanted[node.id] if runs else "skipped"
        votes[node.id] = "failed" if not runs and "failed" in before else statuses[node.id]
    return statuses


def _check(flow: Workflow, wanted: dict[str, str], expected: dict[str, str] | None = None) -> None:
    outcomes = {node: OUTCOMES[status] for node, status in wanted.items()}
    whole = Simulation(flow, outcomes).run()
    expected = expected or _expected(flow, wanted)
    assert whole.statuses() == expected
    outermost = [expected[node.id] for node in flow.nodes]
    ends = "failed" if "failed" in outermost or "completed" not in outermost else "completed"
    assert whole.state.status == ends
    for died in range(1, len(whole.log)):
        broken = Simulation(flow, outcomes, list(whole.log[:died]), check_plan=False)
        kept = {n.id for n in broken.state.nodes.values() if n.status == "completed"}
        broken.resume()
        assert broken.statuses() == expected, f"died after event {died}"
        assert broken.state.status == ends
        again = {ev.node for ev in broken.log[died:] if isinstance(ev, NodeStarted)}
        assert not again & kept, "a completed node ran again"
        assert fold(broken.log) == broken.plan.state


def _cases(size: int, *, only_joins: bool = False) -> Iterator[tuple[Workflow, dict[str, str]]]:
    for flow in _workflows(size, only_joins=only_joins):
        for outcome in itertools.product(OUTCOMES, repeat=size):
            yield flow, dict(zip(NAMES, outcome, strict=False))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_small_dag_ends_as_the_table_says_and_from_each_prefix_of_its_events(size: int) -> None:
    count = 0
    for flow, wanted in _cases(size):
        _check(flow, wanted)
        count += 1
    assert count == {1: 2, 2: 20, 3: 520}[size]


def _inside(kind: str, node: Node) -> Node:
    """A node with others inside, all of them like this one or made of it."""
    fan_out = FanOut(items=[1, 2], join="all_done" if kind.endswith("done") else "all_success")
    match kind.partition(" ")[0]:
        case "fan":
            return replace(node, id="a", fan_out=fan_out)
        case "group":
            return Node("a", node.body)
        case "nested":
            return Node("a", Group(Scope((replace(node, id="g"),))))
        case "groups":
            return Node("a", node.body, fan_out=fan_out)
    return Node("a", WorkflowCall("called"))


def _nested() -> Iterator[tuple[Workflow, tuple[str, ...]]]:
    """A node with others inside, of every kind, and one that waits for it by every rule; the addresses of what runs."""
    for inner in _workflows(2):
        group = Node("g", Group(Scope(inner.nodes)))
        made = {
            "group": ("a.a", "a.b"),
            "nested": ("a.g.a", "a.g.b"),
            "call": ("a.a", "a.b"),
            "groups": ("a.0.a", "a.1.a", "a.0.b", "a.1.b"),
            "groups done": ("a.0.a", "a.1.a", "a.0.b", "a.1.b"),
        }
        for (kind, leaves), rule in itertools.product(made.items(), TRIGGER_RULES):
            if kind.startswith("groups") and rule != TRIGGER_RULES[0]:
                continue  # which node waits for it by which rule is the others' subject
            last = Node("b", Bash(Shell("true")), depends_on=("a",), trigger_rule=rule)
            called = {"called": Workflow("called", inner.nodes)} if kind == "call" else {}
            yield workflow(_inside(kind, group), last, workflows=called), (*leaves, "b")
    for kind, rule in itertools.product(("fan", "fan done"), TRIGGER_RULES):
        last = Node("b", Bash(Shell("true")), depends_on=("a",), trigger_rule=rule)
        yield workflow(_inside(kind, Node("a", Bash(Shell("true")))), last), ("a.0", "a.1", "b")


def _expected_of(template: Template, address: str, wanted: dict[str, str]) -> dict[str, str]:
    """The oracle for a node that runs: its status, and those of all inside of it."""
    if template.item is not None:
        found: dict[str, str] = {}
        for number in range(2):
            found |= _expected_of(template.item, f"{address}.{number}", wanted)
        ends = [found[f"{address}.{number}"] for number in range(2)]
        fan_out = template.node.fan_out
        strict = fan_out is not None and fan_out.join == "all_success"
    elif template.inside is not None:
        found = _expected_in(template.inside, f"{address}.", wanted)
        ends, strict = [found[f"{address}.{one.node.id}"] for one in template.inside.members], True
    else:
        return {address: wanted[address]}
    failed = "failed" in ends and (strict or "completed" not in ends)
    return found | {address: "failed" if failed else "completed" if "completed" in ends else "skipped"}


def _expected_in(body: ScopeTemplate, prefix: str, wanted: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    votes: dict[str, str] = {}
    for one in body.members:
        before = [votes[other] for other in one.node.depends_on]
        runs = not before or trigger_rule_holds(one.node.trigger_rule, before)
        address = f"{prefix}{one.node.id}"
        inside = _expected_of(one, address, wanted) if runs else {address: "skipped"}
        found |= inside
        votes[one.node.id] = "failed" if not runs and "failed" in before else inside[address]
    return found


# A half, whose members are as if drawn by lot, is part of the default run; the other is of the sweep.
@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.sweep) for part in (2, 3))])
def test_every_small_graph_inside_of_a_node(part: int) -> None:
    for number, (flow, leaves) in enumerate(_nested()):
        for outcome in itertools.product(OUTCOMES, repeat=len(leaves)) if crc32(b"%d" % number) % 4 == part else ():
            wanted = dict(zip(leaves, outcome, strict=True))
            _check(flow, wanted, _expected_in(templates_of(flow).root, "", wanted))


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_every_dag_of_four_nodes_with_rules_on_joins() -> None:
    for flow, wanted in _cases(4, only_joins=True):
        _check(flow, wanted)


@pytest.mark.parametrize(
    ("statuses", "all_success", "one_success", "none_failed", "all_done"),
    [
        (["completed", "completed"], True, True, True, True),
        (["completed", "skipped"], False, True, True, True),
        (["completed", "failed"], False, True, False, True),
        (["skipped", "skipped"], False, False, False, True),
        (["failed", "skipped"], False, False, False, True),
        (["failed", "failed"], False, False, False, True),
    ],
)
def test_trigger_rules_are_the_table_of_the_language(
    statuses: list[str], all_success: bool, one_success: bool, none_failed: bool, all_done: bool
) -> None:
    assert [trigger_rule_holds(rule, statuses) for rule in TRIGGER_RULES] == [
        all_success,
        one_success,
        none_failed,
        all_done,
    ]
