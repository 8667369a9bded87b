"""The work for a node does not grow with how many nodes there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulate import Simulation, bash, workflow

from ion.language.workflow import Node, Prompt
from work import lines_run


def flat(count: int) -> list[Node]:
    return [bash(f"n{i}") for i in range(count)]


def chain(count: int) -> list[Node]:
    return [bash(f"n{i}", *([f"n{i - 1}"] if i else [])) for i in range(count)]


def prompts(count: int) -> list[Node]:
    return [Node(f"n{i}", Prompt("go")) for i in range(count)]


def fan_in(count: int) -> list[Node]:
    return [*flat(count), bash("last", *(f"n{i}" for i in range(count)))]


@pytest.mark.parametrize("shape", [flat, chain, prompts, fan_in])
def test_four_times_the_nodes_are_about_four_times_the_work(shape: Callable[[int], list[Node]]) -> None:
    def work(count: int) -> int:
        run = Simulation(workflow(*shape(count)), {}, check_plan=False)
        lines = lines_run(run.run)
        assert run.state.status == "completed"
        return lines

    work(10)  # what is made once, is made
    small, large = work(200), work(800)
    assert large <= 5 * small, f"{small} lines for 200 nodes, {large} for 800"
