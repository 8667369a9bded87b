"""All texts of a node: where references are allowed, in which form, and where each text is in its file.

Language.md §5 lists the texts; each kind adds its own. Values of other types are skipped: the schema has
reported them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from ion.errors import Problem
from ion.foreign import loads
from ion.kinds import BOUND_KINDS
from ion.language.document import DocumentPath
from ion.language.problems import Report, path_text
from ion.language.references import find_references
from ion.language.resources import CommandSource
from ion.language.shape import Draft
from ion.language.source import BLANKS, trim

# An inline script, not the name of one (language.md §3).
_CODE_CHARACTERS = frozenset("\n;(){}&|<>$`\"' ")


class Text(Struct, frozen=True, gc=False):
    """A text of a node. `text` is what Ion uses, `whole` what the file says there, `lead` the characters trimmed off
    in front. `form` is text, shell or code. `bound`: it may use the names of the node's own `with`. `seen` is from
    where it sees other nodes and items: as an instance of the node does, from `outside` of it, or from `inside` of its
    body.
    `command` is the file that it comes from, if it is not the workflow's."""

    path: DocumentPath
    text: str
    whole: str
    lead: int = 0
    form: str = "text"
    bound: bool = True
    seen: str = ""
    command: CommandSource | None = None


# Where agent options can be stated for nodes that state none: the path and the values of a body's owner or of the file,
# the nearest first.
Stated: TypeAlias = tuple[tuple[DocumentPath, Mapping[str, Any]], ...]


def is_code(script: str) -> bool:
    """Whether a trimmed `script` is code rather than the name of a script."""
    return not _CODE_CHARACTERS.isdisjoint(script)


def listed_items(items: Any) -> list[Any] | None:
    """The items of a `fan_out` that the file itself lists, also where a text has the list."""
    if isinstance(items, str) and not find_references(items):
        try:
            items = loads(items)
        except ValueError:
            return None
    return items if isinstance(items, list) else None


def node_texts(draft: Draft, stated: Stated, commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    """The texts of one node. `commands` are the command files by name."""
    raw = draft.raw
    for key, form in (("prompt", "text"), ("bash", "shell"), ("script", "code"), ("cancel", "text")):
        value = raw.get(key)
        if draft.kind == key and isinstance(value, str) and (key != "script" or is_code(trim(value))):
            lead = len(value) - len(value.lstrip(BLANKS))
            yield Text((*draft.path, key), trim(value), value, lead, form)
    if draft.kind in ("prompt", "workflow"):
        yield from _below(raw, draft.path, ("continued",) if draft.kind == "prompt" else ("input",))
    if draft.kind == "command":
        yield from _command_text((*draft.path, "command"), raw["command"], commands)
    if draft.kind in ("loop", "loop_group"):
        yield from _loop_texts(draft, commands)
    if draft.kind == "approval":
        yield from _below(raw["approval"], (*draft.path, "approval"), ("message",))
        if isinstance(raw["approval"], dict):
            yield from _below(raw["approval"].get("on_reject"), (*draft.path, "approval", "on_reject"), ("prompt",))
    if draft.kind == "wait":
        yield from _below(raw["wait"], (*draft.path, "wait"), ("until",))
        yield from _below(raw["wait"], (*draft.path, "wait"), ("check",), "shell")
    yield from _items_texts(draft)
    if draft.uses_agent:
        yield from _option_texts(((draft.path, raw), *stated))
    yield from _strings(raw.get("env"), (*draft.path, "env"))
    yield from _below(raw, draft.path, ("cwd",))
    if draft.kind in BOUND_KINDS or draft.kind == "include":
        yield from _binding_texts(raw.get("with"), (*draft.path, "with"))


def _items_texts(draft: Draft) -> Iterator[Text]:
    fan_out = draft.raw.get("fan_out") if draft.kind else None
    for key in ("items", "lines"):
        value = fan_out.get(key) if isinstance(fan_out, dict) else None
        for text in _strings(value, (*draft.path, "fan_out", key)):
            yield replace(text, seen="outside")


def _loop_texts(draft: Draft, commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    loop, path = draft.raw[draft.kind], (*draft.path, draft.kind)
    seen = "inside" if draft.kind == "loop_group" else ""
    yield from _below(loop, path, ("prompt", "gate_message"), seen=seen)
    yield from _below(loop, path, ("until_bash",), "shell", seen)
    if isinstance(loop, dict) and "command" in loop and draft.kind == "loop":
        yield from _command_text((*path, "command"), loop["command"], commands)


def _command_text(path: DocumentPath, name: Any, commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    found = commands.get(name) if isinstance(name, str) else None
    if found is not None:
        yield Text(path, found.text, found.text, command=found)


def _option_texts(stated: Stated) -> Iterator[Text]:
    """`systemPrompt` and the texts of `agents`, as the nearest states them."""
    for key in ("systemPrompt", "agents"):
        path, value = next((((*path, key), raw[key]) for path, raw in stated if key in raw), ((), None))
        if key == "systemPrompt" and isinstance(value, str):
            yield Text(path, value, value)
        elif key == "agents" and isinstance(value, dict):
            for name, agent in value.items():
                yield from _below(agent, (*path, name), ("description", "prompt"))


def _below(value: Any, path: DocumentPath, keys: tuple[str, ...], form: str = "text", seen: str = "") -> Iterator[Text]:
    if isinstance(value, dict):
        for key in keys:
            text = value.get(key)
            if isinstance(text, str):
                yield Text((*path, key), text, text, form=form, seen=seen)


def _binding_texts(bindings: Any, path: DocumentPath) -> Iterator[Text]:
    for name, value in bindings.items() if isinstance(bindings, dict) else ():
        if isinstance(value, dict) and "from" in value:
            yield from _strings(value["from"], (*path, name, "from"))
        else:
            yield from _strings(value, (*path, name))


def _strings(value: Any, path: DocumentPath) -> Iterator[Text]:
    """Every text in a JSON value; the reader has limited its depth."""
    if isinstance(value, str):
        yield Text(path, value, value, bound=False)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*path, index))


def note(report: Report, problem: Problem, text: Text, offset: int) -> None:
    """Add a problem at a character of a text, as long as that text, in whichever file the text is."""
    if text.command is not None:
        line, column = text.command.source.place(text.command.start + offset)
        path = path_text(text.path)
        report.add(problem._replace(file=text.command.path, line=line, column=column, path=path))
        return
    within = (text.whole, text.lead + offset, problem.length)
    tell = report.error if problem.severity == "error" else report.warning
    tell(problem.code, problem.message, text.path, hint=problem.hint, within=within)
