"""`ion completion`."""

from __future__ import annotations

import click

from ion.cli.completing import SHELLS, VARIABLE
from ion.cli.context import CliContext, in_context


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@in_context
def completion(_place: CliContext, shell: str) -> int:
    """Print the completion script of SHELL, which completes commands, options, workflows, runs, nodes and agents.

    \b
    bash: eval "$(ion completion bash)"             in ~/.bashrc
    zsh:  eval "$(ion completion zsh)"              in ~/.zshrc, after compinit
    fish: ion completion fish | source              in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from ion.cli import terminal
    from ion.cli.main import ion

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    script = found(ion, {}, "ion", VARIABLE)
    terminal.write_text(script.source_template % script.source_vars() + "\n")
    return 0
