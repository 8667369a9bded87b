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
