"""How an agent that is a program is driven, as data. The agents that Ion knows by name are in `presets.yaml`, which is
read when a name first needs it (`api/settings.py`).

`NAMES` repeats the names, so that a command line that is not a preset's name needs no reading; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

NAMES = (
    *("claude", "codex", "gemini", "opencode", "copilot", "cursor", "goose", "llm", "aider"),
    *("claude-acp", "codex-acp", "gemini-acp", "copilot-acp", "cursor-acp", "opencode-acp", "goose-acp", "qwen-acp"),
    *("kimi-acp", "kiro-acp", "droid-acp", "fast-agent-acp", "grok-acp", "devin-acp", "junie-acp", "kilo-acp"),
    *("pi-acp", "qoder-acp", "trae-acp"),
)
# Those that each prompt starts; the others speak ACP.
COMMAND_NAMES = tuple(name for name in NAMES if not name.endswith("-acp"))
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
    title: str = ""
    type: str = "command"
    command: Words = ()
    arguments: Words = ()
    last: Words = ()
    parser: str = "text"
    resume: Words = ()
    gone: str = ""
    usage: str = "turn"
    asking_mode: str = ""
    own_commands: str = ""
    schema: Words = ()
    options: Mapping[str, Flags] = field(default_factory=dict)
    permission: Mapping[str, Words] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    install: str = ""
    login: str = ""


def flags(value: Iterable[str] | Mapping[str, Iterable[str]]) -> Flags:
    """An option's flags from their form in a file: a list, or a mapping of `some` and `none`."""
    if not isinstance(value, Mapping):
        return Flags(tuple(value))
    return Flags(tuple(value["some"]), tuple(value["none"]) if "none" in value else None)
