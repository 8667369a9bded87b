"""Reading runs: their state, events, outputs and logs, and following those that another process drives. Nothing here
changes anything, and only `follow` loads asyncio."""

from __future__ import annotations

import io
import re
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ion.agents.base import PROMPT_SUFFIX
from ion.api.described import content_fields
from ion.api.listing import now_of, status_of
from ion.api.result import RunResult, run_result
from ion.api.workspace import Workspace
from ion.core.events import Content, Recorded
from ion.core.requests import address_of
from ion.core.state import RunState
from ion.engine import run_reader
from ion.engine.folders import folders_of
from ion.errors import IonError
from ion.language.workflow import Workflow
from ion.names import is_within

POLL_SECONDS = 0.25
# A file that was written just before its run began may have a later time than the run, by another clock.
_CLOCK_SLACK_MS = 2000


def describe(workspace: Workspace, run_id: str) -> RunResult:
    """A run as it is now.

    The row and the log are two reads; they are repeated until they agree, so that the result was true at one moment.
    """
    while True:
        run = workspace.store.get_workflow_run(run_id)
        found = run_reader.read_run(workspace.store, run_id)
        if found.seq == run.last_seq:
            break
    return describe_state(workspace, run_id, found.state, status_of(workspace.store, run), now_of(run))


def describe_state(workspace: Workspace, run_id: str, state: RunState, status: str, now: int) -> RunResult:
    """A run in a state that is known already; `now` is in ms since the epoch."""
    folder = folders_of(workspace.data, run_id, workspace.project).run / "outputs"
    result = run_result(run_id, state, status=status, now=now, store=workspace.store, files=folder)
    if status == "queued" and state.queued is not None:
        from ion.api.places import queue_place

        place = queue_place(workspace, run_id, state.queued.group)
        result.data["waiting"] = [
            {**one, "place": place} if one["kind"] == "queue" else one for one in result.data["waiting"]
        ]
    return result


def read_events(workspace: Workspace, run_id: str, *, after: int = 0) -> list[Recorded]:
    """The run's log from the event after number `after` on."""
    return workspace.store.get_workflow_events(run_id, after=after)


def read_state(workspace: Workspace, run_id: str) -> RunState:
    """The run's state, from its log."""
    return run_reader.read_state(workspace.store, run_id)


def source_changed(workspace: Workspace, run_id: str, state: RunState) -> str:
    """What became of the workflow's file, its commands and scripts since the run started: '' (nothing), `changed
    since`, `gone since`, or `what it uses is gone since`, without which it does not load.

    Files that are all older than the run are not read.
    """
    started = state.started
    if started is None or not started.file:
        return ""
    path = Path(started.file)
    if not path.exists():
        return "gone since"
    if not any(_newer(file, started.at - _CLOCK_SLACK_MS) for file in _files(workspace, run_id, state)):
        return ""
    from ion.api.workflows import load
    from ion.engine.freeze import digest_of, source_of

    try:
        return "" if digest_of(source_of(load(workspace, path.absolute()))) == started.digest else "changed since"
    except IonError:  # it does not even load any more
        return "changed since" if gone_file(workspace, run_id, state) is None else "what it uses is gone since"


def gone_file(workspace: Workspace, run_id: str, state: RunState) -> Path | None:
    """The first of the files that the run was made from that no longer exists."""
    return next((file for file in _files(workspace, run_id, state) if not file.exists()), None)


def only_used_files_changed(state: RunState) -> bool:
    """Whether a command or a script changed, given that the workflow's own file is older than the run."""
    started = state.started
    return started is not None and not _newer(Path(started.file), started.at - _CLOCK_SLACK_MS)


def _files(workspace: Workspace, run_id: str, state: RunState) -> list[Path]:
    """The files that the run was made from."""
    found = [Path(state.started.file)] if state.started is not None else []
    try:
        frozen = read_frozen(workspace, run_id, state)
    except IonError:  # that is said where the workflow itself is needed
        return found
    found += [Path(flow.file) for flow in frozen.workflows.values() if flow.file]
    found += [Path(command.path) for flow in frozen.with_called for command in flow.commands.values()]
    for script in (one for flow in frozen.with_called for one in flow.scripts.values()):
        folder = Path(script.path).parents[len(Path(script.entry).parts) - 1]
        found += [folder / relative for relative in script.files]
    return found


def _newer(path: Path, at: int) -> bool:
    """Whether a file was written after this moment, or no longer exists."""
    try:
        return path.stat().st_mtime_ns // 1_000_000 >= at
    except OSError:
        return True


