"""The part of docs/cli.md that click knows best: each command with its usage, its help and its options.

It stands between two markers of the page. `uv run python tests/cli_page.py` writes it anew; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ion.cli.main import ion

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BEGIN = "<!-- from here on generated: uv run python tests/cli_page.py -->"
END = "<!-- generated up to here -->"
# Said once, at the top of the page.
EVERYWHERE = frozenset({"--store", "--project", "--help"})


def generated() -> str:
    """The text that belongs between the markers."""
    return "\n".join(_group(click.Context(ion, info_name="ion"), ion))


def between_markers(page: str) -> str:
    """What stands between the markers of `page`. Raises ValueError where one is missing."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()


def updated(page: str) -> str:
    """`page` with the generated part as it is today."""
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    return f"{before}{BEGIN}\n\n{generated().strip()}\n\n{after}"


def _group(context: click.Context, group: click.Group) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, info_name=name, parent=context)
        yield from _command(below, command)
        if isinstance(command, click.Group):
            yield from _group(below, command)


def _command(context: click.Context, command: click.Command) -> Iterator[str]:
    pieces = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield from (f"### {context.command_path}", "", f"`{' '.join([context.command_path, *pieces])}`", "")
    for paragraph in (command.help or "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
    options = [_option(context, one) for one in command.get_params(context) if isinstance(one, click.Option)]
    if any(options):
        yield from (*filter(None, options), "")


def _option(context: click.Context, option: click.Option) -> str:
    record = option.get_help_record(context) if EVERYWHERE.isdisjoint(option.opts) else None
    return f"- `{record[0]}` {record[1]}".rstrip() if record else ""


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
