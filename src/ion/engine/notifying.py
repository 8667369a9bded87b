"""An observer that runs a command when a run ends, asks something of a person, or reminds of it: a message to somebody,
a hook of a build server. Of each question it tells once, also if a run is continued before it is answered, and not of
waits that end by themselves.

The command's words are split as a shell splits them, and run without a shell. What happened is in its environment
(`ION_NOTIFY_RUN`, `ION_NOTIFY_WORKFLOW`, `ION_NOTIFY_STATUS`) and, as JSON, on its stdin: never in its arguments. It
has half a minute; its failure is only a warning.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ion.clocks import timestamp
from ion.core import events as e
from ion.core.foreseen import handled
from ion.core.state import RunState
from ion.core.waiting import Waiting, waiting_in
from ion.errors import UsageError
from ion.foreign import dumps
from ion.process import limits

LONGEST_S = 30.0
_REPORTED = (e.GateReminded, e.WorkflowCompleted, e.WorkflowFailed, e.WorkflowCancelled)
_ASKS = (e.WorkflowPaused, e.ApprovalRequested)
# What a run waits for that nobody has to do anything about.
_BY_ITSELF = (e.TIMER, e.SIGNAL, e.CHECK, "queue", "quota")
_log = logging.getLogger("ion")


def command_words(line: str) -> tuple[str, ...]:
    """The words of a command line. Raises `UsageError` for one that cannot be split or is empty."""
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"{line!r} is not a valid command line: {error}", hint="check its quotes") from error
    if not words:
        raise UsageError("the command of --notify is empty", hint='as in --notify "notify-send Ion"')
    return words


class Notify:
    """Runs `command`. `cwd` is where it runs; `shown` masks what it receives."""

    wants_lines = False

    def __init__(
        self,
        command: str,
        cwd: Path,
        shown: Callable[[Any], Any] = lambda value: value,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._words = command_words(command)
        self._cwd = cwd
        self._shown = shown
        self._environ = dict(os.environ if environ is None else environ)
        self._threads: list[threading.Thread] = []
        self._told: set[tuple[str, str]] = set()

    def event(self, run_id: str, recorded: e.Recorded, state: RunState) -> None:
        event = recorded.event
        if isinstance(event, e.WorkflowResumed) and not event.owner_died:
            self._told |= _asked(run_id, state)  # whoever drove it before has told
        if not isinstance(event, _REPORTED) and not (isinstance(event, _ASKS) and self._is_news(run_id, event, state)):
            return
        report = self._shown(_report(run_id, state))
        thread = threading.Thread(target=self._run, args=(report,), name="ion-notify", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _is_news(self, run_id: str, event: e.Event, state: RunState) -> bool:
        """Whether the run asks something that was not told yet. While nothing runs, the pause comes next, and tells."""
        if not isinstance(event, e.WorkflowPaused) and not any(node.live for node in state.nodes.values()):
            return False
        asked = _asked(run_id, state)
        news = asked - self._told
        self._told |= asked
        return bool(news)

    def progress(self, run_id: str, node: str, line: str) -> None:
        """Lines of progress do not notify."""

    def close(self) -> None:
        """Wait for the commands; each has its time limit."""
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _started(self, named: dict[str, str]) -> subprocess.Popen[bytes]:
        with limits.given_back(0):
            return subprocess.Popen(
                self._words,
                cwd=self._cwd,
                env={**self._environ, **named},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _run(self, report: dict[str, Any]) -> None:
        named = {f"ION_NOTIFY_{name.upper()}": str(report[key]) for name, key in _NAMES.items()}
        try:
            with self._started(named) as process:
                try:
                    process.communicate(dumps(report).encode() + b"\n", timeout=LONGEST_S)
                except subprocess.TimeoutExpired:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    _log.warning(
                        "the notify command %s took longer than %d s, and was ended", self._words[0], LONGEST_S
                    )
                    return
        except (OSError, ValueError) as error:
            _log.warning("the notify command %s cannot be run: %s", self._words[0], error)
            return
        if process.returncode != 0:
            _log.warning("the notify command %s ended with status %d", self._words[0], process.returncode)


def _asked(run_id: str, state: RunState) -> set[tuple[str, str]]:
    return {(run_id, one.request or one.kind) for one in waiting_in(state) if one.kind not in _BY_ITSELF}


_NAMES = {"run": "run_id", "workflow": "workflow", "status": "status"}


def _report(run_id: str, state: RunState) -> dict[str, Any]:
    found = handled(state)
    return {
        "run_id": run_id,
        "workflow": state.started.workflow if state.started is not None else "",
        "status": state.status,
        "error": state.error.to_json() if state.error is not None else None,
        "failed": [node.id for node in state.nodes.values() if node.status == "failed"],
        "clean": found.is_clean,
        "finally_failed": list(found.in_finally),
        "allowed": list(found.allowed),
        "caught": [{"node": node, "by": by} for node, by in found.caught.items()],
        "waiting": [_waiting(one) for one in waiting_in(state)],
    }


def _waiting(one: Waiting) -> dict[str, Any]:
    item = {"node": one.node or None, "kind": one.kind, "message": one.message}
    if one.event:
        item["event"] = one.event
    if one.due_at is not None:
        item["due_at"] = timestamp(one.due_at)
    return item
