"""How an agent that is a program is driven: as data, and as a command line made from a request.

The agents that Ion knows by name are in `presets.yaml`, which is read when a name first needs it (`api/settings.py`).
`NAMES` repeats the names, so that a command line that is not a preset's name needs no reading; a test compares the two.

Of a request, every value becomes one argument or a file. Nothing is ever joined into text that a shell or an option
parser would split again: a value that begins with a dash stays the value of its flag.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, field

from ion.agents.base import AgentError, PromptRequest

if TYPE_CHECKING:
    from ion.process import SpawnError

NAMES = (
    *("claude", "codex", "gemini", "opencode", "copilot", "cursor"),
    *("pi", "qwen", "cline", "amp", "auggie", "continue", "goose", "llm", "aider"),
    *("claude-acp", "codex-acp", "gemini-acp", "copilot-acp", "cursor-acp", "opencode-acp", "goose-acp", "qwen-acp"),
    *("kimi-acp", "kiro-acp", "droid-acp", "fast-agent-acp", "grok-acp", "devin-acp", "junie-acp", "kilo-acp"),
    *("pi-acp", "qoder-acp", "trae-acp"),
)
FILE = Path(__file__).with_name("presets.yaml")
Words = tuple[str, ...]


class Flags(Struct, frozen=True, gc=False):
    """What an option becomes on the command line: `some` for a value, `none` for an empty list (None: the agent has
    no flag for that)."""

    some: Words
    none: Words | None = None


class Preset(Struct, frozen=True, gc=False):
    """How one agent is driven; `presets.yaml` explains the fields."""

    name: str
    type: str = "command"
    command: Words = ()
    arguments: Words = ()
    last: Words = ()
    parser: str = "text"
    resume: Words = ()
    gone: str = ""
    usage: str = "turn"
    asking: Mapping[str, str] = field(default_factory=dict)
    allowing: Mapping[str, str] = field(default_factory=dict)
    narrow_modes: Words = ()
    named_messages: bool = False
    refusal_ends: bool = False
    own_commands: str = ""
    mentions: str = ""
    silent: bool = False
    noise: str = ""
    system_once: bool = False
    help: Words = ("--help",)
    schema: Words = ()
    strict_schema: bool = False
    options: Mapping[str, Flags] = field(default_factory=dict)
    restricting: Mapping[str, Flags] = field(default_factory=dict)
    permission: Mapping[str, Words] = field(default_factory=dict)
    narrowest: Mapping[str, Words] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    package: str = ""
    install: str = ""
    login: str = ""

    def not_started(self, error: SpawnError) -> AgentError:
        """Why it could not be started."""
        if not error.missing:
            return AgentError("crashed", error.message, hint=error.hint)
        return AgentError(
            "not_found", error.message, hint=f"install it: {self.install}" if self.install else error.hint
        )


def flags(value: Iterable[str] | Mapping[str, Iterable[str]]) -> Flags:
    """An option's flags from their form in a file: a list, or a mapping of `some` and `none`."""
    if not isinstance(value, Mapping):
        return Flags(tuple(value))
    return Flags(tuple(value["some"]), tuple(value["none"]) if "none" in value else None)


# ---------------------------------------------------------------------- the command line

# The longest single argument that Linux takes.
_ARGUMENT_BYTES = 128 * 1024 - 1
# Options that Ion acts on itself, whatever the agent does with them.
OWN_OPTIONS = frozenset({"provider", "agent", "maxBudgetUsd"})
# Options that have a place in the Agent Client Protocol, whether or not an agent offers it.
ACP_OPTIONS = frozenset({"model", "effort", "modelReasoningEffort", "mode", "mcp", "systemPrompt"})


class InFile(Struct, frozen=True, gc=False):
    """An argument that names a file with `text`: the path is between `before` and `after`."""

    before: str
    text: str
    after: str


Word: TypeAlias = str | InFile


class Launch(Struct, frozen=True, gc=False):
    """The command line to start, and what goes to its stdin."""

    words: tuple[Word, ...]
    stdin: str


def launch(preset: Preset, request: PromptRequest, prompt: str, session: str | None) -> Launch:
    """The command line that asks `prompt`, in `session` or a new one.

    Raises `AgentError` (`refused`) for a value that cannot be an argument.
    """
    chosen: list[Word] = []
    for name, value in request.options.items():
        chosen += _flags(preset.options.get(name), name, value)
    words = _without_doubles(preset, [*preset.command, *preset.arguments], chosen)
    if request.output_format is not None:
        words += _flags(Flags(preset.schema), "output_format", request.output_format)
    if session is not None:
        words += [_word(word, "the session", {"session": lambda: session}) for word in preset.resume]
    words += [
        _word(word, "the prompt", {"prompt": lambda: prompt, "prompt_file": lambda: prompt}) for word in preset.last
    ]
    on_stdin = not any("{prompt}" in word or "{prompt_file}" in word for word in preset.last)
    return Launch(tuple(words), prompt if on_stdin else "")


def as_text(preset: Preset, prompt: str) -> str:
    """The prompt as the program takes it for text, even if it begins like one of the program's own commands, or names
    files that the program would read."""
    if preset.mentions:
        prompt = re.sub(preset.mentions, r"\\@", prompt)
    begins = prompt.lstrip()[:1]
    return f"The task:\n\n{prompt}" if begins and begins in preset.own_commands else prompt


