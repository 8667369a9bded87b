"""`python -m ion.cli`, where the `ion` script is not on the path."""

from __future__ import annotations

from ion.cli.main import main

main()
