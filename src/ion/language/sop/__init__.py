"""Agent SOPs: markdown procedures (`*.sop.md`) as data, as workflows, as YAML, as skills.

`parse_sop` reads one, `to_workflow` makes the workflow that runs it, `to_yaml` prints that workflow for people. The
format is read with a real markdown parser, which is imported only when a text is parsed.
"""

from __future__ import annotations

from ion.language.sop.export import to_yaml
from ion.language.sop.model import Constraint, Parameter, Section, Sop, Step, Substep
from ion.language.sop.parse import SUFFIX, ParsedSop, parse_sop, sop_name
from ion.language.sop.to_workflow import to_workflow

__all__ = [
    "SUFFIX",
    "Constraint",
    "Parameter",
    "ParsedSop",
    "Section",
    "Sop",
    "Step",
    "Substep",
    "parse_sop",
    "sop_name",
    "to_workflow",
    "to_yaml",
]
