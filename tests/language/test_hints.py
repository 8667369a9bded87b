"""What people write who know other systems, or who guess: the problem says what to write instead, with their values."""

from __future__ import annotations

import pytest
from load_kit import HEAD, load, only

from ion.language.fields import ELSEWHERE, FOREIGN, KINDS, KNOWN_ANYWHERE
from ion.language.load import parse_workflow


@pytest.mark.parametrize(
    ("nodes", "hint"),
    [
        (
            "{a: {bash: 'true'}, b: {bash: 'true'}}",
            "write a list of mappings with 'id', the first one as - {id: a, bash: …}",
        ),
        ("{a: }", "write a list of mappings with 'id', the first one as - {id: a}"),
        ("{'a \\n b': 1}", "write a list of mappings with 'id', the first one as - {id: name}"),
        ("{}", "write [a, b]"),
    ],
)
def test_nodes_are_a_list(nodes: str, hint: str) -> None:
    text = f"{HEAD}nodes: {nodes}\n"
    problem = only(parse_workflow(text))
    assert (problem.code, problem.message) == ("wrong-type", "'nodes' must be a list, not a mapping")
    assert (problem.hint, problem.line) == (hint, 3)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("a", "write [a]"),
        ("a, c", "write [a, c]"),
        ("a c", "write [a, c]"),
        ("'[a]'", "write [a]"),
        ("'a: b'", "write [a, b]"),
        ("''", "write [a, b]"),
        ("3", "write [a, b]"),
    ],
)
def test_one_that_is_no_list_is_shown_as_one(given: str, hint: str) -> None:
    loaded = load(f"- {{id: a, bash: 'true'}}\n- id: b\n  bash: 'true'\n  depends_on: {given}\n")
    problem = only(loaded)
    assert (problem.code, problem.hint) == ("wrong-type", hint)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("'yes'", "write true"),
        ("No", "write false"),
        ("'TRUE'", "write true"),
        ("maybe", "write true or false, without quotes"),
        ("1", "write true or false, without quotes"),
    ],
)
def test_a_wrong_boolean(given: str, hint: str) -> None:
    problem = only(load(f"- {{id: a, bash: 'true', always_run: {given}}}\n"))
    said = given.strip("'") if given == "1" else f"'{given.strip(chr(39))}'"
    assert problem.message == f"'always_run' must be true or false, not {said}"
    assert problem.hint == hint


def test_a_node_without_an_id() -> None:
    problem = only(load("- {bash: 'true'}\n"))
    assert (problem.code, problem.message) == ("missing-field", "a bash node needs 'id'")
    assert problem.hint == "write 'id: name'; other nodes refer to it by that name"


def test_a_kind_of_other_systems_beside_one_of_ours_has_no_hint() -> None:
    problem = only(load("- {id: b, bash: 'true', run: x}\n"), "warning")
    assert (problem.code, problem.hint) == ("unknown-field", "")


@pytest.mark.parametrize("field", ["run", "cmd", "shell"])
def test_a_kind_of_other_systems(field: str) -> None:
    loaded = load(f"- {{id: b, {field}: make}}\n")
    problem = only(loaded)
    assert (problem.code, problem.path) == ("no-kind", f"nodes[0].{field}")
    assert problem.hint == "Ion calls it 'bash'"


def test_what_other_systems_say_means_something_here() -> None:
    assert not ELSEWHERE.keys() & KNOWN_ANYWHERE
    assert (FOREIGN.keys() & KNOWN_ANYWHERE) <= {"interactive", "on_error"}
    assert set(ELSEWHERE.values()) <= KNOWN_ANYWHERE | set(KINDS)
