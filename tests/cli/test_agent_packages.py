"""Agents that are packages of npm: named with their version, downloaded once somebody has said so, and never else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .kit import Project
from .terminals import Terminal

PACKAGE = "@agentclientprotocol/codex-acp@2.6.0"
# As npm, of whose words these are what matters: it makes the program, and says what it fetches.
NPM = """#!/bin/sh
echo "$@" >> "$HOME/npm-was-asked"
if [ -e "$HOME/npm-fails" ]; then echo "npm error no network" >&2; exit 1; fi
mkdir -p "$3/node_modules/.bin"
echo "npm http fetch GET 200" >&2
printf '#!/bin/sh\\n' > "$3/node_modules/.bin/codex-acp"
chmod +x "$3/node_modules/.bin/codex-acp"
"""


@pytest.fixture
def asks(project: Project) -> Project:
    """A project whose workflow asks an agent that is a package, on a machine with npm and without that agent."""
    project.write("asks", "name: asks\ndescription: d\nnodes: [{id: a, agent: codex-acp, prompt: hi}]\n")
    npm = project.folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(NPM)
    npm.chmod(0o755)
    return project


def path(project: Project) -> str:
    return f"{project.folder / 'bin'}:/usr/bin:/bin"


def asked(project: Project) -> str:
    file = project.folder / "npm-was-asked"
    return file.read_text() if file.exists() else ""


def test_nothing_is_downloaded_without_a_word(asks: Project) -> None:
    started = asks.run("run", "asks", PATH=path(asks))
    assert started.status == 2
    assert f"codex-acp (of npm's {PACKAGE}), the agent of the node a, is not installed" in started.err
    assert "ion agents --install codex-acp" in started.err
    installed = asks.run("agents", "--install", "codex-acp", PATH=path(asks))
    assert installed.status == 2
    assert PACKAGE in installed.err
    assert "ion agents --install codex-acp --yes" in installed.err
    checked = asks.run("agents", "--check", "codex-acp", PATH=path(asks))
    assert "install it: ion agents --install codex-acp" in checked.out
    assert asked(asks) == ""


def test_with_a_word_it_is_downloaded_once_and_used(asks: Project) -> None:
    first, again = (asks.run("agents", "--install", "codex-acp", "--yes", PATH=path(asks)) for _ in range(2))
    assert (first.status, again.status) == (0, 0), first.err
    assert "npm http fetch" in first.err
    assert asked(asks).split()[-1] == PACKAGE
    assert asked(asks).count("install") == 1
    assert Path(first.out.strip()).is_file()
    listed = {one["name"]: one for one in asks.run("agents", "--json", PATH=path(asks)).json("agents")}
    assert listed["codex-acp"]["path"] == first.out.strip() == again.out.strip()


def test_a_download_that_fails_leaves_nothing(asks: Project) -> None:
    (asks.folder / "npm-fails").touch()
    failed = asks.run("agents", "--install", "codex-acp", "--yes", PATH=path(asks))
    assert failed.status == 1
    assert f"npm did not install {PACKAGE}" in failed.err
    assert list(Path(f"{asks.folder}-state", "ion", "agents").iterdir()) == []


@pytest.mark.parametrize("name", ["claude", "nobody"])
def test_what_is_not_a_package_is_not_downloaded(asks: Project, name: str) -> None:
    said = asks.run("agents", "--install", name, "--yes", PATH=path(asks))
    assert said.status == 2
    assert f"the agent '{name}' is not a package that Ion can download" in said.err


def test_a_person_at_a_terminal_is_asked_when_a_run_needs_it(asks: Project, terminal: Callable[..., Terminal]) -> None:
    no = terminal("run", "asks", PATH=path(asks), CI="")
    no.until("Download it?")
    no.type("n")
    no.end()
    assert asked(asks) == ""
    yes = terminal("run", "asks", PATH=path(asks), CI="")
    yes.until("Download it?")
    yes.type("y")
    yes.end()
    assert asked(asks).split()[-1] == PACKAGE
