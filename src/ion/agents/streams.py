"""What an agent says and does during a turn, read from its output while it is written.

Programs that print a JSON object for each event are followed as they work: each step becomes a short line for whoever
watches and a line of the turn's transcript, which `ion logs` prints in place of the JSON. Event types that are unknown
here are passed over. Everything in a stream is data of others: it decides nothing but what is shown.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from msgspec import Struct

from ion import process
from ion.foreign import loads
from ion.masking import head

_SHOWN_CHARACTERS = 200
# What a tool call is about, in the order in which it is looked for.
_SUBJECTS = (
    *("file_path", "filePath", "path", "absolute_path", "notebook_path", "dir_path", "command", "cmd", "pattern"),
    *("query", "url", "skill", "description", "prompt", "name"),
)


class Step(Struct, frozen=True, gc=False):
    """One step. `kind`: `says` (its `text`, or with `more` a piece of it), `does` (a tool and what it is about),
    `failed` (what a tool call ended with), `thinks`, or `trouble` (why it makes no headway, such as a provider that
    refuses it): the last is not a sign of life."""

    kind: str
    text: str
    more: bool = False


# How each begins in a transcript, and in a line for whoever watches.
_MARKS = {"says": "", "does": "> ", "failed": "  failed: ", "thinks": "  thinks: ", "trouble": "! "}
_WORDS = {"failed": "failed: ", "thinks": "thinks: "}

Steps: TypeAlias = Callable[[dict[str, Any], Path], Iterator[Step]]


class Activity:
    """The steps of one turn. `progress` gets each as a line, the file at `transcript` (None: none) all of it. `steps`
    finds them in a line of output; None: they are taken one by one. `signs` counts the signs of life; `last` is the
    last trouble."""

    def __init__(
        self,
        steps: Steps | None,
        cwd: Path,
        transcript: Path | None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.signs = 0
        self.last = ""
        self._steps = steps
        self._cwd = cwd
        self._path = transcript
        self._progress = progress
        self._file: BinaryIO | None = None
        if transcript is not None:
            with contextlib.suppress(OSError):  # what the disk does not take is not in the transcript
                self._file = os.fdopen(process.create(transcript), "wb", 0)
        self._empty = True
        self._piece = ""
        self._shown = ""

    def line(self, line: str) -> None:
        """Take a line of its output."""
        try:
            event = loads(line)
        except ValueError:
            event = None
        steps = list(self._steps(event, self._cwd)) if self._steps is not None and isinstance(event, dict) else []
        if not (steps and all(step.kind == "trouble" for step in steps)):
            self.signs += 1
        for step in steps:
            self.take(step)

    def close(self) -> None:
        """Nothing follows. An empty transcript is removed."""
        if self._file is not None:
            self._end_piece()
            self._file.close()
            if self._empty and self._path is not None:
                self._path.unlink(missing_ok=True)

    def take(self, step: Step) -> None:
        """Show it, and keep it in the transcript."""
        if step.more:
            self._write(step.text)
            self._piece = (self._piece + step.text)[-4 * _SHOWN_CHARACTERS :]
            self._show(_last_line(self._piece))
            return
        self._end_piece()
        mark = _MARKS[step.kind]
        self._write("".join(f"{mark}{line}\n" for line in step.text.strip().splitlines()))
        if step.kind == "trouble":
            self.last = step.text
        self._show(_last_line(step.text) if step.kind == "says" else f"{_WORDS.get(step.kind, '')}{step.text}")

    def _end_piece(self) -> None:
        if self._piece:
            self._write("" if self._piece.endswith("\n") else "\n")
            self._piece = ""

    def _show(self, text: str) -> None:
        line = one_line(text)
        if self._progress is not None and line and line != self._shown:
            self._shown = line
            self._progress(line)

    def _write(self, text: str) -> None:
        if self._file is not None:
            self._empty = False
            with contextlib.suppress(OSError):
                self._file.write(text.encode("utf-8", "replace"))


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def one_line(text: str) -> str:
    """A text as a line for whoever watches."""
    line = " ".join(text[: 4 * _SHOWN_CHARACTERS].split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"


def tool_call(name: Any, given: Any, cwd: Path) -> Step:
    """A tool and what it is about: the file, relative to where the agent works, or its first telling argument."""
    about = ""
    if isinstance(given, Mapping):
        found = (given[key] for key in _SUBJECTS if isinstance(given.get(key), str) and given[key].strip())
        about = _relative(next(found, ""), cwd)
    named = name if isinstance(name, str) and name else "a tool"
    return Step("does", f"{named} {head(about, _SHOWN_CHARACTERS)}".strip())


def _relative(path: str, cwd: Path) -> str:
    inside = f"{cwd}{os.sep}"
    return path.removeprefix(inside)


# ---------------------------------------------------------------------- what each program prints


def claude(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`claude -p --output-format stream-json --verbose`, and what resembles it (cursor-agent, qwen)."""
    kind, subtype, message = event.get("type"), event.get("subtype"), _mapping(event.get("message"))
    if kind == "assistant" and message.get("model") != "<synthetic>":
        # An agent that it started itself reports to it, and not to Ion.
        says = "says" if event.get("parent_tool_use_id") is None else "thinks"
        for block in _mappings(message.get("content")):
            yield from _claude_block(block, says, cwd)
    elif kind == "user":
        for block in _mappings(message.get("content")):
            if block.get("type") == "tool_result" and block.get("is_error"):
                yield Step("failed", _first_line(block.get("content")))
    elif kind == "system" and subtype == "api_retry":
        yield Step("trouble", f"its provider answered {event.get('error_status') or 'nothing'}: it tries again")
    elif kind == "tool_call" and subtype == "started":  # of cursor-agent
        for name, given in _mapping(event.get("tool_call")).items():
            yield tool_call(name.removesuffix("ToolCall"), _mapping(given).get("args"), cwd)


