"""The graph: cycles named in order, layers, who waits for whom, sessions over the layers, where a workflow ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import good

from ion.language.graph import SessionWish, find_cycles, layers, reaches, sessions, topological


def edges(text: str) -> dict[str, list[str]]:
    """`b<-a c<-a,b` says that b waits for a, and c for a and b."""
    waits: dict[str, list[str]] = {}
    for item in text.split():
        node, _, others = item.partition("<-")
        waits[node] = others.split(",") if others else []
    return waits


def graphs_of(names: list[str]) -> st.SearchStrategy[dict[str, list[str]]]:
    return st.fixed_dictionaries({name: st.lists(st.sampled_from(names), max_size=3) for name in names})


graphs = st.integers(1, 7).flatmap(lambda size: graphs_of([f"n{number}" for number in range(size)]))


def everything_above(node: str, waits: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(waits[node])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += waits.get(other, [])
    return found


# Cycles and order


@pytest.mark.parametrize(
    ("text", "cycles"),
    [
        ("a b<-a c<-b", []),
        ("a<-a", [["a"]]),
        ("a<-b b<-a", [["a", "b"]]),
        ("x a<-c b<-a c<-b y<-a", [["a", "c", "b"]]),
        ("a<-b b<-a c<-d d<-c,a", [["a", "b"], ["c", "d"]]),
        ("a<-b,nowhere b", []),
    ],
)
def test_cycles_are_named_in_order(text: str, cycles: list[list[str]]) -> None:
    """Each waits for the next and the last for the first; every knot is told, and nothing that only hangs on one."""
    assert find_cycles(edges(text)) == cycles


@given(graphs)
def test_a_cycle_is_one_and_exactly_the_acyclic_rest_is_sorted(waits: dict[str, list[str]]) -> None:
    """What is called a cycle is one; without cycles every node comes after those that it waits for."""
    cycles = find_cycles(waits)
    for cycle in cycles:
        assert all(second in waits[first] for first, second in pairwise([*cycle, cycle[0]]))
    in_cycle = {node for node in waits if node in everything_above(node, waits)}
    assert bool(cycles) == bool(in_cycle)
    order = topological(waits)
    if not cycles:
        assert sorted(order) == sorted(waits)
    assert all(order.index(other) < order.index(node) for node in order for other in waits[node])


@given(graphs)
def test_reaches_is_the_transitive_closure(waits: dict[str, list[str]]) -> None:
    """In a graph without cycles: exactly the pairs where one waits for the other, directly or not."""
    if find_cycles(waits):
        return
    pairs = [(node, other) for node in waits for other in waits]
    assert reaches(pairs, waits) == {(node, other) for node, other in pairs if other in everything_above(node, waits)}


def test_layers() -> None:
    """Fact 25: `a; b<-a; c; d<-c` has the layers [[a,c],[b,d]]; a diamond has three."""
    assert layers(edges("a b<-a c d<-c")) == [["a", "c"], ["b", "d"]]
    assert layers(edges("a b<-a c<-a d<-b,c")) == [["a"], ["b", "c"], ["d"]]
    assert layers({}) == []


def test_fifty_thousand_nodes_in_a_row_are_no_trouble() -> None:
    """Nothing recurses and nothing is quadratic, in a chain, in a ring, or with many far references."""
    names = [f"n{number}" for number in range(50_000)]
    chain = {name: [names[number - 1]] if number else [] for number, name in enumerate(names)}
    assert len(layers(chain)) == 50_000
    assert find_cycles({**chain, "n0": ["n49999"]})[0][:2] == ["n0", "n49999"]
    pairs = [(name, names[number // 2]) for number, name in enumerate(names)]
    assert len(reaches(pairs, chain)) == 49_999


# Sessions (language.md §3.3)


def continued(nodes: str, root: str = "") -> dict[str, str]:
    return {node.id: node.continues for node in good(nodes, root=root).nodes if node.continues}


def test_agents_in_a_row_share_a_session() -> None:
    """An agent node alone in its layer continues the last one; other nodes alone in theirs change nothing."""
    assert continued("""
      - {id: a, prompt: x}
      - {id: b, bash: x, depends_on: [a]}
      - {id: c, prompt: x, depends_on: [b]}
      - {id: d, prompt: x, depends_on: [c]}
    """) == {"c": "a", "d": "c"}


def test_a_layer_of_several_resets() -> None:
    """After a layer of several, of whatever kind, the next starts fresh; those inside it too."""
    assert (
        continued("""
      - {id: a, prompt: x}
      - {id: b, prompt: x, depends_on: [a]}
      - {id: c, bash: x, depends_on: [a]}
      - {id: d, prompt: x, depends_on: [b, c]}
    """)
        == {}
    )


def test_shared_overlooks_the_reset() -> None:
    """`shared` continues the last one that was alone, also after a layer of several."""
    assert continued("""
      - {id: a, prompt: x}
      - {id: b, prompt: x, depends_on: [a]}
      - {id: c, bash: x, depends_on: [a]}
      - {id: d, prompt: x, depends_on: [b, c], context: shared}
      - {id: e, prompt: x, depends_on: [d]}
    """) == {"d": "a", "e": "d"}


def test_fresh_starts_anew_and_hands_on() -> None:
    assert continued("""
      - {id: a, prompt: x}
      - {id: b, prompt: x, depends_on: [a], context: fresh}
      - {id: c, prompt: x, depends_on: [b]}
    """) == {"c": "b"}


def test_a_loop_starts_fresh_and_hands_on_its_last_session() -> None:
    assert continued("""
      - {id: a, prompt: x}
      - {id: b, loop: {prompt: x, until: D, max_iterations: 2}, depends_on: [a]}
      - {id: c, prompt: x, depends_on: [b]}
    """) == {"c": "b"}


def test_resume_names_the_session() -> None:
    """`{resume: a}` continues a, whatever the layers say."""
    assert continued("""
      - {id: a, prompt: x}
      - {id: b, prompt: x, depends_on: [a], context: fresh}
      - {id: c, bash: x, depends_on: [b]}
      - {id: d, prompt: x, depends_on: [b]}
      - {id: e, prompt: x, depends_on: [c, d], context: {resume: a}}
    """) == {"e": "a"}


def test_another_agent_starts_fresh() -> None:
    """Neither another agent nor another provider can continue a session."""
    nodes = """
      - {id: a, prompt: x}
      - {id: b, prompt: x, depends_on: [a], %s}
      - {id: c, prompt: x, depends_on: [b]}
    """
    assert continued(nodes % "agent: codex") == {}
    assert continued(nodes % "provider: codex", root="provider: claude") == {}
    assert continued(nodes % "provider: claude", root="provider: claude") == {"b": "a", "c": "b"}


def test_the_layers_are_those_of_depends_on() -> None:
    """An ordering edge is none of the layers: here two agents are in the first one."""
    assert (
        continued("""
      - {id: a, prompt: x}
      - {id: b, prompt: "$a.output"}
      - {id: c, prompt: x, depends_on: [a, b]}
    """)
        == {}
    )


def test_sessions_of_nothing() -> None:
    assert sessions({"a": SessionWish("bash")}, {"a": []}) == {}


# The end
