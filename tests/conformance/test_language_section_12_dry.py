"""language.md §12: the dry run: the same engine with stand-ins."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ion
from conformance.kit import World, output, statuses, whole
from ion.api.dry import DryRun, dry_run
from ion.api.workspace import open_workspace
from ion.errors import UsageError
from ion.nodes.replies import validate_reply


def dry(world: World, text: str, **values: Any) -> DryRun:
    workspace = open_workspace(world.project, world.store)
    return dry_run(workspace, ion.parse_workflow(whole(text)), **values)


EVERYTHING = """
    inputs: {name: {required: true}}
    nodes:
      - {id: a, bash: touch HARM; exit 1}
      - {id: code, script: "raise SystemExit(1)", runtime: python, depends_on: [a]}
      - {id: ask, prompt: hi, depends_on: [a]}
      - id: judge
        prompt: hi
        depends_on: [ask]
        output_format:
          type: object
          properties: {kind: {enum: [bug, idea]}, score: {type: number, minimum: 3}, note: {type: string}}
          required: [kind, score]
      - {id: work, loop: {prompt: hi, until: DONE, max_iterations: 3}, depends_on: [ask]}
      - id: both
        loop: {prompt: hi, until: DONE, until_bash: touch HARM, until_all: true, max_iterations: 3}
        depends_on: [ask]
      - {id: gate, approval: {message: "Go, $INPUTS.name?", capture_response: true}, depends_on: [work]}
      - {id: bug, bash: "false", depends_on: [judge], when: $judge.output.kind == 'bug'}
      - {id: idea, bash: "false", depends_on: [judge], when: $judge.output.kind == 'idea'}
      - {id: last, bash: "false", depends_on: [gate, bug]}
"""


def test_a_dry_run_goes_through_the_whole_plan_and_touches_nothing(world: World) -> None:
    """Stand-ins for every node; loops take one turn, gates approve; nothing is stored, run or asked."""
    done = dry(world, EVERYTHING, inputs={"name": "Ana"}).result
    assert (done.status, done.exit_status) == ("completed", 0)
    assert statuses(done) == {**dict.fromkeys(done.data["nodes"], "completed"), "idea": "skipped"}
    assert output(done, "a") == "[dry run: a]"
    assert json.loads(output(done, "judge")) == {"kind": "bug", "score": 3}
    assert [done.data["nodes"][loop]["iterations"] for loop in ("work", "both")] == [1, 1]
    assert output(done, "gate") == "Approved"
    assert not (world.project / "HARM").exists()
    assert ion.list_runs(store=world.store, project=world.project) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]},
        {"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 2},
        {"type": "object", "properties": {"a": {"const": 5}, "b": {"type": "boolean"}}, "required": ["a", "b"]},
        {"enum": ["x"]},
        {"type": ["number", "null"]},
        {"type": "string", "default": "d"},
    ],
)
def test_the_stand_in_of_an_agent_fits_its_schema(world: World, schema: dict[str, Any]) -> None:
    """The smallest valid value."""
    done = dry(world, f"nodes: [{{id: a, prompt: hi, output_format: {json.dumps(schema)}}}]\n").result
    assert not isinstance(validate_reply(schema, output(done, "a")), tuple)


def test_a_stub_says_otherwise(world: World) -> None:
    """It decides conditions; one for a node that is not there is refused."""
    done = dry(world, EVERYTHING, inputs={"name": "Ana"}, stubs={"judge": '{"kind":"idea","score":9}'}).result
    assert (statuses(done)["bug"], statuses(done)["idea"], statuses(done)["last"]) == (
        "skipped",
        "completed",
        "skipped",
    )
    with pytest.raises(UsageError, match="unknown node: jugde"):
        dry(world, EVERYTHING, inputs={"name": "Ana"}, stubs={"jugde": "x"})


def test_a_dry_run_checks_inputs(world: World) -> None:
    """As a run does."""
    with pytest.raises(UsageError, match="name"):
        dry(world, EVERYTHING)


def test_a_missing_field_is_empty_with_a_note(world: World) -> None:
    """The stand-in of a bash node is not JSON."""
    result = dry(
        world,
        """
        nodes:
          - {id: a, bash: echo}
          - {id: b, depends_on: [a], when: $a.output.kind == '', bash: echo $a.output.other}
          - {id: c, depends_on: [a], when: $a.output.count > 5, bash: echo}
        """,
    )
    assert statuses(result.result) == {"a": "completed", "b": "completed", "c": "skipped"}
    assert any("$a.output.kind" in note for note in result.notes)


def test_only_a_plan_that_fails_fails(world: World) -> None:
    """Everything skipped, or a cancel node, ends as in a run."""
    skipped = dry(world, "inputs: {x: {default: no}}\nnodes: [{id: a, bash: echo, when: $INPUTS.x == 'yes'}]\n").result
    assert (skipped.status, skipped.exit_status) == ("failed", 1)
    assert dry(world, "nodes: [{id: a, cancel: enough}]\n").result.status == "cancelled"


def test_a_decision_can_be_stubbed(world: World) -> None:
    """`approve` is the one that a gate without a stub takes."""
    text = """
        nodes:
          - {id: gate, approval: {message: Go, decisions: [{id: later}, {id: approve}]}}
          - {id: now, bash: echo, depends_on: [gate], when: $gate.output.decision == 'approve'}
        """
    assert statuses(dry(world, text).result)["now"] == "completed"
    assert statuses(dry(world, text, stubs={"gate": "later"}).result)["now"] == "skipped"


COMPOSITES = """
    nodes:
      - {id: list, bash: touch HARM}
      - {id: pairs, bash: touch HARM, depends_on: [list]}
      - id: review
        depends_on: [list]
        fan_out: {items: $list.output, as: file}
        group:
          nodes:
            - {id: lint, bash: touch HARM}
            - {id: bug, depends_on: [lint], when: $INPUTS.file.size > 0, prompt: "look"}
            - {id: ok, depends_on: [bug], approval: {message: "Good?"}}
      - {id: each, depends_on: [pairs], fan_out: {lines: $pairs.output}, bash: "touch HARM # $INPUTS.item"}
      - id: fix
        depends_on: [review]
        loop_group:
          max_iterations: 5
          until_node: check
          nodes: [{id: edit, prompt: fix}, {id: check, depends_on: [edit], bash: touch HARM}]
      - {id: one, group: {nodes: [{id: a, bash: touch HARM}, {id: b, depends_on: [a], bash: touch HARM}]}}
      - {id: last, depends_on: [fix, each, one], when: $one.output != '', bash: "echo $review.output"}
