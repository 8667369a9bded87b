"""Whole files and the whole of what `ion validate` says about them: the manual of the problems, in examples."""

from __future__ import annotations

from textwrap import dedent

from inline_snapshot import snapshot

from ion.language.load import parse_workflow
from ion.views.problems import render_problems, summary


def screen(text: str) -> str:
    """What a person reads about a file `w.yaml` with this text."""
    text = dedent(text).lstrip("\n")
    problems = parse_workflow(text, file="w.yaml").problems
    return f"{render_problems(problems, sources={'w.yaml': text})}\n\n{summary(problems, 1)}"


def test_a_typo_in_a_key_that_governs_what_runs() -> None:
    assert screen("""
        name: fix-issue
        description: Fix an issue
        nodes:
          - id: classify
            prompt: What is it?
          - id: implement
            prompt: Fix it.
            depend_on: [classify]
          - id: tests
            bash: make test
            depends_on: [implment]
            tiemout: 5m
            colour: red
    """) == snapshot("""\
error[unknown-field]: 'depend_on' is not a field of a prompt node
  --> w.yaml:8:5
  |
8 |     depend_on: [classify]
  |     ^^^^^^^^^ did you mean 'depends_on'?
  |
  = it would change what runs: without it the node starts at once

error[unknown-node]: 'tests' depends on 'implment', and no node has that id
  --> w.yaml:11:18
   |
11 |     depends_on: [implment]
   |                  ^^^^^^^^ did you mean 'implement'?

error[unknown-field]: 'tiemout' is not a field of a bash node
  --> w.yaml:12:5
   |
12 |     tiemout: 5m
   |     ^^^^^^^ did you mean 'timeout'?
   |
   = it would change what runs: without it the usual time limit holds

warning[unknown-field]: 'colour' is not a field of a bash node
  --> w.yaml:13:5

3 errors, 1 warning in 1 file\
""")


def test_references_that_lead_nowhere_or_backwards() -> None:
    assert screen("""
        name: report
        description: Report
        inputs: {topic: {}}
        nodes:
          - id: gather
            bash: |
              set -e
              curl "https://example.org/$INPUTS.topik"
              echo "$summary.output"
          - id: summarise
            prompt: |
              Sum up, for $ARGUMENTS:

                $gather.output.pages
            depends_on: [publish]
          - id: publish
            bash: cat <<< $summarise.output
    """) == snapshot("""\
warning[undeclared-input]: 'topik' is not a declared input; the node fails when it uses it
  --> w.yaml:8:33
  = did you mean 'topic'?

error[unknown-node]: 'gather' refers to $summary.output, but no node has that id
  --> w.yaml:9:13
  |
9 |       echo "$summary.output"
  |             ^^^^^^^^^^^^^^^
  |
  = if $summary is a variable of the script, write ${summary}.output

warning[order-by-reference]: 'summarise' refers to $gather.output.pages but does not depend on 'gather'
  --> w.yaml:14:9
   = it waits for 'gather' all the same: add it to depends_on

error[dependency-cycle]: these nodes wait for each other: summarise → publish → summarise
  --> w.yaml:15:18
   |
15 |     depends_on: [publish]
   |                  ^^^^^^^
   |
   = remove one of these edges

warning[order-by-reference]: 'publish' refers to $summarise.output but does not depend on 'summarise'
  --> w.yaml:17:19
   = it waits for 'summarise' all the same: add it to depends_on

2 errors, 3 warnings in 1 file\
""")


def test_a_condition_that_cannot_be_judged() -> None:
    assert screen("""
        name: route
        description: Route
        nodes:
          - {id: ask, prompt: Bug or feature?}
          - {id: fix, prompt: Fix it., depends_on: [ask], when: $ask.output == 'bug'}
          - {id: build, prompt: Build it., depends_on: [ask], when: '$ask.output contains "feature"'}
    """) == snapshot("""\
error[prose-compared]: 'ask' answers in prose, which never equals a fixed text
  --> w.yaml:5:57
  |
5 |   - {id: fix, prompt: Fix it., depends_on: [ask], when: $ask.output == 'bug'}
  |                                                         ^^^^
  |
  = give 'ask' an output_format and compare a field of it

error[bad-condition]: unknown operator 'contains'
  --> w.yaml:6:74
  |
6 |   - {id: build, prompt: Build it., depends_on: [ask], when: '$ask.output contains "feature"'}
  |                                                                          ^
  |
  = the operators are == != < <= > >=; else compute it in a bash or script node and compare that node's output, as in $check.output == 'true'

2 errors in 1 file\
""")  # noqa: E501


def test_yaml_that_was_meant_otherwise() -> None:
    assert screen("""
        name: tickets
        description: {{ticket}} to code
        nodes:
          - id: read
            prompt: @planner read it
    """) == snapshot("""\
error[key-not-text]: a key must be text, not a list or a mapping
  --> w.yaml:2:15
  |
2 | description: {{ticket}} to code
  |               ^
  |
  = quote this value: '{{ … }}' opens two YAML mappings

1 error in 1 file\
""")
    assert screen("""
        name: tickets
        description: d
        nodes:
          - id: read
            prompt: @planner read it
    """) == snapshot("""\
error[yaml-syntax]: a value cannot begin with '@'
  --> w.yaml:5:13
  |
5 |     prompt: @planner read it
  |             ^
  |
  = write 'prompt: |', and the text on the next line, indented

1 error in 1 file\
""")


def test_a_file_written_for_archon() -> None:
    """What Ion does not do is said once each."""
    assert screen("""
        name: triage
        description: Triage
        provider: claude
        worktree: {enabled: false}
        mutates_checkout: false
        nodes:
          - id: list
            bash: gh issue list --json number
            timeout: 30
            output_type: json
          - id: each
            wait: 30m
            depends_on: [list]
          - id: sum
            prompt: Sum up $each.output
            depends_on: [each]
            output_type: markdown
    """) == snapshot("""\
warning[no-effect]: 'worktree' has no effect in Ion
  --> w.yaml:4:1

warning[no-effect]: 'mutates_checkout' has no effect in Ion
  --> w.yaml:5:1

warning[short-timeout]: 'timeout: 30' is 30 milliseconds
  --> w.yaml:9:14
  = write 30s if you mean seconds

warning[no-effect]: 'output_type' has no effect in Ion (it is given 2 times)
  --> w.yaml:10:5

4 warnings in 1 file\
""")