def _without_doubles(preset: Preset, given: list[Word], chosen: list[Word]) -> list[Word]:
    """The words of the settings and then those of the node, where a flag that both have may stand once: the narrower
    value counts, since a workflow may not do more than the settings allow."""
    for flag, order in preset.narrowest.items():
        values = [word for word in (*given, *chosen) if isinstance(word, str) and word.startswith(f"{flag}=")]
        if len(values) > 1:
            known = [word for word in values if word.partition("=")[2] in order]
            kept = min(known, key=lambda word: order.index(word.partition("=")[2]), default=values[0])
            given = [word for word in given if word not in values]
            chosen = [kept, *(word for word in chosen if word not in values)]
    return [*given, *chosen]


def schema_for(preset: Preset, output_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """The schema that the agent's own option takes; None: it takes none, or not this one."""
    if output_format is None or not preset.schema:
        return None
    return _strict(output_format) if preset.strict_schema else output_format


# What OpenAI's API takes in a schema; with anything else it refuses the whole request.
_STRICT = frozenset(
    (
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs"),
        *("title", "description", "definitions", "minItems", "maxItems", "pattern", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    )
)


def _strict(output_format: dict[str, Any]) -> dict[str, Any] | None:
    """The schema as OpenAI's API takes it: each object requires all of its properties, and allows no others. None if
    it would then ask for something else."""
    try:
        return _closed(output_format) if output_format.get("type") == "object" else None
    except ValueError:
        return None


def _closed(schema: Any) -> Any:
    """The schema with all of its objects closed. Raises ValueError if one of them is open on purpose."""
    if not isinstance(schema, dict) or not _STRICT.issuperset(schema):
        raise ValueError
    closed = dict(schema)
    fields = schema.get("properties", {})
    if "object" in schema.get("type", ()) or fields:
        if not fields or set(schema.get("required", ())) != set(fields) or schema.get("additionalProperties"):
            raise ValueError
        closed["additionalProperties"] = False
    for group in ("properties", "$defs", "definitions"):
        if group in schema:
            closed[group] = {name: _closed(one) for name, one in schema[group].items()}
    if "anyOf" in schema:
        closed["anyOf"] = [_closed(one) for one in schema["anyOf"]]
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    return closed


def flags_of(preset: Preset) -> list[str]:
    """The flags that Ion may give the program, each once."""
    options = [flag for known in preset.options.values() for flag in (*known.some, *(known.none or ()))]
    permissions = [flag for words in preset.permission.values() for flag in words]
    words = (*preset.arguments, *preset.resume, *preset.schema, *preset.last, *options, *permissions)
    return list(dict.fromkeys(word.partition("=")[0] for word in words if word.startswith("--")))


def without_effect(preset: Preset, options: Mapping[str, Any]) -> list[str]:
    """The options that this agent cannot be given, in words for a person."""
    return [_shown(name, value) for name, value in options.items() if not _has_effect(preset, name, value)]


def _has_effect(preset: Preset, name: str, value: Any) -> bool:
    if name in OWN_OPTIONS or value is None or (preset.type == "acp" and name in ACP_OPTIONS):
        return True
    known = preset.options.get(name)
    return known is not None and (value != [] or known.none is not None)


def _shown(name: str, value: Any) -> str:
    return f"an empty {name}" if value == [] else name


def _flags(known: Flags | None, name: str, value: Any) -> list[Word]:
    if known is None or value is None:
        return []
    forms = {
        "value": _plain,
        "list": _list,
        "names": _names,
        "json": _json,
        "file": _plain,
        "at_path": _at_path,
    }
    places = {place: _bound(form, value) for place, form in forms.items()}
    return [_word(word, name, places) for word in ((known.none or ()) if value == [] else known.some)]


def _bound(form: Callable[[Any], str], value: Any) -> Callable[[], str]:
    return lambda: form(value)


def _word(template: str, name: str, places: Mapping[str, Callable[[], str]]) -> Word:
    """The template with its placeholder filled in."""
    for place, text in places.items():
        before, found, after = template.partition("{" + place + "}")
        if found and place.endswith("file"):
            return InFile(before, text(), after)
        if found:
            return _argument(before, text() + after, name)
    return template


def _argument(before: str, rest: str, name: str) -> str:
    if not before and rest.startswith("-"):
        raise AgentError("refused", f"{name} begins with a dash, and would be taken for an option of the agent")
    text = before + rest
    if len(text.encode("utf-8", "replace")) > _ARGUMENT_BYTES:
        raise AgentError("refused", f"{name} is longer than the 128 KiB that an argument of a program may have")
    if "\0" in text:
        raise AgentError("refused", f"{name} holds a NUL character, which no argument of a program can carry")
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(value: Any) -> str:
    # What reads it as TOML takes no DEL as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _at_path(value: Any) -> str:
    return f"@{value}" if isinstance(value, str) and not value.lstrip().startswith("{") else _plain(value)


def _list(value: Any) -> str:
    return ",".join(_plain(item) for item in value) if isinstance(value, list) else _plain(value)


def _names(value: Any) -> str:
    return ",".join(tool_names(value))


def tool_names(value: Any) -> list[str]:
    """Tools without what is in parentheses, and without those of MCP servers: `Bash(git *)` is `Bash`."""
    items = [_plain(item) for item in value] if isinstance(value, list) else _plain(value).split(",")
    names = (item.partition("(")[0].strip() for item in items)
    return list(dict.fromkeys(name for name in names if name and not name.startswith("mcp__")))
