"""The command itself: help, version, wrong command lines, errors in words, bugs with a report."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from ion import __version__
from ion.cli import main
from ion.errors import InvalidWorkflowError, Problem, StoreError

from .kit import Ion, Project


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(main.ion)
    return [(name, command) for name in main.COMMANDS if (command := main.ion.get_command(context, name))]


def test_every_command_of_the_table_is_there_and_has_the_options_of_all() -> None:
    assert len(commands()) == len(main.COMMANDS)
    for name, command in commands():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--store", "--project"} <= options or name == "help", name
        assert command.name == name
        assert command.help


def test_every_command_has_help(ion: Ion) -> None:
    for name in main.COMMANDS:
        result = ion(name, "--help")
        assert result.status == 0
        assert result.out.startswith(f"Usage: ion {name} ")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_file_of_a_command_says_that_it_is_there(name: str) -> None:
    module = importlib.import_module(main.COMMANDS[name][0].partition(":")[0])
    assert re.search(rf"`(ion )?{name}[` ]", module.__doc__ or ""), module.__name__


def test_help_and_version(ion: Ion) -> None:
    assert re.fullmatch(
        rf"ion {re.escape(__version__)} \((commit [0-9a-f]{{10}}, )?(no )?extras.*\)\n", ion("--version").out
    )
    shown = ion("--help")
    assert shown.status == 0
    for name in main.COMMANDS:
        assert re.search(rf"^  {name} ", shown.out, re.MULTILINE)
    nothing = ion()
    assert (nothing.status, nothing.out) == (2, shown.out)


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["rnu"], "unknown command 'rnu'", "did you mean 'ion run'?"),
        (["frobnicate"], "unknown command 'frobnicate'", "ion --help lists the commands"),
        (["runs", "--limt", "1"], "unknown option '--limt'", "did you mean '--limit'?"),
        (["runs", "--frobnicate"], "unknown option '--frobnicate'", "ion runs --help"),
        (["runs", "-x"], "unknown option '-x'", "ion runs --help"),
        (["--project", "x", "runs"], "unknown option '--project'", "options come after the command"),
        (["runs", "--limit", "x"], "'x' is not a valid integer", "ion runs --help"),
        (["runs", "--limit"], "Option '--limit' requires an argument", "ion runs --help"),
        (["runs", "extra"], "unexpected extra argument", "ion runs --help"),
        (["show", "a", "b", "c"], "unexpected extra argument", "ion show --help"),
        (["runs", "--json=x"], "does not take a value", "ion runs --help"),
        (["show", "\udcff"], "argument 2 is not UTF-8 text", ""),
    ],
)
def test_a_wrong_command_line_has_status_2_and_a_suggestion(
    ion: Ion, arguments: list[str], said: str, hint: str
) -> None:
    result = ion(*arguments)
    assert result.status == 2
    assert said in result.err
    assert hint in result.err
    assert result.out == ""


def test_a_bug_is_one_line_and_a_report(ion: Ion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_arguments: object, **_values: object) -> None:
        raise ZeroDivisionError("oh\x1b[2J")

    monkeypatch.setattr("ion.api.listing.list_runs", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = ion("runs", "--workflow", "private-name")
    assert result.status == 1
    assert "error[bug]: this is a bug in Ion: ZeroDivisionError: oh\\x1b[2J\n" in result.err
    assert "Traceback" not in result.err
    report = Path(result.err.rpartition(" ")[2].strip())
    text = report.read_text()
    assert "Traceback" in text
    assert "command: ion runs --workflow …" in text
    assert "private-name" not in text
    assert ion("runs", "--json").json("error")["error"]["code"] == "bug"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (StoreError("the store is gone", hint="look for it"), 1, "error[store]: the store is gone\n   = look for it\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error[io]: /x: Permission denied\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (
            InvalidWorkflowError("no", tuple(Problem(f"c{i}", "m", file="f", line=1, column=1) for i in range(60))),
            2,
            "… and 10 more; ion validate shows them all\n",
        ),
    ],
)
def test_errors_become_words_and_a_status(
    ion: Ion, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def broken(*_arguments: object, **_values: object) -> None:
        raise error

    monkeypatch.setattr("ion.api.listing.list_runs", broken)
    result = ion("runs")
    assert result.status == status
    assert said in result.err
    assert result.out == ""


def test_a_damaged_or_unreadable_place_is_an_error_in_words(ion: Ion, project: Project) -> None:
    (project.folder / ".ion" / "ion.db").write_bytes(b"this is no database" * 100)
    result = ion("runs")
    assert result.status == 1
    assert result.err.startswith("error[")
    assert "bug" not in result.err
    (project.folder / ".ion" / "config.yaml").write_text("stor: x\n")
    settings = ion("runs")
    assert settings.status == 2
    assert "did you mean 'store'?" in settings.err
    assert "config.yaml:1:1" in settings.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("stop", "ion cancel:"),
        ("status", "ion show:"),
        ("ps", "ion runs:"),
        ("retry", "ion resume:"),
        ("stauts", "ion --help lists the commands"),
        ("approve", "ion approve last [NODE] takes the newest run"),
        ("respond", "ion respond last NODE DECISION [TEXT] takes the newest run"),
        ("logs", "ion logs last [NODE] takes the newest run"),
    ],
)
def test_what_other_tools_call_it_points_to_the_command(ion: Ion, words: str, hint: str) -> None:
    said = ion(words)
    assert said.status == 2
    assert hint in said.err


def test_a_short_help_everywhere(ion: Ion) -> None:
    from ion.cli.main import CALLED, COMMANDS

    assert set(CALLED) <= set(COMMANDS)
    assert not {name for names in CALLED.values() for name in names} & set(COMMANDS)
    for words in ([], *([name] for name in COMMANDS), ["sop", "new"]):
        assert ion(*words, "-h").out == ion(*words, "--help").out != ""


def test_an_id_that_is_taken_points_to_the_run(ion: Ion, project: Project) -> None:
    project.write("hello", "name: hello\ndescription: d\nnodes: [{id: a, bash: echo}]\n")
    assert ion("run", "hello", "--run-id", "nightly", "--quiet").status == 0
    taken = ion("run", "hello", "--run-id", "nightly")
    assert taken.status == 5
    assert "ion resume nightly" in taken.err
