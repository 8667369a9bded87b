"""What is here to work with: `ion agents` and `ion doctor` look, `ion init` and `ion schema` write the first files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ion.cli import terminal
from ion.cli.context import CliContext, always_json, as_json, in_context
from ion.errors import FAILED, NotFoundError, UsageError
from ion.views.text import cut, cut_middle, duration, one_line, pad, plural, width

if TYPE_CHECKING:
    from ion.api.agent_list import Checked, KnownAgent
    from ion.api.maintenance import Diagnosis
    from ion.api.workspace import Workspace
    from ion.cli.terminal import Screen

_MAX_REPLY = 200


@click.command()
@click.option(
    "--check",
    is_flag=False,
    flag_value="",
    metavar="[NAME]",
    help="Send an agent (without NAME, the default) a short prompt.",
)
@click.option("--install", metavar="NAME", help="Download one that is a package of npm, once you have said yes.")
@click.option("--yes", is_flag=True, help="With --install: do not ask.")
@as_json
@in_context
def agents(cli: CliContext, check: str | None, install: str | None, yes: bool, as_json: bool) -> int:
    """List the agents that can be named: those of the settings and the presets, and what of them is installed.

    With --check one prompt is sent, which costs what it costs; the exit status is 1 if it is not answered.
    """
    from ion.api.agent_list import check_agent, known_agents

    with cli.open() as workspace:
        if install is not None:
            path = install_agent(workspace, install, yes=yes)
            if as_json:
                terminal.write_json({"name": install, "path": path})
            else:
                terminal.data().line(path)
            return 0
        if check is None:
            found = known_agents(workspace)
            if as_json:
                terminal.write_json([one.to_json() for one in found])
            else:
                _table(terminal.data(), found)
            return 0
        checked = check_agent(workspace, check or None)
    if as_json:
        terminal.write_json(checked.to_json())
    else:
        _show_checked(terminal.data(), checked)
    return FAILED if checked.error is not None else 0


def install_agent(workspace: Workspace, name: str, *, yes: bool) -> str:
    """Download the package of an agent once somebody has said yes; the path of its program. Raises `UsageError` if
    nobody can be asked."""
    from ion.api.agents import package_of
    from ion.cli.asking import person_present

    package, screen = package_of(name, workspace.settings), terminal.talk()
    if package.path.exists():
        return str(package.path)
    screen.line(f"{name} is the package {package.package} of npm. It is downloaded into {package.folder}")
    if not yes:
        if not person_present():
            hint = f"ion agents --install {name} --yes downloads it"
            raise UsageError("cannot ask whether to download it: stdin is not a terminal", hint=hint)
        click.confirm("Download it?", abort=True, err=True)
    return str(package.download())


def _table(screen: Screen, found: list[KnownAgent]) -> None:
    """Those that are here or that somebody named; of the other presets only the names."""
    from textwrap import wrap

    rows = [one for one in found if one.path or one.source != "preset"]
    missing = [one.name for one in found if one not in rows]
    if rows:
        _rows(screen, rows)
        screen.line()
    if any(one.is_default for one in rows):
        screen.line(("faint", "* answers where nothing else is said"))
    if missing:
        said = f"Not installed: {', '.join(missing)}. What installs them: ion agents --json"
        screen.lines(wrap(said, screen.width, break_on_hyphens=False))


def _rows(screen: Screen, found: list[KnownAgent]) -> None:
    names = min(max(4, *(width(one_line(one.name)) for one in found)), 30)
    screen.line(("faint", f"  {pad('NAME', names)}  {pad('FROM', 12)}  {pad('AT ONCE', 7)}  PROGRAM"))
    for one in found:
        where = one.path or f"{one.program} is not installed" + (f" · {one.install}" if one.install else "")
        role = "" if one.path else "faint"
        screen.line(
            f"{'*' if one.is_default else ' '} ",
            (role, pad(cut_middle(one_line(one.name), names), names)),
            f"  {pad(one.source, 12)}  {one.max_parallel:<7}  ",
            (role, cut(one_line(where), max(20, screen.width - names - 29))),
        )


def _show_checked(screen: Screen, checked: Checked) -> None:
    from ion.views.words import COST, dollars

    mark = "good" if checked.error is None else "bad"
    word = "answers" if checked.error is None else "does not answer"
    cost = checked.usage.get(COST)
    paid = "" if cost is None else f", {dollars(cost)}"
    screen.line(("strong", one_line(checked.name)), " ", (mark, word), f" ({duration(checked.duration_ms)}{paid})")
    if checked.unknown_flags:
        flags = one_line(", ".join(checked.unknown_flags))
        screen.line(("attention", "  note"), f"  the installed program does not list {flags} in its help")
    if checked.note:
        screen.line(("attention", "  note"), f"  {checked.note}")
    if checked.error is None:
        screen.line("  ", cut(one_line(checked.reply), _MAX_REPLY))
        return
    screen.lines(f"  {line}" for line in f"{checked.error['code']}: {checked.error['message']}".splitlines())
    if checked.error["hint"]:
        screen.line(("hint", f"  = {checked.error['hint']}"))


@click.command()
@as_json
@in_context
def doctor(cli: CliContext, as_json: bool) -> int:
    """Say what is installed, where runs are kept, and what of them is damaged. Nothing is changed or repaired.

    Every run is read through, outputs too. The exit status is 1 if something is damaged.
    """
    from ion.api.maintenance import diagnose

    with cli.open() as workspace:
        found = diagnose(workspace)
    if as_json:
        terminal.write_json(found.to_json())
    else:
        _show_diagnosis(terminal.data(), found)
    return FAILED if found.damage else 0


def _show_diagnosis(screen: Screen, found: Diagnosis) -> None:
    for name, what in found.installed.items():
        screen.line(f"{name:<14} ", what or ("faint", "not installed"))
    screen.line(f"{'project':<14} {found.project}")
    runs = "none there yet" if found.runs is None and not found.damage else plural(found.runs or 0, "run")
    screen.line(f"{'store':<14} {found.store}  ({runs})")
    for one in found.damage:
        screen.line(("bad", "damaged"), f"  {f'run {one.run_id}: ' if one.run_id else ''}{one.message}")
        if one.file and one.file not in one.message:
            screen.line(f"         in {one.file}" + ("" if one.offset is None else f" at byte {one.offset}"))
        screen.line(("hint", f"         {one.hint}"))
    for path in found.stale:
        screen.line(("attention", "left over"), f"  {path}  (of a process that died; it can be deleted)")
    for note in found.notes:
        screen.line(("attention", "note"), f"  {note}")
    if found.damage:
        screen.line(("bad", f"{plural(len(found.damage), 'damaged place')}."), " Nothing was changed.")
    else:
        screen.line(("good", "No damage found."))


SCHEMA_NAME = "workflow.schema.json"
WORKFLOW = """\
# yaml-language-server: $schema=../workflow.schema.json
# A first workflow. Run it:      ion run hello
#             with an input:     ion run hello --input name=Ada
# It needs no agent. Look at it: ion show last
name: hello
description: Greets somebody, and says how long the greeting is.
strict: true # a bash ends at its first failing line

