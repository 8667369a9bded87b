"""What starts by itself: schedules with their next times and last runs, hooks, and concurrency groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from ion import clocks
from ion.api.schedule_list import list_groups, list_hooks, list_schedules
from ion.views.words import SCHEDULE_MEANINGS, SCHEDULE_ROLES
from ion.web import parts
from ion.web.html import Child, Html, h
from ion.web.parts import commands, facts
from ion.web.site import Page, Site

if TYPE_CHECKING:
    from ion.api.schedule_list import ListedGroup, ListedHook, ListedSchedule

# How many of the slots in which nothing was started.
_SKIPPED = 5


def page(site: Site, _request: Request) -> Page:
    """As `ion schedules` lists them."""
    workspace = site.fresh()
    found, hooks, groups = list_schedules(workspace), list_hooks(workspace), list_groups(workspace)
    judged = [*(one.judged for one in found), *(one.judged for one in hooks), *(one.judged for one in groups)]
    new = any(one.state in SCHEDULE_MEANINGS for one in judged)
    clock = "" if site.clock else "A clock starts what is due: ion serve --clock, or "
    body = h(
        "section",
        h("h1", "Schedules"),
        h("p", clock, h("code", site.command("tick"), class_="command"), class_="faint") if clock and found else None,
        _accept(site) if new else None,
        h("p", "This project has no schedules; .ion/config.yaml would name them.", class_="calm")
        if not found and not hooks
        else None,
        [_schedule(site, one) for one in found],
        h("h2", "Hooks") if hooks else None,
        [_hook(one) for one in hooks],
        h("h2", "Concurrency groups") if groups else None,
        [_group(one) for one in groups],
    )
    return Page("Schedules", body, section="schedules")


def _accept(site: Site) -> Html:
    said = "Something is new, or has changed. To let it take effect"
    return h("section", h("p", said), commands(site.command("schedules", "accept")), class_="notice attention")


def _state(name: str) -> Html:
    return h("span", name, class_=SCHEDULE_ROLES.get(name, "bad"))


def _schedule(site: Site, one: ListedSchedule) -> Html:
    now = clocks.now_ms()
    rows: list[tuple[str, Child]] = [
        ("workflow", one.schedule.workflow),
        ("when", f"{one.schedule.cron} {one.schedule.timezone}"),
        *((name, str(value)) for name, value in one.schedule.inputs.items()),
    ]
    rows += [
        ("problem" if not number else "", problem) for number, problem in enumerate(filter(None, (_problem(one),)))
    ]
    rows += [("next" if not number else "", parts.time(slot, now)) for number, slot in enumerate(one.next)]
    rows += [("last" if not number else "", _last(*last)) for number, last in enumerate(one.last)]
    skipped = [f"{last.reason}" for last in reversed(one.slots.skipped[-_SKIPPED:])]
    rows += [("skipped" if not number else "", reason) for number, reason in enumerate(skipped)]
    verb = "resume" if one.state == "paused" else "pause"
    return h(
        "article",
        h("h2", one.name, " ", _state(one.state)),
        facts(rows),
        commands(site.command("schedules", verb, one.name)) if one.state in ("active", "paused") else None,
    )


def _problem(one: ListedSchedule) -> str:
    return one.problem or SCHEDULE_MEANINGS.get(one.state, "")


def _last(run_id: str, status: str) -> Html:
    if status == "gone":
        return h("span", run_id, " ", status)
    link = h("a", h("code", run_id), href=parts.run_link(run_id))
    return h("span", parts.state(status), " ", link, " ", status)


def _hook(one: ListedHook) -> Html:
    problem = one.problem or SCHEDULE_MEANINGS.get(one.state, "")
    rows: list[tuple[str, Child]] = [*one.rules, *([("problem", problem)] if problem else [])]
    return h("article", h("h3", one.name, " ", _state(one.state)), facts(rows))


def _group(one: ListedGroup) -> Html:
    rule = f"at most {one.group.limit} of {', '.join(one.group.workflows)}, on_full {one.group.on_full}"
    return h("article", h("h3", one.name, " ", _state(one.state)), h("p", rule))
