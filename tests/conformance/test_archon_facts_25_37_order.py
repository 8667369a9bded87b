"""Archon's facts 25–37: order, trigger rules, the end of a run. What Ion changes is tested as Ion has it."""

from __future__ import annotations

import asyncio

import pytest

import ion
from conformance.kit import World, codes, output, problems, statuses
from ion import PromptRequest
from ion.core import events as e
from ion.errors import InvalidWorkflowError


def order(world: World, run: ion.RunResult) -> list[str]:
    """What happened in which order: `+a` a started, `-a` it completed."""
    signs = {e.NodeStarted: "+", e.NodeCompleted: "-"}
    return [signs[type(event)] + event.node for event in world.log(run, e.NodeEvent) if type(event) in signs]


def test_fact_25_two_chains_run_side_by_side(world: World) -> None:
    """25: a → b and c → d: the heads start together, each tail after its own head."""
    run = world.run("""
        max_concurrency: 4
        nodes:
          - {id: a, bash: echo a}
          - {id: b, bash: echo b, depends_on: [a]}
          - {id: c, bash: echo c}
          - {id: d, bash: echo d, depends_on: [c]}
        """)
    seen = order(world, run)
    assert seen[:2] == ["+a", "+c"]
    assert seen.index("-a") < seen.index("+b")
    assert seen.index("-c") < seen.index("+d")


def test_fact_25_a_diamond_opens_and_closes(world: World) -> None:
    """25: both sides of a diamond start once its head is done, its foot once both are."""
    run = world.run("""
        max_concurrency: 4
        nodes:
          - {id: a, bash: echo a}
          - {id: b, bash: echo b, depends_on: [a]}
          - {id: c, bash: echo c, depends_on: [a]}
          - {id: d, bash: echo d, depends_on: [b, c]}
        """)
    seen = order(world, run)
    assert seen[:4] == ["+a", "-a", "+b", "+c"]
    assert seen[-2:] == ["+d", "-d"]
    assert sorted(seen[4:6]) == ["-b", "-c"]


def test_fact_26_a_node_does_not_wait_for_others_of_its_layer(world: World) -> None:
    """26 [Ion]: no layers: what follows the fast node runs while the slow one still does; the outcomes are the same."""
    followed = asyncio.Event()

    async def agent(request: PromptRequest) -> str:
        if request.node == "slow":
            await asyncio.wait_for(followed.wait(), 10)
        if request.node == "after_fast":
            followed.set()
        return "done"

    run = world.run(
        """
        max_concurrency: 4
        nodes:
          - {id: slow, prompt: slowly}
          - {id: fast, prompt: quickly}
          - {id: after_fast, prompt: follow, depends_on: [fast]}
        """,
        agent=agent,
    )
    assert statuses(run) == {"slow": "completed", "fast": "completed", "after_fast": "completed"}


RULES = ("all_success", "one_success", "none_failed_min_one_success", "all_done")
TABLE = {
    "completed completed": (True, True, True, True),
    "completed skipped": (False, True, True, True),
    "completed failed": (False, True, False, True),
    "skipped skipped": (False, False, False, True),
    "failed skipped": (False, False, False, True),
    "failed failed": (False, False, False, True),
    "completed blocked": (False, True, False, True),
    "skipped blocked": (False, False, False, True),
    "blocked blocked": (False, False, False, True),
}
BECOMES = {
    "completed": "bash: echo yes",
    "failed": "bash: exit 1",
    "skipped": "bash: echo, when: $start.output == 'no'",
    "blocked": "bash: echo never",
}
CELLS = [(pair, rule, holds) for pair, row in TABLE.items() for rule, holds in zip(RULES, row, strict=True)]


@pytest.mark.parametrize(("pair", "rule", "holds"), CELLS)
def test_fact_27_the_trigger_rules(world: World, pair: str, rule: str, holds: bool) -> None:
    """27: the truth table: what the two dependencies became, the rule, whether the join runs (36 cells). `blocked` is a
    skip that a failure caused, one step before: it counts as a failure, other than the skip of a condition."""
    first, second = pair.split()
    after = {name: "[start, broken]" if name == "blocked" else "[start]" for name in BECOMES}
    run = world.run(f"""
        nodes:
          - {{id: start, bash: echo go}}
          - {{id: broken, depends_on: [start], bash: exit 1}}
          - {{id: x, depends_on: {after[first]}, {BECOMES[first]}}}
          - {{id: y, depends_on: {after[second]}, {BECOMES[second]}}}
          - {{id: join, depends_on: [x, y], trigger_rule: {rule}, bash: echo ran}}
        """)
    seen = statuses(run)
    assert (seen["x"], seen["y"]) == (first.replace("blocked", "skipped"), second.replace("blocked", "skipped"))
    assert seen["join"] == ("completed" if holds else "skipped")
    caused = "failed" in pair or "blocked" in pair
    assert run.data["nodes"]["join"]["reason"] == (None if holds else "upstream_failed" if caused else "trigger_rule")


