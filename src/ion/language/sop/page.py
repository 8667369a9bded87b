"""Markdown as blocks with line numbers: only real headings and lists; code is only text.

A real parser decides, since many SOPs have headings inside of fences. Only the block structure is used: the content of
a line is kept as it is written. Lines here count from 0; a block covers `start` up to, but not including, `end`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache, cached_property
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_CODE = frozenset({"fence", "code_block", "html_block"})
_LINK = re.compile(r"!?\[([^\]\[]*)\]\([^()\n]*\)")
_MARKER = re.compile(r"[ \t]*(?:[-*+]|[0-9]{1,9}[.)])(?:[ \t]|$)[ \t]*")
# How long the line of dashes below a heading must be to make it one.
_UNDERLINE = 4


class Block(Struct):
    """`kind` is paragraph, heading, bullet_list, ordered_list, list_item, blockquote, fence, code_block, html_block or
    hr. `level` is a heading's; `text` a heading's or a paragraph's, on one line each; `info` a list item's number."""

    kind: str
    start: int
    end: int
    level: int = 0
    text: str = ""
    info: str = ""
    markup: str = ""
    children: list[Block] = field(default_factory=list)

    def walk(self) -> Iterator[Block]:
        """The block and all below it, in the order of the text."""
        stack = [self]
        while stack:
            block = stack.pop()
            yield block
            stack += reversed(block.children)


class Page(Struct, dict=True):
    """A parsed text. `blocks` are those of the top level; `prose` are the lines with code emptied."""

    lines: list[str]
    blocks: list[Block]
    prose: list[str]

    @cached_property
    def _starts(self) -> list[int]:
        return [block.start for block in self.blocks]

    def text(self, start: int, end: int) -> str:
        """The source of some lines, without the break after the last one."""
        return "\n".join(self.lines[start:end])

    def between(self, start: int, end: int) -> list[Block]:
        """The blocks of the top level that begin in these lines."""
        return self.blocks[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def headings(self, start: int = 0, end: int | None = None) -> list[Block]:
        """The headings of the top level that begin in these lines."""
        end = len(self.lines) if end is None else end
        return [block for block in self.between(start, end) if block.kind == "heading"]


def read_page(text: str, *, skip: int = 0) -> Page:
    """The blocks of a text whose line breaks are `\\n`. The first `skip` lines (front matter) are not Markdown."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    blocks = _tree(_parser().parse("\n" * skip + "\n".join(lines[skip:])))
    prose = lines.copy()
    prose[:skip] = [""] * skip
    for block in (block for top in blocks for block in top.walk()):
        if block.kind in _CODE:
            prose[block.start : block.end] = [""] * (block.end - block.start)
    return Page(lines, [block for block in blocks if _is_heading(block, lines)], [without_code(line) for line in prose])


def unclosed_fence(page: Page) -> int | None:
    """The line of a fence that is never closed, so that it swallows the rest of the document."""
    last = len(page.lines)
    while last and not page.lines[last - 1].strip():
        last -= 1
    for block in (block for top in page.blocks for block in top.walk()):
        if block.kind == "fence" and block.end >= last:
            closing = page.lines[last - 1].strip(" \t>")
            is_mark = closing.startswith(block.markup) and not closing.strip(block.markup[0])
            if not is_mark or last - 1 == block.start:
                return block.start
    return None


def item_text(page: Page, item: Block) -> tuple[str, int]:
    """The text of a list item without its marker and indentation, and the column (from 0) at which it begins."""
    end = item.end
    while end > item.start + 1 and not page.lines[end - 1].strip():
        end -= 1
    first = page.lines[item.start]
    marker = _MARKER.match(first)
    indent = marker.end() if marker else 0
    rest = [line[min(indent, len(line) - len(line.lstrip(" \t"))) :] for line in page.lines[item.start + 1 : end]]
    return "\n".join([first[indent:], *rest]), indent


def without_code(line: str) -> str:
    """A line with its code spans blanked, of the same length. Linear: each run of backticks is visited once."""
    if "`" not in line:
        return line
    runs = [(match.start(), match.end()) for match in re.finditer("`+", line)]
    later: dict[int, list[int]] = {}
    for number in range(len(runs) - 1, -1, -1):
        later.setdefault(runs[number][1] - runs[number][0], []).append(number)
    parts, done, number = [], 0, 0
    while number < len(runs):
        start, stop = runs[number]
        same = later[stop - start]
        while same and same[-1] <= number:
            same.pop()
        if same:
            number = same[-1]
            parts.append(line[done:start] + " " * (runs[number][1] - start))
            done = runs[number][1]
        number += 1
    return "".join(parts) + line[done:]


def plain(text: str) -> str:
    """The words of a heading: links as their text, without emphasis and code marks."""
    return " ".join(re.sub(r"[*`]+|\b__|__\b", "", _LINK.sub(r"\1", text)).split())


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable(["inline", "text_join", "reference"])


def _tree(tokens: list[Token]) -> list[Block]:
    root = Block("root", 0, 0)
    stack = [root]
    for token in tokens:
        if token.type == "inline":
            stack[-1].text = " ".join(token.content.split("\n")) if stack[-1].kind == "heading" else token.content
        elif token.nesting < 0:
            stack.pop()
        else:
            start, end = token.map or (stack[-1].start, stack[-1].end)
            level = int(token.tag[1]) if token.type == "heading_open" else 0
            kind = token.type.removesuffix("_open")
            block = Block(kind, start, end, level, info=token.info.strip(), markup=token.markup)
            stack[-1].children.append(block)
            if token.nesting > 0:
                stack.append(block)
    return root.children


def _is_heading(block: Block, lines: list[str]) -> bool:
    """Whether a block of this kind was meant as a heading: not a paragraph directly followed by `---`, which is far
    more often a line across the page, and would cut a step in two."""
    underlined = block.markup == "-" and block.kind == "heading"
    return not underlined or len(lines[block.end - 1].strip()) >= _UNDERLINE
