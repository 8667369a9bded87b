"""`ion submit`: where an answer comes from, and when it is not recorded."""

from __future__ import annotations

import pytest

from .kit import Ion, Project
from .workflows import start


def test_an_answer_that_cannot_be_checked_in_time_is_not_recorded(
    ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.nodes.checking.PROCESSOR_SECONDS", 1)
    schema = r"{properties: {a: {type: string, pattern: '^(\w+\s?)*$'}}}"
    start(ion, project, f"name: ask\ndescription: d\nnodes: [{{id: x, prompt: hi, output_format: {schema}}}]\n")
    (project.folder / "answer").write_text('{"a": "%s!"}' % ("a" * 50))
    said = ion("submit", "mine", "x", "--file", "answer")
    assert said.status == 2
    assert "could not be held against output_format within 1 s of work" in said.err
    (project.folder / "answer").write_text('{"a": "b c"}')
    assert ion("submit", "mine", "x", "--file", "answer").status == 0


def test_an_answer_comes_from_stdin(project: Project) -> None:
    project.write("it", "name: it\ndescription: d\nnodes:\n  - id: ask\n    prompt: hi\n")
    project.run("run", "it", "--run-id", "mine")
    for arguments in ((), ("x",), ("-", "--file", "f")):
        assert project.run("submit", "mine", "ask", *arguments).status == 2
    done = project.run("submit", "mine", "ask", "-", stdin="line one\nline two\n")
    assert (done.status, done.out) == (0, "line one\nline two\n")
