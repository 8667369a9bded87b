"""One walk over every text of a lowered node, and of those inside of it.

`Change` says what becomes of a reference, and of the name of a command or script file. What an `include` does to the
nodes that it brings, and what a composite must wait for, are both such changes (language.md §13).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ion.language import workflow as w
from ion.language.references import Found, find_references, reference_text

Changed = TypeVar("Changed", bound=Struct)

# For each record, its fields with references or names of files, and the form that each is in.
_FORMS: dict[type[Any], dict[str, str]] = {
    w.Node: {
        "continues": "node",
        "body": "record",
        "when": "condition",
        "env": "template",
        "cwd": "text",
        "bindings": "records",
        "options": "options",
        "fan_out": "record",
        "activations": "records",
    },
    w.Command: {"name": "command"},
    w.Prompt: {"text": "text", "continued": "text"},
    w.Bash: {"shell": "shell"},
    w.Script: {"code": "code", "name": "script"},
    w.Loop: {"prompt": "text", "command": "command", "until_bash": "shell", "gate_message": "text"},
    w.Approval: {"message": "text", "on_reject": "record"},
    w.OnReject: {"prompt": "text"},
    w.Cancel: {"reason": "text"},
    w.Wait: {"until": "text", "check": "shell"},
    w.Group: {"scope": "record"},
    w.LoopGroup: {"scope": "record", "until_bash": "shell", "gate_message": "text"},
    w.WorkflowCall: {"input": "text"},
    w.Scope: {"nodes": "records"},
    w.FanOut: {"items": "template", "lines": "text", "when": "condition"},
    w.Activation: {"when": "condition"},
    w.Binding: {"value": "template"},
}


class Change(Struct, frozen=True):
    """What becomes of a reference, of the name of a command file, of that of a script, and of the id of a node."""

    reference: Callable[[w.Reference], w.Reference]
    command: Callable[[str], str] = str
    script: Callable[[str], str] = str
    node: Callable[[str], str] = str

    def of(self, record: Changed) -> Changed:
        """`record` with all of its texts changed."""
        fields = {name: getattr(record, name) for name in _FORMS[type(record)]}
        forms = _FORMS[type(record)]
        return replace(record, **{name: getattr(self, forms[name])(value) for name, value in fields.items() if value})

    record = of

    def records(self, records: Any) -> Any:
        """A tuple of records, or a mapping to records."""
        if isinstance(records, dict):
            return {name: self.of(one) for name, one in records.items()}
        return tuple(self.of(one) for one in records)

    def text(self, text: str) -> str:
        return self._rewritten(text, find_references(text))

    def code(self, code: str) -> str:
        """An inline script, in which only references to nodes are read."""
        found = find_references(code, escapes=False)
        return self._rewritten(code, (one for one in found if isinstance(one.reference, w.NodeReference)))

    def shell(self, shell: w.Shell) -> w.Shell:
        parts, placements, ends, done = [], [], [0], 0
        moved = [0]
        for one in shell.placements:
            changed = self.reference(one.reference)
            text = reference_text(changed) if changed != one.reference else shell.text[one.start : one.end]
            parts += [shell.text[done : one.start], text]
            start, done = one.start + moved[-1], one.end
            placements.append(replace(one, start=start, end=start + len(text), reference=changed))
            ends.append(one.end)
            moved.append(start + len(text) - one.end)

        def shift(place: int) -> int:
            return place + moved[bisect_right(ends, place) - 1]

        edits = tuple((shift(start), shift(end), text) for start, end, text in shell.edits)
        return replace(shell, text="".join(parts) + shell.text[done:], placements=tuple(placements), edits=edits)

    def condition(self, condition: w.Condition) -> w.Condition:
        changed = (
            tuple(replace(one, reference=self.reference(one.reference)) for one in group)
            for group in condition.alternatives
        )
        return replace(condition, alternatives=tuple(changed))

    def template(self, value: Any) -> Any:
        """JSON whose texts are templates."""
        if isinstance(value, dict):
            return {key: self.template(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.template(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Of an agent's options only `systemPrompt` and the texts of `agents` are templates."""
        changed = dict(options)
        if isinstance(options.get("systemPrompt"), str):
            changed["systemPrompt"] = self.text(options["systemPrompt"])
        if isinstance(agents := options.get("agents"), dict):
            changed["agents"] = {name: self._agent(agent) for name, agent in agents.items()}
        return changed

    def _agent(self, agent: Any) -> Any:
        if not isinstance(agent, dict):
            return agent
        return {key: self.template(text) if key in ("description", "prompt") else text for key, text in agent.items()}

    def _rewritten(self, text: str, found: Iterable[Found]) -> str:
        parts, done = [], 0
        for one in found:
            changed = self.reference(one.reference)
            if changed != one.reference:
                parts += [text[done : one.start], reference_text(changed)]
                done = one.end
        return "".join(parts) + text[done:]


def references_of(record: Struct, commands: Mapping[str, w.CommandFile]) -> Iterator[w.Reference]:
    """Every reference in the texts of a node or another record, and in the command files that it uses, each once."""
    seen: dict[w.Reference, None] = {}

    def note(reference: w.Reference) -> w.Reference:
        seen[reference] = None
        return reference

    def read(name: str) -> str:
        for found in find_references(commands[name].text if name in commands else ""):
            note(found.reference)
        return name

    Change(note, read).of(record)
    yield from seen
