"""Whatever command loads a file says that it has warnings, and `--strict` makes them errors (language.md §2)."""

from __future__ import annotations

import json

import pytest

from .kit import Ion, Project

WARNED = """
name: warned
description: d
colour: red
nodes:
  - {id: a, bash: echo hi, shade: dark}
"""
LINE = "2 warnings: ion validate warned\n"


@pytest.fixture
def warned(ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> Ion:
    monkeypatch.setenv("NO_COLOR", "1")
    project.write("warned", WARNED)
    return ion


@pytest.mark.parametrize(
    "words",
    [
        ("run", "warned"),
        ("run", "warned", "--quiet"),
        ("run", "warned", "--json"),
        ("run", "warned", "--events"),
        ("run", "warned", "--dry-run"),
        ("graph", "warned"),
        ("graph", "warned", "--json"),
    ],
)
def test_it_is_said_once(warned: Ion, words: tuple[str, ...]) -> None:
    result = warned(*words)
    assert result.status == 0
    assert result.err.count(LINE) == 1
    assert "warnings" not in result.out


def test_a_run_in_the_background_says_it_here(project: Project) -> None:
    project.write("warned", WARNED)
    assert LINE in project.run("run", "warned", "--detach").err


def test_the_name_is_one_that_can_be_typed(warned: Ion, project: Project) -> None:
    path = project.write("warned", WARNED).rename(project.folder / "a b.yaml")
    assert f"2 warnings: ion validate '{path}'" in warned("run", str(path)).err


def test_a_file_without_warnings_is_not_spoken_of(ion: Ion, project: Project) -> None:
    project.write("fine", "name: fine\ndescription: d\nnodes: [{id: a, bash: echo hi}]\n")
    assert "warning" not in ion("run", "fine").err


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--detach",)])
def test_strict_makes_them_errors(project: Project, more: tuple[str, ...]) -> None:
    project.write("warned", WARNED)
    result = project.run("run", "warned", "--strict", *more)
    assert result.status == 2
    assert result.err.count("warning[unknown-field]") == 2
    assert "--strict" in result.err
    assert project.run("runs", "--json").out.strip() == "[]"


def test_list_counts_them(warned: Ion) -> None:
    assert "warned  (2 warnings) d" in warned("list").out
    assert len(json.loads(warned("list", "--json").out)[0]["problems"]) == 2


def test_an_sop_that_is_converted(ion: Ion, project: Project) -> None:
    (project.folder / "s.sop.md").write_text("# S\n\n## Steps\n\n### 1. A\n\nDo it.\n")
    assert "warnings: ion validate s.sop.md" in ion("convert", "s.sop.md").err


def test_files_that_are_missing_are_missing_for_graph_as_for_a_dry_run(ion: Ion, project: Project) -> None:
    """Neither reads them; a run refuses."""
    project.write("w", "name: w\ndescription: d\nnodes: [{id: a, command: lost}]\n")
    for words in (("graph", "w"), ("run", "w", "--dry-run")):
        result = ion(*words)
        assert (result.status, result.err.count("unknown command file 'lost.md'")) == (0, 1)
    assert ion("run", "w").status == 2


def test_a_hint_is_not_a_warning(ion: Ion, project: Project) -> None:
    """validate alone shows it, and --strict lets it pass."""
    project.write("w", "name: w\ndescription: d\nnodes: [{id: a, bash: x}]\nfinally: [{id: z, bash: x}]\n")
    shown = ion("validate", "w", "--strict")
    assert (shown.status, shown.out.splitlines()[-1]) == (0, "1 hint in 1 file")
    assert "warning" not in ion("list").out + ion("graph", "w").err
    assert [one["severity"] for one in json.loads(ion("validate", "w", "--json").out)] == ["hint"]
