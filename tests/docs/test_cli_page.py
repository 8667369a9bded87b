"""docs/cli.md says what the commands themselves say."""

from __future__ import annotations

import pytest

import cli_page
from ion.cli.main import COMMANDS
from ion.errors import RUN_STATUS_EXIT

PAGE = cli_page.PAGE.read_text(encoding="utf-8")


def test_the_commands_stand_there_as_help_prints_them() -> None:
    """A difference: `uv run python tests/cli_page.py` writes that part of the page anew."""
    assert cli_page.between_markers(PAGE) == cli_page.generated().strip(), (
        "docs/cli.md differs from --help; uv run python tests/cli_page.py writes it anew"
    )


def test_updating_changes_nothing_outside_of_the_markers() -> None:
    stale = PAGE.replace(cli_page.between_markers(PAGE), "something old")
    assert cli_page.updated(stale) == PAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_section(command: str) -> None:
    assert f"\n### ion {command}\n" in PAGE


@pytest.mark.parametrize("status", sorted(set(RUN_STATUS_EXIT.values())))
def test_every_exit_status_of_a_run_is_explained(status: int) -> None:
    assert f"\n| {status} | " in PAGE
