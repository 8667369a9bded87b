"""`finally`: what runs after every end of a run, before that is written, and cannot change it."""

from __future__ import annotations

from typing import Any

import pytest
from simulate import Simulation, completed, failed, workflow

from ion.core import events as e
from ion.core import requests
from ion.core.expanding import impossible_scope
from ion.core.fold import fold
from ion.language.templates import templates_of
from ion.language.workflow import (
    Approval,
    Bash,
    Cancel,
    Group,
    Node,
    Prompt,
    Retry,
    Scope,
    Shell,
    Workflow,
    WorkflowCall,
)

BODY = Bash(Shell("true"))
UNLOCK = Node("unlock", BODY)
FINALLY = (UNLOCK, Node("notify", BODY, depends_on=("unlock",)))
STARTED = ("unlock", "notify")


def flow(*nodes: Node, finally_nodes: tuple[Node, ...] = FINALLY, **values: Any) -> Workflow:
    return workflow(*nodes, finally_nodes=finally_nodes, **values)


def started(run: Simulation, since: int = 0) -> list[str]:
    return [event.node for event in run.log[since:] if isinstance(event, e.NodeStarted)]


ENDS = {
    "completed": (flow(Node("a", BODY)), {}, "completed"),
    "failed": (flow(Node("a", BODY)), {"a": failed()}, "failed"),
    "nothing ran": (flow(Node("a", BODY), Node("b", BODY, depends_on=("a",))), {"a": failed()}, "failed"),
    "fail_fast": (flow(Node("a", BODY), Node("b", BODY), fail_fast=True), {"a": failed()}, "failed"),
    "cancel node": (flow(Node("a", Cancel("enough"))), {"a": "enough"}, "cancelled"),
    "caught": (flow(Node("a", BODY), Node("b", BODY, catches=("a",))), {"a": failed()}, "completed"),
    "fails itself": (flow(Node("a", BODY)), {"notify": failed()}, "completed"),
    "fails itself after a failure": (flow(Node("a", BODY)), {"a": failed(), "unlock": failed()}, "failed"),
}


@pytest.mark.parametrize("how", ENDS)
def test_it_runs_after_every_end_also_when_any_process_on_the_way_dies(how: str) -> None:
    workflow, outcomes, end = ENDS[how]
    whole = Simulation(workflow, outcomes).run()
    assert whole.state.status == end
    assert whole.state.finishing is None
    assert whole.state.nodes["unlock"].status != "pending"
    assert whole.types()[-1] == f"workflow_{end}"
    assert whole.types().count("workflow_finishing") == 1
    for died in range(1, len(whole.log)):
        broken = Simulation(workflow, outcomes, list(whole.log[:died]), check_plan=False)
        was_finishing = broken.state.finishing is not None
        before = broken.statuses()
        broken.resume()
        assert broken.state.status == end, died
        assert broken.statuses() == whole.statuses(), died
        assert broken.state.finally_failed == whole.state.finally_failed
        assert broken.state.error == whole.state.error
        assert broken.state.output_node == whole.state.output_node
        assert started(broken, died).count("unlock") == 1
        if was_finishing:
            assert set(started(broken, died)) <= set(STARTED), "only finally runs again, from its start"
            assert {name: broken.statuses()[name] for name in ("a",)} == {"a": before["a"]}
        assert fold(broken.log) == broken.plan.state


def test_its_own_failure_is_in_the_end_and_changes_nothing_else() -> None:
    run = Simulation(flow(Node("a", BODY)), {"unlock": failed()}).run()
    assert run.state.status == "completed"
    assert run.state.finally_failed == ("unlock",)
    assert run.statuses() == {"a": "completed", "unlock": "failed", "notify": "skipped"}
    assert run.state.output_node == "a"


def test_a_resume_after_a_failure_runs_it_again_at_the_next_end() -> None:
    run = Simulation(flow(Node("a", BODY)), {"a": [failed(), completed()]}).run()
    assert (run.state.status, run.statuses()["unlock"]) == ("failed", "completed")
    since = len(run.log)
    run.resume()
    assert run.state.status == "completed"
    assert started(run, since) == ["a", "unlock", "notify"]


def test_a_cancel_of_a_run_that_nobody_drives_runs_it() -> None:
    run = Simulation(flow(Node("a", Approval("?")), Node("b", BODY))).run()
    assert run.state.status == "paused"
    run.request(requests.cancel(run.state, at=run.clock, reason="enough", by={})).resume()
    assert run.state.status == "cancelled"
    assert run.state.reason == "enough"
    assert run.statuses() == {"a": "cancelled", "b": "completed", "unlock": "completed", "notify": "completed"}


def test_a_rejected_gate_runs_it() -> None:
    run = Simulation(flow(Node("a", Approval("?")))).run().reject().resume()
    assert run.state.status == "cancelled"
    assert run.statuses() == {"a": "cancelled", "unlock": "completed", "notify": "completed"}


