"""Every shape of `--json` has a JSON Schema in `schemas/`, and what the commands print fits it."""

from __future__ import annotations

import json

import jsonschema
import pytest

from .kit import SCHEMAS, Ion, Project, fits

WORKFLOW = """
name: both
description: d
inputs: {who: {default: Ada, description: Who}}
nodes:
  - {id: a, bash: 'echo out; echo err >&2'}
  - {id: b, depends_on: [a], when: "$a.output == 'out'", bash: 'exit 3'}
  - {id: ask, depends_on: [a], prompt: hello, output_format: {type: object}}
  - {id: g, depends_on: [a], approval: {message: ok?}}
"""
SOP = "# S\n\n## Overview\n\no\n\n## Parameters\n\n- **x** (required): x\n\n## Steps\n\n### 1. A\n\nDo {x}.\n"
# command → schema; in this order.
COMMANDS = {
    "init": "init",
    "list": "list",
    "validate": "validate",
    "agents": "agents",
    "doctor": "doctor",
    "graph both": "graph",
    "graph --run one": "graph",
    "runs": "runs",
    "show one": "run",
    "show one a": "node",
    "show one b": "node",
    "show one g": "node",
    "output one a": "output",
    "next one": "next",
    "logs one": "logs",
    "approve one g --no-resume": "run",
    "submit one ask --file answer.json": "run",
    "resume one": "run",
    "rerun one --from b": "run",
    "export one --output one.jsonl": "written",
    "import one.jsonl --store file:.ion/other": "written",
    "convert s.sop.md": "written",
    "convert s.sop.md --to skill": "written",
    "sop rule": "written",
    "sop new tidy": "written",
    "tick": "tick",
    "schedules": "schedules",
    "schedules accept --yes": "schedules",
    "prune --older-than 0m --dry-run": "prune",
    "cancel two": "run",
    "show nobody": "error",
    "run nobody": "error",
    "nonsense": "error",
}


@pytest.fixture
def lived_in(ion: Ion, project: Project) -> Ion:
    project.write("both", WORKFLOW)
    project.write("broken", "name: broken\nnodes: [{id: a}]\n")
    (project.folder / "s.sop.md").write_text(SOP)
    (project.folder / "answer.json").write_text("{}")
    for run in ("one", "two"):
        assert ion("run", "both", "--run-id", run, "--quiet").status == 3
    return ion


def test_what_every_command_prints(lived_in: Ion) -> None:
    for command, schema in COMMANDS.items():
        shown = lived_in(*command.split(), "--json")
        assert shown.out, f"{command}: {shown.err}"
        shown.json(schema)


def test_each_event(lived_in: Ion) -> None:
    lines = lived_in("events", "one").out.splitlines()
    assert len(lines) > 8
    for line in lines:
        fits(json.loads(line), "event")


def test_every_schema_is_one_and_is_used() -> None:
    names = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.json")}
    assert names == {*COMMANDS.values(), "event"}
    for path in SCHEMAS.glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_every_command_with_json_is_among_them() -> None:
    from ion.cli.main import COMMANDS as ALL
    from ion.cli.main import ion as program

    context = program.make_context("ion", [], resilient_parsing=True)
    with_json = {
        name
        for name in ALL
        if (command := program.get_command(context, name)) is not None
        and any("--json" in option.opts for option in command.params)
    }
    # What they print is JSON always, or the shape of another one that stands above.
    assert with_json - {command.split()[0] for command in COMMANDS} <= {
        *("events", "schema", "run", "reject", "respond", "signal"),
    }