def logs_folder(workspace: Workspace, run_id: str) -> Path:
    """The folder of the output of a run's programs."""
    return folders_of(workspace.data, run_id, workspace.project).logs


_LOGS = (".out", ".err", ".txt")
_LOG_NAME = re.compile(r"[0-9]{1,9}-[a-z_]+")


def log_files(workspace: Workspace, run_id: str, node: str | None = None, state: RunState | None = None) -> list[Path]:
    """The output files of the processes of a run (or of one node and all inside of it), oldest first: stdout `.out`,
    stderr `.err`, and `.txt`, what an agent said and did, where its stdout is JSON. `state` is the run's, if known.

    Raises `NotFoundError` for an unknown node.
    """
    state = state or read_state(workspace, run_id)
    around = None if node is None else address_of(state, node)
    logs = folders_of(workspace.data, run_id, workspace.project).logs
    folders = [folder for folder in logs.iterdir() if folder.name in state.nodes] if logs.is_dir() else []
    wanted = [folder for folder in folders if around is None or is_within(folder.name, around)]
    files = [file for folder in wanted if folder.is_dir() for file in folder.iterdir()]
    files = [file for file in files if file.suffix in _LOGS]
    return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def log_files_of(workspace: Workspace, run_id: str, address: str) -> list[Path]:
    """As `log_files`, of one instance alone, which the run has. What its programs may have put there themselves (a
    pipe, a link, another name) is not among them."""
    return _written(logs_folder(workspace, run_id) / address, _LOGS)


def sent_prompts(workspace: Workspace, run_id: str, address: str) -> list[Path]:
    """The files of the prompts of one instance, as they were sent to programs, oldest first."""
    return _written(logs_folder(workspace, run_id) / address, (PROMPT_SUFFIX,))


def _written(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    files = [file for file in found if _LOG_NAME.fullmatch(file.stem) and file.suffix in suffixes]
    files = [file for file in files if stat.S_ISREG(file.lstat().st_mode)]
    return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def read_frozen(workspace: Workspace, run_id: str, state: RunState) -> Workflow:
    """The workflow as the run froze it. Raises `RefusedError` (code `changed`) if the source differs from what was
    frozen."""
    return run_reader.read_workflow(workspace.store, run_id, state)


def output_object(workspace: Workspace, run_id: str, node: str | None, content: Content) -> dict[str, Any]:
    """The object that `ion output --json` prints. `node` None: the output is the run's."""
    folder = folders_of(workspace.data, run_id, workspace.project).run / "outputs"
    fields = content_fields(run_id, workspace.store, folder, content, node or "run")
    return {"run_id": run_id, "node": node, **fields}


def open_content(workspace: Workspace, content: Content) -> BinaryIO:
    """The bytes of an output, wherever it is stored."""
    if content.text is not None:
        return io.BytesIO(content.text.encode("utf-8", "surrogatepass"))
    return workspace.store.open_blob(content.sha256)


# ---------------------------------------------------------------------- while another process, or a cluster, drives it


def live(workspace: Workspace, run_id: str) -> bool:
    """Whether a living process, or a cluster, drives the run."""
    return status_of(workspace.store, workspace.store.get_workflow_run(run_id)) == "running"


def read_new_events(workspace: Workspace, run_id: str, after: int) -> tuple[bool, list[Recorded]]:
    """Whether somebody alive drives the run, and the events after number `after`: all of them, if nobody does."""
    alive = live(workspace, run_id)
    return alive, read_events(workspace, run_id, after=after)


def follow_events(workspace: Workspace, run_id: str, *, after: int = 0) -> Iterator[Recorded]:
    """The events after number `after`, each as soon as it is there, until nobody alive drives the run. Loads no
    event loop."""
    alive = True
    while alive:
        alive, found = read_new_events(workspace, run_id, after)
        for recorded in found:
            after = recorded.seq
            yield recorded
        if alive:
            time.sleep(POLL_SECONDS)


async def follow(workspace: Workspace, run_id: str, *, after: int = 0) -> AsyncIterator[Recorded]:
    """As `follow_events`, in an event loop."""
    import asyncio

    alive = True
    while alive:
        alive, found = await asyncio.to_thread(read_new_events, workspace, run_id, after)
        for recorded in found:
            after = recorded.seq
            yield recorded
        if alive:
            await asyncio.sleep(POLL_SECONDS)
