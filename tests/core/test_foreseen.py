"""Failures that a workflow foresees: allowed ones, caught ones, and what they are to the nodes behind them."""

from __future__ import annotations

import itertools

import pytest
from simulate import Simulation, failed, workflow

from ion.core import events as e
from ion.core.decide import trigger_rule_holds
from ion.core.fold import fold
from ion.core.foreseen import handled
from ion.core.outcomes import Outcome, PromptOpened
from ion.language.workflow import (
    TRIGGER_RULES,
    Allowed,
    Approval,
    Bash,
    Condition,
    FanOut,
    Group,
    Node,
    Prompt,
    Scope,
    Shell,
    Workflow,
    WorkflowCall,
)

BODY = Bash(Shell("true"))
NEVER = Condition("'a' == 'b'", ())

# What each state of a dependency counts as in the table of language.md §3.2.
COUNTS_AS = {
    "completed": "completed",
    "nothing to catch": "completed",
    "allowed": "completed",
    "skipped": "skipped",
    "skipped by a failure": "failed",
    "failed": "failed",
    "caught": "failed",
}
# That table: of two dependencies, which rules let the node behind them run.
RUNS = {
    ("completed", "completed"): {"all_success", "one_success", "none_failed_min_one_success", "all_done"},
    ("completed", "skipped"): {"one_success", "none_failed_min_one_success", "all_done"},
    ("completed", "failed"): {"one_success", "all_done"},
    ("skipped", "skipped"): {"all_done"},
    ("failed", "skipped"): {"all_done"},
    ("failed", "failed"): {"all_done"},
}


def _dependency(name: str, state: str) -> tuple[list[Node], dict[str, Outcome], dict[str, str]]:
    """Nodes of which `name` comes to this state, what becomes of their turns, and their statuses."""
    node, helper = Node(name, BODY), f"{name}-helper"
    match state:
        case "completed":
            return [node], {}, {name: "completed"}
        case "skipped":
            return [Node(name, BODY, when=NEVER)], {}, {name: "skipped"}
        case "nothing to catch":
            nodes = [Node(helper, BODY), Node(name, BODY, catches=(helper,))]
            return nodes, {}, {helper: "completed", name: "skipped"}
        case "allowed":
            allowed = Node(name, BODY, allow_failure=Allowed())
            return [allowed], {name: failed(output="seen")}, {name: "failed"}
        case "skipped by a failure":
            nodes = [Node(helper, BODY), Node(name, BODY, depends_on=(helper,))]
            return nodes, {helper: failed()}, {helper: "failed", name: "skipped"}
        case "caught":
            nodes = [node, Node(helper, BODY, catches=(name,))]
            return nodes, {name: failed()}, {name: "failed", helper: "completed"}
    return [node], {name: failed()}, {name: "failed"}


def _check(flow: Workflow, outcomes: dict[str, Outcome], statuses: dict[str, str], end: str) -> Simulation:
    """The run ends so, whole and from each prefix of its events; what is an outcome does not run again."""
    whole = Simulation(flow, outcomes).run()
    assert whole.statuses() == statuses
    assert whole.state.status == end
    for died in range(1, len(whole.log)):
        broken = Simulation(flow, outcomes, list(whole.log[:died]), check_plan=False)
        before = broken.state
        kept = {node.id for node in before.nodes.values() if before.keeps(node)}
        broken.resume()
        assert broken.statuses() == statuses, f"died after event {died}"
        assert broken.state.status == end
        assert handled(broken.state) == handled(whole.state)
        again = {event.node for event in broken.log[died:] if isinstance(event, e.NodeStarted)}
        assert not again & kept, f"died after event {died}: {again & kept} ran again"
        assert fold(broken.log) == broken.plan.state
    return whole


