"""The tables of kinds: every room has what a row needs, and nothing has a kind that is not in them."""

from ion.kinds import KINDS, TURNS
from ion.language import changing, lower, schema
from ion.language.workflow import BODIES
from ion.nodes import registry


def test_each_kind_of_node_has_a_model_a_body_and_its_lowering_in_this_order() -> None:
    assert [*KINDS, "include"] == list(schema.NODE_MODELS) == [*BODIES, "include"] == list(lower._BODIES)


def test_what_an_include_changes_in_each_kind_of_node_is_known() -> None:
    assert not {*BODIES.values()} - changing._FORMS.keys()


def test_each_kind_of_node_begins_with_a_turn_that_there_is() -> None:
    assert {kind.turn for kind in KINDS.values()} <= TURNS.keys()


def test_each_kind_of_turn_has_a_function_that_carries_it_out() -> None:
    assert all(callable(registry._load(turn.runner)) for turn in TURNS.values())
    assert {turn.brings for turn in TURNS.values()} == {"instances", "output", "verdict", "question", "wait"}
