"""The mistakes that a newcomer makes, each with the whole of what Ion says: place, line, caret, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from inline_snapshot import snapshot

from .kit import Ion, Project, Result

HELLO = """
name: hello
description: d
inputs:
  name: {required: true, description: Whom to greet}
  loud: {type: boolean, default: false}
nodes:
  - {id: a, bash: 'echo hi'}
"""
GATES = """
name: gates
description: d
nodes:
  - {id: ok, approval: {message: ok?}}
  - {id: b, depends_on: [ok], approval: {message: sure?}}
"""
Said = Callable[..., str]


@pytest.fixture
def said(ion: Ion, project: Project, monkeypatch: pytest.MonkeyPatch) -> Said:
    """`said(text)` validates `w.yaml` with this text; `said("run", "x")` is what a command says on stderr and stdout."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: str, text: str | None = None) -> str:
        if text is not None:
            (project.folder / "w.yaml").write_text(dedent(text).lstrip("\n"))
        result: Result = ion(*(words or ("validate", "./w.yaml")))
        shown = (result.err + result.out).replace(str(project.folder), "PROJECT")
        shown = re.sub(r"after \d+(\.\d)?s", "after 0.0s", shown)
        return f"[{result.status}]\n{shown}"

    return run


def test_a_tab_indents(said: Said) -> None:
    assert said(text="name: w\ndescription: d\nnodes:\n\t- id: a\n") == snapshot("""\
[1]
error[yaml-tab]: a tab may not indent a line in YAML
  --> w.yaml:4:1
  |
4 |     - id: a
  | ^^^^
  |
  = use spaces

1 error in 1 file
""")


def test_depends_on_misspelt(said: Said) -> None:
    assert said(
        text="""
        name: w
        description: d
        nodes:
          - {id: a, bash: 'true'}
          - id: b
            bash: 'true'
            depend_on: [a]
    """
    ) == snapshot("""\
[1]
error[unknown-field]: 'depend_on' is not a field of a bash node
  --> w.yaml:7:5
  |
7 |     depend_on: [a]
  |     ^^^^^^^^^ did you mean 'depends_on'?
  |
  = it would change what runs: without it the node starts at once

1 error in 1 file
""")


def test_a_node_that_is_not_there(said: Said) -> None:
    assert said(
        text="""
        name: w
        description: d
        nodes:
          - {id: build, bash: 'true'}
          - {id: b, depends_on: [biuld], bash: 'echo $buld.output'}
    """
    ) == snapshot("""\
[1]
error[unknown-node]: 'b' depends on 'biuld', and no node has that id
  --> w.yaml:5:26
  |
5 |   - {id: b, depends_on: [biuld], bash: 'echo $buld.output'}
  |                          ^^^^^ did you mean 'build'?

error[unknown-node]: 'b' refers to $buld.output, but no node has that id
  --> w.yaml:5:46
  |
5 |   - {id: b, depends_on: [biuld], bash: 'echo $buld.output'}
  |                                              ^^^^^^^^^^^^ did you mean 'build'?

2 errors in 1 file
""")


def test_no_id(said: Said) -> None:
    assert said(text="name: w\ndescription: d\nnodes:\n  - bash: 'true'\n") == snapshot("""\
[1]
error[missing-field]: a bash node needs 'id'
  --> w.yaml:4:5
  |
4 |   - bash: 'true'
  |     ^
  |
  = write 'id: name'; other nodes refer to it by that name

1 error in 1 file
""")


def test_one_id_twice(said: Said) -> None:
    assert said(
        text="name: w\ndescription: d\nnodes:\n  - {id: a, bash: 'true'}\n  - {id: a, bash: 'false'}\n"
    ) == snapshot("""\
[1]
error[duplicate-id]: the id 'a' is taken already, in line 4
  --> w.yaml:5:10
  |
5 |   - {id: a, bash: 'false'}
  |          ^
  |
  = give each node an id of its own

1 error in 1 file
""")


