"""A project, and `ion` in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS

from .kit import Ion, Project, Result
from .terminals import Terminal
from .workflows import BIG, BUILD, STORES


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    (tmp_path / ".ion" / "workflows").mkdir(parents=True)
    return Project(tmp_path)


@pytest.fixture
def write(project: Project) -> Callable[..., Path]:
    """Write an SOP into the project; gives its path."""

    def _write(text: str = THREE_STEPS, name: str = "pay") -> Path:
        place = project.folder / ".ion" / "workflows" / f"{name}.sop.md"
        place.write_text(text.lstrip("\n"), encoding="utf-8")
        return place

    return _write


@pytest.fixture
def ion(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ion:
    """`ion("run", "hello")` in this process, in the project."""
    from ion.cli.main import outcome

    monkeypatch.chdir(project.folder)
    for name in [name for name in os.environ if name.startswith(("LC_", "ION_"))]:
        monkeypatch.delenv(name)
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, **environment: str) -> Result:
        capsys.readouterr()
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            status = outcome(list(arguments))
        said = capsys.readouterr()
        return Result(status, said.out, said.err)

    return call


@pytest.fixture
def built(ion: Ion, project: Project) -> Ion:
    """A project with one run, `mine`, of the workflow `build`."""
    project.write("build", BUILD)
    ion("run", "build", "--run-id", "mine")
    return ion


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store, which is the project's from here on, with the run `mine` that waits at its gate."""
    monkeypatch.setenv("ION_STORE", request.param)
    project.write("big", BIG)
    assert ion("run", "big", "--run-id", "mine").status == 3
    return str(request.param)


@pytest.fixture
def terminal(project: Project) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, **how: object) -> Terminal:
        opened.append(Terminal(project, *arguments, **how))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for one in opened:
        one.child.close(force=True)