"""


def test_what_is_inside_of_nodes_runs_once_with_a_stand_in_item(world: World) -> None:
    found = dry(world, COMPOSITES)
    state = found.result.state
    assert found.result.status == "completed"
    assert {node.status for node in state.nodes.values()} == {"completed"}
    inside = [name for name in state.nodes if "." in name]
    assert sorted(inside) == [
        *("each.0", "fix.1.check", "fix.1.edit", "one.a", "one.b"),
        *("review.0", "review.0.bug", "review.0.lint", "review.0.ok"),
    ]
    assert [note for note in found.notes if "item" in note] == [
        """review has one stand-in item: its list is made of $list.output, a stand-in; as in --stub list='["a","b"]'""",
        r"""each has one stand-in item: its list is made of $pairs.output, a stand-in; as in --stub pairs='a\nb'""",
    ]
    assert not (world.project / "HARM").exists()


def test_a_fan_out_runs_over_the_items_of_a_stub(world: World) -> None:
    """A node inside is stubbed by its address, or in all instances; a stub that is not a list fails as in a run."""
    stubs = {
        "list": '[{"size": 1}, {"size": 0}, {"size": 2}]',
        "pairs": "p\nq",
        "review.lint": "all",
        "review[2].lint": "the last",
        "each.1": "second",
    }
    state = dry(world, COMPOSITES, stubs=stubs).result.state
    outputs = {name: node.output.text for name, node in state.nodes.items() if node.output is not None}
    assert [outputs[f"review.{i}.lint"] for i in range(3)] == ["all", "all", "the last"]
    assert (state.nodes["review.1.bug"].status, state.nodes["review.1.ok"].status) == ("skipped", "skipped")
    assert json.loads(outputs["each"] or "") == ["[dry run: each]", "second"]
    failed = dry(world, COMPOSITES, stubs={"list": "a, b"}).result
    assert (failed.status, failed.data["nodes"]["review"]["error"]["code"]) == ("failed", "bad_items")


def test_an_empty_list_of_a_stub_is_empty_and_that_of_a_stand_in_is_not(world: World) -> None:
    text = """
        nodes:
          - id: list
            prompt: which?
            output_format:
              type: object
              properties:
                files: {type: array, items: {type: object, properties: {kind: {enum: [bug, idea]}}, required: [kind]}}
              required: [files]
          - id: review
            depends_on: [list]
            fan_out: {items: $list.output.files, as: file}
            group: {nodes: [{id: look, when: $INPUTS.file.kind == 'bug', bash: echo}]}
        """
    assert dry(world, text).result.state.nodes["review.0.look"].status == "completed"
    empty = dry(world, text, stubs={"list": '{"files": []}'}).result
    assert (list(empty.state.nodes), empty.status) == (["list", "review"], "completed")


def test_fan_outs_in_fan_outs_end_with_stand_ins(world: World) -> None:
    text = """
        nodes:
          - {id: teams, bash: list}
          - id: team
            depends_on: [teams]
            fan_out: {items: $teams.output, as: team}
            group:
              nodes:
                - {id: member, fan_out: {items: $INPUTS.team.members, as: member}, bash: "echo $INPUTS.member"}
                - {id: sum, depends_on: [member], bash: "echo $member.output"}
        """
    assert dry(world, text).result.state.nodes["team.0.member.0"].status == "completed"
    stubbed = dry(world, text, stubs={"teams": '[{"members": ["a", "b"]}, {"members": ["c"]}]'}).result.state
    assert [name for name in stubbed.nodes if ".member." in name] == [
        *("team.0.member.0", "team.0.member.1", "team.1.member.0"),
    ]


@pytest.mark.parametrize("stub", ["review", "fix", "one", "review.0"])
def test_a_stub_of_a_node_with_nodes_inside_is_refused(world: World, stub: str) -> None:
    """It would change nothing: the output is that of a node inside."""
    with pytest.raises(UsageError, match=f"'{stub}' is a ") as refused:
        dry(world, COMPOSITES, stubs={stub: "x"})
    assert "--stub" in refused.value.hint
    with pytest.raises(UsageError, match="unknown node"):
        dry(world, COMPOSITES, stubs={"review.nothing": "x"})
