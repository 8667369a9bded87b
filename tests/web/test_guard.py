"""The rules of every request, swept over all routes: each test fails if its rule is taken out of `web/guard.py`."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cli.kit import Project
from ion.web.app import ANSWERS, PAGES, STREAMS
from ion.web.guard import FORM, HEADERS, LONGEST_BODY, TOKEN_SECONDS, Access
from processes import PATIENCE_S, until
from web.kit import Server, is_closed, make_project, serving

GATE = """
name: gate
description: Asks once.
nodes:
  - id: build
    bash: echo built
  - id: ok
    depends_on: [build]
    approval: {message: Is it good?}
"""


# Every path of the table, with the names in it filled in; and what is not in it.
def filled(paths: Iterable[str]) -> list[str]:
    return [path.format(run="r1", node="build", name="gate", file="1-bash.out") for path in paths]


PATHS = [*filled([*PAGES, *STREAMS]), "/static/style.css", "/static/page.js", "/static/idiomorph.js", "/nowhere"]
CHANGES = [path.replace("build", "ok") for path in filled(ANSWERS)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("guard"))
    made.write("gate", GATE)
    assert made.run("run", "gate", "--run-id", "r1", "--quiet").status == 3
    return made


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with serving(project, "--allow-answers") as one:
        yield one


# The limits of a request that does not come whole, in the server's process: a tenth of what they are.
IMPATIENT = """
from functools import partial
from ion.web import connections, guard
guard.Access = partial(guard.Access, body_seconds=1)
connections.limited.__defaults__ = (connections.MOST, 1)
"""


@pytest.fixture(scope="module")
def impatient(project: Project) -> Iterator[Server]:
    with serving(project, "--allow-answers", first=IMPATIENT) as one:
        yield one


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_for_those_who_were_let_in(server: Server, path: str) -> None:
    assert server.get(path, Cookie="").status == 401
    assert server.get(path, Cookie=f"ion-{server.port}=guess").status == 401
    assert server.get(path, Cookie=server.cookie.replace(f"ion-{server.port}", "ion-1")).status == 401
    assert server.get(path).status == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("path", [*PATHS, "/enter"])
def test_a_request_names_this_server_exactly(server: Server, path: str) -> None:
    port = server.port
    for host in (
        f"attacker.example:{port}",
        f"127.0.0.1.attacker.example:{port}",
        f"localhost.attacker.example:{port}",
        f"ion-00000000.localhost:{port}",
        f"0.0.0.0:{port}",
        f"127.0.0.2:{port}",
        f"127.0.0.1:{port + 1}",
        "127.0.0.1",
        "localhost",
        f"LOCALHOST:{port}",
        f"localhost:{port}.",
        f"user@localhost:{port}",
        f"localhost:{port},attacker.example",
        f" localhost:{port}x",
    ):
        assert server.get(path, Host=host).status == 421, host
    assert server.get(path, Host=f"localhost:{port}").status != 421


def test_two_hosts_are_not_one_nor_is_none(server: Server) -> None:
    two = [("Host", server.host), ("Host", "attacker.example"), ("Cookie", server.cookie)]
    assert server.raw("GET", "/", two).status in (400, 421)
    with _connect(server) as one:
        one.sendall(f"GET / HTTP/1.0\r\nCookie: {server.cookie}\r\n\r\n".encode())
        assert one.recv(100).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_other_site_asks_for_a_page(server: Server, path: str, site: str) -> None:
    assert server.get(path, Sec_Fetch_Site=site).status == 403
    assert server.get(path, Sec_Fetch_Site="none").status in (200, 404)


@pytest.mark.parametrize("path", [*PATHS, "/enter"])
@pytest.mark.parametrize("refused", [False, True])
def test_every_answer_tells_the_browser_to_do_nothing_more_with_it(server: Server, path: str, refused: bool) -> None:
    reply = server.get(path, Cookie="") if refused else server.get(path)
    for name, value in HEADERS:
        assert reply.headers[name.decode()] == value.decode()
    assert not [name for name in reply.headers if name.startswith("access-control-")]
    assert "server" not in reply.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    for path in ("/", "/nowhere"):
        assert server.get(path, method).status == 405


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/nowhere"])
def test_a_page_is_not_a_change(server: Server, path: str) -> None:
    """What is read with GET is not there for a POST, even of a form of this session."""
    assert server.post(path, {"csrf": "x"}).status in (403, 405)


def form(server: Server) -> dict[str, str]:
    """What the form of the open gate holds, less the answer."""
    page = server.get("/r/r1").text
    request = re.search(r'name="request" value="([^"]*)"', page)
    assert request is not None
    return {"csrf": server.get("/r/r1").csrf, "request": request[1], "choice": "approve", "comment": ""}


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_comes_from_a_form_of_this_page(server: Server, path: str) -> None:
    """Each of these, and nothing else, is wrong with a request that would be carried out."""
    own, fields = f"http://{server.host}", form(server)
    other = f"http://127.0.0.1:{server.port + 1}"
    assert server.get(path).status == 405
    for origin in (
        "",
        "null",
        "http://attacker.example",
        other,
        own.replace("http:", "https:"),
        f"{own}/",
        f"{own}.evil",
    ):
        assert server.post(path, fields, Origin=origin).status == 403, origin
    for site in ("", "cross-site", "same-site", "none"):
        assert server.post(path, fields, Sec_Fetch_Site=site).status == 403, site
    for wrong in ("", "x", fields["csrf"][:-1], server.cookie.partition("=")[2]):
        assert server.post(path, fields | {"csrf": wrong}).status == 403, wrong
    assert server.post(path, {name: value for name, value in fields.items() if name != "csrf"}).status == 403
    assert server.post(path, fields, Cookie="").status == 401
    assert server.post(path, fields, Host="attacker.example").status == 421
    for kind in ("", "text/plain", "application/json", "multipart/form-data"):
        assert server.post(path, fields, Content_Type=kind).status == 415, kind
    assert server.post(path, fields | {"comment": "x" * (LONGEST_BODY + 1)}).status == 413
    assert server.post(path, fields, Content_Length=str(10**12)).status == 413
    assert "approval_resolved" not in server.get("/r/r1/events").text


@pytest.mark.parametrize("path", CHANGES)
def test_a_body_without_a_length_is_counted(server: Server, path: str) -> None:
    own = [("Host", server.host), ("Cookie", server.cookie), ("Origin", f"http://{server.host}")]
    own += [("Sec-Fetch-Site", "same-origin"), ("Content-Type", FORM), ("Transfer-Encoding", "chunked")]
    with _connect(server) as one:
        head = "".join(f"{name}: {value}\r\n" for name, value in own)
        one.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
        piece = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
        for _ in range(LONGEST_BODY // 0x1000 + 1):
            one.sendall(piece)
        assert one.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", CHANGES)
def test_without_leave_to_answer_nothing_is_changed(project: Project, path: str) -> None:
    with serving(project) as server:
        assert 'name="csrf"' not in server.get("/r/r1").text
        assert 'name="csrf"' not in server.get("/gates").text
        csrf = hmac.new(server.cookie.partition("=")[2].encode(), b"csrf", hashlib.sha256).hexdigest()
        request = project.run("show", "r1", "--json").json()["waiting"][0]
        assert request["node"] == "ok"
        assert server.post(path, {"csrf": csrf, "choice": "approve", "request": "ok-1"}).status == 403


def test_a_body_that_never_comes_is_not_waited_for_for_ever(impatient: Server) -> None:
    own = [("Host", impatient.host), ("Cookie", impatient.cookie), ("Origin", f"http://{impatient.host}")]
    own += [("Sec-Fetch-Site", "same-origin"), ("Content-Type", FORM), ("Content-Length", "100")]
    with _connect(impatient) as one:
        head = "".join(f"{name}: {value}\r\n" for name, value in own)
        one.sendall(f"POST {CHANGES[0]} HTTP/1.1\r\n{head}\r\n".encode())
        assert one.recv(100).startswith(b"HTTP/1.1 408 ")


def test_the_token_works_once(project: Project) -> None:
    with serving(project, enter=False) as server:
        assert server.get("/enter?token=guess", Cookie="").status == 401
        assert server.get("/enter", Cookie="").status == 401
        assert server.get("/enter?token=", Cookie="").status == 401
        first = server.enter()
        assert first.status == 200
        assert first.headers["set-cookie"].partition("; ")[2] == "HttpOnly; SameSite=Strict; Path=/"
        assert first.headers["set-cookie"].startswith(f"ion-{server.port}=")
        kept = server.cookie
        assert server.enter().status == 401
        assert server.get("/", Cookie=kept).status == 200
        again = server.get("/enter?token=old", Cookie=kept)  # the browser that it let in
        assert again.status == 200
        assert "set-cookie" not in again.headers


def test_the_token_works_for_a_minute() -> None:
    now = 0.0
    access = Access(1, ("localhost:1",), now=lambda: now)
    early = access.new_token()
    now = TOKEN_SECONDS - 1
    assert access.exchange(early)
    late = access.new_token()
    now += TOKEN_SECONDS
    assert not access.exchange(late)
    assert not access.exchange("")


def test_a_new_token_makes_the_old_one_worthless() -> None:
    access = Access(1, ("localhost:1",))
    old, new = access.new_token(), access.new_token()
    assert not access.exchange(old)
    assert access.exchange(new)


def test_the_token_stands_in_no_page(server: Server) -> None:
    """Nor does what the cookie holds: a page is saved, printed, sent on."""
    secret = server.cookie.partition("=")[2]
    for path in PATHS:
        assert secret not in server.get(path).text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../guard.py",
        "/static/..%2fguard.py",
        "/static/%2e%2e/guard.py",
        "/static//etc/passwd",
        "/static/idiomorph.LICENSE/",
        "/r/..%2f..%2fetc%2fpasswd",
        "/r/%00",
        "/r/r1%0d%0aSet-Cookie:%20a=b",
        "//attacker.example/",
        "/%5c%5cattacker.example",
        "/r/r1/../../etc/passwd",
        "/enter%0d%0aX-Y:%20z",
    ],
)
def test_no_path_leads_elsewhere(server: Server, path: str) -> None:
    reply = server.get(path)
    assert reply.status in (400, 404), reply.text
    assert "location" not in reply.headers
    assert "set-cookie" not in reply.headers
    assert "root:" not in reply.text


def _connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def test_connections_that_say_nothing_keep_nobody_out(server: Server) -> None:
    from ion.web.connections import MOST

    slow = [_connect(server) for _ in range(MOST + 40)]
    try:
        for one in slow[MOST:]:
            one.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert server.get("/").status == 200
        assert sum(is_closed(one) for one in slow) >= 40  # they made room before the one that asks was let in
    finally:
        for one in slow:
            one.close()


def test_a_request_that_never_ends_is_given_up(impatient: Server) -> None:
    """Its headers come byte by byte, for as long as it is listened to."""
    with _connect(impatient) as one:
        one.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: is_closed(one) or bool(time.sleep(0.2)) or not _sends(one))


def test_the_next_request_of_a_connection_is_given_up_too(impatient: Server) -> None:
    with _connect(impatient) as one:
        head = f"GET / HTTP/1.1\r\nHost: {impatient.host}\r\nCookie: {impatient.cookie}\r\n"
        one.sendall(f"{head}\r\n".encode())
        assert one.recv(1 << 20).startswith(b"HTTP/1.1 200")
        one.sendall(head.encode())
        until(lambda: is_closed(one) or bool(time.sleep(0.2)) or not _sends(one))


def _sends(one: socket.socket) -> bool:
    try:
        one.sendall(b"x")
    except OSError:
        return False
    return True


def test_a_head_that_is_too_long_is_refused(server: Server) -> None:
    assert server.get("/", X_Long="x" * 100_000).status in (400, 431)
    assert server.get("/").status == 200


def test_it_listens_on_loopback_alone(server: Server) -> None:
    ours = f"{server.port:04X}"
    places = [
        line.split()[1]
        for name in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(name).exists()
        for line in Path(name).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{ours}")
    ]
    assert places
    assert {place.partition(":")[0] for place in places} <= {"0100007F", "00000000000000000000000001000000"}
