"""What a reader of an SOP should look at: words that a chain of prompts cannot carry out, rules without a reason.

A step that goes back, or waits for a person, stays prose: the agent reads it. But the chain goes forward, and nobody
may be there to answer. All of these are warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from ion.language.patterns import PLACEHOLDER
from ion.language.problems import did_you_mean
from ion.language.sop.model import Sop, SopProblems, Step

_REASON = re.compile(r"\b(?:because|since|as|to avoid|so that)\b", re.IGNORECASE)
_BACK = re.compile(
    r"\b(?:return|go(?:ing)? back|move back|jump(?:ing)?(?: back)?|loop back|back|skip(?: ahead| forward)?)"
    r" to (?:the |a |an |your )?(?P<target>\w+(?: \w+){0,2})",
    re.IGNORECASE,
)
_STEP_NUMBER = re.compile(r"\bsteps?\s+(?P<number>\d{1,9}(?:\.\d{1,9})*)(?!\w|\s*\*{0,2}[:：])", re.IGNORECASE)
_STEP_WORDS = frozenset({"step", "steps", "phase", "phases", "stage", "requirements"})
_PERSON = r"(?:users?|humans?|persons?|people|operators?|reviewers?|customers?|stakeholders?|maintainers?)"
_CONSENT = r"(?:approval|confirmation|consent|sign-?off)"
_CONFIRMATION = re.compile(
    rf"\bwait(?:s|ing)? for (?:\S+ ){{0,4}}(?:{_PERSON}|{_CONSENT}|response|reply|feedback|direction)\b"
    rf"|\b(?:explicit|manual|{_PERSON}(?:'s)?)(?: \w+)? {_CONSENT}\b"
    rf"|\bask(?:s|ing)? (?:the |your )?{_PERSON} (?:\w+ )?(?:to (?:approve|confirm|review)|if|whether|for {_CONSENT})\b"
    rf"|\b{_PERSON} (?:\w+ )?(?:approves?|confirms?|agrees?)\b"
    rf"|\bconfirm(?:ed)? (?:with|by) (?:the |your )?{_PERSON}\b",
    re.IGNORECASE,
)
_NEGATIVE = frozenset({"must_not", "should_not"})


class Mark(Struct, frozen=True, gc=False):
    """A place in a step: `kind` is `jump` or `confirmation`, `words` is the text. Line and column from 1."""

    kind: str
    line: int
    column: int
    words: str
    known: bool = True


def check_sop(sop: Sop, notes: SopProblems) -> None:
    """Every warning about the words of the steps."""
    _check_constraints(sop, notes)
    found = marks_of(sop)
    for step in sop.steps:
        marks = found[step.id]
        for mark in (mark for mark in marks if mark.kind == "jump"):
            _note_jump(step, mark, notes)
        _note_confirmation(step, [mark for mark in marks if mark.kind == "confirmation"], notes)
    _check_placeholders(sop, notes)


def marks_of(sop: Sop) -> dict[str, list[Mark]]:
    """For each step, by its id, where it goes elsewhere or asks for a person, in the order of its lines."""
    numbers, names = _known(sop)
    return {step.id: _marks(step, numbers, names) for step in sop.steps}


def _marks(step: Step, numbers: frozenset[str], names: frozenset[str]) -> list[Mark]:
    marks: list[Mark] = []
    for number, line in enumerate(step.prose):
        marks += _jumps(line, step.line + number, numbers, names)
        asked = _CONFIRMATION.search(line)
        if asked:
            marks.append(Mark("confirmation", step.line + number, asked.start() + 1, asked[0]))
    return marks


def _known(sop: Sop) -> tuple[frozenset[str], frozenset[str]]:
    """The numbers that steps and sub-steps have, and the first words of their names."""
    numbered = [step.number for step in sop.steps if step.number]
    numbers = numbered or [str(position) for position in range(1, len(sop.steps) + 1)]
    numbers += [sub.number for step in sop.steps for sub in step.substeps if sub.number]
    names = [step.name for step in sop.steps] + [sub.name for step in sop.steps for sub in step.substeps]
    words = {name.split()[0].lower() for name in names if name.split() and len(name.split()[0]) > 3}
    return frozenset(numbers), frozenset(words)


def _jumps(line: str, number: int, numbers: frozenset[str], names: frozenset[str]) -> Iterator[Mark]:
    taken = -1
    for found in _BACK.finditer(line):
        words = found["target"].lower().split()
        if words[0] in _STEP_WORDS | names or _STEP_WORDS & set(words[1:2]):
            said = _STEP_NUMBER.search(line, found.start("target"), found.end() + 12)
            known = said is None or said["number"] in numbers
            taken = said.end() if said else found.end()
            yield Mark("jump", number, found.start() + 1, line[found.start() : taken], known)
    for found in _STEP_NUMBER.finditer(line):
        if found["number"] not in numbers and found.end() != taken:
            yield Mark("jump", number, found.start() + 1, found[0], known=False)


def _note_jump(step: Step, mark: Mark, notes: SopProblems) -> None:
    message = f"'{step.name}' says \"{mark.words}\", and steps run only forward"
    if not mark.known:
        message = f"'{step.name}' says \"{mark.words}\", but no step has that name"
    hint = "it stays in the prompt; ion convert shows where a loop would go"
    notes.warning("sop-jump", message, mark.line, mark.column, length=len(mark.words), hint=hint)


def _note_confirmation(step: Step, marks: list[Mark], notes: SopProblems) -> None:
    """One warning for each step, at the first place; its message lists the other places."""
    if not marks:
        return
    first, others = marks[0], list(dict.fromkeys(mark.line for mark in marks[1:]))
    also = f" (also in line {', '.join(map(str, others[:8]))}{', …' if len(others) > 8 else ''})" if others else ""
    message = f"'{step.name}' asks for a person: \"{first.words}\"{also}"
    hint = "nobody may be there to answer; ion convert shows where an approval would go"
    notes.warning("sop-confirmation", message, first.line, first.column, length=len(first.words), hint=hint)


def _check_constraints(sop: Sop, notes: SopProblems) -> None:
    for step in sop.steps:
        if not step.constraints:
            hint = "write '**Constraints:**' and bullets such as '- You MUST …'"
            notes.warning("no-constraints", f"the step '{step.name}' has no constraints", step.line, hint=hint)
        for constraint in step.constraints:
            if constraint.level in _NEGATIVE and not _REASON.search(constraint.text):
                message = "this rule forbids something and gives no reason"
                hint = "continue with 'because …': agents keep rules that they understand"
                notes.warning("reasonless", message, constraint.line, constraint.column, hint=hint)


def _check_placeholders(sop: Sop, notes: SopProblems) -> None:
    """A placeholder that is nearly the name of a parameter is a typing error, and would stay as it is."""
    declared = [parameter.name for parameter in sop.parameters]
    told: set[str] = set()
    for number, line in enumerate(sop.source.split("\n"), 1):
        for found in PLACEHOLDER.finditer(line) if declared and "{" in line else ():
            name = found[1]
            if name in declared or name in told:
                continue
            told.add(name)
            near = did_you_mean(name, declared) if len(told) <= 200 else None
            if near:
                message = f"'{{{name}}}' is not a parameter, and stays as it is"
                hint = f"did you mean '{{{near}}}'?"
                notes.warning(
                    "unknown-placeholder", message, number, found.start() + 1, length=len(name) + 2, hint=hint
                )
