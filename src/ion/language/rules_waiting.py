"""Rules on what waits: the forms of `wait`, and the deadline of a gate (language.md §8, §14)."""

from __future__ import annotations

from ion.language import schema
from ion.language.document import DocumentPath
from ion.language.problems import Report
from ion.language.shape import Draft


def check_deadline(approval: schema.ApprovalModel, path: DocumentPath, report: Report) -> None:
    """What is decided when the time of a gate is over, and what people are told before that."""
    decisions = ["approve", "reject"] if approval.decisions is None else [one.id for one in approval.decisions]
    known = ["fail", *decisions]
    if approval.on_timeout is not None and approval.on_timeout not in known:
        hint = report.suggest(approval.on_timeout, known) or f"it is one of {', '.join(known)}"
        message = f"'on_timeout' decides '{approval.on_timeout}', which nobody could answer"
        report.error("bad-decisions", message, (*path, "on_timeout"), hint=hint)
    if approval.on_timeout is not None and approval.timeout is None:
        message = "'on_timeout' has no effect without 'timeout': the gate waits for ever"
        report.error("no-effect-here", message, (*path, "on_timeout"), hint="add timeout: 2d", key=True)
    for index, after in enumerate(approval.remind or ()):
        if approval.timeout is not None and after >= approval.timeout:
            message = "this reminder is never sent: the gate's time is over by then"
            report.warning("no-effect", message, (*path, "remind", index), hint="remove it")


def check_wait(draft: Draft, report: Report) -> None:
    """One form, and with it what acts on it. The raw values are looked at: whatever is wrong with one of them, it says
    which form is meant."""
    path: DocumentPath = (*draft.path, "wait")
    given = draft.raw["wait"] if isinstance(draft.raw["wait"], dict) else {"duration": draft.raw["wait"]}
    forms = [form for form in schema.WAIT_FORMS if form in given]
    if len(forms) != 1:
        message = f"a wait has one form, and this one has {' and '.join(forms)}" if forms else "this waits for nothing"
        hint = "write one of duration: 30m, until: INSTANT, event: NAME, check: COMMAND"
        report.error("bad-wait", message, (*path, forms[1]) if forms else path, hint=hint, key=bool(forms))
        return
    deadlines = [key for key in ("deadline", "deadline_ms") if key in given]
    if len(deadlines) > 1:
        report.error("bad-wait", "a wait has one deadline", (*path, "deadline_ms"), hint="remove one", key=True)
    ends = forms[0] in ("event", "check")
    for key in deadlines if not ends else ():
        message, hint = f"'{key}' has no effect here: the wait is over by itself", "remove it"
        report.error("no-effect-here", message, (*path, key), hint=hint, key=True)
    if "on_expired" in given and not (ends and deadlines):
        message = "'on_expired' has no effect without 'deadline'"
        hint = "add deadline: 1d" if ends else "remove it: this wait does not expire"
        report.error("no-effect-here", message, (*path, "on_expired"), hint=hint, key=True)
    if "every" in given and forms[0] != "check":
        message, hint = "'every' has no effect: only a check is tried again", "remove it"
        report.error("no-effect-here", message, (*path, "every"), hint=hint, key=True)
