"""Nodes inside of nodes on the pure core: groups, fan-outs, repeated and called graphs, at any depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from simulate import Simulation, bash, completed, failed, fan, group, statuses, workflow

from ion.core import events as e
from ion.core.expanding import items_of
from ion.core.fold import fold
from ion.core.outcomes import Outcome
from ion.core.rerun import kept_events
from ion.core.state import NodeState
from ion.errors import NotFoundError, UsageError
from ion.language.conditions import parse_condition
from ion.language.templates import templates_of
from ion.language.workflow import (
    Approval,
    Cancel,
    LoopGroup,
    Node,
    Prompt,
    Retry,
    Scope,
    Shell,
    Workflow,
    WorkflowCall,
)

SHELL = Shell("true")


def output(run: Simulation, address: str) -> str | None:
    content = run.state.nodes[address].output
    return content.text if content is not None else None


def every_death(flow: Workflow, outcomes: dict[str, Any]) -> Simulation:
    """The run, and the same end after a death behind each of its events, where nothing that completed ran again."""
    whole = Simulation(flow, outcomes).run()
    for died in range(1, len(whole.log)):
        broken = Simulation(flow, outcomes, list(whole.log[:died]), check_plan=False)
        kept = {now.id for now in broken.state.nodes.values() if now.status == "completed"}
        broken.resume()
        assert statuses(broken) == statuses(whole), f"died after event {died}: {whole.log[died - 1]}"
        assert broken.state.status == whole.state.status
        again = {event.node for event in broken.log[died:] if isinstance(event, e.NodeStarted)}
        assert not again & kept, f"ran again: {again & kept}"
        assert fold(broken.log) == broken.plan.state
    return whole


class TestGroup:
    FLOW = workflow(
        bash("a"), group("g", bash("x"), bash("y", "x"), depends_on=("a",)), bash("b", "g"), max_concurrency=None
    )

    def test_it_is_one_node_to_its_siblings_and_a_graph_inside(self) -> None:
        run = every_death(self.FLOW, {"g.y": "made"})
        assert run.carried_out == [("a", "bash"), ("g.x", "bash"), ("g.y", "bash"), ("b", "bash")]
        assert statuses(run) == dict.fromkeys(("a", "g", "g.x", "g.y", "b"), "completed")
        assert output(run, "g") == "made"
        assert run.state.status == "completed"

    def test_its_failure_says_where(self) -> None:
        run = every_death(self.FLOW, {"g.x": failed()})
        assert statuses(run) == {"a": "completed", "g": "failed", "g.x": "failed", "g.y": "skipped", "b": "skipped"}
        assert run.state.nodes["g"].error == e.Failure("exit-status", "'g.x' failed: exit 1")
        assert run.state.nodes["b"].reason == "upstream_failed"

    def test_all_of_it_skipped_is_it_skipped(self) -> None:
        never = parse_condition("$a.output == 'no'")
        run = every_death(workflow(bash("a"), group("g", bash("x", when=never), depends_on=("a",))), {})
        assert statuses(run) == {"a": "completed", "g": "skipped", "g.x": "skipped"}

    @pytest.mark.parametrize(("returns", "expected"), [(None, "first"), ("late", "last"), ("early", "start")])
    def test_its_output_is_that_of_returns_or_of_the_first_sink_with_text(
        self, returns: str | None, expected: str
    ) -> None:
        nodes = bash("early"), bash("blank", "early"), bash("sink", "early"), bash("late", "early")
        outcomes = {"g.early": "start", "g.blank": " ", "g.sink": "first", "g.late": "last"}
        assert output(Simulation(workflow(group("g", *nodes, returns=returns)), outcomes).run(), "g") == expected

    def test_conditions_read_its_output_and_outer_ones(self) -> None:
        flow = workflow(
            bash("a"),
            group("g", bash("x", when=parse_condition("$a.output.ok == true")), returns="x", order=("a",)),
            bash("b", "g", when=parse_condition("$g.output.n > 3")),
        )
        run = every_death(flow, {"a": '{"ok": true}', "g.x": '{"n": 4}'})
        assert statuses(run)["b"] == "completed"

    def test_groups_within_groups(self) -> None:
        flow = workflow(group("g", group("h", bash("x"), bash("y", "x")), bash("z", "h")))
        run = every_death(flow, {"g.h.y": failed()})
        assert run.state.nodes["g"].error == e.Failure("exit-status", "'g.h.y' failed: exit 1")
        assert statuses(run) == {
            "g": "failed",
            "g.h": "failed",
            "g.h.x": "completed",
            "g.h.y": "failed",
            "g.z": "skipped",
        }

    def test_a_retry_begins_again_at_what_failed(self) -> None:
        flow = workflow(group("g", bash("x"), bash("y", "x"), retry=Retry(2, 1000, "all")))
        run = Simulation(flow, {"g.y": [failed(), failed(), "done"]}).run()
        begun = [("g.x", "bash"), ("g.y", "bash")]
        assert run.carried_out == begun + [("g", "expand"), ("g.y", "bash")] * 2
        assert run.state.status == "completed"

    def test_a_gate_inside_is_answered_by_its_address(self) -> None:
        flow = workflow(group("g", Node("ask", Approval("?", capture_response=True)), bash("x", "ask")))
        run = Simulation(flow).run()
        assert run.state.status == "paused"
        run.approve("g.ask", "yes").resume()
        assert statuses(run) == {"g": "completed", "g.ask": "completed", "g.x": "completed"}

    def test_a_rejection_inside_ends_the_run(self) -> None:
        flow = workflow(group("g", Node("ask", Approval("?")), bash("x")), bash("y", "g"))
        run = Simulation(flow).run()
        run.reject("g.ask", "no").resume()
        assert statuses(run) == {"g": "cancelled", "g.ask": "cancelled", "g.x": "completed", "y": "skipped"}
        assert run.log[-1] == e.WorkflowCancelled(run.log[-1].at, "no", "g.ask")

    def test_a_cancel_node_inside_ends_the_run(self) -> None:
        flow = workflow(group("g", Node("stop", Cancel("enough")), bash("x", "stop")), bash("y", "g"))
        run = Simulation(flow, {"g.stop": "enough"}).run()
        assert run.log[-1] == e.WorkflowCancelled(run.log[-1].at, "enough", "g.stop")
        assert statuses(run) == {"g": "cancelled", "g.stop": "completed", "g.x": "skipped", "y": "skipped"}

    def test_a_group_whose_dependency_changed_begins_anew(self) -> None:
        flow = workflow(
            bash("a", always_run=True), group("g", bash("x"), bash("y", "x"), depends_on=("a",)), bash("b", "g")
        )
        values = iter("12")
        run = Simulation(flow, {"a": lambda now, turn: next(values), "b": [failed(), "ok"]}).run()
        assert run.state.status == "failed"
        run.carried_out.clear()
        run.resume()
        assert run.carried_out == [("a", "bash"), ("g.x", "bash"), ("g.y", "bash"), ("b", "bash")]


class TestFanOut:
    def test_each_item_is_an_instance(self) -> None:
        run = every_death(workflow(fan(bash("f"), ["a", "b", 3]), bash("z", "f")), {"f.1": "one"})
        assert run.carried_out == [
            *(("f", "expand"), ("f.0", "bash"), ("f.1", "bash"), ("f.2", "bash")),
            *(("f", "collect"), ("z", "bash")),
        ]
        assert output(run, "f") == '["ok", "one", "ok"]'
        assert run.state.scopes["f"].items == e.Content('["a","b",3]')

    def test_no_items_complete_with_an_empty_list(self) -> None:
        run = every_death(workflow(fan(bash("f"), []), bash("z", "f")), {})
        assert output(run, "f") == "[]"
        assert run.state.status == "completed"

    def test_so_many_run_at_once_as_it_says(self) -> None:
        run = Simulation(workflow(fan(bash("f"), list(range(9)), max_parallel=2), bash("z"))).run()
        assert run.most_running == 3
        assert [node for node, turn in run.carried_out if turn == "bash"] == [
            "f.0",
            "f.1",
            *(f"f.{i}" for i in range(2, 9)),
            "z",
        ]

    @pytest.mark.parametrize("join", ["all_success", "all_done"])
    def test_the_join_decides_what_failures_are(self, join: str) -> None:
        run = every_death(workflow(fan(bash("f"), [1, 2, 3], join=join), bash("z", "f")), {"f.1": failed("timeout")})
        assert statuses(run)["f"] == ("failed" if join == "all_success" else "completed")
        assert [run.state.nodes[f"f.{i}"].status for i in range(3)] == ["completed", "failed", "completed"]
        if join == "all_success":
            assert run.state.nodes["f"].error == e.Failure("timeout", "'f.1' failed: exit 1 (1 of 3 items failed)")

    def test_all_failed_is_failed_whatever_the_join(self) -> None:
        run = every_death(workflow(fan(bash("f"), [1, 2], join="all_done")), {"f.0": failed(), "f.1": failed()})
        assert statuses(run)["f"] == "failed"

    def test_fail_fast_stops_the_rest(self) -> None:
        flow = workflow(fan(bash("f"), [1, 2, 3, 4], fail_fast=True, max_parallel=2))
        run = Simulation(flow, {"f.0": failed()}).run()
        assert statuses(run) == {"f": "failed", "f.0": "failed", "f.1": "cancelled", "f.2": "skipped", "f.3": "skipped"}

    def test_a_condition_of_each_item(self) -> None:
        flow = workflow(fan(bash("f"), ["a", "b"], when=parse_condition("$INPUTS.item == 'b'")))
        run = every_death(flow, {})
        assert statuses(run) == {"f": "completed", "f.0": "skipped", "f.1": "completed"}

    def test_items_have_retries_of_their_own(self) -> None:
        flow = workflow(fan(bash("f", retry=Retry(1, 1000, "all")), [1, 2]))
        run = Simulation(flow, {"f.1": [failed(), "fine"]}).run()
        assert output(run, "f") == '["ok", "fine"]'

    def test_groups_of_items(self) -> None:
        node = fan(group("f", bash("x"), bash("y", "x")), ["a", "b"], join="all_done")
        run = every_death(workflow(node, bash("z", "f")), {"f.0.x": failed(), "f.1.y": "done"})
        assert statuses(run) == {
            "f": "completed",
            "f.0": "failed",
            "f.0.x": "failed",
            "f.0.y": "skipped",
            "f.1": "completed",
            "f.1.x": "completed",
            "f.1.y": "completed",
            "z": "completed",
        }
        assert output(run, "f") == '[null, "done"]'

    def test_a_rejection_in_an_item_fails_that_item(self) -> None:
        node = fan(group("f", Node("ask", Approval("?")), bash("x", "ask")), ["a", "b"], join="all_done")
        run = Simulation(workflow(node)).run()
        run.reject("f.0.ask", "no").approve("f.1.ask").resume()
        assert statuses(run) == {
            "f": "completed",
            "f.0": "failed",
            "f.0.ask": "cancelled",
            "f.0.x": "skipped",
            "f.1": "completed",
            "f.1.ask": "completed",
            "f.1.x": "completed",
        }
        assert run.state.nodes["f.0"].error == e.Failure("rejected", "'f.0.ask': no")

    def test_fans_within_fans(self) -> None:
        inner = fan(bash("g"), [1, 2])
        run = every_death(workflow(fan(group("f", inner, bash("x", "g")), ["a", "b"])), {"f.1.g.0": "deep"})
        assert output(run, "f.1.g") == '["deep", "ok"]'
        assert statuses(run)["f.1.g.1"] == "completed"

    def test_a_cancel_stops_all_of_it(self) -> None:
        flow = workflow(fan(group("f", bash("x"), bash("y", "x")), [1, 2, 3], max_parallel=2), bash("z", "f"))
        run = Simulation(flow, die_after=9).run()
        run.die_after = None
        run.request(e.CancelRequested(50, "stop")).resume()
        assert run.state.status == "cancelled"
        assert {now.status for now in run.state.nodes.values()} <= {"completed", "cancelled", "skipped"}


class TestItemsThatChange:
    """The list comes from a node that runs again on a resume: what is equal stays, by its content."""

    @staticmethod
    def lists(before: list[Any], after: list[Any], node: Node | None = None, **more: Any) -> Simulation:
        lists = iter((before, after))
        run: Simulation
        flow = workflow(bash("list", always_run=True), fan(node or bash("f", "list"), "$list.output"), bash("z", "f"))
        template = templates_of(flow)["f"]

        def expand(now: NodeState, turn: str) -> Outcome:
            if turn != "expand":
                return completed("c")
            output = run.plan.state.nodes["list"].output
            return items_of(json.loads((output and output.text) or ""), template, e.Content)

        outcomes = {"list": lambda *_: json.dumps(next(lists)), "f": expand, "z": [failed(), "ok"], **more}
        run = Simulation(flow, outcomes)
        run.run()
        assert run.state.status == "failed"
        run.carried_out.clear()
        return run.resume()

    def test_only_what_changed_runs_again(self) -> None:
        run = self.lists(["a", "b", "c"], ["c", "new", "a"])
        assert [node for node, _ in run.carried_out] == ["list", "f", "f.3", "f", "z"]
        assert list(run.state.scopes["f"].members) == ["f.2", "f.3", "f.0"]
        assert "f.1" not in run.state.nodes

    def test_equal_items_are_told_apart_by_their_count(self) -> None:
        run = self.lists(["a", "a"], ["a", "a", "a"])
        assert [node for node, _ in run.carried_out] == ["list", "f", "f.2", "f", "z"]

    def test_an_item_that_reads_the_list_itself_runs_again(self) -> None:
        node = Node("f", Prompt("$INPUTS.item of $list.output"), depends_on=("list",))
        run = self.lists(["a"], ["a", "b"], node)
        assert [node for node, _ in run.carried_out] == ["list", "f", "f.0", "f.1", "f", "z"]

    def test_an_item_that_reads_its_place_runs_again_where_that_changed(self) -> None:
        node = Node("f", Prompt("$INPUTS.item at $ITEM_INDEX"), depends_on=("list",))
        run = self.lists(["a", "b", "c"], ["a", "c"], node)
        assert [node for node, _ in run.carried_out] == ["list", "f", "f.2", "f", "z"]

    @pytest.mark.parametrize("outcome", ["ok", failed()])
    @pytest.mark.parametrize("deep", [False, True])
    def test_of_a_group_only_the_node_that_reads_the_count_runs_again(self, outcome: Any, deep: bool) -> None:
        inner = [bash("x"), Node("y", Prompt("$ITEM_COUNT"), depends_on=("x",)), bash("v", "y"), bash("w")]
        node = group("g", *inner) if deep else group("f", *inner)
        prefix = "f.0.g." if deep else "f.0."
        outer = group("f", node, bash("u"), depends_on=("list",)) if deep else replace(node, depends_on=("list",))
        outcomes = {f"{prefix}v": [outcome, "ok"]}
        run = self.lists(["a"], ["a", "b"], outer, **outcomes)
        again = [name for name, _ in run.carried_out if name.startswith("f.0")]
        assert again == [f"{prefix}y"] + ([f"{prefix}v"] if outcome != "ok" else [])
        assert run.state.nodes["f"].status == "completed"
        assert run.state.nodes[f"{prefix}x"].starts == 1

    def test_groups_are_kept_whole(self) -> None:
        node = group("f", bash("x"), bash("y", "x"), depends_on=("list",))
        run = self.lists(["a", "b"], ["b", "c"], node)
        assert [node for node, _ in run.carried_out] == ["list", "f", "f.2.x", "f.2.y", "f", "z"]
        assert "f.0.x" not in run.state.nodes


ITEMS = st.sampled_from(["a", "b", "c", "0", 0, None, [1], {"x": "../a"}])


@given(st.lists(st.lists(ITEMS, max_size=4), min_size=2, max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_address_ever_serves_two_items(lists: list[list[Any]], inside: bool) -> None:
    """So no idempotency key does: however the list changes between resumes, and what around it begins again."""
    left = iter(lists)
    run: Simulation
    node = fan(group("f", bash("x"), depends_on=() if inside else ("list",)), "$list.output")
    around = group("h", node, depends_on=("list",)) if inside else node
    flow = workflow(bash("list", always_run=True), around, bash("z", around.id))
    address = "h.f" if inside else "f"

    def expand(now: NodeState, turn: str) -> Outcome:
        if turn != "expand":
            return completed("c")
        output = run.plan.state.nodes["list"].output
        return items_of(json.loads((output and output.text) or ""), templates_of(flow)[address], e.Content)

    outcomes = {"list": lambda *_: json.dumps(next(left)), address: expand, "z": [failed()] * len(lists)}
    run = Simulation(flow, outcomes)
    run.run()
    for _ in lists[1:]:
        run.resume()
    served: dict[str, Any] = {}
    for event in run.log:
        if isinstance(event, e.ScopeOpened) and event.items is not None:
            items = json.loads(event.items.text or "")
            assert len(items) == len(event.numbers)
            for number, item in zip(event.numbers, items, strict=True):
                assert json.dumps(served.setdefault(f"{event.node}.{number}", item)) == json.dumps(item)


class TestRerun:
    FLOW = workflow(
        bash("a"),
        fan(group("f", bash("x"), bash("y", "x"), bash("z", "y"), depends_on=("a",)), [1, 2, 3], join="all_done"),
        bash("b", "f"),
    )

    def again(self, from_node: str) -> Simulation:
        old = Simulation(self.FLOW, {"f.1.x": failed()}).run()
        new = Simulation(self.FLOW)
        new.log = [new.started(), *kept_events(self.FLOW, old.state, from_node, 1)]
        assert not any(event.node == from_node for event in new.log if isinstance(event, e.NodeStarted))
        new.resume()
        assert new.state.status == "completed"
        return new

    def test_what_does_not_wait_for_it_is_kept_with_all_inside(self) -> None:
        run = self.again("b")
        assert run.carried_out == [("b", "bash")]
        assert statuses(run)["f.1.x"] == "failed"
        assert run.state.numbers["f"].keys() == Simulation(self.FLOW).run().state.numbers["f"].keys()

    def test_from_an_instance(self) -> None:
        ran = [("f.1.x", "bash"), ("f.1.y", "bash"), ("f.1.z", "bash")]
        assert self.again("f.2.y").carried_out == [
            *(*ran, ("f.2.y", "bash"), ("f.2.z", "bash"), ("f", "collect"), ("b", "bash"))
        ]

    @pytest.mark.parametrize("from_node", ["f.1.two", "b"])
    def test_of_other_instances_that_failed_the_completed_nodes_are_kept(self, from_node: str) -> None:
        inner = group("g", bash("in"), bash("then", "in"))
        flow = workflow(fan(group("f", bash("one"), bash("two", "one"), inner), ["a", "b", "c"]), bash("b"))
        failures = {"f.1.two": failed(), "f.2.two": failed(), "f.0.g.then": failed()}
        old = Simulation(flow, failures).run()
        new = Simulation(flow)
        new.log = [new.started(), *kept_events(flow, old.state, from_node, 1)]
        new.resume()
        again = [node for node, turn in new.carried_out if turn == "bash"]
        assert sorted(again) == sorted([*failures, *(["b"] if from_node == "b" else [])])
        assert new.state.status == "completed"

    @pytest.mark.parametrize(
        ("from_node", "hint"),
        [
            ("l.2.x", "did you mean 'l.1.x'?"),
            ("f.9", "did you mean 'f.0'?"),
            ("f.1.nothing", "inside of 'f.1': f.1.x, f.1.y"),
            ("zzzz", "its nodes: f, l"),
        ],
    )
    def test_an_unknown_instance_is_told_what_there_is(self, from_node: str, hint: str) -> None:
        loop = Node("l", LoopGroup(Scope((bash("x"),)), 3, until_node="x"))
        flow = workflow(fan(group("f", bash("x"), bash("y")), [1, 2]), loop)
        with pytest.raises(NotFoundError, match=f"no node '{from_node}'") as refused:
            kept_events(flow, Simulation(flow).run().state, from_node, 1)
        assert refused.value.hint == hint

    def test_one_iteration_alone_is_refused(self) -> None:
        flow = workflow(Node("l", LoopGroup(Scope((bash("x"),)), 3, until_node="x")))
        with pytest.raises(UsageError, match="cannot run again alone"):
            kept_events(flow, Simulation(flow).run().state, "l.1.x", 1)


class TestLoopGroup:
    @staticmethod
    def flow(**fields: Any) -> Workflow:
        scope = Scope((bash("x"), bash("y", "x")))
        return workflow(Node("l", LoopGroup(scope, **{"max_iterations": 3, **fields})), bash("z", "l"))

    def test_it_is_repeated_until_its_node_completes(self) -> None:
        run = every_death(self.flow(until_node="y"), {"l.1.y": failed(), "l.2.y": "done"})
        assert statuses(run) == {"l": "completed", "l.2.x": "completed", "l.2.y": "completed", "z": "completed"}
        assert output(run, "l") == "done"
        assert run.state.nodes["l.1.y"].status == "failed"

    def test_any_other_failure_fails_it_at_the_end_of_the_iteration(self) -> None:
        run = every_death(self.flow(until="DONE"), {"l.1.x": failed()})
        assert statuses(run)["l"] == "failed"

    def test_after_the_last_iteration_a_resume_begins_at_the_first(self) -> None:
        run = Simulation(self.flow(until_node="y", max_iterations=2), {"l.1.y": failed(), "l.2.y": failed()}).run()
        error = run.state.nodes["l"].error
        assert error is not None
        assert error.code == "max_iterations"
        run.carried_out.clear()
        run.outcomes = {}
        run.resume()
        assert [node for node, turn in run.carried_out if turn == "bash"] == ["l.1.x", "l.1.y", "z"]
        assert "l.2.x" not in run.state.nodes

    def test_a_gate_after_each_iteration(self) -> None:
        run = Simulation(self.flow(until_node="y", interactive=True)).run()
        run.approve("l", "again").resume().approve("l").resume()
        assert [node for node, turn in run.carried_out if turn == "bash"] == ["l.1.x", "l.1.y", "l.2.x", "l.2.y", "z"]

    def test_what_the_iteration_before_gave_decides_about_the_next(self) -> None:
        when = parse_condition("$LOOP_PREV.x.output == 'again'")
        scope = Scope((bash("x"), bash("y", "x", when=when)))
        run = every_death(
            workflow(Node("l", LoopGroup(scope, 3, until_node="y"))), {"l.1.x": "no", "l.2.x": "again", "l.3.x": "last"}
        )
        assert [run.state.nodes[f"l.{i}.y"].status for i in (1, 2, 3)] == ["skipped", "skipped", "completed"]


class TestCalls:
    CALLED = Workflow("called", (bash("x"), bash("y", "x")), fail_fast=True)

    def flow(self, *nodes: Node, **fields: Any) -> Workflow:
        called = Workflow("called", nodes, **fields)
        return workflow(Node("c", WorkflowCall("called")), bash("z", "c"), workflows={"called": called})

    def test_the_nodes_of_another_workflow(self) -> None:
        run = every_death(self.flow(bash("x"), bash("y", "x"), returns="x"), {"c.x": "what it returns"})
        assert output(run, "c") == "what it returns"
        assert statuses(run)["z"] == "completed"

    def test_a_cancel_node_fails_only_the_call(self) -> None:
        flow = self.flow(group("g", Node("stop", Cancel("enough"))), bash("y", "g"), bash("w"))
        run = Simulation(flow, {"c.g.stop": "enough"}, slots=1).run()
        assert statuses(run) == {
            "c": "failed",
            "c.g": "cancelled",
            "c.g.stop": "completed",
            "c.y": "skipped",
            "c.w": "cancelled",
            "z": "skipped",
        }
        assert run.state.nodes["c"].error == e.Failure("cancelled", "'c.g.stop': enough")

    def test_its_fail_fast_is_its_own(self) -> None:
        run = Simulation(self.flow(bash("x"), bash("y"), bash("w", "y"), fail_fast=True), {"c.x": failed()}).run()
        assert statuses(run)["c.w"] == "skipped"
        assert run.state.nodes["c.w"].reason == "fail_fast"
        assert run.state.status == "failed"