def test_a_failure_blocks_down_the_chain_until_a_node_runs(world: World) -> None:
    """However far below; `all_done` and `one_success` end it, and an ordering edge hands nothing on."""
    run = world.run("""
        nodes:
          - {id: ok, bash: echo ok}
          - {id: a, bash: exit 1}
          - {id: b, depends_on: [a], bash: echo b}
          - {id: c, depends_on: [b], bash: echo c}
          - {id: join, depends_on: [c, ok], trigger_rule: none_failed_min_one_success, bash: echo never}
          - {id: after, depends_on: [join], trigger_rule: all_done, bash: echo after}
          - {id: free, depends_on: [after, ok], trigger_rule: none_failed_min_one_success, bash: 'echo "<$c.output>"'}
        """)
    reasons = {node: data["reason"] for node, data in run.data["nodes"].items()}
    assert [reasons[node] for node in ("b", "c", "join")] == ["upstream_failed"] * 3
    assert (output(run, "after"), output(run, "free")) == ("after", "<>")


def test_fact_28_a_skip_goes_down_the_chain(world: World) -> None:
    """28: with `all_success` what depends on a skipped node is skipped, and what depends on that too."""
    run = world.run("""
        nodes:
          - {id: start, bash: echo go}
          - {id: a, bash: echo a, depends_on: [start], when: $start.output == 'no'}
          - {id: b, bash: echo b, depends_on: [a]}
          - {id: c, bash: echo c, depends_on: [b]}
        """)
    assert statuses(run) == {"start": "completed", "a": "skipped", "b": "skipped", "c": "skipped"}
    assert [run.data["nodes"][node]["reason"] for node in "abc"] == ["when", "trigger_rule", "trigger_rule"]


def test_fact_29_a_handled_failure_still_fails_the_run(world: World) -> None:
    """29: a join by `all_done` runs after a failure; the run has failed all the same."""
    run = world.run("""
        nodes:
          - {id: a, bash: exit 1}
          - {id: join, bash: echo handled, depends_on: [a], trigger_rule: all_done}
        """)
    assert (statuses(run), run.status, run.exit_status) == ({"a": "failed", "join": "completed"}, "failed", 1)


def test_fact_30_what_does_not_depend_on_a_failure_goes_on_and_keeps_its_result(world: World) -> None:
    """30: a fails, b completes beside it: the run failed, b's output is there."""
    run = world.run("""
        nodes:
          - {id: a, bash: exit 1}
          - {id: b, bash: echo kept}
        """)
    assert (run.status, output(run, "b")) == ("failed", "kept")


def test_fact_31_a_run_in_which_everything_was_skipped_failed(world: World) -> None:
    """31: without a completed node a run does not succeed."""
    run = world.run("""
        inputs: {mode: {default: slow}}
        nodes:
          - {id: a, bash: echo a, when: $INPUTS.mode == 'fast'}
          - {id: b, bash: echo b, depends_on: [a]}
        """)
    assert (statuses(run), run.status) == ({"a": "skipped", "b": "skipped"}, "failed")
    assert run.data["error"]["code"] == "nothing-completed"


def test_fact_32_a_skipped_branch_does_not_keep_a_run_from_completing(world: World) -> None:
    """32: a completes, b is skipped by its condition: completed."""
    run = world.run("""
        nodes:
          - {id: a, bash: echo a}
          - {id: b, bash: echo b, depends_on: [a], when: $a.output == 'b'}
        """)
    assert (run.status, run.exit_status) == ("completed", 0)


