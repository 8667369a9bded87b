"""An `Sop` to a `Workflow`: a chain of prompts, one for each step, and inputs for the parameters.

The converted YAML (`to_yaml`) loads to the same workflow, with the same ids, order and texts.

Every step has a whole text, which an agent that knows nothing can work from: the document around the steps, the values
of the parameters, the results of the earlier steps, and the step, byte for byte. A step that continues the session of
the one before also has a short text. The SOP's own words are escaped, so that its `$` names stay as they are; a
declared `{name}` becomes a reference, filled in when the step starts and never scanned again.

The lines that divide a text contain the id of the run: nobody can write one into a value before the run has started.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from ion.language.patterns import PLACEHOLDER
from ion.language.references import escape, input_reference
from ion.language.sop.model import Parameter, Sop, Step
from ion.language.sop.steps import slug
from ion.language.workflow import DEFAULT_IDLE_TIMEOUT_MS, Input, Node, Prompt, Workflow

# A run keeps all texts of its workflow, and each step's holds the document around the steps.
MAX_TEXT = 32_000_000


def to_workflow(sop: Sop) -> Workflow:
    """The workflow of an SOP; the same SOP always makes the same one."""
    all_tasks = tasks(sop)
    return Workflow(
        name=sop.name,
        nodes=tuple(_node(sop, all_tasks, position) for position in range(len(all_tasks))),
        description=sop.description or sop.title,
        file=sop.file,
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


# The prompts

_DIVIDER = "=== $WORKFLOW_ID: {} ==="
_CONTENTS = (
    "Lines of === with the run's id divide this text into the procedure without the texts of its steps, the values of "
    "its parameters, what the earlier steps gave, and your step."
)
_ANSWER = (
    "Do what your step says; the other steps are asked for one by one. Answer with what it gave: what was done, found "
    "and decided, and where (files, names, numbers), since later steps build on your answer."
)


class Task(Struct, frozen=True, gc=False):
    """The prompt of one node: a step, or a sub-step with the beginning of its step before it."""

    id: str
    label: str
    text: str
    step: Step


def tasks(sop: Sop) -> tuple[Task, ...]:
    """One for each step; with `split`, one for each sub-step of the steps whose sub-steps are all numbered."""
    found: list[Task] = []
    taken = {step.id for step in sop.steps}
    for step in sop.steps:
        if not (sop.split and step.substeps and all(sub.number for sub in step.substeps)):
            found.append(Task(step.id, _label(step.number, step.name), step.text, step))
            continue
        for position, sub in enumerate(step.substeps, 1):
            base = f"{step.id}-{slug(sub.name) or position}"
            name, again = base, 1
            while name in taken:
                again += 1
                name = f"{base}-{again}"
            taken.add(name)
            text = f"{step.lead}\n\n{sub.text}"
            found.append(Task(name, _label(sub.number, f"{sub.name} ({step.name})"), text, step))
    return tuple(found)


def whole_text(sop: Sop, all_tasks: Sequence[Task], position: int) -> str:
    """The prompt of a step for an agent that knows nothing. `position` counts from 0."""
    task = all_tasks[position]
    declared = _declared(sop)
    parts = [
        f"You carry out one step of a procedure, {_place(all_tasks, position)}, and no other step.\n{_CONTENTS}",
        _divided("the procedure", fill_in(sop.outline, declared)),
        *_values(sop),
        _divided("said at the start of the run, if anything", "$ARGUMENTS"),
        *(_divided(f"result of {escape(one.label)}", f"${one.id}.output") for one in all_tasks[:position]),
        *_step_and_answer(task, declared, all_tasks, position),
    ]
    return "\n\n".join(parts)


def short_text(sop: Sop, all_tasks: Sequence[Task], position: int) -> str:
    """The prompt of a step in a session that has seen the steps before it."""
    parts = [
        f"Continue with the procedure: {_place(all_tasks, position)}. What was said of it before still holds.",
        *_values(sop),
        *_step_and_answer(all_tasks[position], _declared(sop), all_tasks, position),
    ]
    return "\n\n".join(parts)


def fill_in(text: str, declared: Collection[str]) -> str:
    """A text of the SOP as a template: each declared `{name}` a reference, everything else literal."""
    parts: list[str] = []
    done = 0
    for match in PLACEHOLDER.finditer(text):
        if match[1] not in declared:
            continue
        before = text[done : match.start()]
        slashes = len(before) - len(before.rstrip("\\"))
        parts += [escape(before), "\\" * slashes, input_reference(match[1], text, match.end())]
        done = match.end()
    return "".join(parts) + escape(text[done:])


def _declared(sop: Sop) -> frozenset[str]:
    return frozenset(parameter.name for parameter in sop.parameters)


def _place(all_tasks: Sequence[Task], position: int) -> str:
    return f"step {position + 1} of {len(all_tasks)} ({escape(all_tasks[position].label)})"


def _divided(title: str, text: str) -> str:
    return f"{_DIVIDER.format(title)}\n{text}" if text else _DIVIDER.format(title)


def _values(sop: Sop) -> list[str]:
    """The table of the parameters. Each value has lines of its own, since it may have many."""
    if not sop.parameters:
        return []
    lines = [_divided(f"parameter {one.name}", input_reference(one.name)) for one in sop.parameters]
    if any(not one.required and not one.has_default for one in sop.parameters):
        lines.insert(0, "A parameter below whose value is its own name in braces was not given.")
    return ["\n".join(lines)]


def _step_and_answer(task: Task, declared: Collection[str], all_tasks: Sequence[Task], position: int) -> list[str]:
    return [
        _divided(f"your step, {position + 1} of {len(all_tasks)}", fill_in(task.text, declared)),
        _divided("how to answer", _ANSWER),
    ]


def _label(number: str, name: str) -> str:
    return f"{number}. {name}" if number and number != name else name
