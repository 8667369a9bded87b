"""A person's browser on the page: what it shows while a run works, what it answers, and that everyone can use it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.kit import Project
from processes import until
from web.browser import Browser, Tab, browsing
from web.kit import Server, make_project, serving

WORK = """
name: work
description: Waits for files, writes lines, asks.
nodes:
  - id: build
    bash: |
      echo first line
      while [ ! -e go ]; do sleep 0.05; done
      echo second line
  - id: each
    depends_on: [build]
    fan_out: {items: [one, two], join: all_done}
    bash: test "$INPUTS.item" = one
  - id: ok
    depends_on: [each]
    trigger_rule: all_done
    approval: {message: "Shall it be published?"}
  - id: publish
    depends_on: [ok]
    bash: echo "published"
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as one:
        yield one


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write("work", WORK)
    return made


def entered(browser: Browser, server: Server, **how: bool) -> Tab:
    """A tab on the first page, as one comes there from the terminal."""
    tab = browser.tab(**how)
    tab.open(server.address)
    tab.wait("location.pathname === '/' && document.readyState === 'complete'")
    return tab


def visit(tab: Tab, server: Server, path: str) -> None:
    tab.open(f"http://{server.host}{path}")
    tab.wait(f"location.pathname === {json.dumps(path)} && document.readyState === 'complete'")


def shows(tab: Tab, text: str) -> None:
    """Wait until the page has this text."""
    tab.wait(f"document.body.innerText.includes({json.dumps(text)})")


def paused(project: Project, run_id: str = "r1") -> None:
    (project.folder / "go").touch()
    assert project.run("run", "work", "--run-id", run_id, "--quiet").status == 3


def test_a_run_is_watched_followed_and_answered(browser: Browser, project: Project) -> None:
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        shows(tab, "No runs like that.")
        run = project.start("run", "work", "--run-id", "r1", "--plain")
        shows(tab, "r1")  # without a reload
        tab.run("document.querySelector('.runs a').click()")
        tab.wait("location.pathname === '/r/r1'")
        shows(tab, "running")
        log = browser.tab()
        visit(log, server, "/r/r1/n/build")
        shows(log, "first line")
        assert log.run("document.querySelector('.log').innerText") == "first line"
        (project.folder / "go").touch()
        log.wait("document.querySelector('.log')?.innerText.includes('second line')")
        shows(log, "completed")
        shows(tab, "Needs you: 1 gate is open")
        assert "Shall it be published?" in tab.text()
        tab.run("document.querySelector('textarea').value = 'Yes, do.'")
        tab.run("[...document.querySelectorAll('button')].find(b => b.innerText === 'Approve').click()")
        assert run.wait() == 3
        shows(tab, "Nobody drives the run now")
        assert project.run("resume", "r1", "--quiet").status == 0
        shows(tab, "completed")
        tab.wait("!document.body.innerText.includes('Needs you')")
        assert tab.complaints() + log.complaints() == []
    answered = next(line for line in project.run("events", "r1").out.splitlines() if "approval_resolved" in line)
    event = json.loads(answered)
    assert (event["decision"], event["comment"], event["by"]["via"]) == ("approved", "Yes, do.", "serve")


def test_an_answer_needs_no_script(browser: Browser, project: Project) -> None:
    paused(project)
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        visit(tab, server, "/gates")
        tab.call("DOM.enable")
        document = tab.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        button = tab.call("DOM.querySelector", nodeId=document, selector="button[value=reject]")["nodeId"]
        tab.call("DOM.focus", nodeId=button)
        tab.press("Enter")
        until(lambda: "approval_resolved" in project.run("events", "r1").out)
        tab.wait("location.pathname === '/r/r1'")
    assert '"rejected"' in project.run("events", "r1").out


def test_a_question_that_was_answered_elsewhere_is_not_answered_twice(browser: Browser, project: Project) -> None:
    paused(project)
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        tab.call("Emulation.setScriptExecutionDisabled", value=True)  # so that the page stays as it is
        visit(tab, server, "/r/r1")
        assert project.run("approve", "r1", "--no-resume", "--quiet").status == 0
        tab.run("document.querySelector('button[value=reject]').click()")
        tab.wait("location.pathname.endsWith('/answer')")
        shows(tab, "'ok' does not ask this any more")
    assert '"rejected"' not in project.run("events", "r1").out


def test_what_a_person_writes_survives_news(browser: Browser, project: Project) -> None:
    paused(project)
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        visit(tab, server, "/gates")
        tab.run("const area = document.querySelector('textarea'); area.focus(); area.value = 'half a thought'")
        tab.run("document.querySelector('details').open = true")
        paused(project, "r2")
        shows(tab, "r2")
        values = tab.run("[...document.querySelectorAll('textarea')].map(area => area.value)")
        assert sorted(values) == ["", "half a thought"]
        names = tab.run("[...document.querySelectorAll('[id]')].map(element => element.id)")
        assert len(names) == len(set(names))


