"""Nodes inside of nodes on the local engine: real processes, in every store."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from msgspec.structs import replace

import ion
from ion import PromptRequest, PromptResult, RunOptions
from ion.language.load import parse_workflow
from ion.language.workflow import FanOut, Group, LoopGroup, Node, Scope, Workflow, WorkflowCall
from ion.stores.base import WorkflowStore
from ion.testing import FakeAgent
from processes import alive, until


def nodes(text: str) -> dict[str, Node]:
    """Nodes from YAML, by id, to be put into others."""
    loaded = parse_workflow(f"name: test\ndescription: test\nnodes:\n{textwrap.indent(textwrap.dedent(text), '  ')}")
    assert loaded.workflow is not None, loaded.problems
    return {node.id: node for node in loaded.workflow.nodes}


def run(store: WorkflowStore, project: Path, *made: Node, **values: Any) -> ion.RunResult:
    return ion.execute_workflow_sync(Workflow("test", made), store=store, project=project, **values)


PARTS = nodes("""
    - id: a
      bash: printf '%s' "$ION_NODE_ID $ION_IDEMPOTENCY_KEY" > "$ARTIFACTS_DIR/a"; echo one
    - id: x
      bash: printf '<%s>' $a.output
    - id: y
      depends_on: [x]
      bash: printf '%s' $x.output "$ION_IDEMPOTENCY_KEY" | sed "s/$ION_RUN_ID/RUN/"
    - id: g
      bash: 'true'
    - id: z
      bash: printf '[%s]' $g.output
    - id: list
      bash: printf '["a b", {"n":2}, "$(touch X)"]'
    - id: each
      bash: printf '%s' "$INPUTS.item" "$ITEM_INDEX of $ITEM_COUNT"
    - id: ask
      prompt: Look at $INPUTS.item
