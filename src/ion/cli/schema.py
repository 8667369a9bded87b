"""`ion schema`."""

from __future__ import annotations

import click

from ion.cli.context import CliContext, always_json, in_context


@click.command()
@always_json
@in_context
def schema(_place: CliContext) -> int:
    """Print the JSON Schema of workflow files, for editors.

    In a workflow file: # yaml-language-server: $schema=FILE
    """
    from ion.cli import terminal
    from ion.language.schema.export import workflow_json_schema

    terminal.write_json(workflow_json_schema())
    return 0