def test_the_timeout_of_the_run_does_not_count_for_it_and_its_own_does() -> None:
    slow = Simulation(flow(Node("a", BODY), timeout_ms=1), {}).run()
    assert slow.state.error is not None
    assert (slow.state.status, slow.state.error.code) == ("failed", "timeout")
    assert slow.statuses()["unlock"] == "completed"
    parked = flow(Node("a", BODY), finally_nodes=(Node("ask", Approval("?")), UNLOCK), finally_timeout_ms=60_000)
    run = Simulation(parked).run()
    assert run.state.status == "completed"
    assert "workflow_paused" not in run.types()
    assert run.statuses() == {"a": "completed", "ask": "cancelled", "unlock": "completed"}
    assert run.state.finally_failed == ("ask",)
    assert run.clock >= 60_000


def test_another_cancel_ends_it_at_once() -> None:
    parked = flow(Node("a", BODY), finally_nodes=(Node("ask", Prompt("?")), Node("after", BODY, depends_on=("ask",))))
    whole = Simulation(parked).run()
    finishing = whole.types().index("workflow_finishing") + 1
    run = Simulation(parked, log=list(whole.log[: finishing + 1]))
    run.request(requests.cancel(run.state, at=run.clock, reason="now", by={})).resume()
    assert run.state.status == "completed", "the end was decided before"
    assert run.state.finally_failed == ("ask", "after")
    assert [event.type for event in run.log[finishing + 1 :]].count("node_started") == 0


def test_what_is_inside_of_its_nodes_runs_again_too() -> None:
    inner = Scope((Node("x", BODY), Node("y", BODY, depends_on=("x",))))
    grouped = flow(Node("a", BODY), finally_nodes=(Node("clean", Group(inner)),))
    whole = Simulation(grouped).run()
    assert whole.statuses() == dict.fromkeys(("a", "clean", "clean.x", "clean.y"), "completed")
    finishing = whole.types().index("workflow_finishing") + 1
    for died in range(finishing, len(whole.log)):
        broken = Simulation(grouped, log=list(whole.log[:died])).resume()
        assert broken.statuses() == whole.statuses()
        assert started(broken, died) == ["clean.x", "clean.y"]


def test_a_run_whose_owners_die_one_after_the_other_still_runs_it() -> None:
    run = Simulation(flow(Node("a", BODY)))
    run.log.append(run.started())
    from ion.core.resume import MAX_DEATHS, resume_events

    for _ in range(MAX_DEATHS):
        begin = resume_events(run.workflow, run.state, cause="resume", at=run.clock, by={}, owner_died=True)
        if any(isinstance(event, e.WorkflowFinishing) for event in begin):
            run.run(begin)
        else:
            run.log += [*begin, e.NodeStarted(run.clock, "a", "bash")]
    assert run.state.error is not None
    assert (run.state.status, run.state.error.code) == ("failed", "poisoned")
    assert run.statuses() == {"a": "pending", "unlock": "completed", "notify": "completed"}


def called(*nodes: Node, finally_nodes: tuple[Node, ...] = FINALLY, **values: Any) -> dict[str, Workflow]:
    return {"deploy": Workflow("deploy", tuple(nodes), finally_nodes=finally_nodes, **values)}


CALL = Node("ship", WorkflowCall("deploy"))
CALLS = {
    "completed": ({}, "completed"),
    "failed": ({"ship.a": failed()}, "failed"),
    "fails itself": ({"ship.notify": failed()}, "completed"),
}


@pytest.mark.parametrize("how", CALLS)
def test_a_called_workflow_has_its_own_before_its_node_ends(how: str) -> None:
    outcomes, end = CALLS[how]
    caller = workflow(CALL, Node("after", BODY, depends_on=("ship",)), workflows=called(Node("a", BODY)))
    whole = Simulation(caller, outcomes).run()
    assert whole.state.status == end
    assert whole.statuses()["ship"] == end
    assert whole.statuses()["after"] == ("completed" if end == "completed" else "skipped")
    assert whole.state.finally_failed == (("ship.notify",) if how == "fails itself" else ())
    order = [getattr(event, "node", "") for event in whole.log if event.type in ("node_completed", "node_failed")]
    assert order.index("ship.unlock") < order.index("ship")
    for died in range(1, len(whole.log)):
        broken = Simulation(caller, outcomes, list(whole.log[:died]), check_plan=False)
        ended = broken.state.nodes["ship"].status == "completed"
        broken.resume()
        assert broken.statuses() == whole.statuses(), died
        assert started(broken, died).count("ship.unlock") == (0 if ended else 1)
        assert fold(broken.log) == broken.plan.state


