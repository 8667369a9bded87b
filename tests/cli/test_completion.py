"""`ion completion`: what a shell completes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .kit import COMMAND, Project

HELLO = "name: hello\ndescription: Says <hello> & more\nnodes:\n  - {id: a, bash: 'echo hi'}\n"


GATE = """
name: gate
description: d
nodes:
  - id: g
    approval: {message: ok?, decisions: [{id: approve, label: Y}, {id: hold, label: H}]}
  - {id: after, depends_on: [g], when: "$g.output.decision == 'approve'", bash: 'true'}
"""
FAN = f"""
name: fan
description: d
nodes:
  - id: each
    fan_out: {{items: {[*range(120)]}, max_parallel: all}}
    group: {{nodes: [{{id: a, cancel: x, when: "$ITEM_INDEX == 999"}}]}}
  - id: lg
    loop_group: {{until: DONE, max_iterations: 1, nodes: [{{id: n, bash: "echo '<promise>DONE</promise>'"}}]}}
"""


def complete(project: Project, *words: str, shell: str = "bash") -> list[str]:
    """What a shell is given for these words."""
    line = {"COMP_WORDS": " ".join(["ion", *words]), "COMP_CWORD": str(len(words))}
    if shell == "fish":
        line = {"COMP_WORDS": " ".join(["ion", *words]), "COMP_CWORD": words[-1]}
    done = project.run(_ION_COMPLETE=f"{shell}_complete", **line)
    assert done.err == ""
    return [line for line in done.out.splitlines() if line]


def names(found: list[str]) -> list[str]:
    return [line.partition(",")[2] for line in found]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Runs and workflows to complete; nothing that is completed changes them."""
    project = Project(tmp_path_factory.mktemp("waiting"))
    project.write("gate", GATE)
    project.write("hello", HELLO)
    (project.folder / ".ion" / "workflows" / "broken.yaml").write_text("name: broken\n")
    project.write(
        "asks",
        "name: asks\ndescription: d\ninputs: {who: {description: Who}, level: {enum: [low, high], default: low}}\n"
        "nodes: [{id: p, prompt: 'say $INPUTS.level'}]\n",
    )
    project.write("fan", FAN)
    assert project.run("run", "fan", "--run-id", "fanned", "--quiet").status == 0
    assert project.run("run", "gate", "--run-id", "ended", "--quiet").status == 3
    assert project.run("respond", "ended", "g", "hold", "--quiet").status == 0
    assert project.run("run", "gate", "--run-id", "mine", "--quiet").status == 3
    assert project.run("run", "asks", "--run-id", "pending", "--quiet").status == 3
    return project


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["reject", "respond", "resume", "rerun"]),
        (["run", ""], ["asks", "fan", "gate", "hello"]),
        (["run", "h"], ["hello"]),
        (["show", "m"], ["mine"]),
        (["show", ""], ["last", "pending", "mine", "ended", "fanned"]),
        (["show", "mine", ""], ["g", "after"]),
        (["respond", "mine", ""], ["g"]),
        (["respond", "mine", "g", ""], ["approve", "hold"]),
        (["rerun", "mine", "--from", "a"], ["after"]),
        (["run", "asks", "--input", ""], ["who=", "level=", "level=low", "level=high"]),
        (["run", "asks", "--input", "who=x", "--input", "l"], ["level=", "level=low", "level=high"]),
        (["approve", ""], ["mine"]),
        (["submit", ""], ["last", "pending"]),
        (["graph", "--format", ""], ["text", "mermaid", "dot", "svg"]),
        (["show", "nobody", ""], []),
        (["show", "fanned", ""], ["each", "lg"]),
        (["show", "fanned", "each.2"], ["each.2", *(f"each.2{n}" for n in range(10))]),
        (["show", "fanned", "each.2."], ["each.2.a"]),
        (["show", "fanned", "lg."], ["lg.1", "lg.1.n"]),
        (["show", "fanned", "lg.1."], ["lg.1.n"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_completed(waiting: Project, words: list[str], expected: list[str]) -> None:
    assert names(complete(waiting, *words)) == expected


def test_completing_creates_nothing_and_says_nothing(project: Project) -> None:
    (project.folder / ".ion" / "config.yaml").write_text("nonsense: [")
    assert complete(project, "show", "") == []
    assert complete(project, "run", "x", "--agent", "") == []
    assert not (project.folder / ".ion" / "ion.db").exists()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(waiting: Project, shell: str) -> None:
    assert any("hello" in line for line in complete(waiting, "run", "h", shell=shell))
    assert "_ION_COMPLETE" in waiting.run("completion", shell).out


def test_in_a_real_bash(waiting: Project, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ion"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {COMMAND[0]} -P -m ion.cli "$@"\n')
    program.chmod(0o755)
    script = """
    PATH="$1:$PATH"; eval "$(ion completion bash)"
    COMP_WORDS=(ion run ""); COMP_CWORD=2; _ion_completion ion; printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(program.parent)],
        cwd=waiting.folder,
        env=waiting.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["asks", "fan", "gate", "hello"], "")


def test_of_many_items_the_first_are_completed(waiting: Project) -> None:
    assert names(complete(waiting, "show", "fanned", "each.")) == [f"each.{n}" for n in range(100)]