""")


def test_a_group_reads_what_is_around_it_and_hands_on_its_output(store: WorkflowStore, project: Path) -> None:
    inside = Group(Scope((replace(PARTS["x"], order=()), PARTS["y"])))
    result = run(
        store,
        project,
        PARTS["a"],
        Node("g", inside, depends_on=("a",)),
        replace(PARTS["z"], depends_on=("g",), order=()),
    )
    assert result.status == "completed", result
    assert result.node("g.y").output == "<one>RUN/g.y"
    assert result.output == "[<one>RUN/g.y]"


def fan(node: Node, **fields: Any) -> Node:
    return replace(node, fan_out=FanOut(**fields), depends_on=("list",), order=())


def test_each_item_is_data_to_bash(store: WorkflowStore, project: Path) -> None:
    result = run(store, project, PARTS["list"], fan(PARTS["each"], items="$list.output"))
    assert result.status == "completed", result
    assert json.loads(result.output or "") == ["a b0 of 3", '{"n":2}1 of 3', "$(touch X)2 of 3"]
    assert not (project / "X").exists()


def test_one_prompt_for_each_line(store: WorkflowStore, project: Path) -> None:
    asked: list[tuple[str, str]] = []

    def agent(request: PromptRequest) -> str:
        asked.append((request.node, request.prompt))
        return '{"ok": true}' if request.node == "ask.1" else "fine"

    lines = nodes("- {id: list, bash: 'printf \"a.py\\n\\nb.py\\n\"'}")["list"]
    result = run(store, project, lines, fan(PARTS["ask"], lines="$list.output", max_parallel=1), agent=agent)
    assert result.status == "completed", result
    assert asked == [("ask.0", "Look at a.py"), ("ask.1", "Look at b.py")]
    assert result.output == '["fine",{"ok":true}]'


def test_no_array_fails_before_anything_starts(store: WorkflowStore, project: Path) -> None:
    text = nodes("- {id: list, bash: echo nothing}")["list"]
    result = run(store, project, text, fan(PARTS["each"], items="$list.output"))
    assert result.status == "failed"
    assert result.nodes["each"].error is not None
    assert result.nodes["each"].error.message == "$list.output is not a JSON array: it is text"
    assert result.nodes["each"].instances == ()


def test_groups_of_items_are_resumed_where_they_failed(store: WorkflowStore, project: Path) -> None:
    made = nodes("""
        - id: x
          bash: echo "$ION_NODE_ID" >> ran; printf '%s' "$INPUTS.item"
        - id: y
          depends_on: [x]
          bash: echo "$ION_NODE_ID" >> ran; test $x.output != b -o -e fixed
    """)
    node = Node("f", Group(Scope((made["x"], made["y"]))), fan_out=FanOut(items=["a", "b", "c"]))
    result = run(store, project, node, options=RunOptions(max_concurrency=1))
    assert result.status == "failed"
    assert result.node("f.1.y").status == "failed"
    (project / "fixed").touch()
    (project / "ran").write_text("")
    again = ion.resume_workflow_sync(result.run_id, store=store, project=project)
    assert again.status == "completed"
    assert (project / "ran").read_text() == "f.1.y\n"


def test_a_loop_of_several_nodes_until_the_check_passes(store: WorkflowStore, project: Path) -> None:
    made = nodes("""
        - id: draft
          bash: printf 'draft %s after <%s>' "$LOOP_ITERATION" "$LOOP_PREV_OUTPUT"
        - id: check
          depends_on: [draft]
          bash: printf '%s' $draft.output; test "$LOOP_ITERATION" = 2
    """)
    scope = Scope((made["draft"], made["check"]), "draft")
    result = run(store, project, Node("fix", LoopGroup(scope, max_iterations=3, until_node="check")))
    assert result.status == "completed", result
    assert result.output == "draft 2 after <draft 1 after <>>"
    assert result.node("fix.1.check").status == "failed"
    assert result.node("fix.2.check").status == "completed"


def test_a_called_workflow_has_inputs_scripts_and_an_environment_of_its_own(
    store: WorkflowStore, project: Path
) -> None:
    workflows = project / ".ion" / "workflows"
    (workflows / "scripts").mkdir()
    (workflows / "scripts" / "say.py").write_text("import os; print(os.environ['INPUTS_TARGET'], os.environ['FROM'])")
    (workflows / "inner.yaml").write_text(
        textwrap.dedent("""
            name: inner
            description: called
            inputs: {target: {required: true}, count: {type: number, default: 1}}
            returns: report
            env: {FROM: inner}
            nodes:
              - {id: build, script: say, runtime: python}
              - id: report
                depends_on: [build]
                when: $INPUTS.target != 'y'
                bash: printf '%s %s %s' $build.output "$INPUTS.count" "$ARGUMENTS"
            """)
    )
    (workflows / "outer.yaml").write_text(
        textwrap.dedent("""
            name: outer
            description: calls
            nodes:
              - id: list
                bash: echo '["x", "y"]'
              - id: ship
                depends_on: [list]
                workflow: inner
                with: {count: "3"}
                fan_out: {items: $list.output, as: target}
            """)
    )
    result = ion.execute_workflow_sync("outer", store=store, project=project, arguments="of the run")
    assert result.status == "completed", result
    assert json.loads(result.output or "") == ["x inner 3 x", ""]
    assert result.node("ship.1.report").status == "skipped"


def test_a_composite_that_takes_too_long_is_stopped_with_all_its_processes(store: WorkflowStore, project: Path) -> None:
    parts = nodes("""
        - id: fast
          bash: echo fast
        - id: slow
          bash: sleep 60 & echo "$! $$" > pid; wait
        - id: beside
          bash: while [ ! -s pid ]; do sleep 0.05; done; echo beside
    """)
    inner = Node("inner", Group(Scope((parts["slow"],))))
    outer = Node("outer", Group(Scope((parts["fast"], inner))), timeout_ms=5_000)
    result = run(store, project, outer, parts["beside"])
    assert result.status == "failed"
    error = result.node("outer").error
    assert error is not None
    assert (error.code, error.message) == ("timeout", "it took longer than 5000 ms")
    assert result.node("outer.fast").status == "completed"
    assert [result.node(one).status for one in ("outer.inner", "outer.inner.slow")] == ["cancelled", "cancelled"]
    assert result.node("beside").output == "beside"
    processes = [int(pid) for pid in (project / "pid").read_text().split()]
    assert len(processes) == 2
    until(lambda: not any(alive(pid) for pid in processes))


def test_a_called_workflow_stops_at_its_budget(store: WorkflowStore, project: Path) -> None:
    parts = nodes("""
        - id: one
          prompt: one
        - id: two
          prompt: two
          depends_on: [one]
    """)
    called = Workflow("sub", (parts["one"], parts["two"]), max_budget_usd=0.5)
    agent = FakeAgent({"call.one": PromptResult("1", usage={"cost_usd": 0.6})})
    flow = Workflow("test", (Node("call", WorkflowCall("sub")),), workflows={"sub": called})
    result = ion.execute_workflow_sync(flow, store=store, project=project, agent=agent)
    error = result.node("call").error
    assert error is not None
    assert (error.code, error.message) == ("budget", "it has cost $0.60 of at most $0.50 (max_budget_usd)")
    assert len(agent.requests) == 1
