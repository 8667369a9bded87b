"""What the pages say of runs, and that nothing that a program or an author writes is more than text."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ion.web
from cli.kit import Project
from ion.web.parts import ASKED
from processes import PATIENCE_S, until
from web.kit import Server, make_project, serving

HOSTILE = """<script>alert(1)</script>
"><img src=x onerror=alert(1)>
<svg/onload=alert(1)></pre></main><h1>out</h1>
&lt;already&gt; &amp;
\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J
right\u202eto left\u202c and \u200b nothing
javascript:alert(1) ]]> --> */ {{7*7}} ${7*7}
bell \x07 nul? \x08\x08\x08 tab\tend"""
MANY = """
name: many
description: "<b>bold</b> & 'quotes'"
inputs: {what: {default: "<i>in</i>"}}
nodes:
  - id: write
    bash: cat hostile; cat hostile >&2
  - id: skipped
    depends_on: [write]
    when: $write.output == '<u>x</u>'
    bash: echo never
  - id: fails
    depends_on: [write]
    bash: cat hostile >&2; exit 3
  - id: ask
    depends_on: [write]
    approval:
      message: $write.output
      decisions: [{id: approve, label: "<b>yes</b>"}, {id: reject, label: "No, \\u202e thanks"}]
"""
SECRET = "s3cr3t-of-the-house"
KEEPS = """
name: keeps
description: Says what it should not.
secrets: [HOUSE_KEY]
nodes:
  - id: tell
    bash: |
      echo "key $HOUSE_KEY"
      for i in $(seq 4000); do echo "line $i $HOUSE_KEY"; done >&2
  - id: fails
    depends_on: [tell]
    bash: echo "wrong $HOUSE_KEY" >&2; exit 2
  - id: ask
    depends_on: [tell]
    approval: {message: "Is $tell.output right?"}
"""
LINT = """
name: lint
description: Completes, not clean.
nodes:
  - id: lint
    bash: echo 14 warnings; exit 3
    allow_failure: true
  - id: deploy
    bash: exit 1
  - id: rollback
    catches: [deploy]
    bash: echo back
"""
ASKS = """
name: asks
description: Asks an agent.
inputs: {what: {default: this}}
nodes:
  - id: say
    prompt: Describe $INPUTS.what, please.
  - id: again
    depends_on: [say]
    prompt: "Repeat: $say.output"
"""
BIG_LOOP = """
name: shapes
description: What is inside of nodes.
nodes:
  - id: each
    fan_out: {items: [a, b, c, d], join: all_done}
    group:
      nodes:
        - id: first
          bash: test "$INPUTS.item" != c
        - id: second
          depends_on: [first]
          bash: echo "$INPUTS.item"
"""


BAD = """
name: bad
description: Writes where only Ion should.
nodes:
  - id: a
    bash: |
      cd .ion/runs/r1/logs/a
      mkfifo 9-bash.out; ln -s /etc/passwd 8-bash.out; echo x > 'x"y.out'; echo x > 7-bash.evil; echo real
"""


class Elements(HTMLParser):
    """The elements and attributes of a page, as a browser would make them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("pages"))
    (made.folder / "hostile").write_text(HOSTILE)
    made.write("many", MANY)
    made.write("keeps", KEEPS)
    made.write("shapes", BIG_LOOP)
    assert made.run("run", "many", "--run-id", "m1", "--quiet").status in (1, 3)
    assert made.run("run", "keeps", "--run-id", "k1", "--quiet", HOUSE_KEY=SECRET).status in (1, 3)
    assert made.run("run", "shapes", "--run-id", "s1", "--quiet").status in (0, 1)
    return made


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with serving(project, "--allow-answers", HOUSE_KEY=SECRET) as one:
        yield one


def pages_of(run: str, *nodes: str) -> list[str]:
    inside = [f"/r/{run}/n/{node}" for node in nodes]
    return ["/", "/gates", "/workflows", "/workflows/many", f"/r/{run}", f"/r/{run}/graph", f"/r/{run}/events", *inside]


@pytest.mark.parametrize("path", pages_of("m1", "write", "skipped", "fails", "ask"))
def test_what_anyone_writes_is_text(server: Server, path: str) -> None:
    page = server.get(path).text
    for tag, attributes in Elements(page).found:
        assert tag not in ("img", "b", "i", "u", "iframe", "object", "style", "base"), tag
        assert tag != "script" or str(attributes["src"]).startswith("/static/")
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
        for name in ("href", "src", "action"):
            assert str(attributes.get(name) or "/").startswith(("/", "data:,", "#")), attributes
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e]", page.replace("\n", ""))


