"""Nodes inside of nodes (language.md §13), through everything that keeps or drives a run: the parity tests carry these
out in every store and on a cluster."""

from __future__ import annotations

import json

import pytest

from conformance.kit import World, agent, mend, output, statuses
from ion import PromptRequest
from ion.core import events as e
from ion.core.state import NodeState
from ion.engine.run_reader import read_state
from ion.errors import RefusedError, UsageError

BIG = 100_000


def nodes_of(world: World, run_id: str) -> dict[str, NodeState]:
    """The instances of a run by their addresses."""
    return read_state(world.store, run_id).nodes


def test_a_group_reads_what_is_around_it_and_hands_on_its_output(world: World) -> None:
    run = world.run(f"""
        nodes:
          - {{id: a, bash: echo one}}
          - id: g
            depends_on: [a]
            group:
              nodes:
                - {{id: x, bash: 'printf "<%s>" $a.output'}}
                - {{id: big, depends_on: [x], bash: 'printf "%s" $x.output; head -c {BIG} /dev/zero | tr "\\0" x'}}
          - {{id: after, depends_on: [g], bash: 'printf "%s" "$g.output" | wc -c | tr -d " "'}}
        """)
    assert statuses(run) | {"g": "completed", "after": "completed"} == statuses(run)
    assert output(run, "after") == str(BIG + len("<one>"))
    assert nodes_of(world, run.run_id)["g.big"].status == "completed"


def test_a_group_in_which_nothing_has_a_text_gives_an_empty_one(world: World) -> None:
    """Conditions read it as such."""
    run = world.run("""
        nodes:
          - {id: g, group: {nodes: [{id: x, bash: 'true'}, {id: y, bash: 'true'}]}}
          - {id: empty, depends_on: [g], when: "$g.output == ''", bash: echo yes}
          - {id: full, depends_on: [g], when: "$g.output != ''", bash: echo no}
        """)
    assert statuses(run) == {"g": "completed", "empty": "completed", "full": "skipped"}


def test_a_called_off_item_is_one_slot_of_the_output(world: World) -> None:
    """One of three fails: with all_done the node completes, in the order of the items, and failures are told apart."""
    run = world.run("""
        nodes:
          - {id: list, bash: 'echo ''["a","b","c"]'''}
          - id: each
            depends_on: [list]
            fan_out: {items: $list.output, join: all_done}
            bash: 'printf "%s" "$INPUTS.item"; test "$INPUTS.item" != b'
          - {id: after, depends_on: [each], bash: 'printf "%s" "$each.output"'}
        """)
    first, second, third = json.loads(output(run, "after"))
    assert (run.status, first, third) == ("completed", "a", "c")
    assert (second["failed"], second["code"], second["node"]) == (True, "exit-status", "each.1")
    assert [type(event).__name__ for event in world.log(run, node="each.1")] == ["NodeStarted", "NodeFailed"]


def test_a_failure_among_the_items_fails_the_node_where_all_have_to_succeed(world: World) -> None:
    text = """
        nodes:
          - id: each
            fan_out: {items: [a, b, c], max_parallel: 1}
            bash: 'echo ran >> $INPUTS.item.runs; test "$INPUTS.item" != b || test -e mended'
        """
    run = world.run(text)
    assert run.status == "failed"
    assert [nodes_of(world, run.run_id)[f"each.{i}"].status for i in range(3)] == ["completed", "failed", "completed"]
    mend(world)
    assert world.resume(run).status == "completed"
    assert [len((world.project / f"{name}.runs").read_text().split()) for name in "abc"] == [1, 2, 1]


def test_a_failure_with_fail_fast_ends_the_rest(world: World) -> None:
    run = world.run("""
        nodes:
          - id: each
            fan_out: {items: [a, b, c], max_parallel: 1, fail_fast: true, join: all_done}
            bash: 'test "$INPUTS.item" = a'
          - {id: after, depends_on: [each], bash: 'printf "%s" "$each.output"'}
        """)
    slots = json.loads(output(run, "after"))
    assert (run.status, slots[0], slots[1]["failed"], slots[2]["cancelled"]) == ("completed", "", True, True)


