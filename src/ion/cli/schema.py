"""`ion schema`."""

from __future__ import annotations

import click

from ion.cli.place import Place, always_json, at_place


@click.command()
@always_json
@at_place
def schema(_place: Place) -> int:
    """Print the JSON Schema of workflow files, for editors.

    In a workflow file: # yaml-language-server: $schema=FILE
    """
    from ion.cli import terminal
    from ion.language.schema.export import workflow_json_schema

    terminal.write_json(workflow_json_schema())
    return 0
