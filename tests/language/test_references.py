"""References in texts: what is one, what is not, and that a value is never looked at again (language.md §5)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ion.language.references import (
    ENGINE_NAMES,
    Found,
    Resolved,
    end_of,
    engine_names,
    escape,
    find_references,
    input_reference,
    reference_text,
    render,
)
from ion.language.workflow import EngineReference, InputReference, NodeReference, Reference
from work import assert_linear


def written(text: str) -> list[str]:
    """The references of a text, as they are in it."""
    return [text[found.start : found.end] for found in find_references(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a.output", ["$a.output"]),
        ("see $a.output.", ["$a.output"]),
        ("see $a.output.md", ["$a.output.md"]),
        ("$a.output.x.y_z.w", ["$a.output.x.y_z.w"]),
        ("$a.output.items[0]", ["$a.output.items"]),
        ("$a.output[0]", ["$a.output"]),
        ("$a.output.1", ["$a.output"]),
        ("$my-node_2.output-x", ["$my-node_2.output"]),
        ("_run $WORKFLOW_ID_", ["$WORKFLOW_ID"]),
        ("_see $a.output_", ["$a.output"]),
        ("**$WORKFLOW_ID**", ["$WORKFLOW_ID"]),
        ("$ARGUMENTS_X $ARGUMENTS__X $ARGUMENTS2 $CONTEXTUAL", []),
        ("$ARGUMENTS的", ["$ARGUMENTS"]),
        ("$a.outputs $a.output_x $a.Output $1a.output ${a.output} a.output", []),
        ("$INPUTS.mode, $INPUTS.my-mode.", ["$INPUTS.mode", "$INPUTS.my-mode"]),
        ("$INPUTS.from-$INPUTS.to", ["$INPUTS.from", "$INPUTS.to"]),
        ("$INPUTS.output.x", ["$INPUTS.output.x"]),
        ("$LOOP_PREV.a-b.output.x, $LOOP_PREV.a", ["$LOOP_PREV.a-b.output.x"]),
        ("$ITEM_INDEX of $ITEM_COUNT, $ITEM_INDEXES", ["$ITEM_INDEX", "$ITEM_COUNT"]),
        ("$INPUTS $INPUTS.1", []),
        ("$WORKFLOW_ID.output.txt", ["$WORKFLOW_ID"]),
        ("$a.output$b.output", ["$a.output", "$b.output"]),
        ("$$a.output", ["$a.output"]),
        (r"\$a.output", []),
        (r"\\$a.output", [r"$a.output"]),
        ("$HOME $unknown $", []),
    ],
)
def test_what_is_a_reference(text: str, expected: list[str]) -> None:
    assert written(text) == expected


def test_a_reference_knows_its_parts() -> None:
    found = find_references("$plan.output.a.b $INPUTS.my-mode $BASE_BRANCH")
    assert [f.reference for f in found] == [
        NodeReference("plan", ("a", "b")),
        InputReference("my-mode"),
        EngineReference("BASE_BRANCH"),
    ]


def test_every_engine_name_is_found() -> None:
    for name in ENGINE_NAMES:
        assert find_references(f"${name}") == [Found(0, len(name) + 1, EngineReference(name))]


def test_without_escapes_every_match_counts() -> None:
    """Shell text decides about backslashes itself."""
    assert [f.start for f in find_references(r"\$a.output $b.output", escapes=False)] == [1, 11]


@pytest.mark.parametrize(
    "text", ["$plan.output", "$plan.output.a.b", "$INPUTS.my-mode.a", "$LOOP_PREV_OUTPUT", "$LOOP_PREV.a.output.b"]
)
def test_reference_text_is_what_was_written(text: str) -> None:
    assert reference_text(find_references(text)[0].reference) == text


def test_engine_names_are_seen_in_braces_too() -> None:
    text = "$BASE_BRANCH ${STATE_DIR}/x ${#ARGUMENTS} ${DOCS_DIR:-docs} $CONTEXTUAL"
    assert engine_names(text) == {"BASE_BRANCH", "STATE_DIR", "ARGUMENTS", "DOCS_DIR"}


def fill(text: str, consumed: int = 0, **values: str) -> str:
    """`text` with node outputs, inputs or engine names filled in by their name."""

    def resolve(reference: Reference) -> Resolved:
        name = reference.node if isinstance(reference, NodeReference) else reference.name
        return Resolved(values[name], consumed)

    return render(text, resolve)


@pytest.mark.parametrize(
    "value", ["$b.output", "$&", r"\1 \g<0>", "{x}", "$ARGUMENTS", "\\", "$$", "", r"\$a.output", "$INPUTS.x"]
)
def test_a_value_is_never_looked_at_again(value: str) -> None:
    assert fill("<$a.output>", a=value, b="WRONG", ARGUMENTS="WRONG") == f"<{value}>"


def test_values_that_touch_make_no_new_reference() -> None:
    assert fill("$a.output$b.output", a="$c.", b="output", c="WRONG") == "$c.output"


def test_the_rest_of_a_path_stays_text() -> None:
    """How far a path reaches is known only with the value."""
    assert fill("see $a.output.md.", a="plan") == "see plan.md."
    assert fill("see $a.output.name.md.", 1, a="plan") == "see plan.md."
    assert fill("see $a.output.name.md.", 2, a="plan") == "see plan."


def test_end_of_a_reference() -> None:
    found = find_references("$a.output.b.c")[0]
    assert [end_of(found, n) for n in range(3)] == [9, 11, 13]
    assert end_of(find_references("$INPUTS.a-b")[0], 0) == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\$a.output", "$a.output"),
        (r"\\$a.output", r"\V"),
        (r"\\\$a.output", r"\$a.output"),
        (r"C:\\$a.output\$a.output", r"C:\V$a.output"),
        (r"\$HOME \n \\ \x", r"\$HOME \n \\ \x"),
        (r"\$ARGUMENTS costs \$5", r"$ARGUMENTS costs \$5"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    """Only backslashes directly before a reference mean something."""
    assert fill(text, a="V", ARGUMENTS="V") == expected


def test_errors_of_the_resolver_pass_through() -> None:
    with pytest.raises(KeyError, match="gone"):
        fill("$gone.output")


@given(st.text(st.sampled_from("$a.output_INPUTS-\\xARGUMENTS{} é\n"), max_size=60))
def test_any_text_renders_and_keeps_what_is_no_reference(text: str) -> None:
    found = find_references(text, escapes=False)
    assert all(text[f.start] == "$" and f.start < f.end <= len(text) for f in found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    if not found:
        assert fill(text) == text


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=40))
def test_what_is_rendered_is_text_value_text(before: str, after: str, value: str) -> None:
    before, after = before.replace("$", "").rstrip("\\"), after.replace("$", "")
    assert fill(f"{before}$a.output {after}", a=value) == f"{before}{value} {after}"


@pytest.mark.parametrize(
    ("begin", "piece", "end"),
    [("", "$", ""), ("", "$a", ""), ("", "\\", "$a.output"), ("$INPUTS.a", "-", ""), ("", "$a.output", "")],
)
def test_long_texts_take_linear_time(begin: str, piece: str, end: str) -> None:
    def read(text: str) -> None:
        find_references(text)
        render(text, lambda _: Resolved("", 0))

    def text(size: int) -> str:
        return begin + piece * (size // len(piece)) + end

    assert_linear(read, text, 2_000)
    read(text(300_000))


def test_braces_end_the_name_of_an_input() -> None:
    """`$INPUTS.{name}` before what could belong to the name."""
    values = {"name": "demo", "name-draft": "wrong"}
    assert render("$INPUTS.{name}-draft.md", lambda r: Resolved(values[r.name])) == "demo-draft.md"  # type: ignore[union-attr]
    assert find_references("$INPUTS.{name}, \\$INPUTS.{b} $INPUTS.{1} $INPUTS.{a b}")[0].end == 14
    assert len(find_references("$INPUTS.{name}, \\$INPUTS.{b} $INPUTS.{1} $INPUTS.{a b}")) == 1


def test_in_code_braces_are_the_shells() -> None:
    assert find_references("echo $INPUTS.{a,b} $INPUTS.{a}", escapes=False) == []


TRICKY = st.lists(
    st.sampled_from(["$", "\\", "a", "b", ".output", ".x", "INPUTS.", "{", "}", "-", "_", "ARGUMENTS", " ", "1", "é"])
).map("".join)


@given(TRICKY)
def test_an_escaped_text_renders_as_itself(text: str) -> None:
    assert render(escape(text), lambda reference: Resolved("<value>")) == text


@given(TRICKY, st.from_regex("[A-Za-z_][A-Za-z0-9_-]{0,4}", fullmatch=True), TRICKY)
def test_a_reference_to_an_input_ends_where_its_name_ends(before: str, name: str, after: str) -> None:
    """Whatever stands around it; backslashes right before it are doubled by whoever puts it there."""
    before = before.rstrip("\\$")
    text = escape(before) + input_reference(name, after) + escape(after)
    assert render(text, lambda reference: Resolved(f"<{reference_text(replace(reference, path=()))}>")) == (
        f"{before}<$INPUTS.{name}>{after}"
    )