def test_an_output_is_shown_as_it_is(server: Server) -> None:
    page = server.get("/r/m1/n/write").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&amp;lt;already&amp;gt;" in page
    assert "right\\u202eto left\\u202c" in page
    assert "\nred \\x1b]0;title\\x07 \\x1b[2J\n" in page  # a colour is left out, all else is shown


def test_an_output_as_a_file_is_never_shown_by_a_browser(server: Server, project: Project) -> None:
    reply = server.get("/r/m1/n/write/output")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"] == 'attachment; filename="m1-write.txt"'
    assert reply.body == (project.folder / "hostile").read_bytes()
    logs = server.get("/r/m1/n/write/log/1-bash.err")
    assert (logs.headers["content-type"], logs.body) == (reply.headers["content-type"], reply.body)
    assert server.get("/r/m1/n/write/log/..%2f..%2fion.db").status == 404
    assert server.get("/r/m1/n/skipped/output").status == 404


@pytest.mark.parametrize("path", [*pages_of("k1", "tell", "fails", "ask"), "/r/k1/n/tell/output"])
def test_secrets_are_masked(server: Server, path: str) -> None:
    page = server.get(path).text
    assert SECRET not in page
    assert SECRET[:8] not in page


def test_a_secret_is_masked_where_it_stood(server: Server) -> None:
    assert "key ***" in server.get("/r/k1/n/tell").text
    assert "wrong ***" in server.get("/r/k1/n/fails").text
    assert server.get("/r/k1/n/tell/output").body == b"key ***"


def test_a_log_is_shown_from_its_end(server: Server) -> None:
    page = server.get("/r/k1/n/tell").text
    assert "the last 16 KB of" in page
    assert "line 4000 ***" in page
    assert "line 1000 ***" not in page
    assert len(page) < 120_000