def test_the_table_of_trigger_rules_with_allowed_caught_and_skipped_by_a_failure() -> None:
    count = 0
    for left, right in itertools.product(COUNTS_AS, repeat=2):
        for rule in TRIGGER_RULES:
            nodes, outcomes, statuses = _dependency("a", left)
            others, more, theirs = _dependency("b", right)
            outcomes, statuses = outcomes | more, statuses | theirs
            last = Node("c", BODY, depends_on=("a", "b"), trigger_rule=rule)
            kinds = sorted((COUNTS_AS[left], COUNTS_AS[right]))
            runs = rule in RUNS[kinds[0], kinds[1]]
            statuses["c"] = "completed" if runs else "skipped"
            fails = {left, right} & {"failed", "skipped by a failure"} or not (
                {"completed"} & set(statuses.values()) or {left, right} & {"allowed"}
            )
            run = _check(workflow(*nodes, *others, last), outcomes, statuses, "failed" if fails else "completed")
            if not runs:
                reason = "upstream_failed" if "failed" in kinds else "trigger_rule"
                assert run.state.nodes["c"].reason == reason, (left, right, rule)
            said = handled(run.state)
            assert said.allowed == tuple(n for n, state in (("a", left), ("b", right)) if state == "allowed")
            assert said.caught == {n: f"{n}-helper" for n, state in (("a", left), ("b", right)) if state == "caught"}
            assert said.is_clean == (not {left, right} & {"allowed", "caught"})
            count += 1
    assert count == 196


EDGES = ("", "depends_on", "catches")


def _small_graphs() -> list[tuple[Workflow, dict[str, Outcome], set[str], dict[str, list[str]]]]:
    """Every graph of three nodes, each of which depends on, or catches, or neither, each one before it; with every
    failure, each of them allowed or not."""
    found = []
    for ab, ac, bc in itertools.product(EDGES, repeat=3):
        edges = {"a": {}, "b": {"a": ab}, "c": {"a": ac, "b": bc}}
        for fails in itertools.product((False, True), repeat=3):
            for allows in itertools.product((False, True), repeat=3):
                if any(allow and not fail for allow, fail in zip(allows, fails, strict=True)):
                    continue  # as without
                nodes = [
                    Node(
                        name,
                        BODY,
                        depends_on=tuple(other for other, edge in before.items() if edge == "depends_on"),
                        catches=tuple(other for other, edge in before.items() if edge == "catches"),
                        allow_failure=Allowed(codes=("exit-status",)) if allow else None,
                    )
                    for (name, before), allow in zip(edges.items(), allows, strict=True)
                ]
                failing = {name for name, fail in zip("abc", fails, strict=True) if fail}
                flow = workflow(*nodes)
                found.append((flow, dict.fromkeys(failing, failed()), failing, edges))
    return found


def _expected(flow: Workflow, failing: set[str]) -> tuple[dict[str, str], str]:
    """The oracle: settle the nodes in file order, then see what was caught."""
    statuses: dict[str, str] = {}
    votes: dict[str, str] = {}
    for node in flow.nodes:
        if node.catches and not any(statuses[other] == "failed" for other in node.catches):
            statuses[node.id], votes[node.id] = "skipped", "completed"
        elif any(votes[other] != "completed" for other in node.depends_on):
            statuses[node.id] = "skipped"
            votes[node.id] = "failed" if any(votes[other] == "failed" for other in node.depends_on) else "skipped"
        elif node.id in failing:
            statuses[node.id], votes[node.id] = "failed", "completed" if node.allow_failure else "failed"
        else:
            statuses[node.id] = votes[node.id] = "completed"
    caught: set[str] = set()
    for node in reversed(flow.nodes):
        if statuses[node.id] == "completed" or node.id in caught:
            caught |= {other for other in node.catches if statuses[other] == "failed"}
    allowed = {node.id for node in flow.nodes if statuses[node.id] == "failed" and node.allow_failure}
    failures = {name for name, status in statuses.items() if status == "failed"} - caught - allowed
    succeeds = "completed" in statuses.values() or allowed
    return statuses, "completed" if succeeds and not failures else "failed"


