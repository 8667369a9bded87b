"""Makes docs/images/tour.svg, the moving picture of the README, from a real session on a real terminal.

    uv run docs/images/record.py [FILE]

In a fresh clone of this repository a bash behind a terminal is typed into: a run fans out, is killed, is resumed, asks
at its gate, and is approved. An emulator reads what the terminal gets; each screen that differs becomes a frame. The
picture is moved by CSS alone, is light or dark as its reader's system is, and shows its last frame to those who want
nothing to move.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from itertools import groupby, pairwise
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 84, 24
CELL, LINE, MARGIN = 8.4, 19, 14
PATIENCE_S = 60
LAST_FRAME_S = 5.0
LONGEST_FRAME_S = 1.5
"""Nobody wants to watch a machine that is thinking."""

STYLE = """
svg { --back: #ffffff; --edge: #d0d7de; --text: #1f2328;
  --red: #cf222e; --green: #1a7f37; --yellow: #9a6700; --blue: #0969da; --magenta: #8250df; --cyan: #1b7c83 }
@media (prefers-color-scheme: dark) { svg { --back: #0d1117; --edge: #30363d; --text: #e6edf3;
  --red: #ff7b72; --green: #3fb950; --yellow: #d29922; --blue: #58a6ff; --magenta: #bc8cff; --cyan: #39c5cf } }
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: var(--text); white-space: pre }
.b { font-weight: bold }
.red { fill: var(--red) } .green { fill: var(--green) } .brown { fill: var(--yellow) } .blue { fill: var(--blue) }
.magenta { fill: var(--magenta) } .cyan { fill: var(--cyan) }
"""


@dataclass
class Session:
    """A bash behind a terminal, and every screen that was seen, with the time at which it came."""

    folder: Path
    frames: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ION_", "XDG_"))}
        environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "xterm-256color"}
        environment |= {"PS1": "$ ", "LC_ALL": "C.UTF-8", "HISTFILE": "", "XDG_STATE_HOME": str(self.folder / ".ion")}
        self.child = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile"],
            cwd=str(self.folder),
            env=environment,  # type: ignore[arg-type]
            dimensions=(ROWS, COLUMNS),
            timeout=PATIENCE_S,
        )
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)

    def look(self, seconds: float) -> None:
        """Take in what is written in this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(pexpect.TIMEOUT):
                self.stream.feed(self.child.read_nonblocking(1 << 16, timeout=min(left, 0.08)))
            lines = tuple(drawn(self.screen, row) for row in range(ROWS))
            if not self.frames or lines != self.frames[-1][1]:
                self.frames.append((time.monotonic(), lines))

    def until(self, seen: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not seen("\n".join(self.screen.display)):
            if time.monotonic() > end:
                raise TimeoutError("\n".join(self.screen.display))
            self.look(0.08)

    def type(self, text: str) -> None:
        for letter in text:
            self.child.send(letter)
            self.look(0.06)
        self.look(0.4)
        self.child.send("\r")

    def kill(self) -> None:
        """`kill -9` the program that bash waits for."""
        found = subprocess.run(
            ["ps", "--ppid", str(self.child.pid), "-o", "pid="], capture_output=True, text=True, check=True
        )
        os.kill(int(found.stdout), signal.SIGKILL)


def drawn(screen: pyte.Screen, row: int) -> str:
    """A line of the screen as the inside of a <text>."""
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    styles = [(cell.fg, cell.bold) for cell in cells]
    parts = []
    for style, places in groupby(range(COLUMNS), key=styles.__getitem__):
        text = escape("".join(cells[place].data for place in places), quote=False)
        names = " ".join([*([style[0]] if style[0] != "default" else []), *(["b"] if style[1] else [])])
        parts.append(f'<tspan class="{names}">{text}</tspan>' if names and text.strip() else text)
    return "".join(parts).rstrip()


def play(session: Session) -> None:
    session.look(0.6)
    session.type("ion run examples/tour.yaml")
    session.until(lambda seen: "3 of 9" in seen)
    session.look(0.8)
    session.kill()
    session.until(lambda seen: "Killed" in seen)
    session.look(1.2)
    session.type("ion resume")
    session.until(lambda seen: "[a]pprove" in seen)
    session.look(1.5)
    session.type("a")
    session.until(lambda seen: "Kept in" in seen and seen.rstrip().endswith("$"))
    session.look(0.3)


def times(frames: list[tuple[float, tuple[str, ...]]]) -> Iterator[float]:
    """How long each frame is shown."""
    for (now, _), (following, _) in pairwise(frames):
        yield min(following - now, LONGEST_FRAME_S)
    yield LAST_FRAME_S


def svg(frames: list[tuple[float, tuple[str, ...]]]) -> str:
    """All frames beside each other in one strip that is moved by CSS; a line that several frames have is drawn once."""
    width, height = round(COLUMNS * CELL + 2 * MARGIN), ROWS * LINE + 2 * MARGIN
    shown = list(times(frames))
    names: dict[str, str] = {}
    for _, lines in frames:
        for line in filter(None, lines):
            names.setdefault(line, f"l{len(names)}")
    defined = "\n".join(f'<text id="{name}">{line}</text>' for line, name in names.items())
    strip, steps, now = [], [], 0.0
    for number, ((_, lines), seconds) in enumerate(zip(frames, shown, strict=True)):
        rows = "".join(f'<use href="#{names[line]}" y="{row * LINE}"/>' for row, line in enumerate(lines) if line)
        strip.append(f'<g transform="translate({number * width})">{rows}</g>')
        steps.append(f"{100 * now / sum(shown):.2f}% {{ transform: translateX(-{number * width}px) }}")
        now += seconds
    last = f"translateX(-{(len(frames) - 1) * width}px)"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
 role="img" aria-label="ion run fans out over nine files and is killed; ion resume continues, asks, and is approved">
<style>{STYLE}#strip {{ animation: play {sum(shown):.1f}s step-end infinite; transform: {last} }}
@media (prefers-reduced-motion: reduce) {{ #strip {{ animation: none }} }}
@keyframes play {{
{chr(10).join(steps)}
}}</style>
<defs>
{defined}
</defs>
<rect width="{width}" height="{height}" rx="8" style="fill: var(--back); stroke: var(--edge)"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN}" height="{ROWS * LINE}"><g id="strip">
<g transform="translate(0 14)">
{chr(10).join(strip)}
</g>
</g></svg>
</svg>
"""


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tour.svg")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "ion"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        session = Session(folder)
        play(session)
        session.child.close(force=True)
    target.write_text(svg(session.frames), encoding="utf-8")
    print(f"{target}: {len(session.frames)} frames, {target.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
