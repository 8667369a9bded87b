"""Drawings of graphs: which node waits for which, exactly; every text is data."""

from __future__ import annotations

import io
import itertools
import random
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.cli.terminal import Screen
from ion.views.drawing import draw
from ion.views.graph import Edge, Picture, PictureNode
from ion.views.markup import dot, mermaid
from ion.views.text import width

STEP = {"right": (0, 1), "up": (-1, 0), "down": (1, 0)}


OPEN = {
    "─": {"left", "right"},
    "│": {"up", "down"},
    "┐": {"left", "down"},
    "┘": {"left", "up"},
    "┌": {"right", "down"},
    "└": {"right", "up"},
    "┬": {"left", "right", "down"},
    "┴": {"left", "right", "up"},
    "├": {"up", "down", "right"},
    "┤": {"up", "down", "left"},
    "┼": {"left", "right", "up", "down"},
}


BACK = {"right": "left", "up": "down", "down": "up"}


def picture(edges: Iterable[tuple[str, str]], names: Iterable[str]) -> Picture:
    nodes = tuple(PictureNode(name, "bash", None, "all_success") for name in names)
    return Picture("test", nodes, tuple(Edge(source, target, "depends_on") for source, target in edges))


def drawn(what: Picture, columns: int = 10_000, *, unicode: bool = True) -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    screen = Screen(stream, unicode, width=columns)
    for row in draw(screen, what):
        screen.line(*row)
    stream.seek(0)
    return stream.read().splitlines()


def read_back(lines: list[str]) -> set[tuple[str, str]]:
    """The edges that somebody sees who follows each line to the right from where it leaves a label.

    At a meeting of lines it goes every way but back to the left; what has no arm to the left is passed under.
    """
    labels = {
        (row, match.start()): match[0] for row, line in enumerate(lines) for match in re.finditer(r"[a-z0-9]+", line)
    }
    cells = {(row, column): c for row, line in enumerate(lines) for column, c in enumerate(line)}
    edges = set()
    for (row, column), label in labels.items():
        seen = set()
        ways = [(row, column + len(label) + 1, "right")]
        while ways:
            place = ways.pop()
            if place in seen:
                continue
            seen.add(place)
            y, x, heading = place
            c = cells.get((y, x), " ")
            if (y, x) in labels:
                edges.add((label, labels[y, x]))
            if (
                c == " "
                and heading == "right"
                and (y, x + 1) in labels
                and (y, x - 1) in cells
                and x > column + len(label) + 1
            ):
                edges.add((label, labels[y, x + 1]))
            if c not in OPEN:
                continue
            if BACK[heading] not in OPEN[c]:
                assert heading == "right" or c == "─", "a vertical ends in nothing"
                ways += [(y, x + 1, "right")] if heading == "right" else []
                continue
            for way in OPEN[c] - {"left", BACK[heading]}:
                ways.append((y + STEP[way][0], x + STEP[way][1], way))
    return edges


@st.composite
def graphs(draw_: st.DrawFn) -> tuple[list[tuple[str, str]], list[str]]:
    count = draw_(st.integers(1, 12))
    names = [f"n{i}" for i in range(count)]
    pairs = [(names[i], names[j]) for j in range(count) for i in range(j)]
    edges = draw_(st.lists(st.sampled_from(pairs), unique=True, max_size=24)) if pairs else []
    return edges, names


@given(graphs())
def test_the_drawing_shows_each_edge_and_no_other(graph: tuple[list[tuple[str, str]], list[str]]) -> None:
    """Or, where lines would cross, it says which follow from the others."""
    edges, names = graph
    text, _, note = "\n".join(drawn(picture(edges, names))).partition("\nnot drawn, since it follows: ")
    left_out = {(source, target) for source, target in re.findall(r"(\w+)→(\w+)", note)}
    seen = read_back(text.splitlines())
    assert seen | left_out == set(edges), text
    assert not seen & left_out
    assert sorted(re.findall(r"[a-z0-9]+", text)) == sorted(names)


def test_lines_that_change_places_do_not_touch() -> None:
    """Both lines leave their row for that of the other, so one has to dodge."""
    edges = [("a", "d"), ("b", "c"), ("a", "e"), ("b", "f"), ("c", "g"), ("d", "g")]
    assert read_back(drawn(picture(edges, "abcdefg"))) == set(edges)


