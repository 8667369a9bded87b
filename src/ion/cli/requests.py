"""What people and hosts ask of a run: `ion approve`, `reject`, `respond`, `next`, `submit`, `signal` and `cancel`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ion.cli import completing, terminal
from ion.cli.context import CliContext, OutputOptions, as_json, in_context, progress, read_answer, read_text, shown
from ion.errors import GATE_INSIDE, SEVERAL_GATES, UsageError
from ion.names import as_address
from ion.views.text import plural

if TYPE_CHECKING:
    from ion import AnsweredGates, Run
    from ion.cli.terminal import Screen

_request = click.option("--request", metavar="ID", help="Which one, where a node asks for several permissions.")
_no_resume = click.option("--no-resume", is_flag=True, help="Only record it.")
_each = click.option("--each", is_flag=True, help="Answer every open gate of NODE and inside of it, all alike.")
_REFUSED_SHOWN = 10
_PROMPTS_SHOWN = 20


def _answering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that answers a question the options that all of them take."""
    return _request(_each(_no_resume(progress(as_json(in_context(shown(function)))))))


@click.command()
@click.argument("run", shell_complete=completing.runs_that_ask)
@click.argument("node", required=False, shell_complete=completing.waiting)
@click.option("--comment", default="", metavar="TEXT", help="Said with the approval.")
@_answering
def approve(cli: CliContext, run: str, node: str | None, comment: str, **options: Any) -> int:
    """Approve the open gate of NODE (or the only open one), or give its agent a permission, and continue the run.

    NODE is an id or an address: review.2.ok. With --each, every open gate inside of NODE is answered alike.

    The exit status is that of the run afterwards; 5 if the gate is not open any more.
    """
    return _answer(cli, run, "approve", node, comment, **options)


@click.command()
@click.argument("run", shell_complete=completing.runs_that_ask)
@click.argument("node", required=False, shell_complete=completing.waiting)
@click.option("--reason", default="", metavar="TEXT", help="Why; the workflow's $REJECTION_REASON.")
@_answering
def reject(cli: CliContext, run: str, node: str | None, reason: str, **options: Any) -> int:
    """Reject the open gate of NODE (or the only open one), or refuse its agent a permission, and continue the run.

    NODE is an id or an address: review.2.ok. With --each, every open gate inside of NODE is answered alike.

    The exit status is that of the run afterwards; 5 if the gate is not open any more.
    """
    return _answer(cli, run, "reject", node, reason, **options)


@click.command()
@click.argument("run", shell_complete=completing.runs_that_ask)
@click.argument("node", shell_complete=completing.waiting)
@click.argument("decision", shell_complete=completing.decisions)
@click.argument("text", required=False, default="")
@_answering
def respond(cli: CliContext, run: str, node: str, decision: str, text: str, **options: Any) -> int:
    """Answer the gate of NODE with DECISION, and TEXT with it, and continue the run.

    NODE is an id or an address: review.2.ok. With --each, every open gate inside of NODE is answered alike.

    The exit status is that of the run afterwards; 5 if the gate is not open any more.
    """
    return _answer(cli, run, decision, node, text, **options)


def _answer(
    cli: CliContext,
    run: str,
    decision: str,
    node: str | None,
    text: str,
    *,
    output: OutputOptions,
    request: str | None,
    each: bool,
    no_resume: bool,
) -> int:
    from ion import Run

    if each and (node is None or request is not None):
        raise UsageError("--each answers the gates inside of a NODE" if node is None else "--each takes no --request")
    proceed = _proceeding(resume=not no_resume)
    with cli.open() as workspace:
        found = Run.find(workspace, run)
        if not output.quiet:
            _show_question(found, as_address(node or ""), request, each=each)
        try:
            if each:
                _say_answered(found.answer_each(decision, node or "", text=text), quiet=output.quiet)
            else:
                found.answer(decision, node, text=text, request=request)
        except UsageError as error:
            if error.error_code in (SEVERAL_GATES, GATE_INSIDE):
                from ion.views.waiting import answers_by_address

                named = as_address(node or "")
                error.hint = "\n".join(answers_by_address(cli.command, found.run_id, found.state(), decision, named))
            raise
        return proceed(found, cli, output)


