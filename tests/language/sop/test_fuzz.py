"""Any text at all: a workflow or placed problems, never an exception, never a hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_prompts import lines, whole

from ion.language.load import parse_workflow
from ion.language.sop import parse_sop, to_workflow, to_yaml

FILES = sorted((Path(__file__).parent / "files").glob("*.sop.md"))
LINES = st.sampled_from(
    [
        "# T",
        "## Steps",
        "## Parameters",
        "## Overview",
        "## Constraints",
        "### 1. A",
        "### 2. B {a}",
        "### Step 3: $ARGUMENTS",
        "### 1.1 Part",
        "### Step 2.1: {a}",
        "### 2.1.1. deeper",
        "### Verdict Criteria",
        "#### 1.1 Sub",
        "#### Sub",
        "##### deep",
        "### Optional",
        "1. one",
        "2) **two**: x",
        "   1. nested",
        "- **a** (required): x",
        "* `b` (optional, default: {a}): y",
        '- **c** (default: "{c}"',
        "- **Bad Name** (maybe):",
        "**Task**: {task}",
        "**Constraints:**",
        "Constraints for parameter acquisition:",
        "- You MUST NOT `x`",
        "  - nested",
        "```",
        "~~~~",
        "    code",
        "> quote",
        "> ## Steps",
        "---",
        "=====",
        "<!-- c",
        "-->",
        "| a | b |",
        "text with {a}, ${a}, {{a}}, $a.output and \\{a}",
        "return to step 9 and wait for the user",
        "name: x",
        "",
        "",
        "  ",
        "\t",
        "手順 １．準備",
        "a\u2028b",
    ]
)
DOCUMENTS = st.lists(LINES, max_size=40).map("\n".join)
MOSTLY_GOOD = st.lists(LINES, max_size=25).map(
    lambda found: "# T\n\n## Parameters\n\n- **a** (required): x\n\n## Steps\n\n### 1. A\n\nx\n\n" + "\n".join(found)
)


def check(text: str) -> None:
    """What holds of every text."""
    parsed = parse_sop(text, file="x.sop.md")
    count = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    for problem in parsed.problems:
        assert 1 <= problem.line <= max(1, count)
        assert problem.column >= 1
        assert problem.code
        assert problem.message
    assert parsed == parse_sop(text, file="x.sop.md")
    if parsed.sop is None:
        assert parsed.errors
        return
    assert not parsed.errors
    for sop in (parsed.sop, replace(parsed.sop, split=True)):
        assert lines(sop.source) <= set().union(*(lines(one) for one in whole(sop)))
    for sop in (parsed.sop, replace(parsed.sop, split=True, context="fresh")):
        assert to_yaml(sop) == to_yaml(sop)
        loaded = parse_workflow(to_yaml(sop))
        assert loaded.workflow is not None, loaded.problems
        assert loaded.workflow.nodes == to_workflow(sop).nodes
        assert loaded.workflow.inputs == to_workflow(sop).inputs


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_any_lines(text: str) -> None:
    check(text)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MOSTLY_GOOD)
def test_lines_below_a_good_beginning(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    check(text.encode("utf-8", "replace").decode())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([path.read_text(encoding="utf-8") for path in FILES]), st.data())
def test_a_real_shape_with_a_piece_cut_out_or_doubled(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 400)))
    times = data.draw(st.sampled_from([0, 2]))
    check(text[:start] + text[start:end] * times + text[end:])


HOSTILE = {
    "headings": "# T\n\n## Steps\n\n" + "### 1. A\n\nx\n\n" * 3000,
    "backticks": "# T\n\n## Steps\n\n### 1. A\n\n**Constraints:**\n- " + "".join("`" * n + "a" for n in range(900)),
    "quotes": "# T\n\n## Steps\n\n### 1. A\n\n" + ">" * 100_000,
    "bullets": "# T\n\n## Steps\n\n### 1. A\n\n" + "- " * 50_000,
    "parentheses": "# T\n\n## Parameters\n\n- **a** " + "(" * 100_000 + "\n\n## Steps\n\n### 1. A\n\nx",
    "unclosed": "# T\n\n## Parameters\n\n" + "- **a** (required: `x\n" * 5_000 + "\n## Steps\n\n### 1. A\n\nx",
    "stars": "# T\n\n## Steps\n\n### 1. A\n\n" + "**a" * 50_000 + "\n\n" + "*_" * 50_000,
    "braces": "# T\n\n## Parameters\n\n- **a** (required): x\n\n## Steps\n\n### 1. A\n\n"
    + "{a" * 50_000
    + "{a}" * 5_000,
    "slashes": "# T\n\n## Steps\n\n### 1. A\n\n" + "\\" * 50_000 + "$ARGUMENTS",
    "links": "# T\n\n## Steps\n\n### 1. " + "[a](" * 20_000 + "\n\nx",
    "references": "# T\n\n## Steps\n\n### 1. A\n\n" + "[a]: b\n" * 20_000,
    "names": "# T\n\n## Parameters\n\n- **project_name** (required): x\n\n## Steps\n\n### 1. A\n\n"
    + " ".join(f"{{projct_nam{n}}}" for n in range(5_000)),
    "waiting": "# T\n\n## Steps\n\n### 1. A\n\n" + "wait for " * 20_000 + "\n" + "return to the " * 20_000,
    "defaults": "# T\n\n## Parameters\n\n"
    + "".join(f'- **a{n}** (optional, default: "{{a{n + 1}}}"): x\n' for n in range(3_000))
    + "\n## Steps\n\n### 1. A\n\nx",
    "numbers": "# T\n\n## Steps\n\n### " + "1." * 20_000 + " A\n\nx",
    "items": "# T\n\n## Steps\n\n" + "1. same\n" * 1_500,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_no_time(name: str) -> None:
    """All of these are under half a megabyte; nothing in them grows with the square of its length."""
    parsed = parse_sop(HOSTILE[name])
    if parsed.sop is not None:
        to_workflow(parsed.sop)
