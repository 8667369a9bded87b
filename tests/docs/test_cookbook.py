"""The cookbook's workflows do what the page says, in a repository and with a stand-in for the agent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import console_blocks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_file())
AGENT = '''\
#!{python}
"""Answers the prompts of the examples, and changes files where they ask for it."""
import pathlib, re, subprocess, sys

prompt = sys.stdin.read()
if "command" in prompt and "succeed" in prompt:
    pathlib.Path("app.py").write_text("def add(a, b): return a + b\\n")
    print("add adds now")
elif "Three reviewers" in prompt:
    print('{{"merge": false, "findings": ["app.py:1: subtracts"]}}')
elif "Sort these issues" in prompt:
    print('Sorted:\\n```json\\n{{"urgent": [3], "waiting": [1, 2]}}\\n```')
elif "Draft a first answer" in prompt:
    print("#3: we are looking at it")
elif "Review the change of the file" in prompt:
    assert "return a - b" in prompt, prompt
    print('{{"findings": ["1: subtracts"]}}')
elif "Write an announcement" in prompt:
    print("Dark mode is here" if "shorter" in prompt else "You can now have it dark")
elif "Which one is better" in prompt:
    print('{{"better": "B", "why": "shorter"}}')
elif "said: Which flag is it?" in prompt:
    print("- The new flag is --strict")
elif "most frequent errors" in prompt:
    assert "ERROR N at N" in prompt, prompt
    print("Both lines say the same: a pointer into nowhere.")
elif "Do this in the file" in prompt:
    file = pathlib.Path(re.search(r"in the file (\\S+), and", prompt)[1])
    file.write_text("broken" if file.name == "hopeless.py" else file.read_text() + "# migrated\\n")
    if file.name == "hopeless.py":
        subprocess.run(["git", "rm", "-f", "--quiet", "--cached", "--ignore-unmatch", file.name])
    with open(".ion/asked", "a") as asked:
        print(file.name, pathlib.Path(re.search(r"a file (\\S+), it says", prompt)[1]).exists(), file=asked)
    print("done")
else:
    print("An answer.")
'''
FILES = {
    "Makefile": "test:\n\t@grep -q 'a + b' app.py\n",
    "requirements.txt": "flask==3.0.0\nrequests==2.31.0\n",
    "app.log": "INFO begin\nERROR 12 at 0x1f\nERROR 13 at 0x2f\n",
    "issues.json": '[{"number": 3, "title": "data is lost"}]\n',
    ".gitignore": ".ion/\n.no-settings/\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits with a function that is wrong and a test that says so."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Ana")
    git(folder, "config", "user.email", "ana@example.org")
    for text in ("", "def add(a, b): return a - b\n"):
        (folder / "app.py").write_text(text)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", "A step")
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "claude").write_text(AGENT.format(python=sys.executable))
    (folder / "gh").write_text("#!/bin/sh\n[ $2 = checks ] || echo merged $3\n")
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


def test_the_page_shows_what_happens(repository: Path, programs: Path) -> None:
    assert console_blocks.run(PAGE, repository, programs=programs) >= 16


def test_a_migration_gives_up_on_a_hopeless_file(repository: Path, programs: Path) -> None:
    """After three tries, with what the check said at hand; the file is as it was, also where it had changes that are
    not committed, the agent took it out of git, and git was locked at the last try; the others are done."""
    real = shutil.which("git")
    (programs / "git").write_text(f"""#!/bin/sh
case " $* " in *" restore "*)
  echo >> .git/restores
  [ $(wc -l < .git/restores) -ne 3 ] || {{ echo "fatal: Unable to create '.git/index.lock'" >&2; exit 128; }};;
esac
exec {real} "$@"
""")
    (programs / "git").chmod(0o755)
    for name in ("hopeless.py", "other.py"):
        (repository / name).write_text("x = 1\n")
    git(repository, "add", ".")
    (repository / "hopeless.py").write_text("x = 2\n")
    command = [
        sys.executable,
        "-m",
        "ion.cli",
        "run",
        "examples/migrate.yaml",
        "Do it",
        "--agent",
        "claude -p",
        "--quiet",
    ]
    command += ["--input", "files=*.py", "--input", 'check=! grep -H broken "$1"']
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("3 files, 1 given up\n  given up: hopeless.py\n"), run.stdout
    asked = sorted((repository / ".ion/asked").read_text().splitlines())
    assert asked == ["app.py False", "hopeless.py False", "hopeless.py True", "hopeless.py True", "other.py False"]
    assert [(repository / name).read_text() for name in ("hopeless.py", "other.py")] == [
        "x = 2\n",
        "x = 1\n# migrated\n",
    ]


def _upgraded(repository: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ion.cli", "run", "examples/upgrade.yaml", "--agent", "claude -p", "--quiet"]
    command += ["--input", "name=requests", "--input", "version=2.33.0", "--input", "check=false"]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def test_an_upgrade_that_fails_is_taken_back_and_what_was_not_committed_before_is_left(
    repository: Path, programs: Path
) -> None:
    pinned = (repository / "requirements.txt").read_text()
    assert _upgraded(repository, programs).returncode == 1
    assert (repository / "requirements.txt").read_text() == pinned
    (repository / "app.py").write_text("my work of today\n")
    refused = _upgraded(repository, programs)
    assert (refused.returncode, "commit your changes first" in refused.stderr) == (1, True)
    assert (repository / "app.py").read_text() == "my work of today\n"


def test_the_page_has_all_examples_and_ten_recipes() -> None:
    linked = re.findall(r"\]\(\.\./examples/([\w.-]+)\)", PAGE)
    assert sorted(linked) == [path.name for path in EXAMPLES]
    assert len(linked) >= 10


def test_no_example_has_a_problem(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ion.cli", "validate", "--strict", *map(str, EXAMPLES)]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
