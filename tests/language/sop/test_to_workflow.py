"""SOPs as workflows and as YAML: a chain of prompts that is the same every time, whichever way it is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from sop_kit import STEP, document, good

from ion.language.load import parse_workflow
from ion.language.sop import Sop, to_workflow, to_yaml
from ion.language.sop.export import field
from ion.language.workflow import Input, Workflow

FILES = sorted((Path(__file__).parent / "files").glob("*.sop.md"))
MANNERS = [
    {},
    {"context": "fresh"},
    {"split": True},
    {"split": True, "context": "fresh"},
]


def read(path: Path) -> Sop:
    return good(path.read_text(encoding="utf-8"), file=path.name)


def reloaded(sop: Sop) -> Workflow:
    """What the YAML loads to; nothing may be said of it."""
    loaded = parse_workflow(to_yaml(sop))
    assert loaded.problems == ()
    assert loaded.workflow is not None
    return loaded.workflow


def test_a_chain_of_prompts() -> None:
    """Fact 27."""
    nodes = to_workflow(good(document(steps=STEP + "\n### 2. B\n\nb\n\n### 3. C\n\nc\n"))).nodes
    assert [(node.id, node.kind, node.depends_on, node.continues) for node in nodes] == [
        ("a", "prompt", (), None),
        ("b", "prompt", ("a",), "a"),
        ("c", "prompt", ("b",), "b"),
    ]
    assert nodes[2].order == ("a",)


def test_parameters_are_inputs() -> None:
    lines = (
        '- **a** (required): x\n- **b** (optional, default: "{a}/y"): z\n- **c** (optional): w\n- **d** (default: 3): v'
    )
    assert to_workflow(good(document(parameters=lines))).inputs == (
        Input("a", required=True, description="x"),
        Input("b", has_default=True, default="{a}/y", description="z", refers_to=("a",)),
        Input("c", description="w", placeholder="{c}"),
        Input("d", has_default=True, default=3, description="v", type="integer"),
    )


@pytest.mark.parametrize("output_options", MANNERS, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_yaml_loads_to_the_same_workflow(path: Path, output_options: dict[str, object]) -> None:
    """Fact 47: ids, order, texts, inputs; only the file is another."""
    sop = replace(read(path), **output_options)
    workflow = to_workflow(sop)
    assert reloaded(sop) == replace(workflow, file="")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_same_source_gives_the_same_text(path: Path) -> None:
    """Fact 47."""
    assert to_yaml(read(path)) == to_yaml(read(path))
    assert to_workflow(read(path)) == to_workflow(read(path))
    assert Workflow.from_json(to_workflow(read(path)).to_json()) == to_workflow(read(path))


def test_yaml_is_for_reading() -> None:
    """Texts are literal blocks, and Unicode stands as it is."""
    sop = next(read(path) for path in FILES if path.name == "japanese.sop.md")
    text = to_yaml(sop)
    assert text.startswith("# Made from japanese.sop.md by 'ion convert'.\nname: japanese\n")
    assert "    prompt: |-\n      You carry out one step" in text
    assert "\\u" not in text
    assert "変更の手順書" in text


def test_numbered_sub_steps_become_nodes() -> None:
    """Each with the beginning of its step; sub-steps without numbers are chapters and stay together."""
    sop = replace(next(read(path) for path in FILES if path.name == "full.sop.md"), split=True)
    assert [node.id for node in to_workflow(sop).nodes] == [
        "setup",
        "explore-plan-the-hard-part-read",
        "explore-plan-the-hard-part-plan",
        "commit",
    ]
    chapters = good(document(steps="### 1. A\n\nx\n\n#### Design\n\ny\n\n#### 1.1 Z\n\nz\n"))
    assert len(to_workflow(replace(chapters, split=True)).nodes) == 1


def test_ids_of_sub_steps_are_unique() -> None:
    steps = "### 1. A\n\nx\n\n#### 1.1 B\n\ny\n\n#### 1.2 B\n\nz\n\n#### 1.3 準備\n\nw\n\n### 2. A B\n\nv\n"
    sop = replace(good(document(steps=steps)), split=True)
    assert [node.id for node in to_workflow(sop).nodes] == ["a-b-2", "a-b-3", "a-3", "a-b"]


def test_comments_show_where_a_gate_and_a_loop_would_go() -> None:
    """With the words that ask for them and their line."""
    sop = next(read(path) for path in FILES if path.name == "full.sop.md")
    comments = [line for line in to_yaml(sop).split("\n") if re.match(r"  # ", line)]
    assert comments[:4] == [
        "  # Line 92 says: go back to step 2.2",
        "  # Line 92 says: return to step 7",
        "  # Line 95 says: wait for explicit user confirmation",
        "  # A gate here would wait for a person (let the next step depend on it):",
    ]
    assert "  # - id: commit-gate" in comments
    assert "  #   loop:" in comments


def test_the_gate_in_the_comment_loads() -> None:
    """Without its '# ' it is a node."""
    sop = next(read(path) for path in FILES if path.name == "full.sop.md")
    text = to_yaml(sop).replace("  # - id: commit-gate", "  - id: commit-gate")
    start = text.index("  - id: commit-gate")
    gate = re.sub(r"(?m)^  #  ", "   ", text[start : text.index("  # A loop")])
    loaded = parse_workflow(text[:start] + gate + text[text.index("  # A loop") :])
    assert loaded.workflow is not None, loaded.problems
    assert loaded.workflow.by_id["commit-gate"].kind == "approval"


def test_without_an_overview_the_title_describes_it() -> None:
    assert to_workflow(good(document(overview=None))).description == "T"
    assert reloaded(good(document(overview=""))).description == "T"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "plain",
        "true",
        "no",
        "3",
        "a: b",
        "# c",
        "'",
        '"',
        "\\",
        "- x",
        "two\nlines",
        " first\nblank",
        "\nempty first",
        "\ttab\n x",
        "ends\n",
        "ends\n\n",
        "trailing  \nblanks ",
        "blank line\n   \nx",
        "a\u2028b\nc",
        "a\x85b",
        "\ufeffbom\nx",
        "🤖 é 日本\n…",
        "x" * 500,
        "--- \n...\n%x",
    ],
)
def test_every_text_comes_back_from_yaml(text: str) -> None:
    from ion.language.yaml import read_yaml

    written = "\n".join(["a:", *field("key", text, 2), *field("other", [1, "x"], 2), ""])
    assert read_yaml(written).value == {"a": {"key": text, "other": [1, "x"]}}
