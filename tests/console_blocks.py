"""Runs what a page of the documentation shows, so that no page can show what is not so.

Of a page count: ```console blocks (lines that begin with `$ ` are commands, the lines below each are its output), and
blocks whose first line is `# some/file.ext`: that file is written. A command ends with status 0, unless the next one
is `echo $?`. In the output shown, a line `…` stands for any lines, and `…` inside of a line for any text; times and the
ids of runs may be others. Commands run one by one in one folder, each in a bash of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from processes import PATIENCE_S

TESTED = "<!-- tested -->"
_BLOCK = re.compile(r"^(?P<mark><!-- tested -->\n+)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_TIME = re.compile(r"\b\d\d:\d\d\.\d\b|\b\d+(\.\d)?s\b")
# One id in forty has no digit; a word that is taken for one is taken so on both sides.
_RUN_ID = re.compile(r"\b[0-9a-hjkmnp-tv-z]{10}\b")
_ASKS_STATUS = "echo $?"


@dataclass(frozen=True)
class File:
    """A file that the page tells its reader to write."""

    path: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command, the output shown below it, and the line of the page."""

    line: int
    text: str
    output: tuple[str, ...]


def steps(page: str, *, only_marked: bool = False) -> Iterator[File | Command]:
    """What a reader of `page` does, in order. `only_marked`: only blocks that follow the comment `TESTED`."""
    for block in _BLOCK.finditer(page):
        if only_marked and block["mark"] is None:
            continue
        named = _FILE.match(block["text"])
        if block["kind"] == "console":
            yield from _commands(block["text"], page.count("\n", 0, block.start("text")) + 1)
        elif named is not None:
            yield File(named[1], block["text"])


def _commands(block: str, first: int) -> Iterator[Command]:
    lines = block.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(first + start, lines[start][2:], tuple(lines[start + 1 : end]))


def run(page: str, folder: Path, *, only_marked: bool = False, programs: Path | None = None) -> int:
    """Do in `folder` what the page says and give the number of commands. `programs` comes first on the PATH.

    Raises `AssertionError`, with the page's line, where a status or an output is another one.
    """
    status, done = 0, 0
    found = list(steps(page, only_marked=only_marked))
    for step, following in zip(found, [*found[1:], None], strict=True):
        if isinstance(step, File):
            (folder / step.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.path).write_text(step.text, encoding="utf-8")
            continue
        status, output = _bash(f"(exit {status})\n{step.text}", folder, programs)
        asked = isinstance(following, Command) and following.text == _ASKS_STATUS
        where = f"line {step.line}: $ {step.text}\n"
        assert asked or status == 0, f"{where}ended with {status}\n{output}"
        assert fits(step.output, output), f"{where}printed\n{output}"
        done += 1
    return done


def _bash(script: str, folder: Path, programs: Path | None) -> tuple[int, str]:
    """The status, and what a terminal would show."""
    first = [str(programs)] if programs is not None else []
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ION_", "XDG_"))} | {
        "PATH": os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ["PATH"]]),
        "XDG_CONFIG_HOME": str(folder / ".no-settings"),
        "XDG_STATE_HOME": str(folder / ".state"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def fits(shown: tuple[str, ...], output: str) -> bool:
    """Whether `output` is what the page shows. Blank lines at the end of either do not count."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else _line(line) for line in _trimmed(shown))
    return re.fullmatch(pattern, "".join(f"{_alike(line)}\n" for line in _trimmed(output.splitlines()))) is not None


def _line(shown: str) -> str:
    return ".*".join(re.escape(part) for part in _alike(shown).split("…")) + r"\n"


def _trimmed(lines: tuple[str, ...] | list[str]) -> list[str]:
    kept = [line.rstrip() for line in lines]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _alike(line: str) -> str:
    """Times and ids of runs differ from run to run."""
    return _RUN_ID.sub("RUN", _TIME.sub("TIME", line))
