"""Workflows that the tests of several commands run."""

from __future__ import annotations

from pathlib import Path

from .kit import Ion, Project

BUILD = """
name: build
description: One of everything that a run can come to.
nodes:
  - id: fetch
    bash: echo '{"type":"bug"}'; echo noise >&2
  - id: plan
    depends_on: [fetch]
    when: $fetch.output.type == 'feature' && $fetch.output.size == 'big'
    bash: echo planned
  - id: fix
    depends_on: [fetch]
    when: $fetch.output.type == 'bug'
    bash: echo "fixed $fetch.output.type for $INPUTS.who"
  - id: tests
    depends_on: [fix]
    retry: {max_attempts: 1, delay_ms: 1000, on_error: all}
    bash: echo "no luck" >&2; exit 7
  - id: publish
    depends_on: [tests]
    bash: echo published
  - id: review
    depends_on: [fetch]
    approval: {message: Is it good?}
inputs: {who: {default: Ada}}
"""
OTHER = "name: other\ndescription: Needs {}.\ninputs: {{a: {{required: true}}}}\nnodes:\n  - id: x\n    {}\n"


TWO_GATES = """
name: two
description: Two gates at once.
nodes:
  - id: first
    approval: {message: First?}
  - id: second
    approval: {message: Second?, capture_response: true}
  - id: end
    depends_on: [first, second]
    bash: echo "$second.output"
"""
PROMPTS = """
name: ask
description: Prompts for a host.
nodes:
  - id: name
    prompt: "Name $ARGUMENTS"
  - id: rate
    prompt: Rate it
    context: fresh
    output_format: {type: object, properties: {stars: {type: integer}}, required: [stars]}
  - id: end
    depends_on: [name, rate]
    bash: echo "$name.output $rate.output.stars"
"""
FLAKY = """
name: flaky
description: Fails until a file is there.
nodes:
  - id: kept
    bash: echo x >> kept; echo kept
  - id: flaky
    depends_on: [kept]
    bash: cat there
"""


def start(ion: Ion, project: Project, workflow: str, *arguments: str) -> None:
    ion("run", str(project.write("it", workflow)), "--run-id", "mine", *arguments)


BIG = """
name: big
description: An output that lives beside the log, and a gate.
nodes:
  - id: make
    bash: head -c 300000 /dev/zero | tr '\\0' x
  - id: ask
    depends_on: [make]
    approval: {message: Go on?}
  - id: use
    depends_on: [ask]
    bash: printf '%s' "$make.output" | wc -c
"""
STORES = ["sqlite:.ion/ion.db", "file:.ion/store"]


def blobs(project: Project) -> list[Path]:
    return [path for path in (project.folder / ".ion").rglob("*") if len(path.name) == 64]


SLOW = """
name: slow
description: Runs until it is ended.
nodes:
  - id: quick
    bash: echo done
  - id: wait
    depends_on: [quick]
    bash: |
      if [ -e skip ]; then exit 0; fi
      trap 'touch ended; exit 1' TERM
      touch running
      while :; do sleep 0.05; done
"""


GATES_OF_ITEMS = """
name: targets
description: A gate for each target, and one that chooses.
nodes:
  - id: ship
    fan_out: {items: [a, b, c], as: target, max_parallel: all}
    group:
      nodes:
        - id: ok
          approval: {message: "Ship $INPUTS.target?"}
        - id: push
          depends_on: [ok]
          bash: echo "pushed $INPUTS.target"
  - id: how
    approval: {message: How?, decisions: [{id: approve}, {id: slow}]}
"""