def _say_answered(found: AnsweredGates, *, quiet: bool) -> None:
    """How many gates were answered, and which were not, and why."""
    screen = terminal.talk()
    if not quiet:
        screen.line(f"Answered: {plural(len(found.answered), 'gate')}.")
    for node, why in list(found.refused.items())[:_REFUSED_SHOWN]:
        screen.line(("attention", "not answered"), f"  {node}: {why}")
    if len(found.refused) > _REFUSED_SHOWN:
        screen.line(f"… and {len(found.refused) - _REFUSED_SHOWN} more were not answered")


def _show_question(run: Run, node: str, request: str | None, *, each: bool) -> None:
    """What is about to be answered, whole; nothing where it is not clear what that is, which the answer itself says.
    Of many gates that are answered alike the first ones."""
    from ion.cli.ending import say_question
    from ion.views.waiting import PERMISSION, SHOWN_OF_ALIKE, questions_in

    found = questions_in(run.state(), node, request)
    found = (
        [one for one in found if one.kind != PERMISSION] if each else [one for one in found if node in ("", one.node)]
    )
    if each or len(found) == 1:
        for one in found[:SHOWN_OF_ALIKE]:
            say_question(terminal.talk(), one.node, one.message)
    if each and len(found) > SHOWN_OF_ALIKE:
        terminal.talk().line(f"  … and {len(found) - SHOWN_OF_ALIKE} more")


def _proceeding(*, resume: bool) -> Callable[[Run, CliContext, OutputOptions], int]:
    """What is done once an answer is in the log, and gives the exit status: the run is continued, or only said how it
    is. Loaded before: a run that is alive does not wait to be followed."""
    if not resume:
        return _say_recorded
    from ion.cli.driving import continue_run
    from ion.cli.ending import finish

    return lambda run, cli, output: finish(run.workspace, cli, continue_run(run, cli, output), output)


def _say_recorded(run: Run, cli: CliContext, output: OutputOptions) -> int:
    if output.as_json:
        terminal.write_json(run.result().to_json())
    elif run.live():
        terminal.talk().line(f"Recorded. The run continues where it is running: {cli.command('watch', run.run_id)}")
    else:
        terminal.talk().line(f"Recorded. Continue the run: {cli.command('resume', run.run_id)}")
    return 0


@click.command()
@click.argument("run", shell_complete=completing.runs_that_wait)
@click.argument("event", shell_complete=completing.signals)
@click.option("--data", metavar="JSON|@FILE|-", help="What the signal carries, as JSON; - is stdin.")
@click.option("--id", "delivery", metavar="ID", help="Names this delivery: the same one again changes nothing.")
@click.option("--for", "target", metavar="NODE", help="Only the wait at this address takes it.")
@_no_resume
@progress
@as_json
@in_context
@shown
def signal(
    cli: CliContext,
    output: OutputOptions,
    run: str,
    event: str,
    data: str | None,
    delivery: str | None,
    target: str | None,
    no_resume: bool,
) -> int:
    """Send RUN the signal EVENT, and continue the run.

    The run keeps it until a wait takes it, also one that has not begun; one wait takes one signal, the oldest first.

    The exit status is that of the run afterwards; 5 if it has ended.
    """
    from ion import Run

    proceed = _proceeding(resume=not no_resume)
    payload = None if data is None else _payload(data)
    with cli.open() as workspace:
        found = Run.find(workspace, run)
        if not found.signal(event, payload, delivery=delivery, target=target) and not output.quiet:
            terminal.talk().line(f"The delivery {delivery} has come before; nothing changes.")
        return proceed(found, cli, output)


def _payload(data: str) -> Any:
    from ion.foreign import loads

    text = read_answer("-") if data == "-" else read_text(data)
    try:
        return loads(text)
    except ValueError as error:
        hint = "a text is JSON in quotes of its own: --data '\"done\"'"
        raise UsageError(f"--data is not JSON: {error}", hint=hint) from None