def test_several_nodes_are_repeated_until_one_completes(world: World) -> None:
    run = world.run("""
        nodes:
          - id: fix
            loop_group:
              until_node: check
              max_iterations: 3
              returns: draft
              nodes:
                - {id: draft, bash: 'printf "draft %s after <%s>" "$LOOP_ITERATION" "$LOOP_PREV_OUTPUT"'}
                - {id: check, depends_on: [draft], bash: 'printf "%s" $draft.output; test "$LOOP_ITERATION" = 2'}
          - {id: after, depends_on: [fix], bash: 'printf "%s" "$fix.output"'}
        """)
    assert output(run, "after") == "draft 2 after <draft 1 after <>>"
    found = nodes_of(world, run.run_id)
    assert (found["fix.1.check"].status, found["fix.2.check"].status) == ("failed", "completed")


NESTED = """
    nodes:
      - id: teams
        fan_out: {items: [[1, 2], [], [3]], as: team}
        group:
          nodes:
            - id: each
              fan_out: {items: $INPUTS.team, as: number}
              group:
                nodes:
                  - {id: double, bash: 'printf "%s" $(( $INPUTS.number * 2 ))'}
                  - {id: said, depends_on: [double], prompt: 'say $double.output of $INPUTS.team'}
            - {id: sum, depends_on: [each], bash: 'printf "%s" "$each.output" | tr -d "\\n"'}
      - {id: after, depends_on: [teams], bash: 'printf "%s" "$teams.output"'}
    """


def test_items_of_items_have_addresses_of_their_own(world: World) -> None:
    asked = agent()
    run = world.run(NESTED, agent=asked)
    replies = [["reply of teams.0.each.0.said", "reply of teams.0.each.1.said"], [], ["reply of teams.2.each.0.said"]]
    assert json.loads(output(run, "after")) == replies
    assert sorted((one.node, one.prompt) for one in asked.requests) == [
        ("teams.0.each.0.said", "say 2 of [1,2]"),
        ("teams.0.each.1.said", "say 4 of [1,2]"),
        ("teams.2.each.0.said", "say 6 of [3]"),
    ]
    keys = {one.key for one in asked.requests}
    assert keys == {f"{run.run_id}/{one.node}" for one in asked.requests}


GATES = """
    nodes:
      - id: review
        fan_out: {items: [a, b, c], as: file}
        group:
          nodes:
            - {id: look, bash: 'echo ran >> $INPUTS.file.runs; printf "%s" "$INPUTS.file"'}
            - {id: gate, depends_on: [look], approval: {message: 'take $look.output?', capture_response: true}}
            - {id: said, depends_on: [gate], bash: 'printf "%s: %s" $look.output "$gate.output"'}
      - {id: after, depends_on: [review], bash: 'printf "%s" "$review.output"'}
    """


def test_gates_of_items_are_answered_by_their_addresses(world: World) -> None:
    run = world.run(GATES)
    assert run.status == "paused"
    asked = world.log(run, e.ApprovalRequested)
    assert sorted((one.node, one.message) for one in asked) == [
        ("review.0.gate", "take a?"),
        ("review.1.gate", "take b?"),
        ("review.2.gate", "take c?"),
    ]
    with pytest.raises(UsageError, match="3 gates are open"):
        world.approve(run)
    for number, name in enumerate("abc"):
        run = world.approve(run, f"review.{number}.gate", comment=f"yes {name}")
        assert run.status == ("completed" if name == "c" else "paused")
    assert json.loads(output(run, "after")) == ["a: yes a", "b: yes b", "c: yes c"]
    assert [(world.project / f"{name}.runs").read_text() for name in "abc"] == ["ran\n"] * 3
    with pytest.raises(RefusedError):
        world.approve(run, "review.0.gate")


def test_a_rejected_gate_of_an_item_fails_that_item(world: World) -> None:
    run = world.run(GATES.replace("as: file", "as: file, join: all_done"))
    world.reject(run, "review.1.gate", reason="not this one")
    world.approve(run, "review.0.gate", comment="yes")
    run = world.approve(run, "review.2.gate", comment="yes")
    first, second, third = json.loads(output(run, "after"))
    assert (run.status, first, third) == ("completed", "a: yes", "c: yes")
    assert (second["failed"], second["code"]) == (True, "rejected")


def test_prompts_of_items_are_answered_by_their_addresses(world: World) -> None:
    run = world.run("nodes:\n  - {id: ask, fan_out: {items: [a, b]}, prompt: 'Look at $INPUTS.item'}\n")
    assert run.status == "paused"
    assert [(one["node"], one["prompt"]) for one in world.prompts(run)] == [
        ("ask.0", "Look at a"),
        ("ask.1", "Look at b"),
    ]
    assert world.submit(run, "ask.1", "second").status == "paused"
    run = world.submit(run, "ask.0", "first")
    assert (run.status, json.loads(output(run, "ask"))) == ("completed", ["first", "second"])