def test_a_circle(said: Said) -> None:
    assert said(
        text="""
        name: w
        description: d
        nodes:
          - {id: a, depends_on: [b], bash: 'true'}
          - {id: b, depends_on: [a], bash: 'true'}
    """
    ) == snapshot("""\
[1]
error[dependency-cycle]: these nodes wait for each other: a → b → a
  --> w.yaml:4:26
  |
4 |   - {id: a, depends_on: [b], bash: 'true'}
  |                          ^
  |
  = remove one of these edges

1 error in 1 file
""")


def test_two_kinds_and_none(said: Said) -> None:
    assert said(
        text="""
        name: w
        description: d
        nodes:
          - {id: a, bash: 'true', prompt: hello}
          - {id: b}
    """
    ) == snapshot("""\
[1]
error[several-kinds]: a node has exactly one kind, and this one has prompt and bash
  --> w.yaml:4:13
  |
4 |   - {id: a, bash: 'true', prompt: hello}
  |             ^^^^
  |
  = make it two nodes

error[no-kind]: this node has no kind: one of command, prompt, bash, script, loop, approval, cancel, wait, group, loop_group, workflow, include
  --> w.yaml:5:5
  |
5 |   - {id: b}
  |     ^

2 errors in 1 file
""")


def test_conditions_as_in_other_languages(said: Said) -> None:
    assert said(
        text="""
        name: w
        description: d
        nodes:
          - {id: a, bash: 'true'}
          - {id: b, depends_on: [a], when: $a.output contains 'x', bash: 'true'}
          - {id: c, depends_on: [a], when: "($a.output == 'x')", bash: 'true'}
          - {id: d, depends_on: [a], when: $a.output == "x", bash: 'true'}
    """
    ) == snapshot("""\
[1]
error[bad-condition]: unknown operator 'contains'
  --> w.yaml:5:46
  |
5 |   - {id: b, depends_on: [a], when: $a.output contains 'x', bash: 'true'}
  |                                              ^
  |
  = the operators are == != < <= > >=; else compute it in a bash or script node and compare that node's output, as in $check.output == 'true'

error[bad-condition]: conditions have no parentheses
  --> w.yaml:6:37
  |
6 |   - {id: c, depends_on: [a], when: "($a.output == 'x')", bash: 'true'}
  |                                     ^
  |
  = && binds tighter than ||; for more, compute it in a bash or script node and compare that node's output, as in $check.output == 'true'

error[bad-condition]: a literal is written in single quotes
  --> w.yaml:7:49
  |
7 |   - {id: d, depends_on: [a], when: $a.output == "x", bash: 'true'}
  |                                                 ^
  |
  = write 'x'

3 errors in 1 file
""")


def test_braces_of_another_template_language(said: Said) -> None:
    assert said(text="name: w\ndescription: d\nnodes:\n  - id: a\n    bash: {{ name }}\n") == snapshot("""\
[1]
error[key-not-text]: a key must be text, not a list or a mapping
  --> w.yaml:5:12
  |
5 |     bash: {{ name }}
  |            ^
  |
  = quote this value: '{{ … }}' opens two YAML mappings

1 error in 1 file
""")


def test_a_colon_in_a_text(said: Said) -> None:
    assert said(text="name: w\ndescription: Note: this fails\nnodes:\n  - {id: a, bash: 'true'}\n") == snapshot("""\
[1]
error[yaml-syntax]: a ':' cannot stand here
  --> w.yaml:2:18
  |
2 | description: Note: this fails
  |                  ^
  |
  = quote a value that holds ': ', and check the indent

1 error in 1 file
""")


def test_no_name_and_no_description(said: Said) -> None:
    assert said(text="nodes:\n  - {id: a, bash: 'true'}\n") == snapshot("""\
[1]
error[missing-field]: a workflow needs 'description'
  --> w.yaml:1:1
  |
1 | nodes:
  | ^
  |
  = say in a line what the workflow does; ion list shows it

error[missing-field]: a workflow needs 'name'
  --> w.yaml:1:1
  |
1 | nodes:
  | ^

2 errors in 1 file
""")


def test_seconds_taken_for_milliseconds(said: Said) -> None:
    assert said(text="name: w\ndescription: d\nnodes:\n  - {id: a, bash: 'true', timeout: 30}\n") == snapshot("""\
[0]
warning[short-timeout]: 'timeout: 30' is 30 milliseconds
  --> w.yaml:4:36
  = write 30s if you mean seconds

1 warning in 1 file
""")