def test_what_a_program_puts_among_its_logs_is_not_read(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write("bad", BAD)
    assert made.run("run", "bad", "--run-id", "r1", "--quiet").status == 0
    with serving(made) as server:
        page = server.get("/r/r1/n/a")
        assert page.status == 200
        assert "root:" not in page.text
        for name in ("9-bash.out", "8-bash.out", "x%22y.out", "7-bash.evil", "..", "%2e%2e"):
            assert server.get(f"/r/r1/n/a/log/{name}").status == 404, name
        assert server.get("/r/r1/n/a/log/1-bash.out").body == b"real\n"


def test_a_node_says_why(server: Server) -> None:
    page = server.get("/r/m1/n/skipped").text
    assert "not evaluated" in page or "→ false" in page
    assert "ion show m1 skipped" in page
    failed = server.get("/r/m1/n/fails").text
    assert "exit-status: exit 3" in failed
    assert "ion rerun m1 --from fails" in failed


def test_a_prompt_is_shown_as_it_was_sent(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write("asks", ASKS)
    reads = "sh -c 'cat > /dev/null; echo well done'"
    done = made.run("run", "asks", "--run-id", "a1", "--agent", reads, "--input", "what=<b>it</b>", "--quiet")
    assert done.status == 0, done.err
    assert made.run("run", "asks", "--run-id", "a2", "--quiet").status == 3
    with serving(made) as server:
        for run_id, node, prompt in (
            ("a1", "say", "Describe &lt;b&gt;it&lt;/b&gt;, please."),
            ("a1", "again", "Repeat: well done"),
            ("a2", "say", "Describe this, please."),
        ):
            section = server.get(f"/r/{run_id}/n/{node}").text.partition("Prompt, as sent")[2]
            assert section.startswith(f"</h3><pre>{prompt}</pre>"), (run_id, node)
        assert "Prompt, as written" in server.get("/r/a2/n/again").text


def test_what_failed_is_on_the_first_screen(server: Server) -> None:
    page = server.get("/r/s1").text
    assert "each.2.first" in page or ">first<" in page
    inside = server.get("/r/s1/n/each").text
    assert inside.index('href="/r/s1/n/each.2"') < inside.index('href="/r/s1/n/each.0"')
    only = server.get("/r/s1/n/each?status=completed").text
    section = only[only.index("<h3>Inside</h3>") :]
    assert 'href="/r/s1/n/each.2"' not in section
    assert 'href="/r/s1/n/each.0"' in section


def test_a_run_whose_finally_runs_is_finishing(server: Server, project: Project) -> None:
    held = "{id: held, bash: 'touch begun; until [ -e over ]; do sleep 0.05; done'}"
    project.write("held", f"name: held\ndescription: d\nnodes: [{{id: a, bash: 'true'}}]\nfinally: [{held}]\n")
    process = project.start("run", "held", "--run-id", "h1", "--quiet")
    until((project.folder / "begun").exists)
    assert "running, finishing" in server.get("/r/h1").text
    assert "running, finishing" in server.get("/?workflow=held").text
    (project.folder / "over").touch()
    assert process.wait(PATIENCE_S) == 0
    assert "finishing" not in server.get("/r/h1").text
    assert "finishing" not in server.get("/?workflow=held").text


def test_a_run_that_is_not_clean_says_so_everywhere(server: Server, project: Project) -> None:
    project.write("lint", LINT)
    assert project.run("run", "lint", "--run-id", "l1", "--quiet").status == 0
    page = server.get("/r/l1").text
    assert "<title>✓! lint l1 · Ion</title>" in page
    assert "completed, not clean" in page
    assert "failed, caught by rollback: exit 1" in page
    assert "failed, allowed" in server.get("/r/l1/n/lint").text
    assert "completed, not clean" in server.get("/?workflow=lint").text
    assert "not clean" in project.run("show", "l1", "--html", "-").out
    only = server.get("/?status=unclean").text
    assert "l1" in only
    assert "/r/m1" not in only


def test_what_only_waits_needs_nobody(tmp_path: Path) -> None:
    made = make_project(tmp_path)
    made.write("sleeps", "name: sleeps\ndescription: x\nnodes:\n  - id: pause\n    wait: 1h\n")
    made.write("hears", "name: hears\ndescription: x\nnodes:\n  - id: merged\n    wait: {event: pr-merged}\n")
    for name in ("sleeps", "hears"):
        assert made.run("run", name, "--run-id", f"{name}1", "--patience", "0s", "--quiet").status == 3
    with serving(made) as server:
        for path in ("/", "/gates"):
            page = server.get(path).text
            needs = page.partition("<h1>Runs</h1>")[0]
            assert "sleeps" not in needs
            assert "ion signal hears1 pr-merged" in needs
        waits = server.get("/r/sleeps1").text
        assert "Waits: 1 wait is not over" in waits
        assert "It continues by itself from" in waits


def test_the_graph_leads_to_the_nodes(server: Server) -> None:
    page = server.get("/r/s1/graph").text
    assert '<a href="/r/s1/n/each">' in page
    assert "<style" not in page


def test_what_is_not_ours_is_as_it_came_and_has_its_licence() -> None:
    folder = Path(ion.web.__file__).parent / "static"
    found = hashlib.sha256((folder / "idiomorph.js").read_bytes()).hexdigest()
    assert found == "4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96"  # idiomorph 0.8.0 of npm
    assert (folder / "idiomorph.LICENSE").read_text().startswith("Zero-Clause BSD\n")


def test_problems_stand_with_their_carets(server: Server, project: Project) -> None:
    project.write("broken", "name: broken\nnodes:\n  - id: a\n    bash: true\n    depend_on: [b]\n")
    page = server.get("/workflows/broken").text
    assert "^^^^^^^^^ did you mean &#x27;depends_on&#x27;?" in page


def test_filters_and_the_place_are_in_the_url(server: Server, project: Project) -> None:
    for number in range(3):
        project.write("one", "name: one\ndescription: x\nnodes:\n  - id: a\n    bash: echo\n")
        assert project.run("run", "one", "--run-id", f"one{number}", "--quiet").status == 0
    everything = server.get("/").text
    assert all(f"one{number}" in everything for number in range(3))
    assert "one1" not in server.get("/?status=failed").text
    assert "m1" not in server.get("/?workflow=one").text
    started = json.loads(project.run("show", "one1", "--json").out)["started_at"]
    at = round(datetime.fromisoformat(started).timestamp() * 1000)
    older = server.get(f"/?before={at}-one1").text
    assert "one0" in older
    assert "one2" not in older
    assert server.get("/?status=nonsense&before=x-y&from=-1").status == 200


def test_what_is_not_there_is_said_with_a_hint(server: Server) -> None:
    reply = server.get("/r/nowhere")
    assert reply.status == 404
    assert "no run has the id &#x27;nowhere&#x27;" in reply.text
    assert server.get("/r/m1/n/nothing").status == 404
    assert server.get("/r/m1/n/a%2fb").status == 404
    assert server.get("/workflows/nothing").status == 404


def test_a_damaged_run_hides_no_other(tmp_path: Path) -> None:
    import sqlite3

    made = make_project(tmp_path)
    made.write("one", "name: one\ndescription: x\nnodes:\n  - id: a\n    approval: {message: ok?}\n")
    for name in ("good", "bad"):
        assert made.run("run", "one", "--run-id", name, "--quiet").status == 3
    with sqlite3.connect(made.folder / ".ion" / "ion.db") as database:
        database.execute("UPDATE events SET event = replace(event, 'one', 'two') WHERE run_id = 'bad' AND seq = 1")
    with serving(made) as server:
        assert "good" in server.get("/").text
        assert server.get("/r/good").status == 200
        assert server.get("/r/bad").status == 500
        assert "ion approve good" in server.get("/gates").text


def test_a_run_as_one_file(project: Project, server: Server) -> None:
    done = project.run("show", "m1", "--html", "m1.html", HOUSE_KEY=SECRET)
    assert (done.status, done.out) == (0, "m1.html\n")
    page = (project.folder / "m1.html").read_text()
    for tag, attributes in Elements(page).found:
        assert tag not in ("script", "img", "b", "i", "u", "iframe", "link"), tag
        assert str(attributes.get("href") or "#").startswith("#"), attributes
    assert "default-src &#x27;none&#x27;" in page
    for node in ("write", "skipped", "fails", "ask"):
        assert f'id="node-{node}"' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert SECRET not in project.run("show", "k1", "--html", "-", HOUSE_KEY=SECRET).out
    assert project.run("show", "m1", "write", "--html", "x.html").status == 2


def test_a_run_of_twenty_nodes_is_a_small_file(project: Project) -> None:
    nodes = "".join(f"  - id: n{number}\n    bash: head -c 20000 /dev/zero | tr '\\0' x\n" for number in range(20))
    project.write("twenty", f"name: twenty\ndescription: x\nnodes:\n{nodes}")
    assert project.run("run", "twenty", "--run-id", "t1", "--quiet").status == 0
    assert project.run("show", "t1", "--html", "t1.html").status == 0
    assert (project.folder / "t1.html").stat().st_size < 200_000


def test_the_file_needs_no_extra(project: Project) -> None:
    hidden = "import sys; sys.modules['starlette'] = None; sys.argv[0] = 'ion'; from ion.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", hidden, "show", "m1", "--html", "-", "--project", str(project.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("<!doctype html>")


def test_a_page_does_not_grow_with_what_is_asked(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    nodes = "".join(f"  - {{id: g{number}, approval: {{message: 'Is {number} good?'}}}}\n" for number in range(300))
    project.write("gates", f"name: gates\ndescription: Asks much.\nnodes:\n{nodes}")
    assert project.run("run", "gates", "--run-id", "r1", "--quiet").status == 3
    with serving(project, "--allow-answers") as server:
        for path in ("/gates", "/r/r1"):
            page = server.get(path).text
            assert page.count("<form") == ASKED
            assert f"{300 - ASKED} more" in page
            assert "Needs you: 300 gates are open" in page
        assert "<form" in server.get("/r/r1/n/g299").text


def test_the_runs_have_their_counts_and_costs(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    project.write(
        "spend",
        """
name: spend
description: Asks an agent, and fails.
nodes:
  - {id: ask, prompt: Do it.}
  - {id: check, depends_on: [ask], bash: exit 1}
  - {id: never, depends_on: [check], bash: echo never}
""",
    )
    reply = '{"type": "result", "result": "done", "total_cost_usd": 0.42, "usage": {}, "session_id": "s"}'
    project.write("../config", f"agents: {{paid: {{command: [echo, '{reply}'], parser: claude-json}}}}\n")
    assert project.run("run", "spend", "--run-id", "r1", "--agent", "paid", "--quiet").status == 1
    with serving(project) as server:
        page = server.get("/").text
        assert re.search(r'<td class="number">3/3 · 1 failed</td>\s*<td class="number">\$0\.42</td>', page)
