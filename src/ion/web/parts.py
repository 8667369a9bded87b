"""What several pages show: states, bars, the nodes of a run as a tree, what it waits for, why it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from ion.api.described import node_duration
from ion.views.answers import choices
from ion.views.marks import role_of, symbol
from ion.views.rows import ListRow, folded, members_of, most_urgent_first, templates_of, waits_of
from ion.views.text import cut, duration, elapsed, moment, plural
from ion.views.timeline import Scale, scale_of
from ion.views.waiting import (
    PASSING,
    PERMISSION,
    Asked,
    all_asked,
    answered,
    counted,
    edited_command,
    kept_nodes,
    labels_at,
    labels_of,
    nodes_of,
    waiting_in,
    where_it_failed,
)
from ion.views.waiting import folded as first_asked
from ion.views.words import failure_text, mark_of_node, not_clean, said_of
from ion.web.html import NOTHING, Child, Html, block, h, join, url

if TYPE_CHECKING:
    from ion import events as e
    from ion.api.readers import RunView
    from ion.views.waiting import Command, Labels

# How many rows of nodes a page has, and how many of what is inside of them besides.
ROWS, INSIDE = 100, 60
# In what units bars are drawn; a bar has at least so many.
_WIDTH, _LEAST = 1000, 4
_LONGEST_NOTE = 200
_FAILURES = 10
# How many questions of a run a page shows.
ASKED = 50


_SIGNS = {
    "✓": "M2.5 8.5 6.3 12.3 13.5 4",
    "✗": "M3.5 3.5 12.5 12.5M12.5 3.5 3.5 12.5",
    "●": "M8 4.5a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7z",
    "○": "M8 3.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9z",
    "⏸": "M5.5 3v10M10.5 3v10",
    "↻": "M12.6 5.2A5.2 5.2 0 1 0 13.2 8M12.8 2v3.4H9.4",
    "–": "M3 8h10",
    "✓!": "M1 8.5 4.3 11.8 10 5M13.5 3v6.5M13.5 12.6v.1",
}
# What a symbol means, where that is more than the name of its state.
_WORDS = {
    "unclean": "completed, not clean",
    "partly": "completed, not clean inside",
    "allowed": "failed, allowed or caught",
    "retry": "tries again",
}


class Frame(Struct, frozen=True):
    """What parts need to know of where they are: how commands are written, where a node's own page is (`link`), and,
    where a gate can be answered, the token of its form."""

    command: Command
    link: Callable[[str, str], str]
    csrf: str = ""


def run_link(run_id: str, node: str = "") -> str:
    """Where a run, or a node of it, is shown."""
    return url("r", run_id, "n", node) if node else url("r", run_id)


def state(name: str, *, word: bool = False) -> Html:
    """The symbol of a state, drawn, since few fonts have them all; its word is there for those who do not see it."""
    look = "sign solid" if symbol(name) == "●" else "sign"
    sign = h("svg", h("path", d=_SIGNS[symbol(name)]), viewBox="0 0 16 16", class_=look, aria_hidden="true")
    said = h("span", _WORDS.get(name, name), class_=None if word else "unseen")
    return h("span", sign, " ", said, class_=f"state {role_of(name)}")


def time(at: int | None, now: int) -> Html:
    """A moment, as the terminal writes it; the whole of it when one points there."""
    if not at:
        return NOTHING
    whole = datetime.fromtimestamp(at / 1000, UTC).astimezone()
    return h(
        "time", moment(at, now), datetime=whole.isoformat(timespec="seconds"), title=f"{whole:%Y-%m-%d %H:%M:%S %Z}"
    )


def growing(took: int | None, *, grows: bool) -> Html:
    """A duration; one that grows is counted on by the script."""
    return h("span", duration(took), data_grows=took if grows and took is not None else None)


# ------------------------------------------------------------------ the nodes of a run


def tree(run: RunView, frame: Frame, *, start: int = 0, chosen: str = "") -> Html:
    """The nodes, each with its bar, what failed, waits or runs inside of them below; at most `ROWS` from `start` on."""
    nodes = most_urgent_first([*members_of(run.state, "")], ROWS)
    rows = folded(run, run.frozen, INSIDE, nodes[start : start + ROWS])
    scale = scale_of(run)
    body = h("tbody", (_row(run, frame, scale, row, chosen) for row in rows))
    heads = (("Node", None), ("When", "bar"), ("Took", "number"), ("What", "note"))
    head = h("thead", h("tr", (h("th", name, scope="col", class_=css) for name, css in heads)))
    table = h("table", head, body, h("tfoot", _axis(scale)), class_="nodes")
    return join([h("div", table, class_="wide"), pager(start, len(nodes), "nodes", partial(_rows_url, run.run_id))])


def _rows_url(run_id: str, start: int) -> str:
    return url("r", run_id, from_=start)


def pager(start: int, count: int, what: str, place: Callable[[int], str]) -> Html | None:
    """The links to the rows before and after; `place` is where those from this number on are."""
    if count <= ROWS:
        return None
    before, after = max(0, start - ROWS), start + ROWS
    return h(
        "nav",
        h("a", "← before", href=place(before), rel="prev") if start else None,
        h("span", f"{start + 1}–{min(count, after)} of {count} {what}"),
        h("a", "after →", href=place(after), rel="next") if after < count else None,
        class_="pager",
        aria_label="More rows",
    )


def _row(run: RunView, frame: Frame, scale: Scale, row: ListRow, chosen: str) -> Html:
    node, indent = row.node, f"depth-{min(row.depth, 8)}"
    if row.left:
        more = h("a", f"… {row.left} more", href=frame.link(run.run_id, node.id))
        return h("tr", h("td", more, class_=indent, colspan=4), class_="faint")
    took = None if row.state == "interrupted" else node_duration(node, run.described.owned)
    name = h(
        "a",
        short_name(node.id),
        href=frame.link(run.run_id, node.id),
        aria_current="true" * (node.id == chosen) or None,
    )
    grows = run.status == "running" and row.state == "running"
    return h(
        "tr",
        h("th", state(row.state), " ", name, scope="row", class_=indent),
        h("td", bar(scale, node.owned_from, node_duration(node, run.described.owned), row.state), class_="bar"),
        h("td", growing(took, grows=grows), class_="number"),
        h("td", cut(row.note, _LONGEST_NOTE), class_="note"),
        id=f"row-{node.id}",
    )


def short_name(address: str) -> str:
    """What an instance is called below the one that it is inside of: `2` of `review.2`, `lint` of `review.2.lint`."""
    return address.rpartition(".")[2]


def bar(scale: Scale, start: int | None, took: int | None, name: str) -> Html | None:
    """When a node ran. The folded stretches are marked."""
    folds = [
        h(
            "rect",
            class_="fold",
            x=round(gap.first * _WIDTH),
            width=round((gap.last - gap.first) * _WIDTH),
            y=0,
            height=12,
        )
        for gap in scale.gaps
    ]
    drawn: list[Html] = []
    if start is not None and took is not None:
        left = min(round(scale.place(start) * _WIDTH), _WIDTH - _LEAST)
        right = max(round(scale.place(start + took) * _WIDTH), left + _LEAST)
        drawn = [h("rect", class_=role_of(name), x=left, width=right - left, y=2, height=8, rx=1)]
    if not drawn and not folds:
        return None
    return h("svg", folds, drawn, viewBox=f"0 0 {_WIDTH} 12", preserveAspectRatio="none", aria_hidden="true")


def _axis(scale: Scale) -> Html:
    """`0s`, the end, and what the folded stretches are."""
    folds = ", ".join(duration(gap.length) for gap in scale.gaps)
    said = h("span", f"∥ {folds} in which nothing worked", class_="folds") if folds else None
    ends = h("span", h("span", "0s"), said, h("span", duration(scale.whole)), class_="axis")
    return h("tr", h("td", ""), h("td", ends, class_="bar"), h("td", ""), h("td", ""), class_="faint")


# ------------------------------------------------------------------ what a person does next


def next_steps(run: RunView, frame: Frame) -> Html:
    """What the person does next, if the run has not simply completed."""
    if run.status == "failed":
        return _failed(run, frame)
    if run.status == "completed" and not run.described.handled.is_clean:
        return _not_clean(run, frame)
    if run.status == "cancelled" and (failed := run.described.handled.in_finally):
        return _notice(
            "attention", "Cancelled", "Of what was to be done at the end, this failed:", *_failures(run, frame, failed)
        )
    if run.status == "interrupted":
        nodes = nodes_of(run.state)
        done = sum(node.status == "completed" for node in nodes)
        return _notice(
            "attention",
            "Interrupted",
            f"Its process ended with {done} of {plural(len(nodes), 'node')} completed. Continue with",
            commands(frame.command("resume", run.run_id)),
        )
    return waiting(run, frame)


def _notice(role: str, title: str, said: str, *children: Child) -> Html:
    return h("section", h("h2", title, class_=role), h("p", said) if said else None, *children, class_=f"notice {role}")


def waiting(run: RunView, frame: Frame) -> Html:
    """What it asks, and the forms or the commands that answer."""
    labels = labels_of(run.frozen)
    everything = all_asked(frame.command, run.run_id, run.state, labels)
    asked, alike = first_asked(frame.command, run.run_id, everything)
    if not asked:
        return _to_continue(run, frame)
    left = [
        h("div", h("p", f"… and {more.left} more inside of {more.node}"), commands(*more.commands), class_="ask")
        for more in alike
    ]
    if len(asked) > ASKED:
        rest = h("a", f"{len(asked) - ASKED:,} more", href=run_link(run.run_id))
        left.append(
            h("p", "… and ", rest, ", each on the page of its node; ", commands(frame.command("show", run.run_id)))
        )
    word = "Waits" if all(one.waiting.kind in PASSING for one in asked) else "Needs you"
    said = counted([one.waiting.kind for one in everything])
    title = f"{word}: {said}" if said else word
    return _notice(
        "attention", title, "", [ask(run, frame, one, labels) for one in asked[:ASKED]], left, _by_itself(run, frame)
    )


def _by_itself(run: RunView, frame: Frame) -> Html | None:
    """When a clock continues a run that nobody drives."""
    due_at = run.state.due_at
    if due_at is None or run.status != "paused":
        return None
    return h(
        "p",
        "It continues by itself from ",
        time(due_at, run.now),
        " on, if there is a clock: ",
        h("code", frame.command("tick"), class_="command"),
    )


def needs_somebody(run: RunView) -> bool:
    """Whether a person has something to do about a run that has not ended."""
    if run.status == "interrupted" or (run.status == "paused" and answered(run.state)):
        return True
    return any(one.kind not in PASSING for one in waiting_in(run.state))


def _to_continue(run: RunView, frame: Frame) -> Html:
    """A run that was answered while nobody drives it."""
    if run.status == "paused" and answered(run.state):
        return _notice(
            "attention",
            "Answered",
            "Nobody drives the run now. It continues with",
            commands(frame.command("resume", run.run_id)),
        )
    return NOTHING


def ask(run: RunView, frame: Frame, one: Asked, labels: Labels) -> Html:
    """One thing that waits."""
    waits = one.waiting
    head = (
        h("h3", h("a", waits.node, href=frame.link(run.run_id, waits.node)), h("span", waits.kind, class_="faint"))
        if waits.node
        else None
    )
    after = waits_of(run.state, templates_of(run.frozen)[waits.node].node, waits.node) if head and run.frozen else []
    led = (join([h("a", node.id, href=frame.link(run.run_id, node.id)), " "]) for node in after)
    answerable = waits.gate is not None and frame.csrf
    return h(
        "div",
        head,
        h("p", "after ", led, class_="faint") if after else None,
        block(waits.message, class_="message"),
        _form(run, frame, waits.gate, labels) if waits.gate is not None and answerable else None,
        h("details", h("summary", "as a command"), commands(*one.commands)) if answerable else commands(*one.commands),
        class_="ask",
    )


def _form(run: RunView, frame: Frame, gate: e.ApprovalRequested, labels: Labels) -> Html:
    """The answers as buttons, with what is said with them."""
    noted = labels_at(labels, gate.node)
    offered = [one for one in choices(gate) if one.shown or gate.decisions]
    silent = {one.decision for one in offered if one.silent}
    buttons = [
        h(
            "button",
            button_text(one.shown) or one.name,
            h("span", noted[one.name], class_="faint") if noted.get(one.name) else None,
            type="submit",
            name="choice",
            value=one.name,
            class_="bad" if one.decision == "reject" else None,
        )
        for one in offered
        if not one.needs or one.decision in silent
    ]
    field = f"comment-{run.run_id}-{gate.request}"
    comment = NOTHING
    if gate.kind != PERMISSION:
        comment = join([h("label", "Comment", for_=field), h("textarea", "", id=field, name="comment", rows=2)])
    return h(
        "form",
        h("input", type="hidden", name="csrf", value=frame.csrf),
        h("input", type="hidden", name="request", value=gate.request),
        comment,
        h("div", buttons, class_="buttons"),
        method="post",
        action=url("r", run.run_id, "n", gate.node, "answer"),
    )


def button_text(shown: str) -> str:
    """`[a]pprove` without its key: Approve."""
    plain = shown.replace("[", "").replace("]", "")
    return plain[:1].upper() + plain[1:]


def _not_clean(run: RunView, frame: Frame) -> Html:
    """Which failures were allowed or caught."""
    handled = run.described.handled
    told = f"It completed with failures that did not fail it: {not_clean(run.state)}."
    return _notice("attention", "Not clean", told, *_failures(run, frame, (*handled.allowed, *handled.caught)))


def _failures(run: RunView, frame: Frame, addresses: Sequence[str]) -> list[Child]:
    """Failed nodes, each with why."""
    rows = []
    for node in (run.state.nodes[one] for one in addresses[:_FAILURES]):
        text = failure_text(node.error) if node.error is not None else None
        why = ": ".join([text.headline, *text.said[-1:]]) if text is not None else ""
        link = h("a", node.id, href=frame.link(run.run_id, node.id))
        sign = state(mark_of_node(run.state, node, run.status))
        rows.append(h("li", sign, h("span", link), h("span", f"{said_of(run.state, node)}: {why}")))
    left = len(addresses) - len(rows)
    return [h("ul", rows, class_="needs"), h("p", f"… {left} more", class_="faint") if left else None]


def _failed(run: RunView, frame: Frame) -> Html:
    """What failed first, the last that it said, and where to look."""
    first = where_it_failed(run.state)
    error = first.error if first is not None else run.state.error
    text = failure_text(error) if error is not None else None
    headline = text.headline if text is not None else ""
    if first is not None:
        exited = headline.startswith("exit ")
        headline = f"{first.id} exited with {headline.removeprefix('exit ')}" if exited else f"{first.id}: {headline}"
    kept = kept_nodes(run.state)
    note = f"{plural(kept, 'completed node')} {'is' if kept == 1 else 'are'} kept" if kept else ""
    lines = [(frame.command("logs", run.run_id, first.id), "what it wrote")] if first is not None else []
    lines += [(frame.command("resume", run.run_id), note)]
    if run.state.started is not None and run.state.started.file:
        lines += [(edited_command(frame.command, run.run_id, run.state), "with the file as it is now")]
    where = h("p", h("a", f"Look at {first.id}", href=frame.link(run.run_id, first.id))) if first is not None else None
    said = block("\n".join(text.said), class_="said") if text is not None and text.said else None
    return _notice("bad", "Failed", headline, said, where, commands(*lines))


def asked_at(run: RunView, frame: Frame, address: str) -> Html:
    """What this instance asks, and how it is answered."""
    labels = labels_of(run.frozen)
    found = (
        [one for one in all_asked(frame.command, run.run_id, run.state, labels) if one.waiting.node == address]
        if run.state.nodes[address].requests
        else []
    )
    asks = [ask(run, frame, one, labels) for one in found]
    return _notice("attention", "Needs you", "", asks) if asks else _to_continue(run, frame)


def names(run: RunView, frame: Frame, chosen: str) -> Html:
    """The nodes as a short list, this one marked; of many, those around it."""
    every = [*members_of(run.state, "")]
    outermost = chosen.partition(".")[0]
    place = next((number for number, node in enumerate(every) if node.id == outermost), 0)
    first = max(0, min(place - ROWS // 2, len(every) - ROWS))
    rows = folded(run, run.frozen, INSIDE, every[first : first + ROWS])
    if all(row.node.id != chosen for row in rows):
        at = next(number for number, row in enumerate(rows) if row.node.id == outermost)
        rows.insert(
            at + 1, ListRow(run.state.nodes[chosen], mark_of_node(run.state, run.state.nodes[chosen], run.status), 1)
        )
    return h(
        "ul",
        (
            h(
                "li",
                state(row.state),
                " ",
                h(
                    "a",
                    short_name(row.node.id) if row.depth < 2 else row.node.id.partition(".")[2],
                    href=frame.link(run.run_id, row.node.id),
                    aria_current="page" if row.node.id == chosen else None,
                ),
                class_=f"depth-{min(row.depth, 8)}",
            )
            for row in rows
            if not row.left
        ),
        class_="names",
    )


def since_start(run: RunView, at: int | None) -> str:
    """`01:02.3` after the run's start."""
    return elapsed(at - (run.state.started_at or at)) if at is not None else ""


# ------------------------------------------------------------------ small pieces


def commands(*lines: tuple[str, str] | str) -> Html:
    """Commands to copy, each with a word on it."""
    rows = [(line, "") if isinstance(line, str) else line for line in lines]
    return h(
        "ul",
        (
            h("li", h("code", command, class_="command"), h("span", note, class_="faint") if note else None)
            for command, note in rows
        ),
        class_="commands",
    )


def facts(rows: list[tuple[str, Child]]) -> Html:
    """Labels and what they stand for; a row without a label continues the one before."""
    grouped: list[tuple[str, list[Child]]] = []
    for label, value in rows:
        if label or not grouped:
            grouped.append((label, []))
        grouped[-1][1].append(value)
    return h(
        "dl",
        (join([h("dt", label), *(h("dd", value) for value in values)]) for label, values in grouped),
        class_="facts",
    )
