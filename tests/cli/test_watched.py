"""`--log`, `--notify`, `--otel` and their settings; completion; the SVG."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .conftest import COMMAND, Ion, Project

SECRET = """
name: secret
description: d
secrets: [ION_TEST_SECRET]
nodes: [{id: a, bash: 'echo "$ION_TEST_SECRET"'}]
"""
HELLO = "name: hello\ndescription: Says <hello> & more\nnodes:\n  - {id: a, bash: 'echo hi'}\n"
GATE = """
name: gate
description: d
nodes:
  - id: g
    approval: {message: ok?, decisions: [{id: approve, label: Y}, {id: hold, label: H}]}
  - {id: after, depends_on: [g], when: "$g.output.decision == 'approve'", bash: 'true'}
"""


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_file_without_secrets(project: Project) -> None:
    project.write("secret", SECRET)
    done = project.run("run", "secret", "--log", "all.jsonl", ION_TEST_SECRET="s3cret-value")
    assert done.status == 0
    text = (project.folder / "all.jsonl").read_text()
    assert "s3cret" not in text
    assert lines(project.folder / "all.jsonl")[-1]["type"] == "workflow_completed"


def test_settings_watch_every_run(project: Project, tmp_path: Path) -> None:
    project.write("hello", HELLO)
    told = tmp_path / "told"
    (project.folder / ".ion" / "config.yaml").write_text(f"log: true\nnotify: tee {told}\n")
    assert project.run("run", "hello", "--run-id", "one").status == 0
    assert len(lines(project.folder / ".ion" / "runs" / "one" / "events.jsonl")) == 4
    assert json.loads(told.read_text())["status"] == "completed"
    (project.folder / ".ion" / "config.yaml").write_text("log: 7\nnotify: ''\notel: perhaps\n")
    wrong = project.run("run", "hello")
    assert wrong.status == 2
    assert wrong.err.count("error[bad-value]") == 3


def test_a_detached_run_is_watched_too(project: Project) -> None:
    project.write("hello", HELLO)
    assert project.run("run", "hello", "--run-id", "one", "--detach", "--log", "d.jsonl").status == 0
    assert project.run("watch", "one").status == 0
    assert lines(project.folder / "d.jsonl")[0]["run_id"] == "one"
    for made in ("d.jsonl", ".ion/runs/one/ion.log"):
        assert (project.folder / made).stat().st_mode & 0o777 == 0o600, "for its owner only"


def test_tracing_without_the_extra_is_one_line(project: Project) -> None:
    project.write("hello", HELLO)
    hidden = "import sys; sys.modules['opentelemetry'] = None; from ion.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", hidden, "run", "hello", "--otel", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'ion-workflows[otel]'" in done.stderr
    assert project.run("runs", "--json").json("runs") == []


# ---------------------------------------------------------------------- completion


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
    assert project.run("run", "gate", "--run-id", "ended", "--quiet").status == 3
    assert project.run("respond", "ended", "g", "hold", "--quiet").status == 0
    assert project.run("run", "gate", "--run-id", "mine", "--quiet").status == 3
    assert project.run("run", "asks", "--run-id", "pending", "--quiet").status == 3
    return project


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["reject", "respond", "resume", "rerun"]),
        (["run", ""], ["asks", "gate", "hello"]),
        (["run", "h"], ["hello"]),
        (["show", "m"], ["mine"]),
        (["show", ""], ["last", "pending", "mine", "ended"]),
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
    assert (done.stdout.split(), done.stderr) == (["asks", "gate", "hello"], "")


# ---------------------------------------------------------------------- the picture


def test_a_picture_that_any_reader_of_xml_can_read(ion: Ion, project: Project) -> None:
    project.write(
        "hello",
        HELLO.replace("name: hello", "name: 'he<l&lo'").replace("{id: a,", "{id: a, when: \"$INPUTS.x == '<&>'\",")
        + "inputs: {x: {default: y}}\n",
    )
    root = ET.fromstring(ion("graph", "he<l&lo", "--format", "svg").out)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a ?", "$INPUTS.x == '<&>'"]
    assert root.find("{http://www.w3.org/2000/svg}title").text == "he<l&lo"  # type: ignore[union-attr]


def test_a_picture_in_the_colours_of_a_run(ion: Ion, project: Project) -> None:
    project.write("gate", GATE)
    assert ion("run", "gate", "--run-id", "mine", "--quiet").status == 3
    root = ET.fromstring(ion("graph", "--run", "mine", "--format", "svg").out)
    boxes = [box.get("class") for box in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert boxes == ["box waiting", "box pending"]
    height, width = float(root.get("height") or 0), float(root.get("width") or 0)
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(box.get("x") or -1) + float(box.get("width") or 0) <= width
        assert 0 <= float(box.get("y") or -1) + float(box.get("height") or 0) <= height
