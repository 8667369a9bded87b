"""`ion init`: a first workflow that works as it is, and a settings file that explains itself; `ion schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ion.cli.context import CliContext, always_json, as_json, in_context

SCHEMA_NAME = "workflow.schema.json"
WORKFLOW = """\
# yaml-language-server: $schema=../workflow.schema.json
# A first workflow. Run it:      ion run hello
#             with an input:     ion run hello --input name=Ada
# It needs no agent. Look at it: ion show last
name: hello
description: Greets somebody, and says how long the greeting is.
strict: true # a bash ends at its first failing line

inputs:
  name:
    description: Who is greeted
    default: world

nodes:
  - id: greet
    bash: echo "Hello, $INPUTS.name!"

  # Runs when greet has completed. Values reach bash whole, whatever characters are in them.
  - id: measure
    depends_on: [greet]
    bash: |
      text="$greet.output"
      echo "${#text}"

  # Runs only if its condition holds; otherwise it is skipped.
  - id: report
    depends_on: [greet, measure]
    when: $measure.output > 0
    bash: echo "$greet.output ($measure.output characters)"
"""

SETTINGS = """\
# Settings of this project. What is given on the command line wins, then the environment, then this file, then
# the user's own settings. Take the '# ' off a line to use it.

# Who answers prompts: a name from 'agents' below, or a command line that reads a prompt and prints the answer.
# agent: claude

# agents:
#   claude:
#     command: claude -p

# Where runs are kept.
# store: sqlite:.ion/ion.db

# How many nodes run at once.
# max_concurrency: 8

# Environment variables for every program of a run.
# env:
#   CI: "true"
"""


@click.command()
@as_json
@in_context
def init(cli: CliContext, as_json: bool) -> int:
    """Write a first workflow, a settings file and, for editors, the schema of workflows into .ion/ of the working
    directory (or of --project).

    A file that is there already is left as it is.
    """
    from ion.api.workflows import workflow_json_schema
    from ion.api.workspace import Workspace
    from ion.cli import terminal
    from ion.errors import NotFoundError

    project = Path(cli.project or ".").absolute()
    if not project.is_dir():
        raise NotFoundError(f"the project {project} is not a directory")
    folder = Workspace(project).make_data_folder()
    files = {
        folder / "workflows" / "hello.yaml": WORKFLOW,
        folder / "config.yaml": SETTINGS,
        folder / SCHEMA_NAME: json.dumps(workflow_json_schema(), indent=1) + "\n",
    }
    written = {str(path): _write_new(path, text) for path, text in files.items()}
    if as_json:
        terminal.write_json([{"file": path, "written": is_new} for path, is_new in written.items()])
        return 0
    screen = terminal.talk()
    for path, is_new in written.items():
        screen.line(f"{'wrote' if is_new else 'kept '}  {path}")
    screen.line()
    screen.line("  ", cli.command("run", "hello"))
    return 0


def _write_new(path: Path, text: str) -> bool:
    """Write a file unless there is one; says whether it did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


@click.command()
@always_json
@in_context
def schema(_cli: CliContext) -> int:
    """Print the JSON Schema of workflow files, for editors.

    In a workflow file: # yaml-language-server: $schema=FILE
    """
    from ion.api.workflows import workflow_json_schema
    from ion.cli import terminal

    terminal.write_json(workflow_json_schema())
    return 0
