"""`ion run --detach`: the run owned by a background process of its own.

The hand-over: this process chooses the run's id and starts the other one in a new session, with the `RunSpec` on a
pipe. The other creates the run, so that it is the owner from the first event on, and then answers on a second pipe.
Only
after that answer is the id printed; an error, or a death before the answer, is shown here as if the run had been
started here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from ion import RunOptions, RunSpec
from ion.cli import terminal
from ion.cli.context import CliContext, OutputOptions
from ion.cli.failures import from_system, say_warnings
from ion.cli.view import open_view, start
from ion.errors import REFUSED, USAGE, InvalidWorkflowError, IonError, Problem, RefusedError, UsageError

LOG_NAME = "ion.log"


def _error(said: dict[str, Any], status: int) -> IonError:
    """What the other process raised instead of starting the run."""
    if "problems" in said:
        problems = tuple(Problem(**problem) for problem in said["problems"])
        return InvalidWorkflowError(said["message"], problems, hint=said["hint"])
    kind = {USAGE: UsageError, REFUSED: RefusedError}.get(status, IonError)
    return kind(said["message"], hint=said["hint"], code=said["code"])


def detach(cli: CliContext, spec: RunSpec, output: OutputOptions) -> None:
    """Start the run in a process of its own and print its id. Raises whatever kept it from starting."""
    from ion.api.reading import describe
    from ion.api.workspace import check_run_id, new_run_id

    with cli.open() as workspace:
        if workspace.store.url.startswith("memory:"):
            raise UsageError("a store in memory ends with this process", hint="leave out --detach, or --store")
        run_id = check_run_id(spec.run_id) if spec.run_id is not None else new_run_id()
        folder = workspace.data / "runs" / run_id
        _start(cli, replace(spec, run_id=run_id), output, folder)
        if output.as_json:
            terminal.write_json(describe(workspace, run_id).to_json())
        else:
            terminal.data().line(run_id)
            screen = terminal.talk()
            screen.line(f"It runs in the background: {cli.command('watch', run_id)}, {cli.command('show', run_id)}")


def _start(cli: CliContext, spec: RunSpec, output: OutputOptions, folder: Path) -> None:
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG_NAME
    watchers = {
        "log": output.log and str(Path(output.log).absolute()),
        "notify": output.notify,
        "otel": output.otel,
    }
    message = {"store": cli.store, "project": cli.project, "spec": to_builtins(spec), "watchers": watchers}
    said = hand_over(message, log, "ion.cli.detach")
    if said["error"] is not None:
        if is_new:
            with suppress(OSError):  # the folder is somebody's by now
                log.unlink()
                folder.rmdir()
        raise _error(said["error"], said["status"])
    say_warnings(said["warned"], () if output.quiet else said["notes"])


def hand_over(message: dict[str, Any], log: Path, module: str) -> dict[str, Any]:
    """Start another process, which runs `module` in a session of its own, takes the message (`taken_over`) and answers;
    what it writes is appended to `log`. Raises `IonError` if it dies without an answer."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as answer:
        try:
            child = _spawn(writer, log, module)
        finally:
            os.close(writer)
        try:
            if child.stdin is not None:
                with suppress(BrokenPipeError), child.stdin:
                    child.stdin.write(json.dumps(message).encode())
            text = answer.read()
        except KeyboardInterrupt:
            child.terminate()
            raise
    if not text:
        raise IonError(
            f"the background process ended before it said that it began (status {child.wait()})",
            hint=f"its output is in {log}; if ion runs shows the run, ion resume continues it",
        )
    said: dict[str, Any] = json.loads(text)
    if said["error"] is not None:
        child.wait()
    else:
        child.returncode = 0  # it is on its own now: no warning that it is still running
    return said


def _spawn(writer: int, log: Path, module: str) -> subprocess.Popen[bytes]:
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab") as output:
        return subprocess.Popen(
            # -P: no code of the working directory may replace ours
            [sys.executable, "-P", "-m", module, str(writer)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
            start_new_session=True,
        )


# ------------------------------------------------------------------ in the other process


def taken_over() -> tuple[dict[str, Any], Callable[[dict[str, object]], None]]:
    """The message that this process was given on stdin, and what answers it, once, on the pipe whose number it was
    given."""
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)  # a program of the run would hold the pipe open
    message: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
    return message, partial(_answer, answer)


def main() -> int:
    """The process behind `--detach`: takes the `RunSpec`, creates the run, says so, and drives the run until it ends or
    waits. Gives the exit status."""
    from ion.cli.driving import drive

    message, answer = taken_over()
    cli = CliContext(message["store"], message["project"])
    spec = RunSpec(**{**message["spec"], "options": RunOptions(**message["spec"]["options"])})
    with cli.open() as workspace:
        try:
            view = open_view(workspace, cli, OutputOptions(**message["watchers"]))
            started = start(workspace, spec, view.observers)
        except (IonError, OSError) as problem:
            error = from_system(problem) if isinstance(problem, OSError) else problem
            answer({"error": error.to_json(), "status": error.exit_status})
            return error.exit_status
        answer({"error": None, "warned": started.warned, "notes": started.notes})
        return drive(workspace, started, view).exit_status


def _answer(descriptor: int, message: dict[str, object]) -> None:
    try:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(json.dumps(message).encode())
    except BrokenPipeError:  # who asked is gone; the run is there all the same
        return


if __name__ == "__main__":
    sys.exit(main())
