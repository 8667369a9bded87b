"""What waits for people, in all runs of the project; and the one thing that changes something: an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ion import Run
from ion.api.listing import list_runs
from ion.digests import sha256_of
from ion.errors import IonError, RefusedError, UsageError
from ion.names import as_address
from ion.views.answers import choices
from ion.views.waiting import questions_in
from ion.web import parts
from ion.web.html import Html, h
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from ion import WorkflowRun

# How many runs that may need somebody are looked at.
MOST = 30
# The longest comment, in characters.
LONGEST_COMMENT = 20_000


def page(site: Site, _request: Request) -> Page:
    """Everything that is asked, whole."""
    found = [one for run in waiting_runs(site) if (one := _run(site, run)) is not None]
    note = None
    if not site.allow_answers:
        command = h("code", site.command("serve", "--allow-answers"), class_="command")
        note = h("p", "This page only shows. To answer here: ", command, class_="faint")
    nothing = h("p", "Nothing waits for you.", class_="calm") if not found else None
    body = h("section", h("h1", "Gates"), note, nothing, found)
    return Page("Gates", body, stream="/stream", version=version(site), section="gates", answers=site.allow_answers)


def _run(site: Site, found: WorkflowRun) -> Html | None:
    try:
        with site.readers.read(found.run_id) as run:
            if not parts.needs_somebody(run):
                return None
            link = h("a", run.workflow, " ", h("code", run.run_id), href=parts.run_link(run.run_id))
            return h("article", h("h2", link), parts.next_steps(run, site.frame))
    except IonError as error:  # that one run is damaged or gone hides no other
        return h("article", h("h2", h("code", found.run_id)), h("p", error.message, class_="bad"))


def waiting_runs(site: Site) -> Iterator[WorkflowRun]:
    """The newest runs that ask something, or were cut off."""
    if site.workspace.is_new:
        return
    store, most = site.workspace.store, MOST
    for status in ("running", "interrupted", "paused"):
        for run, _ in list_runs(site.workspace, status=status, limit=MOST):
            if most > 0 and (status != "running" or store.get_open_requests(run.run_id)):
                most -= 1
                yield run


def version(site: Site) -> str:
    """What a page about many runs is made of, in short."""
    runs = list_runs(site.workspace, limit=MOST) + list_runs(site.workspace, status="paused", limit=MOST)
    shown = " ".join(f"{run.run_id}-{run.last_seq}-{status}" for run, status in runs)
    return sha256_of(shown.encode())[:16]


# ------------------------------------------------------------------ answering


def answer(site: Site, request: Request) -> Response:
    """Answer a gate, or a permission that an agent asks for, as the form says. Raises `RefusedError`, `UsageError`."""
    form: dict[str, str] = request.scope["form"]
    run_id = site.workspace.find_run(request.path_params["run"]).run_id
    node = as_address(request.path_params["node"])
    with site.readers.read(run_id) as run:
        open_ones = [one for one in questions_in(run.state, node, form.get("request")) if one.node == node]
    gate = open_ones[0].gate if open_ones else None
    if gate is None:
        raise RefusedError(
            f"'{node}' does not ask this any more: it was answered, or the run has ended", code="answered"
        )
    choice = next((one for one in choices(gate) if one.name == form.get("choice")), None)
    if choice is None:
        raise UsageError(f"'{node}' has no answer of this name", hint=", ".join(one.name for one in choices(gate)))
    said = form.get("comment", "").replace("\r\n", "\n").strip()
    if len(said) > LONGEST_COMMENT:
        raise UsageError(f"the comment is longer than {LONGEST_COMMENT:,} characters")
    if choice.needs and not said:
        raise UsageError(f"'{choice.name}' needs a comment", hint="go back, and say what should change")
    if choice.silent and said:
        raise UsageError(f"'{choice.name}' takes no comment: with one it would mean something else", hint="go back")
    Run(site.workspace, run_id).answer(choice.decision, node, text=said, request=gate.request)
    return RedirectResponse(parts.run_link(run_id), 303)
