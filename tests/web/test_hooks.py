"""Webhooks, through `ion serve --hooks-port`: each rule of the listener with a test that fails without it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.kit import Project
from ion import clocks
from ion.api import hooks as delivering
from ion.api.deployment import Hook
from ion.api.workspace import open_workspace
from ion.web import hooks
from ion.web.app import ANSWERS, PAGES, STREAMS
from ion.web.hooks import BODY_SECONDS, CONNECTIONS, LONGEST_BODY, Secret, is_signed
from processes import PATIENCE_S, until
from web.kit import Reply, Server, is_closed, make_project, serving

SECRET = "quite between us"
TRIAGE = """
name: triage
description: Sorts an issue.
inputs: {number: {type: integer, required: true}, title: {}}
nodes:
  - {id: sort, bash: 'echo "$INPUTS.number: $INPUTS.title"; echo "secret <$HOOK_SECRET>"'}
"""
HELD = """
name: held
description: Works until it may end.
inputs: {number: {}}
nodes:
  - {id: work, bash: 'while [ ! -e go ]; do sleep 0.05; done'}
"""
SHIP = """
name: ship
description: Waits for a merge.
inputs: {pr: {}}
nodes:
  - {id: merged, wait: {event: merged}}
  - {id: ship, depends_on: [merged], bash: 'echo "shipped $INPUTS.pr"'}
"""
START = """
hooks:
  issues:
    secret_env: HOOK_SECRET
    verify: github-sha256
    events: [issues]
    when: {action: [opened, reopened]}
    start: {workflow: triage, inputs: {number: issue.number, title: issue.title}}
