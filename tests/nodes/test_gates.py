"""What a person is asked, and the end of a run from within."""

from __future__ import annotations

from pathlib import Path

import pytest
from turn_kit import World

from ion.core.events import Content
from ion.core.outcomes import GateOpened, Outcome

APPROVAL = """
    nodes:
      - {id: plan, bash: echo}
      - {id: gate, depends_on: [plan], approval: {message: 'Do $plan.output for $ARGUMENTS?'}}
"""

LOOP = """
    nodes:
      - id: l
        loop: {prompt: go, max_iterations: 4, until: DONE, interactive: true, gate_message: 'Good enough, $ARGUMENTS?'}
"""


def message(outcome: Outcome) -> str:
    assert isinstance(outcome, GateOpened), outcome
    return outcome.message


async def test_the_message_of_an_approval_is_filled_in(tmp_path: Path) -> None:
    world = World(tmp_path, APPROVAL, arguments="Bo").completed("plan", "$WORKFLOW_ID")
    assert message(await world.run("gate")) == "Do $WORKFLOW_ID for Bo?"


async def test_a_message_that_cannot_be_filled_in_asks_nobody(tmp_path: Path) -> None:
    assert (await World(tmp_path, APPROVAL).failed("plan").error("gate")).code == "reference"


@pytest.mark.parametrize(("signaled", "words"), [(True, "done, by its own account"), (False, "not done yet")])
async def test_the_gate_of_a_loop_shows_where_it_stands(tmp_path: Path, signaled: bool, words: str) -> None:
    world = World(tmp_path, LOOP, arguments="Bo")
    asked = message(await world.run("l", "gate", iteration=2, signaled=signaled, previous=Content("  the draft\n")))
    status, excerpt, said = asked.split("\n\n")
    assert status.startswith("Iteration 2 of 4: ")
    assert words in status
    assert (excerpt, said) == ("the draft", "Good enough, Bo?")


@pytest.mark.parametrize("signaled", [True, False])
async def test_the_last_gate_of_a_loop_speaks_of_no_other_iteration(tmp_path: Path, signaled: bool) -> None:
    asked = message(await World(tmp_path, LOOP).run("l", "gate", iteration=4, signaled=signaled))
    assert asked.startswith("Iteration 4 of 4: ")
    assert "for another iteration" not in asked


async def test_an_output_that_can_be_read_is_asked_about_whole(tmp_path: Path) -> None:
    draft = "\n".join(f"line {number}" for number in range(3000))
    assert draft in message(await World(tmp_path, LOOP).run("l", "gate", iteration=1, previous=Content(draft)))


async def test_an_endless_output_is_shown_by_its_ends(tmp_path: Path) -> None:
    previous = Content("begin" + "x" * 100_000 + "end")
    asked = message(await World(tmp_path, LOOP).run("l", "gate", iteration=1, previous=previous))
    assert len(asked) < 51_000
    assert "\n\nbegin" in asked
    assert "end\n\n" in asked
    assert "50009 characters left out" in asked


async def test_a_cancel_node_gives_its_reason(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        """
        nodes:
          - {id: plan, bash: echo}
          - {id: stop, depends_on: [plan], cancel: 'because $plan.output.why'}
        """,
    )
    assert await world.completed("plan", '{"why": "of $x"}').output("stop") == "because of $x"
    assert (await world.completed("plan", "{}").error("stop")).code == "reference"
