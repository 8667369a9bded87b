"""Problems as they are gathered: suggestions, places, order, limits."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.errors import Problem
from ion.language.problems import (
    MAX_ERRORS,
    MAX_WARNINGS,
    Report,
    TooManyProblemsError,
    damerau,
    did_you_mean,
    near,
    path_text,
    sort_problems,
)
from ion.language.yaml import read_yaml


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("", "abc", 3), ("when", "wehn", 1), ("ca", "abc", 2), ("kitten", "sitting", 3), ("ab", "ba", 1)],
)
def test_damerau_distance(a: str, b: str, distance: int) -> None:
    """Swapping neighbours is one edit; the distance is the unrestricted one (`ca`, `abc` are 2 apart)."""
    assert damerau(a, b) == damerau(b, a) == distance


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_the_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (damerau(a, b) == 0) == (a == b)
    assert damerau(a, b) == damerau(b, a)
    assert damerau(a, c) <= damerau(a, b) + damerau(b, c)
    assert damerau(a, b) <= levenshtein(a, b) <= 2 * damerau(a, b)


@cache
def levenshtein(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    rest = levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    return min(rest, levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1)


@given(st.text("abcdef", max_size=7), st.text("abcdef", max_size=7), st.integers(0, 4))
def test_near_is_the_distance_only_quicker(a: str, b: str, limit: int) -> None:
    assert near(a, b, limit) == (damerau(a, b) <= limit)


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("clasify", ["classify", "fetch"], "classify"),
        ("plna", ["plan", "play"], "plan"),
        ("a", ["b", "cd"], "b"),
        ("investigatoin-report", ["investigation-report"], "investigation-report"),
        ("fetch", ["publish"], None),
        ("fetch", ["fetch"], None),
        ("x" * 5000, ["x" * 4999], None),
        ("", [], None),
    ],
)
def test_did_you_mean(word: str, candidates: list[str], meant: str | None) -> None:
    assert did_you_mean(word, candidates) == meant


# Gathering


def test_paths_are_written_as_in_code() -> None:
    assert path_text(("nodes", 2, "loop", "max_iterations")) == "nodes[2].loop.max_iterations"
    assert path_text(("env", "A B", 0)) == "env['A B'][0]"
    assert path_text(()) == ""


def test_a_report_places_problems_and_keeps_each_once() -> None:
    """A problem at a key, at a value, at a character of a text; twice the same is one."""
    report = Report(read_yaml("a: |\n  some $x\nb: 1\n"), "f")
    report.error("one", "m", ("b",))
    report.error("one", "m", ("b",))
    report.error("two", "m", ("b",), key=True)
    report.warning("three", "m", ("a",), within=("some $x\n", 5, 2))
    places = [(p.code, p.line, p.column, p.length) for p in report.result()]
    assert places == [("three", 2, 8, 2), ("two", 3, 1, 1), ("one", 3, 4, 1)]


def test_what_yaml_spoiled_is_not_judged_again() -> None:
    """`prompt: {{x}}` is one problem, not also 'must be text, not a mapping'."""
    report = Report(read_yaml("a: {{x}}\nb: *y\n"), "f")
    report.error("wrong-type", "m", ("a",))
    report.error("wrong-type", "m", ("b", "c"))
    assert [problem.code for problem in report.result()] == ["key-not-text", "unknown-alias"]


def test_a_report_that_is_full_says_so() -> None:
    """A thousand errors end the checking; of more than a thousand warnings the rest is counted."""
    report = Report(read_yaml(""), "f")
    for number in range(MAX_WARNINGS + 7):
        report.warning("w", f"{number}")
    assert report.result()[-1].message == "7 more warnings are not shown"
    for number in range(MAX_ERRORS - 1):
        report.error("e", f"{number}")
    with pytest.raises(TooManyProblemsError):
        report.error("e", "the last")
    assert any(problem.code == "too-many-problems" and problem.severity == "error" for problem in report.result())


def test_suggestions_cannot_be_made_to_take_forever() -> None:
    """After some ten thousand comparisons a file gets no more suggestions."""
    report = Report(read_yaml(""), "f")
    names = [f"node{number}" for number in range(10_000)]
    assert report.suggest("nodes1", names)
    assert [report.suggest("nodes1", names) for _ in range(6)][-1] == ""


def test_errors_come_before_warnings_of_the_same_place() -> None:
    warning, error = Problem("a", "m", "warning", "f", 1, 1), Problem("b", "m", "error", "f", 1, 1)
    assert sort_problems([warning, error]) == [error, warning]
