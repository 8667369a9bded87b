"""`ion init`: a first workflow, settings, and a schema for editors."""

from __future__ import annotations

import json
import re

from .kit import Ion, Project


def test_init_writes_what_works_and_never_overwrites(ion: Ion, project: Project) -> None:
    result = ion("init")
    assert result.status == 0
    assert ion("run", "hello", "--input", "name=Ada").out == "Hello, Ada! (11 characters)\n"
    assert ion("validate", "--strict").status == 0
    config = project.folder / ".ion" / "config.yaml"
    config.write_text("max_concurrency: 1\n")
    again = ion("init", "--json").json()
    assert [entry["written"] for entry in again] == [False, False, False]
    assert config.read_text() == "max_concurrency: 1\n"


def test_an_editor_finds_the_schema_that_init_wrote(ion: Ion, project: Project) -> None:
    ion("init")
    workflow = project.folder / ".ion" / "workflows" / "hello.yaml"
    named = workflow.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((workflow.parent / named).read_text())
    assert schema == ion("schema").json()
    assert "!workflow.schema.json" in (project.folder / ".ion" / ".gitignore").read_text()


def test_each_line_of_the_settings_file_works_without_its_mark(ion: Ion, project: Project) -> None:
    ion("init")
    config = project.folder / ".ion" / "config.yaml"
    settings = re.sub(r"^# (?=( *\w+:))", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(settings)
    assert "command: claude -p" in settings.splitlines()[8]
    assert ion("run", "hello", "--quiet").status == 0


def test_an_example_of_a_fan_out_runs_as_it_is(ion: Ion, project: Project) -> None:
    said = ion("init", "--example", "fan-out")
    assert (said.status, "ion run fan-out" in said.err) == (0, True)
    (project.folder / "long.txt").write_text("x\n" * 30)
    (project.folder / "it's short.txt").write_text("x\n")
    assert ion("validate", "--strict").status == 0
    assert ion("run", "fan-out", "--dry-run", "--quiet").status == 0
    done = ion("run", "fan-out", "--run-id", "mine", "--input", "pattern=*.txt", "--quiet")
    assert (done.status, done.out) == (0, '["./it\'s short.txt has 1 lines","./long.txt has 30 lines"]\n')
    assert ion("output", "mine", "count.1").out == "./long.txt has 30 lines\n"
    assert ion("init", "--example", "no-such").status == 2
    assert not (project.folder / ".ion" / "workflows" / "hello.yaml").exists()
