"""docs/agents.md says what is: its table of presets, its table of options, its settings."""

from __future__ import annotations

import re
from pathlib import Path

from ion.agents.presets import NAMES, Preset
from ion.api.settings import preset, read_settings

PAGE_FILE = Path(__file__).parents[2] / "docs" / "agents.md"
PAGE = PAGE_FILE.read_text(encoding="utf-8")


def commands() -> list[Preset]:
    return [found for name in NAMES if not name.endswith("-acp") and (found := preset(name)) is not None]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = PAGE[PAGE.index(f"\n## {heading}\n") :]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert lines is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


def test_the_presets_are_those_of_the_file() -> None:
    shown = {row[0].strip("`"): row[1:] for row in rows("Presets")}
    assert list(shown) == [one.name for one in commands()]
    for one in commands():
        program, _how, sessions = shown[one.name]
        assert program.strip("`") == one.command[0]
        assert (sessions == "yes") == bool(one.resume), one.name
    assert all(f"`{name}`" in PAGE for name in NAMES)


def test_the_page_for_users_of_archon_names_the_agents_with_sessions() -> None:
    page = PAGE_FILE.with_name("from-archon.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `context`")]
    anew = row.split("`--session`")[1]
    for one in commands():
        assert (f"`{one.name}`" in row.removesuffix(anew)) == bool(one.resume), one.name
        assert (f"`{one.name}`" in anew) != bool(one.resume), one.name
    assert not any({"hooks", "skills"} & one.options.keys() for one in commands())


def test_the_options_are_handed_to_those_agents() -> None:
    columns = ("claude", "codex", "gemini", "opencode")
    for names, *cells in rows("Options"):
        for option in re.findall(r"`(\w+)`", names):
            for name, cell in zip(columns, cells[:4], strict=True):
                assert (cell != "–") == has(name, option), (option, name)
            others = [one.name for one in commands() if one.name not in columns and has(one.name, option)]
            expected = [one.name for one in commands() if one.name not in columns] if cells[4] == "all" else others
            assert (
                others == expected if cells[4] == "all" else sorted(re.findall(r"`(\w+)`", cells[4])) == sorted(others)
            )


def has(name: str, option: str) -> bool:
    found = preset(name)
    assert found is not None
    return bool(found.schema) if option == "output_format" else option in found.options


def test_the_settings_can_be_used(tmp_path: Path) -> None:
    block = re.search(r"^```yaml\n(# \.ion/config\.yaml\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    file = tmp_path / "config.yaml"
    file.write_text(block[1])
    read = read_settings(file, tmp_path / "none")
    assert read.agent in read.agents
    assert read.agents["mine"].parser == "json"