def _claude_block(block: dict[str, Any], says: str, cwd: Path) -> Iterator[Step]:
    kind = block.get("type")
    if kind == "text" and _is_text(block.get("text")):
        yield Step(says, block["text"])
    elif kind == "thinking" and _is_text(block.get("thinking")):
        yield Step("thinks", block["thinking"])
    elif kind in ("tool_use", "server_tool_use") and block.get("name") != "StructuredOutput":
        yield tool_call(block.get("name"), block.get("input"), cwd)


def codex(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`codex exec --json`."""
    kind, item = event.get("type"), _mapping(event.get("item"))
    if kind == "error" and _is_text(event.get("message")):
        yield Step("trouble", event["message"])
    elif kind == "item.started":
        yield from _codex_begun(item, cwd)
    elif kind in ("item.completed", "item.updated"):
        yield from _codex_done(item, cwd)


def _codex_begun(item: dict[str, Any], cwd: Path) -> Iterator[Step]:
    match item.get("type"):
        case "command_execution":
            yield tool_call("shell", {"command": _without_shell(str(item.get("command")))}, cwd)
        case "mcp_tool_call":
            yield tool_call(f"{item.get('server')}.{item.get('tool')}", item.get("arguments"), cwd)


def _codex_done(item: dict[str, Any], cwd: Path) -> Iterator[Step]:
    match item:
        case {"type": "agent_message", "text": str(text)} if text.strip():
            yield Step("says", text)
        case {"type": "reasoning", "text": str(text)} if text.strip():
            yield Step("thinks", text)
        case {"type": "command_execution", "exit_code": int(status)} if status:
            yield Step("failed", f"exit {status}")
        case {"type": "file_change", "changes": changes}:
            for change in _mappings(changes):
                yield tool_call("edit", {"path": change.get("path")}, cwd)
        case {"type": "web_search", "query": query}:
            yield tool_call("search", {"query": query}, cwd)
        case {"type": "todo_list", "items": items}:
            todo = _mappings(items)
            now = next((str(one.get("text")) for one in todo if not one.get("completed")), "")
            yield Step("does", f"plan {sum(bool(one.get('completed')) for one in todo)}/{len(todo)} {now}".strip())


def gemini(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`gemini --output-format stream-json`."""
    kind = event.get("type")
    if kind == "message" and event.get("role") == "assistant" and isinstance(event.get("content"), str):
        yield Step("says", event["content"], more=bool(event.get("delta")))
    elif kind == "tool_use":
        yield tool_call(event.get("tool_name"), event.get("parameters"), cwd)
    elif kind == "tool_result" and event.get("status") == "error":
        yield Step("failed", _first_line(_mapping(event.get("error")).get("message") or event.get("output")))
    elif kind == "error" and _is_text(event.get("message")):
        yield Step("trouble", event["message"])


def opencode(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`opencode run --format json`: a tool call is printed once it has ended."""
    kind, part = event.get("type"), _mapping(event.get("part"))
    state = _mapping(part.get("state"))
    if kind == "text" and _is_text(part.get("text")):
        yield Step("says", part["text"])
    elif kind == "reasoning" and _is_text(part.get("text")):
        yield Step("thinks", part["text"])
    elif kind == "tool_use":
        yield tool_call(part.get("tool"), state.get("input"), cwd)
        if state.get("status") == "error":
            yield Step("failed", _first_line(state.get("error")))


def pi(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`pi -p --mode json`."""
    kind, message = event.get("type"), _mapping(event.get("message"))
    if kind == "message_end" and message.get("role") == "assistant":
        for part in _mappings(message.get("content")):
            if part.get("type") == "text" and _is_text(part.get("text")):
                yield Step("says", part["text"])
            elif part.get("type") == "thinking" and _is_text(part.get("thinking")):
                yield Step("thinks", part["thinking"])
    elif kind == "tool_execution_start":
        yield tool_call(event.get("toolName"), event.get("args"), cwd)
    elif kind == "tool_execution_end" and event.get("isError"):
        yield Step("failed", _first_line(_mapping(event.get("result")).get("content")))
    elif kind == "auto_retry_start" and _is_text(event.get("errorMessage")):
        yield Step("trouble", event["errorMessage"])


def copilot(event: dict[str, Any], cwd: Path) -> Iterator[Step]:
    """`copilot --output-format json`."""
    kind, data = event.get("type"), _mapping(event.get("data"))
    if kind == "assistant.message" and _is_text(data.get("content")):
        yield Step("says", data["content"])
    elif kind == "tool.execution_start":
        yield tool_call(data.get("toolName"), data.get("arguments"), cwd)
    elif kind == "tool.execution_complete" and data.get("success") is False:
        yield Step("failed", _first_line(_mapping(data.get("error")).get("message")))
    elif kind == "session.error" and _is_text(data.get("message")):
        yield Step("trouble", data["message"])


# By the name of the parser that reads the whole of it.
STEPS: dict[str, Steps] = {
    "claude-json": claude,
    "codex-jsonl": codex,
    "gemini-json": gemini,
    "opencode-jsonl": opencode,
    "pi-jsonl": pi,
    "copilot-jsonl": copilot,
}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _first_line(value: Any) -> str:
    """The first line of what a tool gave: a text, or blocks of text."""
    if isinstance(value, list):
        value = next((one.get("text") for one in value if isinstance(one, dict) and _is_text(one.get("text"))), "")
    lines = value.strip().splitlines() if isinstance(value, str) else []
    return head(lines[0], _SHOWN_CHARACTERS) if lines else "it gave an error"


def _without_shell(command: str) -> str:
    """`ls` of `/bin/bash -lc ls`."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return words[2] if len(words) == 3 and words[1] in ("-lc", "-c") else command