"""
OPENED = {"action": "opened", "issue": {"number": 7, "title": "it $(touch pwned) `touch pwned` breaks"}}


def settings(project: Project, text: str, *, accepted: bool = True) -> None:
    (project.folder / ".ion" / "config.yaml").write_text(text)
    if accepted:
        assert project.run("schedules", "accept", "--yes").status == 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    made.write("triage", TRIAGE)
    made.write("held", HELD)
    made.write("ship", SHIP)
    settings(made, START)
    return made


class Hooks:
    """The listener of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        found = re.search(r"POST http://127\.0\.0\.1:(\d+)/hooks/", "\n".join(server.lines))
        assert found is not None, server.lines
        self.port = int(found[1])

    def raw(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def send(
        self, payload: Any, delivery: str = "d1", *, name: str = "issues", secret: str = SECRET, **changed: str
    ) -> Reply:
        """A delivery as GitHub sends it. A header given as '' is left out."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-GitHub-Event": "issues",
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signed(body, secret),
        }
        headers |= {key.replace("_", "-"): value for key, value in changed.items()}
        return self.raw("POST", f"/hooks/{name}", [(key, value) for key, value in headers.items() if value], body)


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@contextmanager
def listening(project: Project, *arguments: str) -> Iterator[Hooks]:
    with serving(project, "--hooks-port", "0", *arguments, HOOK_SECRET=SECRET) as server:
        yield Hooks(server)


def runs(project: Project) -> list[dict[str, Any]]:
    return list(project.run("runs", "--json").json())


def completed(project: Project) -> bool:
    found = runs(project)
    return bool(found) and all(one["status"] == "completed" for one in found)


# ------------------------------------------------------------------ what a delivery does


def test_a_delivery_starts_a_run_with_what_the_payload_says_as_data(project: Project) -> None:
    with listening(project) as listener:
        assert listener.send(OPENED).status == 202
        until(lambda: completed(project))
        (run,) = runs(project)
        assert run["workflow"] == "triage"
        output = project.run("output", run["run_id"], HOOK_SECRET=SECRET).out
        assert output.splitlines()[0] == "7: it $(touch pwned) `touch pwned` breaks"
        assert output.splitlines()[1] == "secret <>"  # no program of a run is given it
        assert not (project.folder / "pwned").exists()


@pytest.mark.parametrize("delivery", ["d1", "another"])
def test_the_same_delivery_starts_one_run(project: Project, delivery: str) -> None:
    """By its id, or by its body: a signature says nothing of the id."""
    with listening(project) as listener:
        assert listener.send(OPENED).status == 202
        assert listener.send(OPENED, delivery).status == 202
        assert listener.send({**OPENED, "more": 1}, "d1").status == 202
        assert len(runs(project)) == 1
        assert listener.send({**OPENED, "more": 2}, "d2").status == 202
        assert len(runs(project)) == 2


def test_two_servers_and_many_deliveries_of_the_same_start_one_run(project: Project) -> None:
    with listening(project) as one, listening(project) as other, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: (one, other)[number % 2].send(OPENED, f"d{number}"), range(8)))
        assert {reply.status for reply in replies} == {202}
        assert len(runs(project)) == 1


def test_after_a_kill_nothing_that_was_answered_is_lost(project: Project) -> None:
    with listening(project) as listener:
        assert listener.send(OPENED).status == 202
        os.kill(listener.server.process.pid, signal.SIGKILL)
    assert len(runs(project)) == 1
    with listening(project) as listener:
        assert listener.send(OPENED, "again").status == 202
        until(lambda: completed(project))
        assert len(runs(project)) == 1


def test_what_is_not_asked_for_starts_nothing(project: Project) -> None:
    with listening(project) as listener:
        assert listener.send({**OPENED, "action": "closed"}).status == 204
        assert listener.send({"issue": OPENED["issue"]}).status == 204
        assert listener.send(OPENED, X_GitHub_Event="push").status == 204
        assert listener.send(OPENED, X_GitHub_Event="").status == 204
        assert runs(project) == []
        assert listener.send(OPENED).status == 202


def test_a_payload_without_the_fields_is_refused_and_not_remembered(project: Project) -> None:
    with listening(project) as listener:
        reply = listener.send({"action": "opened", "issue": {"number": 7}})
        assert (reply.status, reply.text) == (422, "the payload has no 'issue.title'\n")
        assert listener.send({"action": "opened", "issue": {"number": "many", "title": "x"}}).status == 422
        assert listener.send(b'{"action": "opened"').status == 400
        assert listener.send(b"[" * 100_000).status == 400
        assert runs(project) == []
        assert listener.send(OPENED).status == 202


def test_four_runs_of_a_hook_at_once_and_the_next_is_queued(project: Project) -> None:
    settings(project, START.replace("triage", "held").replace(", title: issue.title", ""))
    with listening(project) as listener:
        for number in range(6):
            assert listener.send({"action": "opened", "issue": {"number": number}}, f"d{number}").status == 202
        until(lambda: sorted(one["status"] for one in runs(project)) == ["queued"] * 2 + ["running"] * 4)
        (project.folder / "go").touch()
        until(lambda: completed(project))
    assert len(runs(project)) == 6


def test_a_hook_names_a_group(project: Project) -> None:
    group = "    concurrency: one\nconcurrency:\n  one: {workflows: [held], limit: 1}\n"
    settings(project, START.replace("triage", "held").replace(", title: issue.title", "") + group)
    with listening(project) as listener:
        for number in range(3):
            assert listener.send({"action": "opened", "issue": {"number": number}}, f"d{number}").status == 202
        until(lambda: sorted(one["status"] for one in runs(project)) == ["queued", "queued", "running"])
        (project.folder / "go").touch()
        until(lambda: completed(project))


@pytest.mark.parametrize(
    ("where", "payload"),
    [
        ("inputs: {pr: pull_request.number}", {"pull_request": {"number": 12}}),
        ("run: data.run", {"data": {"run": "s12"}}),
    ],
)
def test_a_delivery_sends_a_signal(project: Project, where: str, payload: dict[str, Any]) -> None:
    settings(
        project,
        f"""
hooks:
  prs: {{secret_env: HOOK_SECRET, verify: github-sha256, signal: {{workflow: ship, event: merged, {where}}}}}
""",
    )
    assert project.run("run", "ship", "--run-id", "s12", "--input", "pr=12", "--patience", "0", "--quiet").status == 3
    assert project.run("run", "ship", "--run-id", "s13", "--input", "pr=13", "--patience", "0", "--quiet").status == 3
    with listening(project) as listener:
        assert listener.send({"pull_request": {"number": 99}, "data": {"run": "last"}}, "d0", name="prs").status == 204
        assert listener.send(payload, name="prs").status == 202
        assert listener.send(payload, "again", name="prs").status == 202
        until(lambda: project.run("show", "s12", "--json").json()["status"] == "completed")
        assert project.run("show", "s13", "--json").json()["status"] == "paused"
        events = [json.loads(line) for line in project.run("events", "s12").out.splitlines()]
        assert [one["type"] for one in events].count("signal_received") == 1


def test_without_a_clock_only_what_hooks_start_is_driven(project: Project) -> None:
    assert project.run("run", "ship", "--run-id", "s1", "--input", "pr=1", "--patience", "0", "--quiet").status == 3
    assert project.run("signal", "s1", "merged", "--no-resume").status == 0
    with listening(project) as listener:
        assert listener.send(OPENED).status == 202
        until(lambda: runs(project)[0]["status"] == "completed")
        assert project.run("show", "s1", "--json").json()["status"] == "paused"
    with listening(project, "--clock"):
        until(lambda: project.run("show", "s1", "--json").json()["status"] == "completed")


# ------------------------------------------------------------------ who is let in


def test_only_a_signed_request_counts_and_a_name_that_is_unknown_is_not_told(project: Project) -> None:
    body = json.dumps(OPENED).encode()
    with listening(project) as listener:
        wrong = [
            listener.send(OPENED, secret="guess"),
            listener.send(OPENED, X_Hub_Signature_256=""),
            listener.send(OPENED, X_Hub_Signature_256="sha256="),
            listener.send(OPENED, X_Hub_Signature_256=signed(body)[:-1]),
            listener.send(OPENED, X_Hub_Signature_256=signed(body + b" ")),
            listener.send(OPENED, X_Hub_Signature_256=f"sha256={SECRET}"),
            listener.send(OPENED, X_Hub_Signature_256="", Authorization=f"Bearer {SECRET}"),
            listener.send(OPENED, name="unknown"),
            listener.send(OPENED, name="issues%00"),
        ]
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        twice = [*head, ("X-Hub-Signature-256", signed(body)), ("X-Hub-Signature-256", signed(body))]
        wrong.append(listener.raw("POST", "/hooks/issues", twice, body))
        assert {(one.status, one.text, str(one.headers)) for one in wrong} == {
            (401, "the request is not signed as it must be\n", str(wrong[0].headers))
        }
        assert runs(project) == []


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compare(one: bytes, other: bytes) -> bool:
        asked.append(other)
        return True

    monkeypatch.setattr(hooks.hmac, "compare_digest", compare)
    for verify in ("github-sha256", "bearer", {"hmac-sha256": {"header": "x-signature"}}):
        assert is_signed(Secret(Hook(secret_env="S", verify=verify), b"s"), {}, b"", 0)
    assert len(asked) == 3


def verified(verify: Any, secret: bytes, headers: dict[str, str], body: bytes, now: float = 0) -> bool:
    given = {name.lower().encode(): [value.encode()] for name, value in headers.items()}
    return is_signed(Secret(Hook(secret_env="S", verify=verify), secret), given, body, now)


def test_the_signature_of_github_is_that_of_its_documentation() -> None:
    own = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = b"It's a Secret to Everybody"
    assert verified("github-sha256", secret, {"X-Hub-Signature-256": own}, b"Hello, World!")
    assert not verified("github-sha256", secret, {"X-Hub-Signature": own}, b"Hello, World!")


def test_a_signature_with_a_time_is_that_of_slack_and_grows_old() -> None:
    """The example of Slack's documentation."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015."
        b"47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    secret, at = b"8f742231b10e8888abcd99yyyzzz85a5", 1531420618
    headers = {
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "X-Slack-Request-Timestamp": str(at),
    }
    rule = {"header": "X-Slack-Signature", "timestamp_header": "X-Slack-Request-Timestamp"}
    assert verified({"hmac-sha256": rule}, secret, headers, body, at + 299)
    assert not verified({"hmac-sha256": rule}, secret, headers, body, at + 301)
    assert not verified({"hmac-sha256": rule}, secret, headers, body, at - 301)
    assert verified({"hmac-sha256": {**rule, "tolerance": "1h"}}, secret, headers, body, at + 3599)
    late = {**headers, "X-Slack-Request-Timestamp": str(at + 300)}
    assert not verified({"hmac-sha256": rule}, secret, late, body, at + 301)
    for stamp in ("", "soon", "-1", "1" * 400):
        wrong = {**headers, "X-Slack-Request-Timestamp": stamp}
        assert not verified({"hmac-sha256": rule}, secret, wrong, body, at)


def test_what_is_signed_can_be_said() -> None:
    rule = {"header": "X-Signature", "timestamp_header": "X-Time", "signed": "{timestamp}.{body}"}
    own = hmac.new(b"s", b'5.{"a": "{body}"}', hashlib.sha256).hexdigest()
    assert verified({"hmac-sha256": rule}, b"s", {"X-Signature": own, "X-Time": "5"}, b'{"a": "{body}"}')


def test_a_bearer_has_the_secret() -> None:
    assert verified("bearer", b"s", {"Authorization": "Bearer s"}, b"")
    assert not verified("bearer", b"s", {"Authorization": "Bearer t"}, b"")
    assert not verified("bearer", b"s", {"Authorization": "s"}, b"")
    gitlab = {"bearer": {"header": "X-Gitlab-Token"}}
    assert verified(gitlab, b"s", {"X-Gitlab-Token": "s"}, b"")
    assert not verified(gitlab, b"s", {"Authorization": "Bearer s"}, b"")


@pytest.mark.parametrize("secret", [None, ""])
def test_without_its_secret_a_hook_keeps_the_server_from_starting(project: Project, secret: str | None) -> None:
    given = {} if secret is None else {"HOOK_SECRET": secret}
    done = project.run("serve", "--hooks-port", "0", **given)
    assert done.status == 2
    assert "issues: HOOK_SECRET" in done.err


def test_without_a_hook_there_is_nothing_to_listen_for(project: Project) -> None:
    settings(project, "")
    assert project.run("serve", "--hooks-port", "0").status == 2


def test_a_hook_does_nothing_until_it_is_accepted(project: Project) -> None:
    settings(project, START.replace("opened, reopened", "opened"), accepted=False)
    with listening(project) as listener:
        assert "does nothing: " in "\n".join(listener.server.lines)
        assert listener.send(OPENED).status == 503
        assert "the hook 'issues' does nothing" in project.run("doctor").out
        assert runs(project) == []
        assert project.run("schedules", "accept", "--yes").status == 0
        assert listener.send(OPENED).status == 202
        project.write("triage", TRIAGE.replace("echo", "touch pwned; echo"))
        assert listener.send({**OPENED, "more": 1}, "d2").status == 503
        assert len(runs(project)) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "POST"])