@pytest.mark.parametrize("part", range(3))
def test_every_small_graph_of_catchers_and_allowed_failures(part: int) -> None:
    graphs = _small_graphs()
    assert len(graphs) == 27 * 27
    for flow, outcomes, failing, _ in graphs[part::3]:
        _check(flow, outcomes, *_expected(flow, failing))


def _inner_graphs() -> list[tuple[tuple[Node, ...], set[str]]]:
    """Every graph of two nodes, the second of which depends on, or catches, or neither, the first; with every failure,
    each of them allowed or not."""
    found = []
    for edge, fails in itertools.product(EDGES, itertools.product((False, True), repeat=2)):
        for allows in itertools.product(*((False, True) if fail else (False,) for fail in fails)):
            before = {edge: ("a",)} if edge else {}
            first, second = (Allowed() if allow else None for allow in allows)
            nodes = Node("a", BODY, allow_failure=first), Node("b", BODY, allow_failure=second, **before)
            found.append((nodes, {name for name, fail in zip("ab", fails, strict=True) if fail}))
    return found


# How the nodes are inside of the node `g`, and where they are: of which items.
PLACES = {
    "group": ("g.",),
    "nested": ("g.h.",),
    "call": ("g.",),
    "all_success": ("g.0.", "g.1."),
    "all_done": ("g.0.", "g.1."),
}


def _around(place: str, inner: tuple[Node, ...], allow: Allowed | None) -> tuple[Node, dict[str, Workflow]]:
    group = Group(Scope(inner))
    match place:
        case "nested":
            return Node("g", Group(Scope((Node("h", group),))), allow_failure=allow), {}
        case "call":
            return Node("g", WorkflowCall("called"), allow_failure=allow), {"called": Workflow("called", inner)}
        case "all_success" | "all_done":
            return Node("g", group, fan_out=FanOut(items=[1, 2], join=place), allow_failure=allow), {}
    return Node("g", group, allow_failure=allow), {}


def _expected_around(place: str, inner: tuple[Node, ...], failing: set[str], statuses: dict[str, str]) -> str:
    """The oracle for a node with others inside: what becomes of it, and into `statuses` what of all inside of it."""
    ends = []
    for prefix in PLACES[place]:
        names = {name.removeprefix(prefix) for name in failing if name.startswith(prefix)}
        found, end = _expected(workflow(*inner), names)
        statuses |= {f"{prefix}{name}": status for name, status in found.items()}
        if end == "failed" and "failed" not in found.values():
            end = "skipped"
        ends.append(end)
        if place != "call" and prefix != "g.":
            statuses[prefix[:-1]] = end
    failed = "failed" in ends and (place != "all_done" or "completed" not in ends)
    return "failed" if failed else "completed" if "completed" in ends else "skipped"


@pytest.mark.parametrize(
    ("place", "behind"),
    # The rules behind a fan-out are those behind a group: to vary them once takes less time.
    [
        *itertools.product(("group", "nested", "call"), (*TRIGGER_RULES, "catches")),
        *itertools.product(("all_success", "all_done"), ("all_success", "catches")),
    ],
)
def test_every_small_graph_of_them_inside_of_a_node(place: str, behind: str) -> None:
    """And of what is behind that node: it waits for it by every rule, or catches its failure, which may be allowed."""
    graphs = _inner_graphs()
    assert len(graphs) == 27
    for inner, fails in graphs:
        for where in [PLACES[place], *([PLACES[place][:1]] if len(PLACES[place]) > 1 and fails else [])]:
            for allow in (None, Allowed()):
                failing = {f"{prefix}{name}" for prefix in where for name in fails}
                node, called = _around(place, inner, allow)
                more = {"catches": ("g",)} if behind == "catches" else {"depends_on": ("g",), "trigger_rule": behind}
                flow = workflow(node, Node("z", BODY, **more), Node("free", BODY), workflows=called)
                statuses: dict[str, str] = {}
                end = _expected_around(place, inner, failing, statuses)
                counts = "completed" if end == "failed" and allow else end
                runs = end == "failed" if behind == "catches" else trigger_rule_holds(behind, [counts])
                statuses |= {"g": end, "z": "completed" if runs else "skipped", "free": "completed"}
                fails_run = end == "failed" and not allow and behind != "catches"
                run = _check(flow, dict.fromkeys(failing, failed()), statuses, "failed" if fails_run else "completed")
                said = handled(run.state)
                assert ("g" in said.allowed, "g" in said.caught) == (
                    end == "failed" and bool(allow),
                    end == "failed" and not allow and behind == "catches",
                )
                foreseen = end == "completed" and "failed" in statuses.values()
                assert said.is_clean == (not foreseen and (end != "failed" or fails_run))