inputs:
  name:
    description: Who is greeted
    default: world

nodes:
  - id: greet
    bash: echo "Hello, $INPUTS.name!"

  # Runs when greet has completed. Values reach bash whole, whatever characters are in them.
  - id: measure
    depends_on: [greet]
    bash: |
      text="$greet.output"
      echo "${#text}"

  # Runs only if its condition holds; otherwise it is skipped.
  - id: report
    depends_on: [greet, measure]
    when: $measure.output > 0
    bash: echo "$greet.output ($measure.output characters)"
"""

FAN_OUT = """\
# yaml-language-server: $schema=../workflow.schema.json
# The same for each of many things. Run it: ion run fan-out
#                        one item, and why: ion show last count.0
# It needs no agent. To ask one about each file, write a prompt where 'measure' is:
#   prompt: Is something wrong in $INPUTS.file? One line.
name: fan-out
description: Counts the lines of each file here, four at a time.
strict: true # a bash ends at its first failing line

inputs:
  pattern:
    description: Which files
    default: "*"

nodes:
  # Its lines are the items.
  - id: list
    bash: find . -maxdepth 2 -type f -name "$INPUTS.pattern" -not -path './.*' | sort | sed -n '1,50p'

  # Runs once for each item. One that fails leaves the others alone.
  - id: count
    depends_on: [list]
    fan_out: {lines: $list.output, as: file, max_parallel: 4, join: all_done}
    group:
      nodes:
        - id: measure
          bash: wc -l < "$INPUTS.file"
        - id: say
          depends_on: [measure]
          bash: echo "$INPUTS.file has $measure.output lines"

  # Sees all outputs as one list, in the order of the items.
  - id: report
    depends_on: [list, count]
    bash: echo "$count.output"
"""

# What init can begin with.
EXAMPLES = {"hello": WORKFLOW, "fan-out": FAN_OUT}

SETTINGS = """\
# Settings of this project. What is given on the command line wins, then the environment, then this file, then
# the user's own settings. Take the '# ' off a line to use it.

# Who answers prompts: a name from 'agents' below, or a command line that reads a prompt and prints the answer.
# agent: claude

# agents:
#   claude:
#     command: claude -p

# Where runs are kept.
# store: sqlite:.ion/ion.db

# How many nodes run at once.
# max_concurrency: 8

# Environment variables for every program of a run.
# env:
#   CI: "true"
"""


@click.command()
@click.option(
    "--example", type=click.Choice(tuple(EXAMPLES)), default="hello", show_default=True, help="The workflow to write."
)
@as_json
@in_context
def init(cli: CliContext, example: str, as_json: bool) -> int:
    """Write a first workflow, a settings file and, for editors, the schema of workflows into .ion/ of the working
    directory (or of --project).

    A file that is there already is left as it is.
    """
    from ion.api.workflows import workflow_json_schema
    from ion.api.workspace import Workspace

    project = Path(cli.project or ".").absolute()
    if not project.is_dir():
        raise NotFoundError(f"the project {project} is not a directory")
    folder = Workspace(project).make_data_folder()
    files = {
        folder / "workflows" / f"{example}.yaml": EXAMPLES[example],
        folder / "config.yaml": SETTINGS,
        folder / SCHEMA_NAME: json.dumps(workflow_json_schema(), indent=1) + "\n",
    }
    written = {str(path): _write_new(path, text) for path, text in files.items()}
    if as_json:
        terminal.write_json([{"file": path, "written": is_new} for path, is_new in written.items()])
        return 0
    screen = terminal.talk()
    for path, is_new in written.items():
        screen.line(f"{'wrote' if is_new else 'kept '}  {path}")
    screen.line()
    screen.line("  ", cli.command("run", example))
    return 0


def _write_new(path: Path, text: str) -> bool:
    """Write a file unless there is one; says whether it did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


@click.command()
@always_json
@in_context
def schema(_cli: CliContext) -> int:
    """Print the JSON Schema of workflow files, for editors.

    In a workflow file: # yaml-language-server: $schema=FILE
    """
    from ion.api.workflows import workflow_json_schema

    terminal.write_json(workflow_json_schema())
    return 0
