"""An SOP for other tools: as an agent skill (agentskills.io), as a command of the Cursor editor.

Both contain the SOP's text as it is; the text before it and the path of the file differ.
"""

from __future__ import annotations

from ion.language.sop.model import Parameter, Sop
from ion.language.sop.steps import slug
from ion.language.sop.yaml_text import field, quoted
from ion.records import dataclass

# The limits of the skill format.
MAX_SKILL_NAME = 64
MAX_SKILL_DESCRIPTION = 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """A file to write: `path` is relative to the folder that the tool reads."""

    path: str
    text: str


def to_skill(sop: Sop) -> Exported:
    """`<name>/SKILL.md`; the name has only characters that skills may have, and so may differ from the SOP's."""
    name = (slug(sop.name) or slug(sop.title) or "sop")[:MAX_SKILL_NAME].strip("-")
    description = _cut(sop.description or sop.title, MAX_SKILL_DESCRIPTION)
    front = ["---", *field("name", name), f"description: {_one_line(description)}", "---"]
    return Exported(f"{name}/SKILL.md", "\n".join(front) + f"\n\n{sop.body}\n")


def to_cursor(sop: Sop) -> Exported:
    """`<name>.md`: what to do with the words after the command, then the SOP."""
    name = slug(sop.name) or slug(sop.title) or "sop"
    head = [
        f"Carry out the procedure '{' '.join(sop.title.split())}' below, step by step, in its order.",
        "The values of its parameters are in what I say besides this command.",
    ]
    required = [one.name for one in sop.parameters if one.required]
    if required:
        head.append(f"Ask me, all at once, for those of {', '.join(required)} that I have not given.")
    lines = [*head, "", *map(_parameter, sop.parameters), *([""] if sop.parameters else []), "---", "", sop.body]
    return Exported(f"{name}.md", "\n".join(lines) + "\n")


def _parameter(parameter: Parameter) -> str:
    status = "required" if parameter.required else "optional"
    return f"- {parameter.name} ({status}): {' '.join(parameter.description.split())}"


def _cut(text: str, length: int) -> str:
    """At most `length` characters, ending at a word."""
    if len(text) <= length:
        return text
    return (text[: length - 1].rpartition(" ")[0] or text[: length - 1]) + "…"


def _one_line(text: str) -> str:
    """Always in quotes, since readers of front matter differ in what they take for plain."""
    written = quoted(text)
    return written if written.startswith('"') else f'"{written}"'
