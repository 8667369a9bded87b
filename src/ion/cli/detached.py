"""The process behind `ion run --detach`: takes the spec from stdin, creates the run, says so on the pipe whose number
it was given, and drives the run until it ends or waits."""

from __future__ import annotations

import json
import os
import sys

from ion import RunOptions, RunSpec
from ion.cli.context import CliContext
from ion.cli.failures import from_system
from ion.cli.run import start
from ion.cli.view import OutputOptions, open_view
from ion.errors import IonError


def main() -> int:
    """The exit status, for whoever looks at it."""
    from ion.cli.driving import drive

    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)  # a program of the run would hold the pipe open
    message = json.loads(sys.stdin.buffer.read())
    options = RunOptions(**message["spec"].pop("options"))
    spec = RunSpec(**message["spec"], options=options)
    _close_stdin()
    cli = CliContext(message["store"], message["project"])
    with cli.open() as workspace:
        try:
            view = open_view(workspace, cli, OutputOptions(**message["watchers"]))
            started = start(workspace, spec, view.observers)
        except (IonError, OSError) as problem:
            error = from_system(problem) if isinstance(problem, OSError) else problem
            _answer(answer, {"error": error.to_json(), "status": error.exit_status})
            return error.exit_status
        _answer(answer, {"error": None, "warned": started.warned, "notes": started.notes})
        return drive(workspace, started, view).exit_status


def _close_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)


def _answer(descriptor: int, message: dict[str, object]) -> None:
    try:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(json.dumps(message).encode())
    except BrokenPipeError:  # who asked is gone; the run is there all the same
        return


if __name__ == "__main__":
    sys.exit(main())
