"""A `.sop.md` file for the loader of workflows: its workflow and all of its problems."""

from __future__ import annotations

from ion.language.load import Loaded
from ion.language.sop.parse import ParsedSop, parse_sop, sop_name
from ion.language.sop.to_workflow import to_workflow


def load_sop(text: str, *, file: str, digest: str) -> Loaded:
    """Parse the text of an SOP file. Never raises because of the text."""
    parsed: ParsedSop = parse_sop(text, file=file)
    if parsed.sop is None:
        return Loaded(None, parsed.problems, sop_name(file))
    return Loaded(to_workflow(parsed.sop, digest=digest), parsed.problems, parsed.sop.name)