def test_one_of_a_called_workflow_that_is_cut_short_is_told_too() -> None:
    last = (Node("ask", Approval("?")), UNLOCK)
    caller = workflow(CALL, workflows=called(Node("a", BODY), finally_nodes=last), finally_nodes=(Node("last", BODY),))
    whole = Simulation(caller).run()
    assert whole.state.finally_failed == ("ship.ask",)
    finishing = whole.types().index("scope_finishing") + 1
    run = Simulation(caller, log=list(whole.log[:finishing]))
    for _ in range(2):
        run.request(requests.cancel(run.state, at=run.clock, reason="now", by={}))
    run.resume()
    assert run.state.status == "cancelled"
    assert run.state.finally_failed == ("last", "ship.ask", "ship.unlock")
    assert run.state.nodes["last"].reason == "cancelled"


def test_that_of_a_called_workflow_runs_after_its_timeout_and_has_its_own() -> None:
    caller = workflow(CALL, workflows=called(Node("a", BODY), Node("b", BODY), timeout_ms=1))
    run = Simulation(caller, slots=1).run()
    assert run.state.nodes["ship"].error is not None
    assert run.state.nodes["ship"].error.code == "timeout"
    assert run.statuses()["ship.unlock"] == "completed"
    parked = (Node("ask", Approval("?")), UNLOCK)
    caller = workflow(CALL, workflows=called(Node("a", BODY), finally_nodes=parked, finally_timeout_ms=5_000))
    run = Simulation(caller).run()
    assert run.statuses()["ship.ask"] == "cancelled"
    assert run.state.status == "completed"


def test_a_called_workflow_that_is_tried_again_runs_its_own_each_time() -> None:
    again = Node("ship", WorkflowCall("deploy"), retry=Retry(1, 1000, "all"))
    caller = workflow(again, workflows=called(Node("a", BODY)))
    run = Simulation(caller, {"ship.a": [failed(), completed()]}).run()
    assert run.state.status == "completed"
    assert started(run).count("ship.unlock") == 2


def test_a_log_that_names_other_nodes_in_finally_is_not_one_of_the_workflow() -> None:
    templates = templates_of(workflow(CALL, workflows=called(Node("a", BODY)), finally_nodes=(Node("last", BODY),)))

    def wrong(event: e.Event) -> str:
        return impossible_scope(templates, [event], lambda content: content.text or "")

    assert wrong(e.WorkflowFinishing(1, "completed", ("last",))) == ""
    assert wrong(e.ScopeFinishing(1, "ship", STARTED, "completed")) == ""
    for event in (
        e.WorkflowFinishing(1, "completed", ("ship",)),
        e.ScopeFinishing(1, "ship", ("a",), "completed"),
        e.ScopeFinishing(1, "nobody", STARTED, "completed"),
    ):
        assert "names other nodes" in wrong(event)


def test_the_end_of_a_run_waits_for_that_of_a_called_workflow() -> None:
    inner = called(Node("a", BODY), Node("ask", Approval("?"), depends_on=("a",)))
    caller = workflow(
        Node("around", Group(Scope((CALL,)))), Node("b", BODY), workflows=inner, finally_nodes=(Node("last", BODY),)
    )
    run = Simulation(caller).run()
    assert run.state.status == "paused"
    run.request(requests.cancel(run.state, at=run.clock, reason="enough", by={}))
    paused = list(run.log)
    run.resume()
    ended = {"around": "cancelled", "around.ship": "cancelled", "around.ship.a": "completed"}
    ended |= {"around.ship.ask": "cancelled", "around.ship.unlock": "completed", "around.ship.notify": "completed"}
    assert run.state.status == "cancelled"
    assert run.statuses() == {**ended, "b": "completed", "last": "completed"}
    assert started(run)[-3:] == ["around.ship.unlock", "around.ship.notify", "last"]
    for died in range(len(paused), len(run.log)):
        broken = Simulation(caller, log=list(run.log[:died])).resume()
        assert broken.statuses() == run.statuses()
    twice = Simulation(caller, log=paused)
    twice.request(requests.cancel(twice.state, at=run.clock, reason="now", by={})).resume()
    assert twice.state.status == "cancelled"
    assert not {"around.ship.unlock", "last"} & {*started(twice)}
    assert twice.statuses()["last"] == "skipped"
    assert twice.state.finally_failed == ("last",), "that it did not run is told"


def test_what_ends_a_call_from_inside_of_a_group_still_ends_it_once_that_group_has_ended() -> None:
    """Also for a plan that is made from the log, in which the group is no longer open."""
    middle = Workflow("middle", (CALL, Node("around", Group(Scope((Node("stop", Cancel("enough")),))))))
    workflows = called(Node("ask", Approval("?"))) | {"middle": middle}
    caller = workflow(Node("out", WorkflowCall("middle")), workflows=workflows)
    run = Simulation(caller, {"out.around.stop": "enough"}).run()
    assert run.state.nodes["out.ship"].reason == "cancelled"
    assert run.statuses()["out.ship.notify"] == "completed"
    assert run.state.error is not None
    for died in range(1, len(run.log)):
        broken = Simulation(caller, {"out.around.stop": "enough"}, list(run.log[:died])).resume()
        assert broken.state.status == run.state.status, died
