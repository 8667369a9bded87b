"""What the README claims: its commands, its workflow, its links."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import console_blocks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the examples and one commit."""
    folder = tmp_path / "checkout"
    (folder / "examples").mkdir(parents=True)
    for example in (ROOT / "examples").iterdir():
        (folder / "examples" / example.name).write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "issues.db").write_text("42 Tokens expire a day early\n")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote")], check=True)
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org"]
    origin = ["remote", "add", "origin", str(tmp_path / "remote")]
    for command in (["init", "-q"], origin, ["add", "."], [*who, "commit", "-q", "-m", "The first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "push", "-q", "-u", "origin", "HEAD"], cwd=folder, check=True)
    return folder


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """`pip` and `uv` that have nothing to fetch (this very Ion is what they would install), and stand-ins for what the
    workflow calls."""
    folder = tmp_path / "programs"
    folder.mkdir()
    programs = {
        "pip": "exit 0",
        "uv": 'shift 2  # run --no-dev\nexec "$@"',
        "gh": """case "$1" in
            issue) [ -e issues.db ] || { echo "issues.db: no such file" >&2; exit 1; }; cat issues.db;;
            pr) echo "https://github.com/acme/app/pull/77";;
            esac""",
        "claude": """case "$(cat)" in
            *"bug or a feature"*) echo '{"type": "bug"}';;
            *) echo "Fixed the expiry check and added a test. DONE";;
            esac""",
        "make": "exit 0",
    }
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def test_what_is_marked_as_tested_happens(repository: Path, installed: Path) -> None:
    for step in console_blocks.steps(README):
        if isinstance(step, console_blocks.File):
            (repository / step.path).parent.mkdir(parents=True, exist_ok=True)
            (repository / step.path).write_text(step.text)
    assert console_blocks.run(README, repository, only_marked=True, programs=installed) >= 12


def test_every_command_of_the_page_is_run() -> None:
    marked = list(console_blocks.steps(README, only_marked=True))
    commands = [step for step in console_blocks.steps(README) if isinstance(step, console_blocks.Command)]
    assert [step for step in marked if isinstance(step, console_blocks.Command)] == commands


def ion(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ion.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def write_the_workflows(folder: Path) -> None:
    (folder / ".ion" / "workflows").mkdir(parents=True)
    for step in console_blocks.steps(README):
        if isinstance(step, console_blocks.File):
            (folder / step.path).write_text(step.text)


def test_its_workflows_have_no_problem_and_a_plan(tmp_path: Path) -> None:
    write_the_workflows(tmp_path)
    checked = ion(tmp_path, "validate", "--strict")
    assert (checked.returncode, checked.stdout) == (0, "no problems in 2 files\n")
    planned = ion(tmp_path, "run", "fix-issue", "--input", "issue=42", "--dry-run")
    assert (planned.returncode, planned.stdout) == (0, "[dry run: publish]\n"), planned.stderr


def test_the_loop_of_the_workflow_wants_the_word_and_the_tests(
    repository: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent says DONE, and `make test` fails the first time: it is asked again."""
    write_the_workflows(repository)
    (installed / "make").write_text("#!/bin/sh\n[ -e tried ] || { touch tried; exit 1; }\n")
    monkeypatch.setenv("PATH", f"{installed}:{os.environ['PATH']}")
    ran = ion(repository, "run", "fix-issue", "--input", "issue=42", "--agent", "claude -p", "--json")
    found = json.loads(ran.stdout)
    assert (found["status"], found["nodes"]["fix"]["iterations"]) == ("paused", 2), ran.stderr


def test_the_program_runs(tmp_path: Path) -> None:
    """With a workflow of that name and an agent: the block itself has neither."""
    (tmp_path / ".ion" / "workflows").mkdir(parents=True)
    (tmp_path / ".ion" / "workflows" / "w.yaml").write_text("""
name: fix-issue
description: A prompt
inputs: {issue: {required: true}}
nodes:
  - {id: ask, prompt: "about $INPUTS.issue"}
""")
    found = re.search(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    program = [sys.executable, "-c", f"ask_my_model = str.upper\n{found[1]}"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "completed ABOUT 42\n", done.stderr


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(_anchor, headings), target


def test_the_first_look_is_short_and_the_picture_is_of_it() -> None:
    """What the README shows first was recorded from the workflow that it runs first."""
    above, _, _ = README.partition("## Install it")
    picture = (ROOT / "docs/images/tour.svg").read_text(encoding="utf-8")
    assert "docs/images/tour.svg" in above
    assert "ion run examples/tour.yaml" in above
    assert "examples/tour.yaml" in picture
    assert {"Killed", "[a]pprove"} <= set(re.findall(r"Killed|\[a\]pprove", picture))
    assert len(picture.encode()) <= 150_000
    assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)", picture)


def test_every_page_is_named_in_the_readme() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in README, page.name


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_says_at_its_head_for_whom_it_is(page: Path) -> None:
    heading, empty, reader, *_ = page.read_text(encoding="utf-8").splitlines()
    assert heading.startswith("# ")
    assert (empty, reader[:5]) == ("", "*For ")
