"""Spellings that look like references but are not: `${a.output}`, `{{ a.output }}`, `$a.result`, … (language.md §5).

They stay as they are: an agent would read them literally, and bash would fail on them at run time. So a spelling that
names a node or an input of the file gets a warning with the correct one. Nothing is guessed if the script itself has a
variable of that name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from msgspec import Struct

from ion.language.patterns import pattern
from ion.language.references import backslashes, find_references
from ion.language.workflow import OUTCOMES

_OUTPUT = ("output", "outputs", "result", "results", "stdout", "response")
_OUTCOME = {
    "status": "status",
    "state": "status",
    "outcome": "status",
    "exit_code": "exit_status",
    "exit_status": "exit_status",
    "exitcode": "exit_status",
    "error": "message",
    "stderr": "stderr",
}
# What other languages write before a node's id.
_PREFIXES = ("steps", "needs", "nodes", "jobs", "tasks", "node", "step")
_WORDS = "|".join(word for word in (*_OUTPUT, *_OUTCOME) if word != "output")
_PATTERN = pattern(
    r"\$?\{\{(?P<braces>[^{}]*)\}\}"
    r"|\$\{(?P<braced>[A-Za-z_][\w-]*+(?:\.[\w-]++)+)\}"
    r"|\$(?P<indexed>[A-Za-z_][\w-]*+)\[[^\]\s]{0,40}\]\.output\b"
    rf"|\$(?P<node>[A-Za-z_][\w-]*+)\.(?P<word>{_WORDS})\b(?P<path>(?:\.[A-Za-z_]\w*+)*)"
    r"|\$(?P<address>[A-Za-z_][\w-]*+)(?:\.[0-9]++)(?:\.[\w-]++)*+"
    r"|\$(?P<listed>[A-Za-z_][\w-]*+)\.output(?P<element>\[[0-9]{1,9}\])"
    r"|\$inputs\.(?P<input>[A-Za-z_][\w-]*+)"
)
_DOTTED = pattern(r"[A-Za-z_][\w-]*+(?:\.[\w-]++)*")
_FIELD = pattern(r"[A-Za-z_]\w*")


class Lookalike(Struct, frozen=True, gc=False):
    """One that was found: what it is, where, and what to do about it."""

    start: int
    text: str
    hint: str


def find_lookalikes(text: str, nodes: Container[str], inputs: Container[str], *, shell: bool) -> Iterator[Lookalike]:
    """Each spelling in `text` that names one of the nodes or inputs and is not a reference, in order, each once."""
    if "$" not in text and "{{" not in text:
        return
    told = set()
    for match in _PATTERN.finditer(text):
        if match[0] in told or backslashes(text, match.start()) % 2:
            continue
        hint = _hint(match, nodes, inputs)
        if hint and not (shell and (_is_comment(text, match.start()) or _is_own(text, match))):
            told.add(match[0])
            part = "element" if match["element"] else 0  # before it is a reference
            yield Lookalike(match.start(part), match[part], hint)


def _hint(match: re.Match[str], nodes: Container[str], inputs: Container[str]) -> str:
    if match["input"]:
        return f"write $INPUTS.{match['input']}" if match["input"] in inputs else ""
    if match["address"]:
        reads = match["address"] in nodes and ".output" in match[0]
        return f"only the list of all can be read: write ${match['address']}.output" if reads else ""
    if match["element"]:
        reads = match["listed"] in nodes
        return f"${match['listed']}.output is the whole: take one of its items in a script" if reads else ""
    if match["indexed"]:
        return f"write ${match['indexed']}.output" if match["indexed"] in nodes else ""
    if match["node"]:
        names = [match["node"], match["word"], *match["path"].split(".")[1:]]
        return "" if find_references(match[0]) else _of_node(names, nodes)
    if match["braced"]:
        return _of_names(match["braced"].split("."), nodes, inputs)
    bare = match[0].startswith("$")
    found = (_of_names(part[0].split("."), nodes, inputs, bare=bare) for part in _DOTTED.finditer(match["braces"]))
    return next((hint for hint in found if hint), "")


def _of_names(names: list[str], nodes: Container[str], inputs: Container[str], *, bare: bool = False) -> str:
    """The hint for names joined by dots, as other languages write them; `bare`: an id by itself counts, too."""
    if names[0] in ("inputs", "INPUTS"):
        return f"write $INPUTS.{names[1]}" if len(names) > 1 and names[1] in inputs else ""
    if names[0] in _PREFIXES and names[0] not in nodes:
        names, bare = names[1:], True
    return _of_node(names, nodes) if len(names) > 1 or bare else ""


def _of_node(names: list[str], nodes: Container[str]) -> str:
    if not names or names[0] not in nodes:
        return ""
    node, word, path = names[0], names[1] if len(names) > 1 else "output", names[2:]
    if word == "outcome" and path and path[0] not in OUTCOMES:
        return f"${node}.outcome has {', '.join(OUTCOMES)}"
    if word in _OUTCOME:
        return f"write ${node}.outcome.{path[0] if word == 'outcome' and path else _OUTCOME[word]}"
    if word not in _OUTPUT:
        path = [word, *path]
    fields = [part for part in path if _FIELD.fullmatch(part)]
    return f"write ${'.'.join((node, 'output', *fields))}"


def _is_comment(text: str, start: int) -> bool:
    return text[text.rfind("\n", 0, start) + 1 : start].lstrip().startswith("#")


def _is_own(text: str, match: re.Match[str]) -> bool:
    """Whether the script itself gives a value to a variable of that name: `for a in …`, `a=…`, `read a`."""
    name = match["node"] or match["indexed"] or match["address"] or match["listed"]
    return bool(name) and is_assigned(name, text)


def is_assigned(name: str, script: str) -> bool:
    """Whether a shell script itself gives a value to a variable of that name."""
    given = rf"(?<![\w$.-]){name}(?:\+?=| in )|\b(?:read|mapfile|declare|local)\b[^\n;|]*\b{name}\b"
    return "-" not in name and re.search(given, script) is not None