def test_it_serves_nothing_else(project: Project, method: str) -> None:
    own = [path.format(run="r1", node="a", name="a", file="1-bash.out") for path in (*PAGES, *STREAMS, *ANSWERS)]
    others = ["/static/page.js", "/enter", "/hooks", "/hooks/", "/hooks/issues/", "/hooks/issues/x", "//hooks/issues"]
    others += ["/hooks/../hooks/issues/..", "/x/../hooks/issues"]
    with listening(project) as listener:
        for path in [*own, *others, *([] if method == "POST" else ["/hooks/issues"])]:
            headers = [("Content-Type", "application/json"), ("Cookie", listener.server.cookie)]
            reply = listener.raw(method, path, headers)
            assert (reply.status, method == "HEAD" or reply.text) == (404, method == "HEAD" or "not found\n"), path
            assert "set-cookie" not in reply.headers
            assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_the_page_serves_no_hooks(project: Project) -> None:
    body = json.dumps(OPENED).encode()
    with listening(project, "--allow-answers") as listener:
        headers = [("Host", listener.server.host), ("Cookie", listener.server.cookie)]
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        headers += [("X-GitHub-Event", "issues"), ("X-Hub-Signature-256", signed(body))]
        assert listener.server.raw("POST", "/hooks/issues", headers, body).status == 403
        assert listener.server.get("/hooks/issues").status == 404
        assert runs(project) == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_only_json_is_taken(project: Project, kind: str) -> None:
    """What a web site can have a browser send without asking is something else."""
    with listening(project) as listener:
        assert listener.send(OPENED, Content_Type=kind).status == 415