@click.command("next")
@click.argument("run", required=False, shell_complete=completing.runs_with_prompts)
@click.argument("node", required=False, shell_complete=completing.waiting)
@as_json
@in_context
def next_prompts(cli: CliContext, run: str | None, node: str | None, as_json: bool) -> int:
    """Print the prompts of RUN that wait for an agent, with the commands that answer them: all of them, or those of
    NODE and inside of it. Of many the first are printed; with --json all."""
    from ion.api import reading
    from ion.api.listing import status_of
    from ion.api.run import Run
    from ion.names import is_within

    with cli.open() as workspace:
        row = workspace.find_run(run)
        around = None if node is None else reading.address_of(reading.read_state(workspace, row.run_id), node)
        prompts = Run(workspace, row.run_id).prompts()
        prompts = [one for one in prompts if around is None or is_within(one["node"], around)]
        status = status_of(workspace.store, row)
        if as_json:
            terminal.write_json({"run_id": row.run_id, "status": status, "prompts": prompts})
            return 0
        if not prompts:
            of = row.run_id if around is None else f"'{around}'"
            terminal.talk().line(f"No prompt of {of} waits for an answer; the run is {status}.")
        for prompt in prompts[:_PROMPTS_SHOWN]:
            _show(terminal.data(), cli, row.run_id, prompt)
        if len(prompts) > _PROMPTS_SHOWN:
            more = cli.command("next", row.run_id, "NODE")
            terminal.talk().line(f"… and {len(prompts) - _PROMPTS_SHOWN} of {len(prompts)} more wait: {more}")
    return 0


def _show(screen: Screen, cli: CliContext, run_id: str, prompt: dict[str, Any]) -> None:
    from ion.api.run import whole_prompt

    turn = f"  iteration {prompt['iteration']}" if prompt["iteration"] else ""
    session = f"  session {prompt['session']}" if prompt["session"] else ""
    screen.line(("strong", prompt["node"]), f"{turn}{session}")
    screen.line()
    screen.lines(f"    {line}" for line in whole_prompt(prompt).splitlines())
    screen.line()
    screen.line("  ", cli.command("submit", run_id, prompt["node"], "--file FILE"))
    screen.line()


@click.command()
@click.argument("run", shell_complete=completing.runs_with_prompts)
@click.argument("node", shell_complete=completing.waiting)
@click.argument("stdin", required=False, metavar="[-]")
@click.option("--file", metavar="FILE", help="The file that holds the answer; - is stdin.")
@click.option("--session", metavar="ID", help="The agent's session, for the node that continues it.")
@click.option("--request", metavar="ID", help="The request that is answered, as ion next names it.")
@_no_resume
@progress
@as_json
@in_context
@shown
def submit(
    cli: CliContext,
    output: OutputOptions,
    run: str,
    node: str,
    stdin: str | None,
    file: str | None,
    session: str | None,
    request: str | None,
    no_resume: bool,
) -> int:
    """Answer the prompt of NODE with the text of FILE (or of stdin: -) and continue the run until it waits again.

    The same answer again changes nothing. The exit status is that of the run afterwards; 2 if the answer does not fit
    the node's output_format, 5 if the prompt was answered already, and differently.
    """
    from ion import Run

    proceed = _proceeding(resume=not no_resume)
    text = read_answer(_source(stdin, file))
    with cli.open() as workspace:
        found = Run.find(workspace, run)
        found.submit(node, text, session=session, request=request)
        return proceed(found, cli, output)


def _source(stdin: str | None, file: str | None) -> str:
    if stdin not in (None, "-"):
        raise UsageError(f"unexpected argument '{stdin}'", hint="--file FILE names the answer's file")
    source = file if file is not None else stdin
    if source is None or (file is not None and stdin is not None):
        raise UsageError(
            "the answer is missing" if source is None else "--file and - are two answers",
            hint="--file FILE, or - for stdin",
        )
    return source


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--reason", default="", metavar="TEXT", help="Why; the run's log keeps it.")
@as_json
@in_context
def cancel(cli: CliContext, run: str | None, reason: str, as_json: bool) -> int:
    """End RUN, wherever it is running, and wait until it has ended.

    The exit status is 0 once it has; 5 if it had ended before.
    """
    from ion import Run
    from ion.cli.driving import continue_run

    with cli.open() as workspace:
        found = Run.find(workspace, run)
        found.cancel(reason=reason)
        result = continue_run(found, cli, OutputOptions(as_json))
        if as_json:
            terminal.write_json(result.to_json())
        return 0 if result.status in ("cancelled", "failed") else result.exit_status
