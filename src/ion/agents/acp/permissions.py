"""How to answer when an agent asks for a permission: by policy, or by a person who sees exactly what is asked for.

A decision is named by its kind, numbered if the agent offers several of one kind: no text of an agent becomes part of a
command that somebody types. A decision is stored under the whole tool call, so it holds for that call only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ion.agents.acp.protocol import READING, PermissionOption, ToolCall
from ion.agents.base import Permission
from ion.digests import sha256_of

_NARROWEST = {True: ("allow_once", "allow_always"), False: ("reject_once", "reject_always")}
# Nobody can decide on what they cannot read: a cut is only for what no person would read to its end.
_TITLE_CHARACTERS = 20_000
_DETAIL_CHARACTERS = 20_000
_MAX_CONTENTS = 20
# Controls, line ends of other scripts, and marks that turn the direction of what follows.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def by_policy(policy: str, call: ToolCall) -> bool | None:
    """Whether the policy allows it; None: a person decides."""
    if policy == "ask":
        return None
    return policy == "allow" or (policy == "allow-reads" and call.kind in READING)


def choice_for(allowed: bool, choices: tuple[PermissionOption, ...]) -> int | None:
    """The narrowest choice with this meaning, or None."""
    kinds = [choice.kind for choice in choices]
    return next((kinds.index(kind) for kind in _NARROWEST[allowed] if kind in kinds), None)


def choice_of(decision: str, choices: tuple[PermissionOption, ...]) -> int | None:
    """The choice that a decision means. If the agent now offers other choices, the narrowest one with the same
    meaning."""
    names = decisions(choices)
    return names.index(decision) if decision in names else choice_for(decision.startswith("allow"), choices)


def decisions(choices: tuple[PermissionOption, ...]) -> tuple[str, ...]:
    """The names of the choices: `allow_once`, `allow_once_2`, …"""
    seen: dict[str, int] = {}
    names = []
    for choice in choices:
        seen[choice.kind] = seen.get(choice.kind, 0) + 1
        names.append(choice.kind if seen[choice.kind] == 1 else f"{choice.kind}_{seen[choice.kind]}")
    return tuple(names)


def permission(agent: str, call: ToolCall, choices: tuple[PermissionOption, ...]) -> Permission:
    """The question for a person."""
    names = decisions(choices)
    return Permission(key_of(call), _message(agent, call, names, choices), names, tuple(c.kind for c in choices))


def key_of(call: ToolCall) -> str:
    """The same key for the same call, whatever number the agent gives it."""
    whole = json.dumps([call.kind, call.title, call.details], sort_keys=True, ensure_ascii=True, default=str)
    return f"{call.kind or 'other'}:{sha256_of(whole.encode())[:32]}"


def merged(before: ToolCall | None, now: ToolCall) -> ToolCall:
    """A call with what an update adds to it."""
    if before is None:
        return now
    return ToolCall(
        now.id,
        now.kind or before.kind,
        now.title or before.title,
        now.status or before.status,
        {**before.details, **now.details},
    )


def _message(agent: str, call: ToolCall, names: tuple[str, ...], choices: tuple[PermissionOption, ...]) -> str:
    title = _cut(_line(call.title or "") or "(it does not say what)", _TITLE_CHARACTERS)
    lines = [f"{agent} asks for permission to {call.kind or 'do something'}: {title}"]
    lines += _details(call.details)
    lines += [f"  {name}: {_cut(_line(choice.name), 200)}" for name, choice in zip(names, choices, strict=True)]
    return "\n".join(lines)


def _details(details: Mapping[str, Any]) -> list[str]:
    """Input, places and changes, one line each; a shortened one says how much is missing."""
    found = []
    if "rawInput" in details:
        found.append(f"  input: {_cut(_json(details['rawInput']), _DETAIL_CHARACTERS)}")
    places = [f"{place['path']}:{place['line']}" if "line" in place else place["path"] for place in _places(details)]
    if places:
        found.append(f"  files: {_cut(_line(', '.join(places)), _DETAIL_CHARACTERS)}")
    contents = details.get("content", ())
    for content in contents[:_MAX_CONTENTS]:
        if content.get("type") == "diff":
            found.append(f"  writes {_json(content['path'])}: {_cut(_json(content['newText']), _DETAIL_CHARACTERS)}")
        else:
            found.append(f"  says: {_cut(_json(content.get('content', content)), _DETAIL_CHARACTERS)}")
    if len(contents) > _MAX_CONTENTS:
        found.append(f"  and {len(contents) - _MAX_CONTENTS} more that are not shown here")
    return found


def _places(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    places = details.get("locations", ())
    return [place for place in places if isinstance(place, dict) and isinstance(place.get("path"), str)]


def _line(text: str) -> str:
    """On one line: text of an agent must not look like another line of the question, or display differently from
    what it is."""
    return _UNSEEN.sub(_escaped, " ".join(text.split()))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _json(value: Any) -> str:
    return _UNSEEN.sub(_escaped, json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, tail = limit * 3 // 4, limit // 4
    return f"{text[:head]} … ({len(text) - limit} characters left out) … {text[-tail:]}"
