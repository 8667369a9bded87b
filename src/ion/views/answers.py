"""The answers that a person may give to a question, and what a typed line means: no key does the opposite of its word.

Pure: a question and a line in, a choice or a word on what is wrong with it out. The conversation is in `asking`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from ion.views.waiting import PERMISSION

if TYPE_CHECKING:
    from ion import events as e

LATER = frozenset({"l", "later", "q"})
VIEW = frozenset({"v", "view"})
_ITERATION = "iteration"


class AnswerChoice(Struct, frozen=True):
    """One answer. `shown` is how it is offered ('': it is understood, and not offered); `words` are what one types for
    it, `name` is what it is called in a sentence. `asks` is the question for the text that goes with it, `needs` says
    that it cannot do without one; `silent`: it takes none, since with one it would mean something else."""

    decision: str
    name: str
    words: frozenset[str]
    shown: str = ""
    asks: str = ""
    needs: bool = False
    silent: bool = False


class Answer(Struct, frozen=True):
    """What a person decided: `approve`, `reject`, or one of the gate's decisions; with what they said."""

    decision: str
    said: str = ""


def _choice(decision: str, words: str, shown: str, **said: Any) -> AnswerChoice:
    said.setdefault("name", words.rsplit(maxsplit=1)[-1])
    return AnswerChoice(decision=decision, words=frozenset(words.split()), shown=shown, **said)


_APPROVE = _choice("approve", "a y yes approve", "[a]pprove")
_COMMENT = _choice(
    "approve", "w with", "approve [w]ith a comment", name="approve with a comment (w)", asks="comment ›", needs=True
)
_REJECT = _choice("reject", "r n no reject", "[r]eject", asks="why not? ›")
_FINISH = _choice("approve", "f finish", "[f]inish", silent=True)
_ANOTHER = "another round (a)"
_AGAIN = _choice("approve", "approve a another", "[a]nother round", name=_ANOTHER, asks="what should it do? ›")
# After a signal an approval without a word would finish the loop.
_ONCE_MORE = _choice("approve", "a another", "[a]nother round", name=_ANOTHER, asks="what should change? ›", needs=True)
_END = _choice("reject", "r reject", "", name="reject (ends the loop, and the run with it)", asks="why not? ›")
_END_INSIDE = _choice("reject", "r reject", "", name="reject (ends the loop)", asks="why not? ›")
_ALLOW = _choice("approve", "a y yes approve allow", "[a]llow")
_REFUSE = _choice("reject", "r n no reject deny refuse", "[r]efuse", asks="why not? ›")


def choices(question: e.ApprovalRequested) -> tuple[AnswerChoice, ...]:
    """All answers to this question, those that are not offered at the end."""
    if question.kind == PERMISSION:
        return (_ALLOW, _REFUSE, *(AnswerChoice(name, name, frozenset({name})) for name in question.decisions))
    if question.decisions:
        keys = keys_of(question)
        return tuple(
            AnswerChoice(name, name, frozenset({key, name})) for key, name in zip(keys, question.decisions, strict=True)
        )
    if question.kind == _ITERATION:
        end = _END_INSIDE if "." in question.node else _END
        if question.last:
            return (_FINISH, end) if question.signaled else (replace(end, shown="[r]eject"),)
        return (_FINISH, _ONCE_MORE, end) if question.signaled else (_AGAIN, end)
    return (_APPROVE, _COMMENT, _REJECT)


def keys_of(question: e.ApprovalRequested) -> tuple[str, ...]:
    """What one types for each decision of a gate: its number, or, where a decision is called as a number, its id."""
    if any(name.isdecimal() for name in question.decisions):
        return question.decisions
    return tuple(str(number) for number in range(1, len(question.decisions) + 1))


def offer(question: e.ApprovalRequested, *, view: bool) -> str:
    """The line before the cursor. `view`: the message is longer than what is shown."""
    offered = [choice.shown for choice in choices(question) if choice.shown]
    if question.decisions and question.kind != PERMISSION:
        keys = keys_of(question)
        which = f"{keys[0]}–{keys[-1]}" if keys != question.decisions and len(keys) > 1 else "/".join(keys)
        offered = [f"{which}, or a decision, and a comment"]
    # A workflow may call one of its decisions `later`.
    postpone = "[q]uit for now" if LATER & set(question.decisions) else "[l]ater"
    return "  " + "   ".join([*offered, *(["[v]iew all"] if view else []), postpone, "›"])


def meant(question: e.ApprovalRequested, word: str) -> AnswerChoice | None:
    """The answer that this word means; a decision's own id as it is written, all else in either case."""
    known = choices(question)
    for choice in known:
        if word == choice.decision and question.decisions:
            return choice
    return next((choice for choice in known if word in choice.words or word.lower() in choice.words), None)


def unknown(question: e.ApprovalRequested, word: str) -> str:
    """What is said of a word that is not an answer."""
    if question.kind == _ITERATION and not question.signaled and word.lower() in _FINISH.words:
        left = "reject, later" if question.last else f"{_ANOTHER}, reject, later"
        return f"it has not said that it is done, so it cannot be finished: {left}"
    names = [choice.name for choice in choices(question)]
    return f"'{word}' is not one of the answers: {', '.join([*names, 'later'])}"
