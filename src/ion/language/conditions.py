"""Conditions (`when:`): parsed as a whole when a file is loaded, evaluated when a node's dependencies have settled.

The grammar is small on purpose (language.md §4): comparisons of one reference with one literal, joined by `&&` and,
with lower precedence, `||`. Anything more is computed in a node; so for a condition that it cannot read, the parser
says what is wrong and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ion.digests import sha256_of
from ion.errors import ConditionError, IonError
from ion.language.patterns import pattern
from ion.language.references import ENGINE_NAMES, reference_text
from ion.language.values import repr_text
from ion.language.workflow import (
    COUNTS,
    OUTCOMES,
    RUN_NAMES,
    Comparison,
    Condition,
    EngineReference,
    InputReference,
    NodeReference,
    OutcomeReference,
    PreviousReference,
    Reference,
    RunReference,
)
from ion.names import ITEM_NAMES

if TYPE_CHECKING:
    from decimal import Decimal

_BLANK = r"[\s\ufeff]*"
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_FIELD = r"[A-Za-z_][A-Za-z0-9_]*"
_PATH = rf"(?:\.{_FIELD})*"
# The engine's names that a condition can read.
CONDITION_NAMES = (*ITEM_NAMES, "LOOP_ITERATION")
_REFERENCE = pattern(
    rf"\$(?:INPUTS\.(?P<input>{_NAME})(?P<inner>{_PATH})|(?P<engine>{'|'.join(CONDITION_NAMES)})(?![\w.-])"
    rf"|LOOP_PREV\.(?P<previous>{_NAME})\.output(?![A-Za-z0-9_])(?P<before>{_PATH})"
    rf"|RUN\.(?P<run>{_FIELD})"
    rf"|(?!INPUTS\.|LOOP_PREV\.|RUN\.)(?P<node>{_NAME})\."
    rf"(?:output(?![A-Za-z0-9_])(?P<path>{_PATH})|outcome(?![A-Za-z0-9_])(?:\.(?P<outcome>{_FIELD}))?"
    rf"|(?P<field>{_FIELD})))"
)
_OPERATOR = pattern(rf"{_BLANK}(==|!=|<=|>=|<|>)(?![=<>]){_BLANK}")
_LITERAL = pattern(r"'(?P<quoted>[^']*)'|(?P<bare>-?[0-9]+(?:\.[0-9]+)?|true|false)(?![\w.+-])")
_JOINT = pattern(rf"{_BLANK}(&&|\|\||\Z){_BLANK}")
_NUMBER = pattern(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_COMPUTE = "compute it in a bash or script node and compare that node's output, as in $check.output == 'true'"
# What other systems say in a condition and Ion by the trigger rule.
_FUNCTIONS = {
    "always": "write trigger_rule: all_done, and no condition",
    "success": "leave it out: a node runs once all that it depends on completed",
    "failure": "a node with catches: [NODE] runs after that one failed",
    "cancelled": "what is to run after a run was cancelled is listed under 'finally' at the top",
}
_LITERALS = "a literal is 'text' in single quotes, a number, true or false"


class ConditionSyntaxError(ValueError):
    """A condition that does not parse: `message` says what is wrong, `hint` what to write, `offset` where
    (characters from the start of the condition)."""

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


class Fingerprint(Struct, frozen=True, gc=False):
    """A text too long to keep: the sha256 (hex) and the length in bytes of its UTF-8."""

    sha256: str
    length: int


Lookup: TypeAlias = Callable[[Reference], str | Fingerprint]


def parse_condition(text: str) -> Condition:
    """Raises `ConditionSyntaxError`."""
    groups: list[list[Comparison]] = [[]]
    position = len(text) - len(text.lstrip())
    while True:
        comparison, position = _comparison(text, position)
        groups[-1].append(comparison)
        joint = _JOINT.match(text, position)
        if joint is None:
            raise _after_comparison(text, position)
        position = joint.end()
        if not joint[1]:
            return Condition(text, tuple(map(tuple, groups)))
        if joint[1] == "||":
            groups.append([])


def evaluate(condition: Condition, lookup: Lookup) -> bool:
    """Whether the condition is true. What comes after the deciding comparison is not looked up.

    Raises `ConditionError` for a value that is not a number where one is needed, and whatever `lookup` raises.
    """
    return any(all(_holds(comparison, lookup) for comparison in group) for group in condition.alternatives)


def explain(condition: Condition, lookup: Lookup) -> list[tuple[str, str, bool | None]]:
    """For each comparison its text, the value in short, and its result; for screens, so it never raises.

    A comparison that is not reached has ('', None); one that cannot be evaluated has (the reason, None) and is the
    last.
    """
    rows: list[tuple[str, str, bool | None]] = []
    over = False
    for group in condition.alternatives:
        group_result: bool | None = True
        for comparison in group:
            if over or not group_result:
                rows.append((comparison_text(comparison), "", None))
                continue
            seen, group_result = _seen(comparison, lookup)
            over = group_result is None
            rows.append((comparison_text(comparison), seen, group_result))
        over = over or bool(group_result)
    return rows


def comparison_text(comparison: Comparison) -> str:
    """A comparison as an author writes it."""
    literal = comparison.literal
    bare = literal in ("true", "false") or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", literal)
    return f"{reference_text(comparison.reference)} {comparison.operator} {literal if bare else repr_text(literal)}"


def _comparison(text: str, position: int) -> tuple[Comparison, int]:
    reference = _REFERENCE.match(text, position)
    if reference is None:
        raise _no_reference(text, position)
    operator = _OPERATOR.match(text, reference.end())
    if operator is None:
        raise _no_operator(text, reference)
    literal = _LITERAL.match(text, operator.end())
    if literal is None:
        raise _no_literal(text, operator.end())
    value = literal["bare"] or literal["quoted"] or ""
    if operator[1] not in ("==", "!=") and not _NUMBER.fullmatch(_trim(value)):
        raise ConditionSyntaxError(
            f"{operator[1]} compares numbers, and {literal[0]} is not one",
            "compare texts with == or !=",
            literal.start(),
        )
    return Comparison(_to_reference(reference), operator[1], value), literal.end()


def _to_reference(match: re.Match[str]) -> Reference:
    if match["input"]:
        return InputReference(match["input"], _path(match["inner"]))
    if match["engine"]:
        return EngineReference(match["engine"])
    if match["previous"]:
        return PreviousReference(match["previous"], _path(match["before"]))
    if match["run"]:
        return RunReference(_known(match, "run", RUN_NAMES))
    if match["field"]:
        return NodeReference(match["node"], (match["field"],))
    if match["path"] is None:
        return OutcomeReference(match["node"], _known(match, "outcome", (*OUTCOMES, *COUNTS)))
    return NodeReference(match["node"], _path(match["path"]))


def _known(match: re.Match[str], group: str, names: tuple[str, ...]) -> str:
    """The name that is read of an outcome, or of the run: one of `names`."""
    if match[group] in names:
        return match[group]
    meant = "" if match[group] else f"\nthe field 'outcome' of what it answers is ${match['node']}.output.outcome"
    owner = "$RUN" if group == "run" else f"${match['node']}.outcome"
    raise ConditionSyntaxError(f"{match[0]} names no value", f"{owner} has {', '.join(names)}{meant}", match.start())


def _path(written: str) -> tuple[str, ...]:
    return tuple(written.split(".")[1:])


def _no_reference(text: str, position: int) -> ConditionSyntaxError:
    rest = text[position:]
    name = re.match(r"\$?\{?([A-Za-z_][\w-]*)", rest, re.ASCII)
    call = re.match(r"(?:\$\{\{\s*)?!?([A-Za-z_]\w*)\(", rest, re.ASCII)
    if call:
        message = f"unknown function {call[1]}()"
        hint = _FUNCTIONS.get(call[1], f"a condition only compares; {_COMPUTE}")
    elif not rest:
        message, hint = "a comparison is missing here", "write one, as in $check.output == 'ok'"
    elif rest[0] == "(":
        message, hint = "conditions have no parentheses", f"&& binds tighter than ||; for more, {_COMPUTE}"
    elif rest[0] == "!" or re.match(r"not\b", rest):
        message, hint = "conditions have no negation", "write != instead of ==, or compare with 'false'"
    elif _LITERAL.match(rest) or rest[0] in "'\"":
        message, hint = "write the reference on the left, the literal on the right", "as in $check.output == 'ok'"
    elif rest.startswith("${"):
        message, hint = "references have no braces", "write $node.output, as in $check.output == 'ok'"
    elif rest[0] == "$" and name and name[1].isupper() and name[1] not in ENGINE_NAMES:
        message = f"a condition does not read the environment: ${name[1]}"
        lower = name[1].lower()
        hint = (
            f'declare an input and write $INPUTS.{lower}, then: ion run … --input {lower}="${name[1]}"\nor {_COMPUTE}'
        )
    elif rest[0] == "$" and name and name[1] not in ENGINE_NAMES:
        message, hint = f"${name[1]} names no value", f"write ${name[1]}.output for the output of that node"
    elif rest[0] == "$" and name:
        message = f"a condition cannot read ${name[1]}"
        hint = f"it reads outputs ($node.output) and inputs: declare an input and write $INPUTS.{name[1].lower()}"
    elif name and re.match(r"[A-Za-z_][\w-]*\.[A-Za-z_]", rest):
        message, hint = "a reference begins with $", f"write ${rest.split()[0]}"
    else:
        message, hint = f"a comparison begins with a reference, not {rest[:12]!r}", "as in $check.output == 'ok'"
    return ConditionSyntaxError(message, hint, position)


def _no_operator(text: str, reference: re.Match[str]) -> ConditionSyntaxError:
    start = reference.end()
    offset = start + len(text[start:]) - len(text[start:].lstrip())
    rest = text[offset:]
    word = re.match(r"[A-Za-z][\w-]*", rest)
    if re.match(r"\|(?!\|)", rest):
        message, hint = "a condition has no filters", _COMPUTE
        if re.match(r"\|\s*length\s*(>|!=)\s*0", rest):
            hint = f"write {reference[0]} != '', or != '[]' for a list"
    elif not rest or rest.startswith(("&", "|", ")")):
        message, hint = f"{reference[0]} is compared with nothing", f"write {reference[0]} == 'true'"
    elif rest[0] == "." and start == offset:
        message = f"{reference[0]} is not read any deeper here"
        hint = _deeper_hint(reference)
    elif rest[0] == "-" and start == offset:
        message, hint = "a field in a condition has no '-' in its name", f"give the field another name, or {_COMPUTE}"
    elif rest[0] == "[":
        message, hint = "conditions read no elements of lists", _COMPUTE
    elif re.match(r"=(?!=)", rest):
        message, hint = "= is not an operator", "write =="
    elif operator := re.match(r"[=!<>~]+", rest):
        message, hint = f"unknown operator {operator[0]}", "the operators are == != < <= > >="
    elif word:
        message, hint = f"unknown operator {word[0]!r}", f"the operators are == != < <= > >=; else {_COMPUTE}"
    else:
        message, hint = f"an operator is missing before {rest[:12]!r}", "the operators are == != < <= > >="
    return ConditionSyntaxError(message, hint, offset)


def _deeper_hint(reference: re.Match[str]) -> str:
    if reference["field"]:
        return f"write ${reference['node']}.output.{reference['field']}…; only $node.field may leave out 'output'"
    return "a field's name is letters, digits and _"


def _no_literal(text: str, position: int) -> ConditionSyntaxError:
    rest = text[position:]
    word = re.match(r"\w+", rest)
    double = re.match(r'"([^"]*)"?', rest)
    if not rest:
        message, hint = "there is nothing to compare with", _LITERALS
    elif rest[0] == "'":
        message, hint = "the quote ' is not closed", f"{_LITERALS}; a text with a ' in it: {_COMPUTE}"
    elif double and "'" in double[1]:
        message, hint = "a literal is written in single quotes and cannot hold one", _COMPUTE
    elif double:
        message, hint = "a literal is written in single quotes", f"write '{double[1]}'"
    elif rest[0] == "$":
        message, hint = "a reference can only be compared with a literal", _COMPUTE
    elif word and word[0].lower() in ("null", "none", "undefined", "nil"):
        message, hint = f"unknown word {word[0]}", "compare with '' (left out, or empty) or with 'null' (JSON null)"
    elif word and word[0].lower() in ("true", "false"):
        message, hint = f"write {word[0].lower()} in small letters", _LITERALS
    elif re.match(r"[-+.]?[0-9]", rest):
        message, hint = "a number is written as 42, -1 or 0.5", _LITERALS
    elif word:
        message, hint = f"{word[0]} is not quoted", f"write '{word[0]}'; {_LITERALS}"
    else:
        message, hint = f"{rest[:12]!r} is not a literal", _LITERALS
    return ConditionSyntaxError(message, hint, position)


def _after_comparison(text: str, position: int) -> ConditionSyntaxError:
    offset = position + len(text[position:]) - len(text[position:].lstrip())
    rest = text[offset:]
    word = re.match(r"(and|or)\b", rest, re.IGNORECASE)
    if word or rest[0] in "&|":
        message = f"{word[0] if word else rest[0]} does not join comparisons"
        hint = "write &&" if rest[0] in "aA&" else "write ||"
    elif rest[0] in "()":
        message, hint = "conditions have no parentheses", f"&& binds tighter than ||; for more, {_COMPUTE}"
    elif rest[0] == "'" or (offset == position and text[position - 1] == "'"):
        message, hint = "a literal cannot hold a single quote", _COMPUTE
    else:
        message, hint = f"a comparison ends before {rest[:12]!r}", "join comparisons with && or ||"
    return ConditionSyntaxError(message, hint, offset)


def _holds(comparison: Comparison, lookup: Lookup) -> bool:
    return judge(comparison, lookup(comparison.reference))


def judge(comparison: Comparison, value: str | Fingerprint) -> bool:
    """Whether a comparison holds for this value of its reference. Raises `ConditionError` as `evaluate` does."""
    if comparison.operator in ("==", "!="):
        return _equal(comparison.literal, value) == (comparison.operator == "==")
    left, right = _number(comparison, value), _number(comparison, comparison.literal)
    if comparison.operator in ("<", "<="):
        return left < right or (left == right and comparison.operator == "<=")
    return left > right or (left == right and comparison.operator == ">=")


def _equal(literal: str, value: str | Fingerprint) -> bool:
    if isinstance(value, str):
        return literal == value
    data = literal.encode("utf-8", "surrogatepass")
    return len(data) == value.length and sha256_of(data) == value.sha256


def _number(comparison: Comparison, value: str | Fingerprint) -> Decimal:
    from decimal import Decimal, InvalidOperation

    where = f"{reference_text(comparison.reference)} {comparison.operator} {comparison.literal}"
    if isinstance(value, str) and _NUMBER.fullmatch(_trim(value)):
        try:
            return Decimal(_trim(value))
        except InvalidOperation:
            raise ConditionError(f"{where}: the number {_short(value)} is too large") from None
    raise ConditionError(
        f"{where} needs a number, and the value is {_short(value)}",
        hint="< <= > >= compare numbers such as 42, -1, 0.5 or 1e3; texts are compared with == and !=",
    )


def _trim(text: str) -> str:
    return text.strip().strip("\ufeff").strip()


def _seen(comparison: Comparison, lookup: Lookup) -> tuple[str, bool | None]:
    try:
        value = lookup(comparison.reference)
        return _short(value), judge(comparison, value)
    except IonError as error:
        return error.message, None


def _short(value: str | Fingerprint) -> str:
    if isinstance(value, Fingerprint):
        return f"a text of {value.length} bytes"
    return repr_text(value) if len(value) <= 60 else f"{repr_text(value[:57])}…"
