"""SOPs for other tools: agent skills and commands of an editor, by their rules."""

from __future__ import annotations

import re

import pytest
from sop_kit import STEP, document, good

from ion.language.sop.export import to_cursor, to_skill
from ion.language.yaml import read_yaml


def front(text: str) -> dict[str, str]:
    """The front matter of a file, which must be YAML."""
    found = re.match(r"---\n(.*?)\n---\n\n", text, re.DOTALL)
    assert found
    document = read_yaml(found[1])
    assert not document.problems
    assert isinstance(document.value, dict)
    return document.value


def test_a_skill_is_a_folder_of_its_name() -> None:
    skill = to_skill(good(document(overview="What it is for."), file="pay-bills.sop.md"))
    assert skill.path == "pay-bills/SKILL.md"
    assert front(skill.text) == {"name": "pay-bills", "description": "What it is for."}
    assert skill.text.endswith(f"\n\n{document(overview='What it is for.')}")


@pytest.mark.parametrize(
    "overview", ["a: b # c", "`code` first", "- dash", '"quoted" \\ it', "多: 言語", "'", "%x", "yes"]
)
def test_any_overview_is_a_valid_description(overview: str) -> None:
    assert front(to_skill(good(document(overview=overview))).text)["description"] == " ".join(overview.split())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.b.sop.md", "a-b"),
        ("Code_Assist.sop.md", "code-assist"),
        ("--x--.sop.md", "x"),
        ("手順.sop.md", "t"),
        (f"{'long-' * 20}.sop.md", ("long-" * 13)[:64].strip("-")),
    ],
)
def test_names_of_skills(file: str, name: str) -> None:
    """1 to 64 small letters, digits and single hyphens, and the folder is called the same."""
    skill = to_skill(good(document(), file=file))
    assert front(skill.text)["name"] == name
    assert skill.path == f"{name}/SKILL.md"
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 64


def test_a_long_description_ends_at_a_word() -> None:
    description = front(to_skill(good(document(overview="word " * 400))).text)["description"]
    assert len(description) <= 1024
    assert description.endswith("word…")


def test_front_matter_of_the_sop_is_not_repeated() -> None:
    skill = to_skill(good(f"---\nname: other\ndescription: d\n---\n{document()}"))
    assert front(skill.text) == {"name": "other", "description": "d"}
    assert skill.text.count("---\n") == 2


def test_a_command_for_cursor() -> None:
    """The SOP as it is, and before it what to do with the words behind the command."""
    lines = "- **task** (required): what\n  to do\n- **mode** (optional): how"
    command = to_cursor(good(document(parameters=lines), file="pay.sop.md"))
    assert command.path == "pay.md"
    head, body = command.text.split("\n---\n\n", 1)
    assert body == document(parameters=lines)
    assert "- task (required): what to do\n- mode (optional): how" in head
    assert "for those of task that I have not given" in head
    assert STEP.strip() in body
