"""References in bash: the exact value, in any quoting, at any size, never pasted into code (language.md §5.1).

`placing.place` reads a script with Ion's own lexer when a workflow is loaded and says where each reference stands;
`rewrite` puts a quoted variable there when the node runs; `preamble` is the line that loads the variables. How it is
used:

    rewritten = rewrite(shell, resolve)
    data:   for each value of rewritten.variables, in order, its UTF-8 text and a NUL (a NUL in it fails the node)
    script: preamble(rewritten.variables, data_path) + rewritten.text, in a file, run as `bash FILE`

The node drops from the environment what could turn bash's own words against the preamble (`unsafe_in_environment`).
"""

from __future__ import annotations

from ion.language.shell.rewriting import Rewritten, Value, preamble, rewrite

__all__ = ["Rewritten", "Value", "preamble", "rewrite", "unsafe_in_environment"]

_UNSAFE = frozenset(f"BASH_FUNC_{word}%%" for word in ("builtin", "read", "export", "echo", "exit"))


def unsafe_in_environment(name: str) -> bool:
    """Whether an inherited variable must not reach a script: an exported function of a name that the preamble uses,
    or a variable of the preamble's own."""
    return name.startswith("__ion_") or name in _UNSAFE