def test_json_that_is_no_workflow(said: Said) -> None:
    assert said(text='{"scripts": {"test": "jest"}}\n') == snapshot("""\
[1]
error[not-a-workflow]: this is not a workflow: it has neither 'name' nor 'nodes'
  --> w.yaml:1:1
  |
1 | {"scripts": {"test": "jest"}}
  | ^
  |
  = a workflow is a mapping with name, description and nodes

1 error in 1 file
""")


def test_a_file_that_is_no_text(said: Said, project: Project) -> None:
    (project.folder / "w.yaml").write_bytes(b"name: w\ndescription: caf\xe9\nnodes: []\n")
    assert said() == snapshot("""\
[1]
error[not-utf8]: the file is not UTF-8: byte 0xe9 does not belong there
  --> w.yaml:2:17
  |
2 | description: caf�
  |                 ^
  |
  = save the file as UTF-8

1 error in 1 file
""")


def test_windows_line_ends_are_no_mistake(said: Said, project: Project) -> None:
    (project.folder / "w.yaml").write_bytes(b"name: w\r\ndescription: d\r\nnodes:\r\n  - {id: a, bash: 'true'}\r\n")
    assert said() == snapshot("""\
[0]
no problems in 1 file
""")


def test_no_such_workflow(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", "helo") == snapshot("""\
[2]
error[not-found]: unknown workflow 'helo'
   = did you mean 'hello'?
   = looked in PROJECT/.ion/workflows, PROJECT/.archon/workflows, PROJECT/user-config/ion/workflows
""")


def test_no_such_file(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", ".ion/workflows/helo.yaml") == snapshot("""\
[2]
error[not-found]: the file PROJECT/.ion/workflows/helo.yaml does not exist
   = did you mean 'PROJECT/.ion/workflows/hello.yaml'?
""")


def test_a_file_where_a_name_was_meant(said: Said, project: Project) -> None:
    (project.folder / "deploy.yaml").write_text(HELLO.replace("hello", "deploy"))
    assert said("run", "deploy") == snapshot("""\
[2]
error[not-found]: unknown workflow 'deploy'
   = to run the file, write ./deploy.yaml
   = looked in PROJECT/.ion/workflows, PROJECT/.archon/workflows, PROJECT/user-config/ion/workflows
""")


def test_an_input_that_is_missing_and_one_that_is_none(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", "hello", "--input", "nmae=Ada", "--input", "loud=maybe") == snapshot("""\
[2]
error[inputs]: unknown input 'nmae': did you mean 'name'?; missing input 'name': Whom to greet; input 'loud' must be of the type boolean: true or false
   = --input name=…
""")


def test_an_input_without_a_value(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", "hello", "--input", "name") == snapshot("""\
[2]
error[usage]: --input takes NAME=VALUE, not 'name'
   = as in: --input name=value
""")


def test_a_command_that_is_none(said: Said) -> None:
    assert said("rnu", "hello") == snapshot("""\
[2]
error[usage]: unknown command 'rnu'
   = did you mean 'ion run'?
""")


def test_an_option_that_is_none(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", "hello", "--inptu", "name=Ada") == snapshot("""\
[2]
error[usage]: unknown option '--inptu'
   = did you mean '--input'?
""")


def test_an_empty_folder(said: Said) -> None:
    assert [said("list"), said("runs"), said("show")] == snapshot(
        [
            """\
[0]
No workflows in PROJECT: ion init writes a first one.
""",
            """\
[0]
No runs yet: ion run WORKFLOW starts one.
""",
            """\
[2]
error[not-found]: this project has no runs
   = ion run WORKFLOW starts one
""",
        ]
    )


def test_a_run_that_is_not_there(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    said("run", "hello", "--input", "name=Ada", "--quiet", "--run-id", "one")
    assert [said("show", "nope"), said("logs", "one", "b"), said("resume", "one"), said("approve", "one")] == snapshot(
        [
            """\
[2]
error[not-found]: no run has the id 'nope'
   = ion runs lists them
""",
            """\
[2]
error[not-found]: the run has no node 'b'
   = its nodes: a
""",
            """\
[5]
error[ended]: the run has ended (completed)
   = ion rerun runs it again, as a new run
""",
            """\
[5]
error[ended]: the run has ended (completed)
""",
        ]
    )


def test_a_gate_that_is_answered_twice(said: Said, project: Project) -> None:
    project.write("gates", GATES)
    said("run", "gates", "--quiet", "--run-id", "one")
    said("approve", "one", "ok", "--no-resume")
    assert said("approve", "one", "ok") == snapshot("""\
[5]
error[answered]: the gate 'ok' has been answered already
""")


def test_a_program_that_is_not_there(said: Said, project: Project) -> None:
    project.write("lint", "name: lint\ndescription: d\nnodes:\n  - {id: lint, bash: ruffff check}\n")
    assert said("run", "lint", "--quiet", "--run-id", "one") == snapshot("""\
[1]

✗ lint failed after 0.0s: lint exited with 127

    bash: line 1: ruffff: command not found

  logs     ion logs one lint
  why      ion show one lint
  continue ion resume one
  fix      ion rerun one --from lint --edited      (once the file is corrected)
""")


def test_a_script_that_is_not_there(said: Said) -> None:
    assert said(text="name: w\ndescription: d\nnodes:\n  - {id: a, script: reprot, runtime: python}\n").replace(
        str(Path.home()), "HOME"
    ) == snapshot("""\
[1]
error[missing-file]: unknown script 'reprot.py'
  --> w.yaml:4:21
  |
4 |   - {id: a, script: reprot, runtime: python}
  |                     ^^^^^^
  |
  = looked in
  = PROJECT/scripts
  = PROJECT/.ion/scripts
  = PROJECT/.archon/scripts
  = PROJECT/user-config/ion/scripts

1 error in 1 file
""")


def test_an_agent_that_is_not_there(said: Said, project: Project) -> None:
    project.write("ask", "name: ask\ndescription: d\nnodes:\n  - {id: a, prompt: hello}\n")
    assert said("run", "ask", "--agent", "claud-e -p", "--quiet") == snapshot("""\
[2]
error[missing-runtime]: claud-e, the agent of the node a, is not installed
   = did you mean 'claude-acp'? else is it installed and on PATH?
""")


def test_an_input_given_as_an_option(said: Said, project: Project) -> None:
    project.write("hello", HELLO)
    assert said("run", "hello", "--name", "Ada B") == snapshot("""\
[2]
error[usage]: unknown option '--name'
   = an input is given as: --input name='Ada B'
""")
    assert said("run", "hello", "--name=Ada") == snapshot("""\
[2]
error[usage]: unknown option '--name'
   = an input is given as: --input name=Ada
""")


def test_text_that_nothing_reads(said: Said, project: Project) -> None:
    """`make` and `just` take `name=value`; here nothing would come of it."""
    project.write("hello", HELLO)
    project.write("plain", "name: plain\ndescription: d\nnodes: [{id: a, bash: echo hi}]\n")
    assert said("run", "hello", "name=Ada", "Lovelace", "--input", "name=x") == snapshot("""\
[2]
error[text-unused]: 'hello' takes no text: nothing in it reads $ARGUMENTS
   = write --input name='Ada Lovelace'
""")
    assert said("run", "hello", "fix the bug", "--dry-run") == snapshot("""\
[2]
error[text-unused]: 'hello' takes no text: nothing in it reads $ARGUMENTS
   = --input name=… --input loud=…
""")
    assert said("run", "plain", "--", "--name", "Ada") == snapshot("""\
[2]
error[text-unused]: 'plain' takes no text: nothing in it reads $ARGUMENTS
   = have a text read $ARGUMENTS, or declare an input
""")
    assert said("run", "plain", "fix it", "--strict") == snapshot("""\
[2]
error[text-unused]: 'plain' takes no text: nothing in it reads $ARGUMENTS
   = have a text read $ARGUMENTS, or declare an input
""")
    assert "note: text-unused: nothing in 'plain' reads" in said("run", "plain", "fix it")
