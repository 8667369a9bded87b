"""Spellings that look like references and are none earn a warning with the right one (language.md §5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_kit import codes, load, marked, only

from ion.language.lookalikes import find_lookalikes
from ion.language.references import find_references
from work import assert_linear

NODES, INPUTS = ("a", "lint-all"), ("mode",)


def hints(text: str, *, shell: bool = False) -> dict[str, str]:
    return {found.text: found.hint for found in find_lookalikes(text, NODES, INPUTS, shell=shell)}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("${a.output}", "write $a.output"),
        ("$a.0.output", "only the list of all can be read: write $a.output"),
        ("$a.0.inner.output", "only the list of all can be read: write $a.output"),
        ("${a.output.title}", "write $a.output.title"),
        ("${lint-all.output}", "write $lint-all.output"),
        ("{{ a.output }}", "write $a.output"),
        ("{{a.output.title}}", "write $a.output.title"),
        ("{{ a.output | trim }}", "write $a.output"),
        ("{{ steps.a.outputs.title }}", "write $a.output.title"),
        ("${{ steps.a.outputs.title }}", "write $a.output.title"),
        ("${{ needs.a.result }}", "write $a.output"),
        ("${{ a }}", "write $a.output"),
        ("${{ x && a.title }}", "write $a.output.title"),
        ("$a.outputs", "write $a.output"),
        ("$a.outputs.title", "write $a.output.title"),
        ("$a.result", "write $a.output"),
        ("$a.stdout", "write $a.output"),
        ("$a[0].output", "write $a.output"),
        ("$a.status", "write $a.outcome.status"),
        ("$a.exit_code", "write $a.outcome.exit_status"),
        ("$a.outcome.state", "$a.outcome has status, code, message, exit_status, attempts, stderr"),
        ("{{ a.status }}", "write $a.outcome.status"),
        ("${{ inputs.mode }}", "write $INPUTS.mode"),
        ("{{ inputs.mode }}", "write $INPUTS.mode"),
        ("${INPUTS.mode}", "write $INPUTS.mode"),
        ("$inputs.mode", "write $INPUTS.mode"),
        ("${{ a.outcome.code }}", "write $a.outcome.code"),
    ],
)
def test_what_looks_like_a_reference(text: str, hint: str) -> None:
    """The hint ends with a reference that there is, or says which there are."""
    assert "has" in hint or find_references(hint.split()[-1])
    (found,) = hints(f"look at {text}, please").values()
    assert found == hint


@pytest.mark.parametrize(
    "text",
    [
        "$a.output",
        "$a.output.title",
        "$INPUTS.mode",
        "$INPUTS.{mode}-x",
        r"\$a.result",
        r"\${a.output}",
        "${b.output}",
        "{{ b.output }}",
        "{{ a }}",
        "{{ inputs.other }}",
        "${{ secrets.a }}",
        "${{ github.a.output }}",
        "${a}",
        "$a.md",
        "$a.resulting",
        "costs $a",
        "$RUN",
        "$RUN.md",
        "$ITEM_INDEXES",
    ],
)
def test_what_is_none(text: str) -> None:
    assert hints(text) == {}


@pytest.mark.parametrize(
    "script",
    [
        'for a in *; do echo "$a.status"; done',
        "a=1; echo $a.status",
        "while read -r x a; do echo $a.result; done",
        "# ${a.output}",
        "local a; echo $a.error",
    ],
)
def test_a_variable_of_the_script_is_its_own(script: str) -> None:
    assert hints(script, shell=True) == {}


def test_an_element_of_a_list_is_text_behind_the_reference() -> None:
    assert hints("$a.output[0]") == {"[0]": "$a.output is the whole: take one of its items in a script"}
    assert hints("$b.output[0] $a.output[x] $a.output [0] $a.0") == {}


def test_in_a_script_too() -> None:
    assert hints('echo "${a.output}" $a.status', shell=True) == {
        "${a.output}": "write $a.output",
        "$a.status": "write $a.outcome.status",
    }


def test_the_warning_and_its_place() -> None:
    text = "- {id: a, bash: x}\n- id: b\n  depends_on: [a]\n  prompt: |\n    First\n    look at {{ a.output }}.\n"
    loaded = load(text)
    problem = only(loaded, "warning")
    assert (problem.code, problem.hint) == ("not-a-reference", "write $a.output")
    assert problem.message == "{{ a.output }} is not a reference: it stays as it is"
    assert marked("name: demo\ndescription: A demonstration\n\nnodes:\n" + text, problem) == "{{ a.output }}"


def test_inline_code_has_its_own_braces() -> None:
    script = "const a = {output: 1}; console.log(`${a.output}`)"
    assert codes(load(f"- {{id: a, bash: x}}\n- id: b\n  runtime: node\n  script: '{script}'\n")) == []


@given(st.text(alphabet="$a{}[]. \\outpsesn_0INMOD|", max_size=60))
def test_nothing_in_a_text_is_both(text: str) -> None:
    """No warning at a place where a reference is: a right spelling is never called a wrong one."""
    places = {found.start for found in find_references(text)}
    assert not places & {found.start for found in find_lookalikes(text, NODES, INPUTS, shell=False)}


@pytest.mark.parametrize(
    ("piece", "end"), [("$a", ""), ("{{", ""), ("$a[", ""), ("\\", "${a.output}"), ("$a.status ", "")]
)
def test_a_hostile_text_takes_linear_time(piece: str, end: str) -> None:
    def read(text: str) -> None:
        list(find_lookalikes(text, NODES, INPUTS, shell=True))

    assert_linear(read, lambda size: piece * (size // len(piece)) + end, 2_000)
    read(piece * (400_000 // len(piece)) + end)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("$ITEM_INDEX", "a fan_out"), ("$ITEM_COUNT", "a fan_out"), ("$LOOP_PREV.a.output", "a loop_group")],
)
def test_a_name_outside_of_its_place_is_text(name: str, hint: str) -> None:
    problem = only(load(f"- {{id: a, prompt: 'see {name}'}}"), "warning")
    assert (problem.code, problem.path, problem.length) == ("not-a-reference", "nodes[0].prompt", len(name))
    assert problem.hint == f"it is a name only inside of {hint}"
