"""The environments of a run's turns: each has its own names, and what does not fit goes into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from turn_kit import World

from ion.core.events import Content
from ion.language import shell
from ion.language.templates import templates_of
from ion.nodes.base import Turn
from ion.nodes.texts import Values
from ion.nodes.variables import Environment, environment

NODES = """
inputs:
  mode: {default: fast}
nodes:
  - {id: plain, bash: "echo $ARGUMENTS"}
  - {id: other, bash: "true"}
  - {id: bound, bash: "true", with: {MODE: slow, WORD: w}}
  - {id: own, bash: "true", env: {COLOUR: red}}
  - {id: branch, bash: "echo $BASE_BRANCH"}
"""
ENVIRON = {
    "PATH": "/bin",
    "BASH_FUNC_echo%%": "() { :; }",
    "__ion_value": "x",
    "ION_NODE_ID": "outer",
    "ARGUMENTS_FILE": "/outer/file",
    "LOOP_USER_INPUT_FILE": "/outer/file",
    "REST": "r" * 200,
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, NODES, environ=ENVIRON, arguments="all of it", base_branch=lambda: "trunk")


def turns(world: World) -> list[Turn]:
    found = []
    for number, node in enumerate(world.workflow.nodes):
        turn = Turn(templates_of(world.workflow)[node.id], "bash", node.id)
        said = Content(f"said {number}")
        found += [turn, replace(turn, iteration=2, previous=said, user_input="go on\0", rejection_reason="ü\udc80")]
        found.append(replace(turn, user_input="x" * 40_000))
    return found


def text_of(turn: Turn) -> str:
    return turn.node.body.shell.text  # type: ignore[union-attr]


def seen(turn: Turn, world: World, **options: Any) -> Environment:
    return environment(turn, world.context, Values(turn, world.context), text=text_of(turn), **options)


@pytest.mark.parametrize("without", [None, shell.unsafe_in_environment])
def test_each_turn_has_its_own(world: World, without: Callable[[str], bool] | None) -> None:
    for turn in turns(world):
        found = seen(turn, world, without=without)
        assert found.variables["ION_NODE_ID"] == turn.node.id
        assert found.variables["INPUTS_MODE"] == ("slow" if turn.node.id == "bound" else "fast")
        assert found.variables.get("COLOUR") == ("red" if turn.node.id == "own" else None)
        assert found.variables.get("BASE_BRANCH") == ("trunk" if turn.node.id == "branch" else None)
        assert "ARGUMENTS_FILE" not in found.variables
        assert ("__ion_value" in found.variables) == (without is None)
        found.variables["ION_NODE_ID"] = "changed"  # by one who was given it: nobody else sees that


def test_an_environment_that_is_full_is_nobody_elses(world: World) -> None:
    """What may not fit is worked out for each turn, and goes into files."""
    large = {f"LARGE_{number}": "x" * 30_000 for number in range(9)}
    world.context = replace(world.context, environ=ENVIRON | large, arguments="a" * 140_000)
    first, second = (seen(turn, world) for turn in turns(world)[:2])
    assert {"ARGUMENTS", "USER_MESSAGE"} == {*first.files} == {*second.files} - {"LOOP_USER_INPUT"}
