"""Errors and warnings as a person or a program reads them: what was asked, what was found, what to type next.

Everything that can go wrong ends here as an `IonError`. What does not is a bug: one line says so, and a report with
the traceback is written where the person can find it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from ion.cli import terminal
from ion.errors import FAILED, InvalidWorkflowError, IonError, Problem, UsageError
from ion.views import masking

MAX_SHOWN_PROBLEMS = 50
_GUTTER = 8  # beside a source line: its number, ` | `, and what says that it was cut


def show_error(error: IonError, *, as_json: bool) -> int:
    """Show an error and give its exit status."""
    if as_json:
        try:
            terminal.write_json({"error": error.to_json()})
        except BrokenPipeError:
            terminal.discard_stdout()
        return error.exit_status
    screen = terminal.talk()
    problems = error.problems if isinstance(error, InvalidWorkflowError) else ()
    if problems:
        show_problems(screen, problems[:MAX_SHOWN_PROBLEMS])
        left = len(problems) - MAX_SHOWN_PROBLEMS
        if left > 0:
            screen.line(f"… and {left} more; ion validate shows them all")
    if not problems or error.hint or all(problem.file == "" for problem in problems):
        show_problems(screen, [Problem(error.error_code, error.message, hint=error.hint)])
    return error.exit_status


def show_problems(screen: terminal.Screen, problems: tuple[Problem, ...] | list[Problem]) -> None:
    """Problems with their source lines, as a good compiler shows them."""
    from ion.views.problems import WIDTH, render_problems

    width = min(WIDTH, screen.width - _GUTTER) if terminal.is_terminal(screen.stream) else WIDTH
    shown = render_problems(problems, relative_to=Path.cwd(), style=screen.paint, width=width)
    masking.hide_urls(shown)
    for line in masking.masked(shown).split("\n"):
        screen.write(line)


def say_warnings(warned: str, notes: Iterable[str] = ()) -> None:
    """That the workflow's file has warnings, which no --quiet hides, and what else is worth a look."""
    screen = terminal.talk()
    if warned:
        screen.line(("warning", warned))
    screen.lines(f"note: {note}" for note in notes)


def as_ion_error(error: IonError | OSError | click.ClickException, command: str, arguments: list[str]) -> IonError:
    """An error that is ours, of the system, or of click. `command` is as in `ion runs`."""
    if isinstance(error, click.ClickException):
        return _from_click(error, command, arguments)
    return from_system(error) if isinstance(error, OSError) else error


def _from_click(error: click.ClickException, command: str, arguments: list[str]) -> IonError:
    """A wrong command line, as an error of ours with something to type next."""
    help_hint = f"{command} --help"
    if isinstance(error, click.NoSuchOption):
        hint = _near_option(error) or (_input_hint(error.option_name, arguments) if command == "ion run" else "")
        return UsageError(f"unknown option '{error.option_name}'", hint=hint or help_hint)
    if isinstance(error, click.MissingParameter) and error.param is not None and error.param.name == "run":
        usage = error.ctx.command.collect_usage_pieces(error.ctx) if error.ctx is not None else []
        words = " ".join([command, "last", *(piece for piece in usage if piece not in ("[OPTIONS]", "RUN"))])
        return UsageError("Missing argument 'RUN'", hint=f"{words} takes the newest run; ion runs lists them")
    return UsageError(error.format_message().rstrip("."), hint=help_hint)


def _near_option(error: click.NoSuchOption) -> str:
    from ion.views.problems import suggestion

    context = error.ctx
    if context is None:
        return ""
    known = [name for parameter in context.command.get_params(context) for name in parameter.opts]
    near = suggestion(error.option_name, [name for name in known if name.startswith("--")])
    if not near and isinstance(context.command, click.Group):
        return f"options come after the command, as in: ion run WORKFLOW {error.option_name}"
    return near


def _input_hint(option: str, arguments: list[str]) -> str:
    """How an input is given, since other tools take it as an option."""
    import shlex

    given = next((at for at, word in enumerate(arguments) if word.partition("=")[0] == option), None)
    if not option.startswith("--") or given is None:
        return ""
    _, sign, value = arguments[given].partition("=")
    if not sign and given + 1 < len(arguments) and not arguments[given + 1].startswith("-"):
        value = arguments[given + 1]
    return f"an input is given as: --input {option[2:]}={shlex.quote(value) if value else '…'}"


def from_system(error: OSError) -> IonError:
    """What the system refused, with the file that it was about."""
    about = f"{error.filename}: " if error.filename else ""
    return IonError(f"{about}{error.strerror or error}", code="io")


def show_bug(error: Exception, arguments: list[str], *, as_json: bool) -> int:
    """Say that Ion has a bug, and where the report of it is."""
    place = _write_report(error, arguments)
    where = f"a report is in {place}" if place else "no report could be written"
    bug = IonError(f"this is a bug in Ion: {type(error).__name__}: {error}", code="bug", hint=where)
    show_error(bug, as_json=as_json)
    return FAILED


def _write_report(error: Exception, arguments: list[str]) -> str | None:
    """The traceback with what a reader of it asks first. The command's values may be private and are left out."""
    import platform
    import tempfile
    import traceback

    import ion

    words = [word if number == 0 or word.startswith("-") else "…" for number, word in enumerate(arguments)]
    lines = [
        f"ion {ion.__version__}, python {platform.python_version()}, {platform.platform()}",
        f"command: ion {' '.join(word.partition('=')[0] for word in words)}",
        "",
        *traceback.format_exception(error),
    ]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ion-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(masking.masked("\n".join(lines)))
            return file.name
    except OSError:
        return None
