"""What is not Unicode, for every command: bytes in paths, file names, the environment and outputs are carried along as
they are and shown as U+FFFD; in an argument, or in a file that is to be read as text, they are refused by name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ion.cli.main import COMMANDS
from processes import PATIENCE_S

from .kit import COMMAND, Ion, Project, Result

ODD = os.fsdecode(b"odd\xff")
# Words that make a command work in `project`; those that serve for ever, or that ask a terminal, are not among them.
WORDS: dict[str, list[list[str]]] = {
    "run": [["it", "--run-id", "other"], ["it", "--json"], ["it", "--events"], ["it", "--dry-run"], ["--detach", "it"]],
    "list": [[], ["--json"]],
    "validate": [[], ["--json"]],
    "graph": [["it"], ["it", "--run", "mine", "--format", "svg"], ["it", "--json"]],
    "runs": [[], ["--json"]],
    "show": [["mine"], ["mine", "--json"], ["mine", "say"], ["mine", "say", "--json"], ["mine", "gate"]],
    "watch": [["mine"]],
    "events": [["mine"]],
    "logs": [["mine"], ["mine", "--json"], ["mine", "--follow"]],
    "output": [["mine", "say"]],
    "approve": [["mine", "gate", "--no-resume"]],
    "reject": [["mine", "gate", "--json"]],
    "respond": [["mine", "gate", "approve", "--no-resume"]],
    "next": [["mine"], ["mine", "--json"]],
    "submit": [["mine", "ask", "--file", "answer", "--json"]],
    "resume": [["mine"]],
    "rerun": [["mine", "--from", "say"]],
    "signal": [["mine", "there", "--no-resume"], ["mine", "there", "--data", '"x"', "--json", "--no-resume"]],
    "cancel": [["mine", "--json"]],
    "tick": [[], ["--json"]],
    "schedules": [[], ["--json"]],
    "schedule": [["--help"]],  # it refuses such a project, with a word
    "serve": [["--help"]],
    "convert": [["sort.sop.md"]],
    "sop": [["rule"]],
    "export": [["mine", "--output", "run.ion"]],
    "import": [["run.ion", "--store", "file:other"]],
    "agents": [[], ["--json"]],
    "prune": [["--older-than", "1h", "--yes"]],
    "doctor": [[], ["--json"]],
    "help": [[], ["agents"]],
    "schema": [[]],
    "completion": [["bash"]],
    "init": [[]],
}
WORKFLOW = """
name: it
description: Prints what is not UTF-8.
nodes:
  - {id: say, bash: "printf 'x\\\\xffy'; printf 'e\\\\xff' >&2"}
  - {id: gate, depends_on: [say], approval: {message: "It is $say.output. Go?"}}
  - {id: ask, depends_on: [say], prompt: What is $say.output?}
  - {id: wait, depends_on: [say], wait: {event: there}}
"""
SOP = "# Sort\n\n## Overview\n\nSorts.\n\n## Steps\n\n### 1. Look\n\nLook.\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose path, one workflow file and environment hold such a byte."""
    made = Project(tmp_path / ODD)
    made.write("it", WORKFLOW)
    made.write(ODD, "name: odd\ndescription: in an odd file\nnodes: [{id: a, bash: 'true'}]\n")
    (made.folder / "sort.sop.md").write_text(SOP)
    (made.folder / "answer").write_text("an answer")
    return made


def raw(project: Project, *words: str) -> Result:
    """A command that prints a program's bytes as they are."""
    done = subprocess.run([*COMMAND, *words], cwd=project.folder, capture_output=True, timeout=PATIENCE_S, check=False)
    return Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"mcp", "worker"}))
def test_bytes_that_are_not_utf8_stop_no_command(
    command: str, ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ODD, ODD)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder / ODD))
    assert ion("run", "it", "--run-id", "mine", "--quiet").status == 3
    if command == "import":
        assert ion("export", "mine", "--output", "run.ion").status == 0
    for words in WORDS[command]:
        # bytes on stdout, or a child that stays behind
        own = command in ("logs", "output") or "--detach" in words
        result = raw(project, command, *words) if own else ion(command, *words)
        assert result.status in (0, 3, 4), (words, result)
        assert "bug in Ion" not in result.err
        if "--json" in words or "--events" in words:
            assert "\\udc" not in result.out
            for text in [result.out] if "--json" in words else result.out.splitlines():
                json.loads(text)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_an_argument_that_is_not_utf8_is_refused_by_every_command(command: str, ion: Ion) -> None:
    for words in ([ODD], ["--store", f"file:{ODD}"]):
        result = ion(command, *words, "--json")
        assert (result.status, result.json()["error"]["code"]) == (2, "usage")
        assert "is not UTF-8 text" in result.json()["error"]["message"]


def test_names_that_are_not_unicode_are_refused_by_the_library(project: Project) -> None:
    import ion as library
    from ion.errors import IonError

    for name in ("half \ud83d", ODD):
        for call in (
            lambda name=name: library.create_store(f"sqlite:{name}\ud800"),
            lambda name=name: library.create_store(f"postgresql://{name}"),
            lambda name=name: library.execute_workflow_sync(name, project=project.folder, store="memory:"),
            lambda name=name: library.execute_workflow_sync("it", project=project.folder, store="memory:", run_id=name),
        ):
            with pytest.raises(IonError):
                call()


def test_half_a_pair_in_what_a_program_hands_over_becomes_a_sign_for_it(project: Project) -> None:
    """A text for bash is what its bytes are: half of a pair has none."""
    import ion as library

    text = "name: half\ndescription: d\ninputs: {a: {}}\nnodes:\n  - {id: a, bash: 'echo \"$INPUTS.a $ARGUMENTS\"'}\n"
    result = library.execute_workflow_sync(
        project.write("half", text),
        inputs={"a": "x\ud83d"},
        arguments="y\ud83d",
        project=project.folder,
        store="memory:",
    )
    assert result.output == "x\ufffd y\ufffd"