def test_a_body_has_a_limit(project: Project) -> None:
    with listening(project) as listener:
        assert listener.send(OPENED, Content_Length=str(LONGEST_BODY + 1)).status == 413
        assert listener.send(OPENED, Content_Length=str(10**12)).status == 413
        with _connect(listener) as one:
            head = "Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            one.sendall(f"POST /hooks/issues HTTP/1.1\r\n{head}\r\n".encode())
            piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            for _ in range(LONGEST_BODY // 0x10000 + 1):
                one.sendall(piece)
            assert one.recv(100).startswith(b"HTTP/1.1 413 ")
        assert listener.send(OPENED, X_Long="x" * 20_000).status in (400, 431)
        assert listener.send({**OPENED, "long": "x" * (LONGEST_BODY - 1000)}).status == 202


def test_slow_ones_are_cut_off_and_keep_nobody_out(project: Project) -> None:
    with listening(project) as listener:
        slow = [_connect(listener) for _ in range(CONNECTIONS + 20)]
        try:
            assert listener.send(OPENED).status == 202
            assert sum(is_closed(one) for one in slow) >= 20
        finally:
            for one in slow:
                one.close()
        with _connect(listener) as one:
            head = "Host: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
            one.sendall(f"POST /hooks/issues HTTP/1.1\r\n{head}\r\n".encode())
            assert one.recv(100).startswith(b"HTTP/1.1 408 ")


def _connect(listener: Hooks) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_S + BODY_SECONDS)


