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


PROMPT_OF_ITEMS = """
name: each
description: A prompt for each item, one inside of a repeated group.
nodes:
  - {id: look, fan_out: {items: [a, b]}, prompt: "Look at $INPUTS.item"}
  - id: again
    depends_on: [look]
    loop_group: {max_iterations: 2, until: DONE, nodes: [{id: ask, prompt: "Once more? $LOOP_PREV.ask.output"}]}
  - {id: all, depends_on: [again], bash: 'echo "$look.output $again.output"'}
"""


def test_the_prompt_of_an_item_is_answered_by_its_address(ion: Ion, project: Project) -> None:
    start(ion, project, PROMPT_OF_ITEMS)
    (project.folder / "one").write_text("seen\n")
    (project.folder / "two").write_text("over <promise>DONE</promise>\n")
    waiting = ion("next", "mine", "--json").json("next")["prompts"]
    assert [(one["node"], one["prompt"]) for one in waiting] == [("look.0", "Look at a"), ("look.1", "Look at b")]
    assert ion("submit", "mine", "look.1", "--file", "one", "--quiet").status == 3
    assert ion("submit", "mine", "look[1]", "--file", "one", "--quiet").status == 3, "the same answer changes nothing"
    assert ion("submit", "mine", "look.1", "--file", "two", "--quiet").status == 5
    assert ion("submit", "mine", "look", "--file", "one", "--quiet").status == 5
    assert ion("submit", "mine", "look[0]", "--file", "one", "--quiet").status == 3
    assert "ion submit mine again.1.ask --file FILE" in ion("next", "mine").out
    assert ion("submit", "mine", "again.1.ask", "--file", "one", "--quiet").status == 3
    last = ion("submit", "mine", "again.2.ask", "--file", "two", "--quiet")
    assert (last.status, last.out) == (0, '["seen","seen"] over\n')
