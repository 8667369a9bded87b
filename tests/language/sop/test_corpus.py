"""The SOPs that ship with Agent SOP, where a copy of them is: the folder that ION_TEST_SOP_CORPUS names (fact 40)."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

import ion
from ion.language.load import parse_workflow
from ion.language.references import Resolved, render
from ion.language.sop import parse_sop, to_workflow, to_yaml
from ion.language.workflow import InputReference, Prompt, Reference

CORPUS = Path(os.environ.get("ION_TEST_SOP_CORPUS") or "nowhere")
# steps, constraints, parameters; then must, must_not, should, should_not, may; then rules without a reason.
COUNTS = {
    "code-assist": ((5, 121, 7), (91, 8, 17, 0, 5), 1),
    "code-task-generator": ((6, 46, 4), (43, 3, 0, 0, 0), 2),
    "codebase-summary": ((6, 47, 7), (41, 4, 2, 0, 0), 0),
    "eval": ((6, 44, 4), (39, 2, 2, 0, 1), 2),
    "pdd": ((8, 94, 3), (69, 11, 8, 0, 6), 0),
}
LINT = {"reasonless", "sop-jump", "sop-confirmation"}
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="ION_TEST_SOP_CORPUS names no folder")


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    parsed = parse_sop((CORPUS / f"{name}.sop.md").read_text(encoding="utf-8"), file=f"{name}.sop.md")
    sop = parsed.sop
    assert sop is not None
    shape, levels, reasonless = COUNTS[name]
    assert (len(sop.steps), len(sop.constraints), len(sop.parameters)) == shape
    found = Counter(one.level for one in sop.constraints)
    assert tuple(found[level] for level in ("must", "must_not", "should", "should_not", "may")) == levels
    codes = Counter(one.code for one in parsed.problems)
    assert codes.keys() <= LINT
    assert codes["reasonless"] == reasonless


def test_the_stale_jumps_of_code_assist() -> None:
    """Fact 45: steps 6 and 5.2, neither of which exists."""
    parsed = parse_sop((CORPUS / "code-assist.sop.md").read_text(encoding="utf-8"))
    jumps = [one for one in parsed.problems if one.code == "sop-jump"]
    assert [(one.line, one.message.split('"')[1]) for one in jumps] == [(288, "step 6"), (288, "return to step 5.2")]
    assert parsed.sop is not None
    assert [len(step.substeps) for step in parsed.sop.steps] == [0, 3, 2, 4, 0]
    assert len(parsed.sop.steps[1].constraints) == 25


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.sop.md")), ids=lambda path: path.name)
def test_nothing_is_lost_and_the_yaml_loads_to_the_same(path: Path) -> None:
    sop = ion.load_sop(path)

    def by_name(reference: Reference) -> Resolved:
        return Resolved(f"{{{reference.name}}}" if isinstance(reference, InputReference) else "<value>")

    bodies = [node.body for node in to_workflow(sop).nodes]
    texts = {line for body in bodies if isinstance(body, Prompt) for line in render(body.text, by_name).split("\n")}
    source = path.read_text(encoding="utf-8").split("\n")
    assert [line for line in source if line.strip() and line not in texts] == []
    for output_options in (sop, replace(sop, split=True), replace(sop, context="fresh")):
        loaded = parse_workflow(to_yaml(output_options))
        assert loaded.problems == ()
        assert loaded.workflow is not None
        assert loaded.workflow.nodes == to_workflow(output_options).nodes
        assert loaded.workflow.inputs == to_workflow(output_options).inputs
