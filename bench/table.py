"""The results as a table: on the terminal while they come, and as Markdown for `docs/performance.md`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench import measure
from bench.measure import Figures, Spread
from bench.works import Question, Work

_PEER_FIGURE = "wall"


@dataclass(frozen=True)
class Row:
    """One answered question. `met` is None where there is no goal."""

    work: str
    question: str
    result: Spread
    goal: str
    met: bool | None


def rows_of(work: Work, found: dict[str, list[Figures]]) -> list[Row]:
    """The answers to a work's questions, as far as those who were asked did it; then the peers against the floor."""
    rows = []
    for question in work.questions:
        samples = [found.get(name) for name in (question.above, question.below) if name is not None]
        if all(samples):
            rows.append(_row(work, question, found))
    known = {name for question in work.questions for name in (question.above, question.below)} | {"floor", "Ion"}
    for peer in found.keys() - known:
        if work.graph is not None and found[peer]:
            result = measure.ratio(found[peer], found["floor"], _PEER_FIGURE)
            rows.append(Row(work.text, f"{peer}, wall, to the floor", result, "", None))
            if found.get("Ion"):
                against = measure.ratio(found[peer], found["Ion"], _PEER_FIGURE)
                rows.append(Row(work.text, f"{peer}, wall, to Ion", against, "", None))
    return rows


def _row(work: Work, question: Question, found: dict[str, list[Figures]]) -> Row:
    above = found[question.above]
    if question.below is None:
        result = measure.value(above, question.figure, question.scale)
    else:
        result = measure.ratio(above, found[question.below], question.figure, question.scale)
    if question.limit is None:
        return Row(work.text, question.text, result, "", None)
    met = result.middle >= question.limit if question.least else result.middle <= question.limit
    return Row(work.text, question.text, result, f"{'≥' if question.least else '≤'} {question.limit:g}", met)


def line(row: Row) -> str:
    """A row for the terminal."""
    verdict = {True: "ok", False: "MISSED", None: ""}[row.met]
    return f"  {row.question:<52} {row.result!s:<26} {row.goal:<8} {verdict}".rstrip()


def seconds(found: dict[str, list[Figures]]) -> str:
    """What each program took, for the curious: medians of the whole process."""
    parts = [
        f"{name} {statistics.median(one['wall'] for one in samples):.3f} s"
        for name, samples in found.items()
        if samples
    ]
    return ", ".join(parts)


def markdown(rows: list[Row]) -> str:
    """All rows as a Markdown table."""
    lines = ["| work | question | median (smallest–largest of a round) | goal | |", "|---|---|---|---|---|"]
    before = ""
    for row in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[row.met]
        work = row.work if row.work != before else ""
        before = row.work
        lines.append(f"| {work} | {row.question} | {row.result} | {row.goal} | {verdict} |")
    return "\n".join(lines) + "\n"