@pytest.mark.parametrize("kind", ["gate", "gate with a deadline", "prompt", "group"])
def test_who_is_asked_about_a_failure_that_a_resume_makes_good_is_asked_no_more(kind: str) -> None:
    """What is to catch it waits for an answer; the run is resumed; what had failed completes."""
    late = kind.endswith("deadline")
    gate = Approval("Retire it?", timeout_ms=1 if late else None, on_timeout="approve" if late else "fail")
    body = {"prompt": Prompt("why?"), "group": Group(Scope((Node("ask", gate),)))}.get(kind, gate)
    again = Node("deploy", BODY), Node("ask", body, catches=("deploy",)), Node("after", BODY, depends_on=("ask",))
    flow = workflow(*again)
    turns = {"deploy": failed(), **({"ask": PromptOpened(e.Content("why?"))} if kind == "prompt" else {})}
    whole = Simulation(flow, turns).run()
    asked = next(i for i, one in enumerate(whole.log) if isinstance(one, e.Request)) + 1
    run = Simulation(flow, log=list(whole.log[:asked]))
    run.resume()
    assert run.state.status == "completed"
    statuses = run.statuses()
    assert {name: statuses[name] for name in ("deploy", "ask", "after")} == {
        "deploy": "completed",
        "ask": "skipped",
        "after": "completed",
    }
    assert run.state.nodes["ask"].reason == "no_failure"
    assert not any(node.requests for node in run.state.nodes.values())
    assert handled(run.state).is_clean
    assert fold(run.log) == run.plan.state
    still = Simulation(flow, turns, list(whole.log[:asked])).resume()
    if late:
        assert handled(still.state).caught == {"deploy": "ask"}, "its time is over only once that has failed again"
    else:
        assert still.state.status == "paused", "it failed again: the question stands"
        assert not any(isinstance(one, e.Request) for one in still.log[asked:])


def test_completing_is_what_catches() -> None:
    flow = workflow(
        Node("build", BODY),
        Node("rollback", BODY, catches=("build",)),
        Node("alarm", BODY, catches=("rollback",)),
    )
    run = _check(
        flow,
        {"build": failed(), "rollback": failed()},
        {"build": "failed", "rollback": "failed", "alarm": "completed"},
        "completed",
    )
    assert handled(run.state).caught == {"build": "alarm", "rollback": "alarm"}


def test_fail_fast_spares_every_catcher_of_a_failure_also_once_one_of_them_has_caught_it() -> None:
    flow = workflow(
        Node("build", BODY),
        Node("rollback", BODY, catches=("build",)),
        Node("report", BODY),
        Node("alarm", BODY, catches=("build",), depends_on=("report",), trigger_rule="all_done"),
        Node("publish", BODY, depends_on=("report",)),
        fail_fast=True,
    )
    statuses = {"build": "failed", "rollback": "completed", "report": "failed", "alarm": "completed"}
    run = _check(flow, {"build": failed(), "report": failed()}, {**statuses, "publish": "skipped"}, "failed")
    assert run.state.nodes["publish"].reason == "fail_fast"