def test_a_gate_between_iterations_brings_a_comment_into_the_next(world: World) -> None:
    run = world.run("""
        nodes:
          - id: write
            loop_group:
              interactive: true
              gate_message: good?
              until: DONE
              max_iterations: 3
              nodes:
                - {id: draft, bash: 'printf "%s<%s>" "$LOOP_ITERATION" "$LOOP_USER_INPUT"'}
                - {id: check, depends_on: [draft], bash: 'printf "%s" $draft.output'}
          - {id: after, depends_on: [write], bash: 'printf "%s" "$write.output"'}
        """)
    assert run.status == "paused"
    run = world.approve(run, "write", comment="shorter")
    assert nodes_of(world, run.run_id)["write.2.check"].output == e.Content("2<shorter>")


def test_a_text_among_objects_has_no_field(world: World) -> None:
    """Its instance fails as that of an object without the field does; a list of texts takes what follows as text."""
    run = world.run("""
        nodes:
          - id: list
            bash: printf '["a.py",{"path":"b.py"},{"file":"c.py"}]'
          - id: g
            depends_on: [list]
            fan_out: {items: $list.output, as: file, join: all_done}
            prompt: "Review $INPUTS.file.path"
          - {id: texts, fan_out: {items: [a], as: file}, prompt: "Review $INPUTS.file.path"}
        """)
    found = nodes_of(world, run.run_id)
    assert {one.id for one in found.values() if one.error is not None} == {"g.0", "g.2"}
    failure = found["g.0"].error
    assert failure is not None
    assert (failure.code, "this item is text, not an object" in failure.message) == ("reference", True)
    assert sorted(one["prompt"] for one in world.prompts(run)) == ["Review a.path", "Review b.py"]


@pytest.mark.parametrize(
    "loop",
    [
        "loop_group: {OPTIONS, nodes: [{id: d, bash: echo DONE}]}",
        "loop: {OPTIONS, prompt: 'x $LOOP_USER_INPUT'}",
    ],
)
def test_after_the_last_iteration_a_comment_is_refused_and_the_gate_stays_open(world: World, loop: str) -> None:
    """Another round would fail the loop, and all its rounds would be lost."""
    loop = loop.replace("OPTIONS", "interactive: true, gate_message: fine?, until: DONE, max_iterations: 2")
    answering = agent(l=["one DONE", "DONE"])
    run = world.run(f"\n        nodes:\n          - {{id: l, {loop}}}\n        ", agent=answering)
    assert "last" not in run.data["waiting"][0]
    run = world.approve(run, "l", comment="again", agent=answering)
    assert (run.status, run.data["waiting"][0]["last"]) == ("paused", True)
    with pytest.raises(RefusedError, match="'l' has used up its 2 iterations") as refused:
        world.approve(run, "l", comment="once more", agent=answering)
    assert "without a comment" in refused.value.hint
    assert world.approve(run, "l", agent=answering).status == "completed"


def test_each_iteration_has_items_and_gates_of_its_own(world: World) -> None:
    run = world.run("""
        nodes:
          - id: fix
            loop_group:
              until: DONE
              max_iterations: 3
              nodes:
                - {id: list, bash: 'printf "[%s,9]" "$LOOP_ITERATION"'}
                - id: each
                  depends_on: [list]
                  fan_out: {items: $list.output}
                  group:
                    nodes:
                      - {id: a, bash: 'echo "$INPUTS.item $ION_IDEMPOTENCY_KEY" | sed "s/$ION_RUN_ID/RUN/"'}
                      - id: g
                        depends_on: [a]
                        when: "$INPUTS.item == '9'"
                        approval: {message: 'round $LOOP_ITERATION: $a.output', capture_response: true}
                - {id: end, depends_on: [each], bash: 'echo "$each.output"; test $LOOP_ITERATION != 3 || echo DONE'}
        """)
    for iteration in (1, 2, 3):
        (gate,) = [one for one in nodes_of(world, run.run_id).values() if one.gate is not None]
        assert (run.status, gate.id) == ("paused", f"fix.{iteration}.each.1.g")
        assert gate.gate is not None
        assert gate.gate.message == f"round {iteration}: 9 RUN/fix.{iteration}.each.1.a"
        run = world.approve(run, gate.id, comment=f"yes {iteration}")
    assert (run.status, output(run, "fix")) == ("completed", '["","yes 3"]\nDONE')


