"""docs/cli.md says what the commands themselves say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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


WORKFLOWS = """
name: both
description: A prompt and a gate that wait, and two steps
nodes:
  - {id: step, bash: echo done}
  - {id: after, depends_on: [step], bash: "true"}
  - {id: ask, prompt: "Say something"}
  - {id: gate, approval: {message: "Go on?"}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that waits, and a workflow that does not load."""
    folder: Path = tmp_path_factory.mktemp("project")
    (folder / ".ion" / "workflows").mkdir(parents=True)
    (folder / ".ion" / "workflows" / "both.yaml").write_text(WORKFLOWS)
    (folder / "broken.yaml").write_text("name: broken\nnodes: []\n")
    assert ion(folder, "run", "both", "--run-id", "r1", "--quiet")[0] == 3
    return folder


def ion(folder: Path, *arguments: str) -> tuple[int, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("ION_")}
    command = [sys.executable, "-m", "ion.cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout


def keys(value: Any) -> set[str]:
    """The keys of an object and of the objects in its lists; a mapping from a name to something has no fixed keys."""
    if isinstance(value, list):
        return set().union(*(keys(item) for item in value if isinstance(item, dict)))
    return set(value).union(*(keys(item) for item in value.values() if isinstance(item, list)))


def documented(row: str) -> set[str]:
    """The keys that the JSON table gives in the row that begins with `row`."""
    found = re.search(rf"^\| {re.escape(row)}.*? \| (.*) \|$", PAGE, re.MULTILINE)
    assert found is not None
    return set(re.findall(r'"(\w+)"', found[1]))


@pytest.mark.parametrize(
    ("row", "command"),
    [
        ("`next`", "next r1"),
        ("`runs`", "runs"),
        ("`list`", "list"),
        ("`validate`", "validate broken.yaml"),
        ("`graph`", "graph both"),
        ("`logs`", "logs r1"),
        ("`init`", "init"),
    ],
)
def test_the_shapes_of_json(row: str, command: str, project: Path) -> None:
    assert keys(json.loads(ion(project, *command.split(), "--json")[1])) == documented(row)


def test_the_shape_of_doctor(project: Path) -> None:
    assert set(json.loads(ion(project, "doctor", "--json")[1])) == documented("`doctor`")


def test_the_shape_of_a_run(project: Path) -> None:
    block = re.search(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    shown, printed = json.loads(block[1]), json.loads(ion(project, "show", "r1", "--json")[1])
    assert set(printed) == set(shown)
    assert set(printed["nodes"]["step"]) == set(shown["nodes"]["fetch"])
    assert set(printed["waiting"][1]) == set(shown["waiting"][0])


def test_the_shape_of_a_node(project: Path) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| `show RUN NODE`"))
    run = json.loads(ion(project, "show", "r1", "--json")[1])
    further = set(re.findall(r"`(\w+)`", row))
    node = json.loads(ion(project, "show", "r1", "step", "--json")[1])
    assert set(node) == {"run_id", "node", "kind"} | set(run["nodes"]["step"]) | further


def test_the_shape_of_an_event_and_of_an_error(project: Path) -> None:
    events = [json.loads(line) for line in ion(project, "events", "r1")[1].splitlines()]
    assert all({"run_id", "seq", "type", "at"} <= set(event) for event in events)
    status, printed = ion(project, "show", "nothing", "--json")
    assert (status, set(json.loads(printed)["error"])) == (2, {"code", "message", "hint"})
