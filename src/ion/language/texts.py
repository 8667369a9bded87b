"""All texts of a node: where references are allowed, in which form, and where each text is in its file.

Language.md §5 lists the texts; each of the seven kinds adds its own. Values of other types are skipped: the schema has
reported them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from ion.errors import Problem
from ion.kinds import BOUND_KINDS
from ion.language.document import DocumentPath
from ion.language.problems import Report, path_text
from ion.language.resources import CommandSource
from ion.language.shape import Draft
from ion.language.source import BLANKS, trim

# An inline script, not the name of one (language.md §3).
_CODE_CHARACTERS = frozenset("\n;(){}&|<>$`\"' ")


class Text(Struct, frozen=True, gc=False):
    """A text of a node. `text` is what Ion uses, `whole` what the file says there, `lead` the characters trimmed off
    in front. `form` is text, shell or code. `bound`: it may use the names of the node's own `with`. `command` is the
    file that it comes from, if it is not the workflow's."""

    path: DocumentPath
    text: str
    whole: str
    lead: int = 0
    form: str = "text"
    bound: bool = True
    command: CommandSource | None = None


def is_code(script: str) -> bool:
    """Whether a trimmed `script` is code rather than the name of a script."""
    return not _CODE_CHARACTERS.isdisjoint(script)


def node_texts(draft: Draft, defaults: Mapping[str, Any], commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    """The texts of one node. `defaults` are the options of the workflow; `commands` the command files by name."""
    raw = draft.raw
    for key, form in (("prompt", "text"), ("bash", "shell"), ("script", "code"), ("cancel", "text")):
        value = raw.get(key)
        if draft.kind == key and isinstance(value, str) and (key != "script" or is_code(trim(value))):
            lead = len(value) - len(value.lstrip(BLANKS))
            yield Text((*draft.path, key), trim(value), value, lead, form)
    if draft.kind == "prompt":
        yield from _below(raw, draft.path, ("continued",))
    if draft.kind == "command":
        yield from _command_text((*draft.path, "command"), raw["command"], commands)
    if draft.kind == "loop":
        yield from _loop_texts(draft, commands)
    if draft.kind == "approval":
        yield from _below(raw["approval"], (*draft.path, "approval"), ("message",))
        if isinstance(raw["approval"], dict):
            yield from _below(raw["approval"].get("on_reject"), (*draft.path, "approval", "on_reject"), ("prompt",))
    if draft.uses_agent:
        yield from _option_texts(draft, defaults)
    yield from _strings(raw.get("env"), (*draft.path, "env"))
    if draft.kind in BOUND_KINDS:
        yield from _binding_texts(raw.get("with"), (*draft.path, "with"))


def _loop_texts(draft: Draft, commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    loop = draft.raw["loop"]
    path = (*draft.path, "loop")
    yield from _below(loop, path, ("prompt", "gate_message"))
    yield from _below(loop, path, ("until_bash",), "shell")
    if isinstance(loop, dict) and "command" in loop:
        yield from _command_text((*path, "command"), loop["command"], commands)


def _command_text(path: DocumentPath, name: Any, commands: Mapping[str, CommandSource]) -> Iterator[Text]:
    found = commands.get(name) if isinstance(name, str) else None
    if found is not None:
        yield Text(path, found.text, found.text, command=found)


def _option_texts(draft: Draft, defaults: Mapping[str, Any]) -> Iterator[Text]:
    """`systemPrompt` and the texts of `agents`, the node's own or else the workflow's."""
    for key in ("systemPrompt", "agents"):
        path: DocumentPath = (*draft.path, key) if key in draft.raw else (key,)
        value = draft.raw.get(key, defaults.get(key))
        if key == "systemPrompt" and isinstance(value, str):
            yield Text(path, value, value)
        elif key == "agents" and isinstance(value, dict):
            for name, agent in value.items():
                yield from _below(agent, (*path, name), ("description", "prompt"))


def _below(value: Any, path: DocumentPath, keys: tuple[str, ...], form: str = "text") -> Iterator[Text]:
    if isinstance(value, dict):
        for key in keys:
            text = value.get(key)
            if isinstance(text, str):
                yield Text((*path, key), text, text, form=form)


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