def test_a_resume_asks_no_finished_item_again(world: World) -> None:
    """Items that have completed are kept; of a group among them also its nodes that have."""
    text = """
        nodes:
          - id: each
            fan_out: {items: [a, b], join: all_success}
            group:
              nodes:
                - {id: ask, prompt: 'ask $INPUTS.item'}
                - {id: check, depends_on: [ask], bash: 'test $ask.output != no || test -e mended'}
        """
    answers = {"each.0.ask": ["yes"], "each.1.ask": ["no"]}
    asked = agent(**answers)
    run = world.run(text, agent=asked)
    assert run.status == "failed"
    mend(world)
    again = world.resume(run, agent=asked)
    assert (again.status, len(asked.requests)) == ("completed", 2)


def test_a_called_workflow_for_each_item_asks_by_address(world: World) -> None:
    """One that is rejected is that item's failure; a resume begins again at it alone."""
    world.write(
        """
        name: ship
        description: one target
        inputs: {target: {type: string}}
        returns: done
        nodes:
          - {id: build, bash: 'echo "$INPUTS.target" >> built; printf "%s" "$ARGUMENTS"'}
          - {id: ok, depends_on: [build], approval: {message: 'ship $build.output?', capture_response: true}}
          - {id: done, depends_on: [ok], bash: 'echo "$INPUTS.target: $ok.output"'}
        """,
        "ship",
    )
    release = """
        name: release
        description: all targets
        nodes:
          - {id: list, bash: 'echo linux; echo mac'}
          - {id: all, depends_on: [list], workflow: ship, fan_out: {lines: $list.output, as: target, join: JOIN}}
          - {id: after, depends_on: [all], bash: 'printf "%s" "$all.output"'}
        """
    run = world.run(world.write(release.replace("JOIN", "all_success"), "release"))
    assert sorted(gate.message for gate in world.log(run, e.ApprovalRequested)) == ["ship linux?", "ship mac?"]
    world.approve(run, "all.0.ok", comment="go")
    run = world.reject(run, "all.1.ok", reason="not yet")
    assert (run.status, nodes_of(world, run.run_id)["all.0"].status) == ("failed", "completed")
    run = world.approve(world.resume(run), "all.1.ok", comment="now")
    assert (run.status, json.loads(output(run, "after"))) == ("completed", ["linux: go", "mac: now"])
    assert sorted((world.project / "built").read_text().split()) == ["linux", "mac"]


def test_an_item_is_data_wherever_it_goes(world: World) -> None:
    """Not a command, not a path, not a reference."""
    hostile = ["$(touch X)", "../../etc/passwd", "a\nb", "'; touch X; '", "$list.output", "$INPUTS.item", "ü\u2028", ""]
    (world.project / "list.json").write_text(json.dumps(hostile))
    asked: dict[str, str] = {}

    def answering(request: PromptRequest) -> str:
        asked[request.node] = request.prompt
        return request.prompt

    run = world.run(
        """
        nodes:
          - {id: list, bash: cat list.json}
          - id: each
            depends_on: [list]
            fan_out: {items: $list.output}
            group:
              nodes:
                - {id: echo, bash: 'printf "%s|" "$INPUTS.item"'}
                - {id: ask, depends_on: [echo], prompt: '$INPUTS.item|'}
        """,
        agent=answering,
    )
    assert (run.status, [asked[f"each.{i}.ask"] for i in range(len(hostile))]) == (
        "completed",
        [f"{one}|" for one in hostile],
    )
    found = nodes_of(world, run.run_id)
    assert [found[f"each.{i}.echo"].output for i in range(len(hostile))] == [e.Content(f"{one}|") for one in hostile]
    assert not (world.project / "X").exists()


def test_many_items_with_long_texts(world: World) -> None:
    """The list, and the output, are longer than what a log holds inline."""
    run = world.run("""
        nodes:
          - {id: list, bash: 'for i in $(seq 40); do printf "%s-" "$i"; head -c 10000 /dev/zero | tr "\\0" x; echo; done'}
          - {id: each, depends_on: [list], fan_out: {lines: $list.output, max_parallel: all}, bash: 'printf "%s" "$INPUTS.item"'}
        """)  # noqa: E501
    found = json.loads(output(run, "each"))
    assert (run.status, [one.partition("-")[0] for one in found]) == ("completed", [str(i + 1) for i in range(40)])
    assert {len(one.partition("-")[2]) for one in found} == {10_000}
