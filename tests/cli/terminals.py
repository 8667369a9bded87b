"""A command behind a real terminal, whose screen an emulator reads; and what the tests with one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pexpect
import pyte

from processes import PATIENCE_S

from .kit import COMMAND, Project

GATED = """
name: gated
description: d
nodes:
  - {id: build, bash: 'echo built'}
  - {id: review, depends_on: [build], approval: {message: "Publish it?\\nThree files changed.", capture_response: true}}
  - {id: publish, depends_on: [review], bash: 'echo "published, $review.output"'}
"""
BESIDE = """
name: beside
description: A gate, and work that goes on beside it
nodes:
  - {id: review, approval: {message: "Now?"}}
  - {id: work, bash: 'echo step one; until [ -e go ]; do sleep 0.05; done'}
  - {id: both, depends_on: [review, work], bash: 'echo both'}
"""


class Terminal:
    """A command behind a terminal of `rows` × `columns`, and what stands on its screen."""

    def __init__(self, project: Project, *arguments: str, columns: int = 80, rows: int = 24, **more: str) -> None:
        environment = project.environment(**{"TERM": "xterm", **more})
        self.child = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            cwd=str(project.folder),
            env=environment,  # type: ignore[arg-type]
            dimensions=(rows, columns),
            timeout=PATIENCE_S,
            encoding=None,
        )
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes = b""

    def read(self) -> bool:
        """Take in what was written; False at the end."""
        try:
            data = self.child.read_nonblocking(1 << 16, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.bytes += data
        self.stream.feed(data)
        return True

    def text(self) -> str:
        """The lines above the screen, and the screen."""
        above = [
            "".join(line[column].data for column in range(self.screen.columns)) for line in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display]).rstrip()

    def until(self, so: Callable[[str], bool] | str) -> str:
        """Wait until the screen shows it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            shown = self.text()
            if so in shown if isinstance(so, str) else so(shown):
                return shown
            assert time.monotonic() < deadline, f"it never came; the screen:\n{shown}"
            if not self.read() and (so not in self.text() if isinstance(so, str) else not so(self.text())):
                raise AssertionError(f"it ended; the screen:\n{self.text()}")

    def type(self, line: str) -> None:
        self.child.sendline(line)

    def end(self) -> tuple[int | None, str]:
        """The exit status, and all that was shown."""
        while self.read():
            pass
        self.child.close()
        return self.child.exitstatus, self.text()


Open = Callable[..., Terminal]