@pytest.mark.parametrize(
    ("nodes", "code", "said"),
    [
        pytest.param(
            """
          - {id: a, bash: echo a, depends_on: [c]}
          - {id: b, bash: echo b, depends_on: [a]}
          - {id: c, bash: echo c, depends_on: [b]}
            """,
            "dependency-cycle",
            ["a", "b", "c"],
            id="a-cycle-names-its-nodes",
        ),
        pytest.param(
            "- {id: a, bash: echo a, depends_on: [a]}", "dependency-cycle", ["'a' depends on itself"], id="self-edge"
        ),
        pytest.param(
            "- {id: a, bash: echo a, depends_on: [nobody]}", "unknown-node", ["nobody"], id="unknown-dependency"
        ),
        pytest.param(
            """
          - {id: a, bash: echo a}
          - {id: a, bash: echo b}
            """,
            "duplicate-id",
            ["'a'"],
            id="duplicate-id",
        ),
    ],
)
def test_fact_33_a_graph_that_is_none_is_an_error_of_the_file(nodes: str, code: str, said: list[str]) -> None:
    """33: cycles, self edges, unknown dependencies and duplicate ids do not load, and the nodes are named."""
    (problem,) = [p for p in problems("nodes:\n" + _indented(nodes)) if p.severity == "error"]
    assert problem.code == code
    assert all(name in problem.message for name in said)


def _indented(nodes: str) -> str:
    return "\n".join(f"  {line.strip()}" for line in nodes.strip().splitlines()) + "\n"


@pytest.mark.parametrize(
    ("node", "code"),
    [("{id: a, command: greet, prompt: Hello}", "several-kinds"), ("{id: a, description: nothing}", "no-kind")],
)
def test_fact_34_a_node_has_exactly_one_kind(node: str, code: str) -> None:
    """34: two kinds, or none, do not load."""
    assert codes(f"nodes:\n  - {node}\n") == [code]


def test_fact_35_an_unknown_trigger_rule_is_an_error() -> None:
    """35: `trigger_rule: sometimes` does not load."""
    (problem,) = problems("nodes:\n  - {id: a, bash: echo a, trigger_rule: sometimes}\n")
    assert (problem.code, problem.path) == ("bad-value", "nodes[0].trigger_rule")


def test_fact_35_a_misspelt_key_that_governs_control_flow_is_an_error() -> None:
    """35 [Ion]: a typo must not change what runs: `tigger_rule` names the node and what was meant."""
    (problem,) = problems("nodes:\n  - {id: a, bash: echo a, tigger_rule: all_done}\n")
    assert (problem.code, problem.severity, problem.path) == ("unknown-field", "error", "nodes[0].tigger_rule")
    assert "did you mean 'trigger_rule'?" in problem.hint


def test_fact_35_any_other_unknown_key_is_a_warning(world: World) -> None:
    """35: the file loads, and the warning names the node's place and the key."""
    (problem,) = ion.validate(world.write("nodes:\n  - {id: a, bash: echo a, colour: red}\n"), project=world.project)
    assert (problem.code, problem.severity, problem.path) == ("unknown-field", "warning", "nodes[0].colour")


def test_fact_36_a_cancel_node_ends_the_run(world: World) -> None:
    """36 [Ion]: the run is cancelled with the rendered reason, what follows is skipped, and the exit status is 4."""
    run = world.run("""
        nodes:
          - {id: check, bash: echo broken}
          - {id: stop, cancel: "it is $check.output", depends_on: [check], when: $check.output == 'broken'}
          - {id: after, bash: echo after, depends_on: [check, stop], trigger_rule: all_done}
        """)
    assert (run.status, run.exit_status) == ("cancelled", 4)
    assert statuses(run) == {"check": "completed", "stop": "completed", "after": "skipped"}
    assert run.data["nodes"]["after"]["reason"] == "cancelled"
    assert run.data["error"]["message"] == output(run, "stop") == "it is broken"


@pytest.mark.parametrize("depends_on", ["[b]", "[nobody]"])
def test_fact_37_a_graph_that_is_none_is_found_before_anything_runs(world: World, depends_on: str) -> None:
    """37: a cycle or a missing dependency is told when the file is loaded; unknown run and nothing was executed."""
    file = world.write(f"""
        nodes:
          - {{id: first, bash: touch first-ran}}
          - {{id: a, bash: echo a, depends_on: {depends_on}}}
          - {{id: b, bash: echo b, depends_on: [a]}}
        """)
    with pytest.raises(InvalidWorkflowError):
        world.run(file)
    assert ion.list_runs(store=world.store, project=world.project) == []
    assert not (world.project / "first-ran").exists()
