"""Where a test is found: a folder for each room, a file for each command."""

from __future__ import annotations

from pathlib import Path

import pytest

import ion
from ion.cli.main import COMMANDS

TESTS = Path(__file__).parent
ROOMS = sorted(file.parent.name for file in Path(ion.__file__).parent.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_has_its_folder(room: str) -> None:
    assert list((TESTS / room).glob("test_*.py")), f"tests/{room} has no tests"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_file(command: str) -> None:
    assert (TESTS / "cli" / f"test_{command}.py").is_file()