@pytest.mark.parametrize(
    ("edges", "names", "expected"),
    [
        ([("a", "b"), ("b", "c")], "abc", "a ─ b ─ c"),
        ([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")], "abcd", "a ┬─ b ┬─ d\n  └─ c ┘"),
        ([], "ab", "a\nb"),
        ([("a", "b"), ("b", "c"), ("a", "c")], "abc", "a ┬─ b ┬─ c\n  └────┘"),
        ([("a", "c"), ("b", "c"), ("a", "d"), ("b", "d")], "abcd", "a ┬─ c\nb ┴─ d"),
    ],
)
def test_small_graphs_look_as_one_would_draw_them(edges: list[tuple[str, str]], names: str, expected: str) -> None:
    assert "\n".join(drawn(picture(edges, names))) == expected


def test_two_hundred_nodes_are_drawn_or_listed_in_the_width_there_is() -> None:
    seed = random.Random(7)
    for spread in (3, 30, 200):
        names = [f"node-{i}" for i in range(200)]
        edges = {(names[max(0, j - seed.randint(1, spread))], names[j]) for j in range(1, 200) for _ in range(2)}
        lines = drawn(picture(sorted(edges), names), 100)
        assert all(width(line) <= 100 for line in lines)
        assert {name for name in names if re.search(rf"\b{name}\b", "\n".join(lines))} == set(names)


def test_a_list_takes_over_when_the_drawing_is_too_wide() -> None:
    names = [f"a-rather-long-name-{i}" for i in range(9)]
    lines = drawn(picture(itertools.pairwise(names), names), 80)
    assert lines[0] == "a-rather-long-name-0"
    assert lines[3] == "      a-rather-long-name-3  ← a-rather-long-name-2"


def test_in_ascii_the_drawing_is_the_same_in_other_characters() -> None:
    lines = drawn(picture([("a", "b"), ("a", "c")], "abc"), unicode=False)
    assert lines == ["a +- b", "  +- c"]


@given(st.text(max_size=30))
def test_texts_stay_inside_of_their_quotes(text: str) -> None:
    """Whatever a condition holds, the number of nodes and edges is that of the picture."""
    nodes = (PictureNode("a", "bash", None, "all_success"), PictureNode("end", "bash", text, "all_success"))
    what = Picture(text, nodes, (Edge("a", "end", "order"),))
    in_dot = dot(what)
    assert len(in_dot.splitlines()) == 7
    assert in_dot.count('"') % 2 == in_dot.count('\\"') % 2
    assert all(c.isprintable() or c == "\n" for c in in_dot + mermaid(what))
    box = mermaid(what).splitlines()[2]
    assert re.fullmatch(r' {4}n1\["[^"<>&`]*<br/>when: [^"<>&`\[\]{}()|]*"\]', box)
    assert mermaid(what).splitlines()[3] == "    n0 -.-> n1"


def test_a_wide_join_is_readable() -> None:
    """What follows from other lines is named instead of crossing them."""
    edges = [("read", "sort"), ("sort", "count"), ("sort", "answer"), ("count", "answer"), ("sort", "report")]
    edges += [("count", "report"), ("answer", "report")]
    assert drawn(picture(edges, ["read", "sort", "count", "answer", "report"]), 80) == [
        "read ─ sort ─ count ─ answer ─ report",
        "not drawn, since it follows: sort→answer, sort→report, count→report",
    ]


def test_ids_that_would_be_cut_to_the_same_text_are_told_apart() -> None:
    ids = [f"check-the-packages-of-{name}-before-the-next-release" for name in ("alpha", "beta", "gamma")]
    edges = [("start", name) for name in ids]
    for columns in (80, 30):
        text = "\n".join(drawn(picture(edges, ["start", *ids]), columns))
        found = set(re.findall(r"check-\S+", text))
        assert len(found) == 3, text
    from ion.views.markup import svg

    boxes = re.findall(r"<text [^>]*>(check-[^<]*)</text>", svg(picture(edges, ["start", *ids])))
    assert len(set(boxes)) == 3


def test_an_svg_has_arrows_and_says_states_without_colour() -> None:
    from xml.etree import ElementTree

    from ion.views.markup import svg

    nodes = tuple(
        PictureNode(name, "bash", "$a.output == 'not a short one'" if name == "c" else None, "all_success", state)
        for name, state in (("a", "completed"), ("b", "failed"), ("c", "skipped"), ("d", "waiting"))
    )
    edges = (Edge("a", "b", "depends_on"), Edge("b", "c", "depends_on"), Edge("c", "d", "depends_on"))
    text = svg(Picture("test", nodes, (*edges, Edge("a", "d", "depends_on"))))
    root = ElementTree.fromstring(text)
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text") if one.get("class") is None]
    assert texts == ["✓ a", "✗ b", "– c ?", "⏸ d"]
    heads = [one for one in root.iter("{http://www.w3.org/2000/svg}path") if one.get("marker-end")]
    assert len(heads) == 4  # one at the end of each edge, none where one passes a column
    condition = next(one for one in root.iter("{http://www.w3.org/2000/svg}text") if one.get("class") == "when")
    assert condition.text == "$a.output == 'not a short one'"


@given(st.text(max_size=30))
def test_texts_of_what_is_inside_stay_inside_of_their_quotes(text: str) -> None:
    """Whatever a called workflow is named, there is one part with one node in it."""
    from xml.etree import ElementTree

    from ion.views.markup import svg

    inside = Picture(text, (PictureNode("b", "bash", text, "all_success"),), ())
    outer = PictureNode("a", "workflow", text, "all_success", workflow=text, fan_out="items", inside=inside)
    what = Picture(text, (outer, PictureNode("c", "bash", None, "all_success")), (Edge("a", "c", "depends_on"),))
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "Q", dot(what))
    assert (bare.count("{"), bare.count("}"), bare.count("subgraph Q {")) == (2, 2, 1)
    assert "Q -> Q [ltail=Q];" in bare
    lines = mermaid(what).splitlines()
    assert re.fullmatch(r' {4}subgraph n0\["[^"<>&`]*<br/>when: [^"<>&`\[\]{}()|]*"\]', lines[1])
    assert lines[4:] == ["    end", '    n2["c"]', "    n0 --> n2"]
    boxes = ElementTree.fromstring(svg(what)).iter("{http://www.w3.org/2000/svg}rect")
    assert [box.get("class") for box in boxes] == ["box", "box", "panel", "box"]
    rows = drawn(what, 60)
    assert all(width(row) <= 60 for row in rows)
    assert (rows[2][0], rows[-1][0]) == ("┌", "└")