def test_after_kill_9_the_page_says_interrupted(browser: Browser, project: Project) -> None:
    with serving(project, enter=False) as server:
        tab = entered(browser, server)
        run = project.start("run", "work", "--run-id", "r1", "--plain")
        shows(tab, "r1")
        visit(tab, server, "/r/r1")
        shows(tab, "running")
        run.kill()
        run.wait()
        shows(tab, "Interrupted")
        assert "ion resume r1" in tab.text()
        visit(tab, server, "/")
        shows(tab, "ion resume r1")
    (project.folder / "go").touch()


def test_a_server_that_is_gone_is_said(browser: Browser, project: Project) -> None:
    with serving(project, enter=False) as server:
        tab = entered(browser, server)
        tab.wait("document.querySelector('#offline') !== null")
    shows(tab, "Not connected")


def test_the_file_of_open_lets_one_in(browser: Browser, project: Project, tmp_path: Path) -> None:
    """A page in a file is of another site: the cookie must come along all the same, and no command line has a token."""
    opener, kept = tmp_path / "opener", tmp_path / "kept"
    opener.write_text(f'#!/bin/sh\nstat -c %a "${{1#file://}}" > {kept}.mode\necho "$1" > {kept}\n')
    opener.chmod(0o755)
    with serving(project, "--open", enter=False, BROWSER=str(opener)) as server:
        until(lambda: kept.exists() and "\n" in kept.read_text())
        page = kept.read_text().strip()
        assert "token" not in page
        assert (tmp_path / "kept.mode").read_text() == "600\n"
        tab = browser.tab()
        tab.open(page)
        tab.wait("location.pathname === '/' && document.readyState === 'complete'")
        assert "No runs like that." in tab.text()
        assert server.host in tab.run("location.href")
    assert not Path(page.removeprefix("file://")).exists()


# ---------------------------------------------------------------- for everyone


def axe() -> str:
    """The judge, from npm."""
    root = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    place = Path(root) / "axe-core" / "axe.min.js"
    assert place.exists(), "this test needs axe-core (.ci/run installs it)"
    return place.read_text()


@pytest.mark.parametrize("dark", [False, True])
def test_the_pages_can_be_used_without_eyes_or_mouse(browser: Browser, project: Project, dark: bool) -> None:
    paused(project)
    project.write("broken", "name: broken\nnodes:\n  - id: a\n    bash: true\n    depend_on: [b]\n")
    project.write("fails", "name: fails\ndescription: Fails.\nnodes:\n  - id: a\n    bash: echo no >&2; exit 3\n")
    assert project.run("run", "fails", "--run-id", "f1", "--quiet").status == 1
    judge = axe()
    paths = ["/", "/gates", "/workflows", "/workflows/broken", "/workflows/work", "/r/r1", "/r/r1/graph"]
    paths += ["/r/r1/events", "/r/r1/n/each", "/r/r1/n/each.1", "/r/r1/n/ok", "/r/f1", "/r/f1/n/a", "/nowhere"]
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server, dark=dark)
        for path in paths:
            visit(tab, server, path)
            tab.run(judge + ";0")
            found = tab.run("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html).slice(0, 3)]))")
            assert found == [], path


def test_the_keyboard_reaches_what_one_needs(browser: Browser, project: Project) -> None:
    paused(project)
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        visit(tab, server, "/r/r1")
        reached = []
        for _ in range(30):
            tab.press("Tab")
            reached.append(tab.run("document.activeElement.innerText || document.activeElement.name || ''").strip())
        wanted = ["Skip to the content", "Runs", "Graph", "ok", "comment", "Approve", "Reject", "build"]
        places = [reached.index(one) for one in wanted]
        assert places == sorted(places), reached


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_window(browser: Browser, project: Project, width: int) -> None:
    paused(project)
    with serving(project, "--allow-answers", enter=False) as server:
        tab = entered(browser, server)
        tab.size(width, 800)
        for path in ("/", "/gates", "/workflows", "/r/r1", "/r/r1/graph", "/r/r1/events", "/r/r1/n/each"):
            visit(tab, server, path)
            assert tab.run("document.documentElement.scrollWidth") <= width, path


def test_a_page_that_nobody_sees_holds_no_connection(browser: Browser, project: Project) -> None:
    with serving(project, enter=False) as server:
        tab = entered(browser, server)
        connected = re.compile(rf":{server.port:04X} \S+ 01 ")
        until(lambda: connected.search(Path("/proc/net/tcp").read_text()) is not None)
        tab.run("Object.defineProperty(document, 'hidden', {value: true})")
        tab.run("document.dispatchEvent(new Event('visibilitychange'))")
        tab.wait("source === null")
