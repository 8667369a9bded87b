"""An `Sop` to a `Workflow`: a chain of prompts, one for each step, and inputs for the parameters.

The converted YAML (`to_yaml`) loads to the same workflow, with the same ids, order and texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from ion.language.sop.model import Parameter, Sop
from ion.language.sop.prompts import Task, short_text, tasks, whole_text
from ion.language.workflow import DEFAULT_IDLE_TIMEOUT_MS, Input, Node, Prompt, Workflow

# A run keeps all texts of its workflow, and each step's holds the document around the steps.
MAX_TEXT = 32_000_000


def to_workflow(sop: Sop, *, digest: str = "") -> Workflow:
    """The workflow of an SOP; the same SOP always makes the same one."""
    all_tasks = tasks(sop)
    return Workflow(
        name=sop.name,
        nodes=tuple(_node(sop, all_tasks, position) for position in range(len(all_tasks))),
        description=sop.description or sop.title,
        file=sop.file,
        digest=digest,
        inputs=tuple(_input(parameter) for parameter in sop.parameters),
    )


def text_size(sop: Sop) -> int:
    """About how many characters the texts of the workflow would have, known without making them."""
    count = sum(max(1, len(step.substeps)) if sop.split else 1 for step in sop.steps)
    around = len(sop.outline) + sum(80 + 2 * len(parameter.name) for parameter in sop.parameters)
    leads = sum(len(step.lead) * len(step.substeps) for step in sop.steps) if sop.split else 0
    labels = sum(60 + 2 * len(step.name) for step in sop.steps)
    return count * (around + 1000 + labels) + 2 * (len(sop.source) + leads)


def _node(sop: Sop, all_tasks: Sequence[Task], position: int) -> Node:
    before = [task.id for task in all_tasks[:position]]
    goes_on = bool(before) and sop.context != "fresh"
    continued = short_text(sop, all_tasks, position) if goes_on else None
    return Node(
        id=all_tasks[position].id,
        body=Prompt(whole_text(sop, all_tasks, position), continued),
        depends_on=tuple(before[-1:]),
        order=tuple(before[:-1]),
        idle_timeout_ms=DEFAULT_IDLE_TIMEOUT_MS,
        continues=before[-1] if goes_on else None,
    )


def _input(parameter: Parameter) -> Input:
    return Input(
        name=parameter.name,
        required=parameter.required,
        has_default=parameter.has_default,
        default=parameter.default,
        description=parameter.description,
        type=parameter.type,
        refers_to=parameter.refers_to,
        placeholder=None if parameter.required or parameter.has_default else f"{{{parameter.name}}}",
    )