def test_it_listens_on_loopback_alone(project: Project) -> None:
    with listening(project) as listener:
        ours = f":{listener.port:04X}"
        lines = [
            line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()
        ]
        places = {line[1].partition(":")[0] for line in lines[1:] if line[3] == "0A" and line[1].endswith(ours)}
        assert places
        assert places <= {"0100007F", "00000000000000000000000001000000"}


def test_the_page_and_the_terminal_do_not_show_the_secret(project: Project) -> None:
    project.write("triage", TRIAGE.replace('echo "secret', f'echo "{SECRET}"; echo "secret'))
    assert project.run("schedules", "accept", "--yes").status == 0
    with listening(project) as listener:
        assert listener.send(OPENED).status == 202
        until(lambda: completed(project))
        (run,) = runs(project)
        page = listener.server.get(f"/r/{run['run_id']}/n/sort").text
        assert "secret &lt;&gt;" in page
        assert SECRET not in page
        assert SECRET not in "\n".join(listener.server.lines)


# ------------------------------------------------------------------ what is known of earlier deliveries


def test_the_same_body_is_a_new_delivery_after_thirty_days(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{project.folder}-state")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder / "user-config"))
    delivery = delivering.Delivery(hook="issues", body=json.dumps(OPENED).encode(), id="d1", event="issues")
    workspace = open_workspace(project.folder)
    first = delivering.deliver(workspace, delivery)
    now = clocks.now_ms()
    for later, known in ((delivering.KNOWN_MS - 60_000, True), (delivering.KNOWN_MS + 60_000, False)):
        monkeypatch.setattr(clocks, "now_ms", lambda later=later: now + later)
        again = delivering.deliver(workspace, delivery)
        assert (again.known, again.runs == first.runs) == (known, known)
    workspace.close()


def test_what_was_decided_and_not_done_is_completed_by_the_next_delivery(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{project.folder}-state")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.folder / "user-config"))
    delivery = delivering.Delivery(hook="issues", body=json.dumps(OPENED).encode(), id="d1", event="issues")
    workspace = open_workspace(project.folder)
    decided: list[str] = []

    def die(*arguments: Any) -> None:
        decided.append(arguments[-1])
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(delivering, "_start", die)
        with pytest.raises(KeyboardInterrupt):
            delivering.deliver(workspace, delivery)
    assert runs(project) == []
    assert delivering.deliver(workspace, delivery).runs == tuple(decided)
    assert [one["run_id"] for one in runs(project)] == decided
    workspace.store.delete_workflow_run(decided[0])  # pruned: it is not started again
    assert delivering.deliver(workspace, delivery).known
    assert runs(project) == []
    workspace.close()


# ------------------------------------------------------------------ what is said of settings that cannot be meant


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("github-sha256", "github"), "'verify' must be one of: github-sha256, bearer, hmac-sha256"),
        (("github-sha256", "{hmac-sha256: {}}"), "has no 'header'"),
        (("github-sha256", "{hmac-sha256: {header: X-S, tolerance: 5m}}"), "'tolerance' needs a 'timestamp_header'"),
        (("github-sha256", "bearer"), "'events' needs an 'event_header'"),
        (("secret_env: HOOK_SECRET", "secret: s3cret"), "unknown hook setting 'secret'"),
        (("    secret_env: HOOK_SECRET\n", ""), "has no 'secret_env'"),
        (("    start: {", "    starts: {"), "unknown hook setting 'starts'"),
        (("{workflow: triage, inputs", "{inputs"), "has no 'workflow'"),
        (("issue.number", "$.issue..number"), "'inputs' must be a mapping from an input to a dotted name"),
        (("  issues:", "  Issues!:"), "is not a valid name for a hook"),
        (("    start:", "    concurrency: none\n    start:"), "unknown concurrency group 'none'"),
        (("    start:", "    signal: {workflow: ship, event: merged, run: a}\n    start:"), "needs either 'start' or"),
    ],
)
def test_settings_that_cannot_be_meant(project: Project, change: tuple[str, str], said: str) -> None:
    assert change[0] in START
    settings(project, START.replace(*change), accepted=False)
    done = project.run("schedules")
    assert done.status == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("start: {workflow: triage, inputs: {title: a}}", "missing input 'number'"),
        ("start: {workflow: triage, inputs: {number: a, title: b, other: c}}", "unknown input 'other'"),
        ("start: {workflow: nothing}", "nothing"),
        ("signal: {workflow: ship, event: merge, run: a}", "no wait of 'ship' is for the signal 'merge'"),
        ("signal: {workflow: ship, event: merged, inputs: {px: a}}", "unknown input 'px'"),
    ],
)
def test_a_hook_that_could_do_nothing_is_not_accepted(project: Project, does: str, said: str) -> None:
    text = f"hooks:\n  one: {{secret_env: S, verify: bearer, {does}}}\n"
    settings(project, text, accepted=False)
    done = project.run("schedules", "accept", "--yes")
    assert done.status == 1
    assert said in done.err


def test_signals_and_groups_are_shown_before_they_are_accepted(project: Project) -> None:
    settings(
        project,
        """
hooks:
  prs:
    {secret_env: S, verify: {bearer: {header: X-Token}}, events: [merge], event_header: X-Event, delivery_header: X-Id,
     signal: {workflow: ship, event: merged, inputs: {pr: number}}}
""",
        accepted=False,
    )
    said = project.run("schedules", "accept", "--yes").err
    for line in (
        "signed   bearer with S, header X-Token",
        "events   merge (X-Event)",
        "same     X-Id",
        "signal   merged to ship of the runs with these inputs",
        "input    pr = number",
    ):
        assert line in said, said
    listed = project.run("schedules", "--json").json("schedules")
    assert [(one["name"], one["state"]) for one in listed["hooks"]] == [("prs", "accepted")]
