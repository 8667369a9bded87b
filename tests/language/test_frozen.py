"""A frozen workflow is read again as it was, and only if the language allows what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from load_kit import good

from ion.engine.freeze import source_of
from ion.language import frozen
from ion.language import workflow as w
from ion.language.load import load_workflow

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SMALL = w.Workflow(
    "small",
    (
        w.Node("a", w.Script("python", name="tidy"), env={"A": "b"}),
        w.Node("b", w.Command("ask"), depends_on=("a",), timeout_ms=5),
        w.Node("c", w.Loop(3, prompt="p"), order=("b",)),
    ),
    commands={"ask": w.CommandFile("/ask.md", "?")},
    scripts={"tidy": w.ScriptFile("/tidy.py", "tidy.py", {"tidy.py": "ab" * 32, "lib/x.py": "cd" * 32})},
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_the_language_made_is_read_as_it_was(path: Path) -> None:
    loaded = load_workflow(path)
    assert loaded.workflow is not None
    assert frozen.read_frozen(source_of(loaded.workflow)) == loaded.workflow


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("nodes", [], "no nodes"),
        ("nodes 0 id", "../up", "cannot be a node's id"),
        ("nodes 0 id", "b", "two of its nodes"),
        ("nodes 1 depends_on", ["x"], "not a node"),
        ("nodes 0 depends_on", ["b"], "wait for each other"),
        ("nodes 0 body kind", "spell", "spell"),
        ("nodes 0 body runtime", "perl", "runtime"),
        ("nodes 0 body name", "other", "no script"),
        ("nodes 0 body code", "x", "code or has a name"),
        ("nodes 0 env", {"A=": "b"}, "names"),
        ("nodes 0 env", {"A": 1}, "env"),
        ("nodes 1 timeout_ms", "5", "timeout_ms"),
        ("nodes 1 timeout_ms", -5, "timeout"),
        ("nodes 1 body name", "other", "no command"),
        ("nodes 1 trigger_rule", "never", "trigger rule"),
        ("nodes 2 body max_iterations", 0, "0 times"),
        ("scripts tidy files", {"../../up.py": "ab" * 32, "tidy.py": "ab" * 32}, "leads out"),
        ("scripts tidy files", {"/up.py": "ab" * 32, "tidy.py": "ab" * 32}, "leads out"),
        ("scripts tidy files", {"tidy.py": "../up"}, "not a hash"),
        ("scripts tidy entry", "../tidy.py", "no file"),
        ("scripts ../../../up", {"path": "", "entry": "t", "files": {"t": "ab" * 32}}, "script's name"),
        ("name", None, "name"),
        ("unheard_of", 1, "unheard_of"),
    ],
)
def test_what_the_language_does_not_allow_is_refused(path: str, value: Any, said: str) -> None:
    refuses(SMALL, path, value, said)


NESTED = good("""
  - {id: a, prompt: x}
  - {id: m, bash: 'echo $INPUTS.item', fan_out: {items: $a.output}, depends_on: [a]}
  - id: l
    depends_on: [m]
    loop_group:
      until_bash: test $c.output
      until_node: c
      max_iterations: 2
      nodes:
        - {id: b, prompt: $LOOP_PREV.c.output, when: $LOOP_PREV.c.output == 'x'}
        - {id: c, bash: x, depends_on: [b]}
        - {id: g, group: {nodes: [{id: d, bash: echo $b.output, when: $c.output == ''}]}, depends_on: [c]}
""")
CALLING = w.Workflow(
    name="calling",
    nodes=(w.Node(id="w", body=w.WorkflowCall("one")),),
    workflows={
        "one": w.Workflow(name="one", nodes=(w.Node(id="w", body=w.WorkflowCall("two")),)),
        "two": w.Workflow(name="two", nodes=(w.Node(id="z", body=w.Cancel("x")),)),
    },
)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("nodes 2 body scope nodes", [], "no nodes"),
        ("nodes 2 body scope nodes 0 id", "c", "one id"),
        ("nodes 2 body scope nodes 1 depends_on", ["a"], "not a node"),
        ("nodes 2 body scope nodes 0 depends_on", ["c"], "wait for each other"),
        ("nodes 2 body scope nodes 0 continues", "m.0", "not a node"),
        ("nodes 2 body scope nodes 0 activations", [{"depends_on": ["a"]}], "not a node"),
        ("nodes 2 body scope nodes 0 activations", [{"trigger_rule": "never"}], "trigger rule"),
        ("nodes 2 body scope nodes 0 when alternatives 0 0 reference node", "a", "not in a loop"),
        ("nodes 2 body scope nodes 2 body scope nodes 0 when alternatives 0 0 reference node", "z", "not a node"),
        ("nodes 2 body scope returns", "d", "returns"),
        ("nodes 2 body until_node", "d", "not a node of it"),
        ("nodes 2 body max_iterations", 0, "0 times"),
        ("nodes 2 body until_bash placements 0 reference node", "d", "not a node"),
        ("nodes 1 fan_out", {}, "items or lines"),
        ("nodes 1 fan_out lines", "x", "items or lines"),
        ("nodes 1 fan_out items", 3, "its items"),
        ("nodes 1 fan_out name", "a.b", "its item"),
        ("nodes 1 fan_out max_parallel", 0, "at once"),
        ("nodes 1 fan_out max_items", 10_001, "10001 items"),
        ("nodes 1 fan_out join", "any", "join"),
        ("nodes 1 body", {"kind": "cancel", "reason": "x"}, "cannot be fanned out"),
    ],
)
def test_what_is_inside_is_checked_too(path: str, value: Any, said: str) -> None:
    assert frozen.read_frozen(source_of(NESTED)) == NESTED
    refuses(NESTED, path, value, said)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("nodes 0 body name", "three", "no workflow"),
        ("workflows one nodes 0 body name", "three", "no workflow"),
        ("workflows one nodes 0 body name", "one", "call each other"),
        ("workflows two nodes 0 body", {"kind": "workflow", "name": "one"}, "call each other"),
        ("workflows one name", "two", "not the name"),
        ("workflows one workflows", {"two": {"name": "two", "nodes": []}}, "not the name"),
        ("workflows two nodes 0 trigger_rule", "never", "two: node z: its trigger rule"),
    ],
)
def test_what_is_called_is_checked_too(path: str, value: Any, said: str) -> None:
    assert frozen.read_frozen(source_of(CALLING)) == CALLING
    refuses(CALLING, path, value, said)


def refuses(workflow: w.Workflow, path: str, value: Any, said: str) -> None:
    """A frozen workflow with this value at this path is refused."""
    data: Any = json.loads(source_of(workflow))
    *folders, last = path.split()
    place = data
    for name in folders:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    with pytest.raises(ValueError, match=said):
        frozen.read_frozen(json.dumps(data))


@pytest.mark.parametrize("source", ["", "[]", "null", "1", "{", '{"nodes": 1}', '{"nodes": [[]]}', "[" * 100_000])
def test_what_is_no_workflow_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        frozen.read_frozen(source)
