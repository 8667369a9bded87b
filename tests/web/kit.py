"""`ion serve` as a process, and a client that says exactly what a test wants to say."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from cli.kit import COMMAND, Project
from processes import PATIENCE_S


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def csrf(self) -> str:
        """The token of the first form on the page."""
        found = re.search(r'name="csrf" value="([^"]*)"', self.text) or re.search(
            r'value="([^"]*)" name="csrf"', self.text
        )
        assert found is not None, "the page has no form"
        return found[1]


@dataclass
class Server:
    """A server that runs. `cookie` is what it gave for its token, once somebody entered."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str]
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def raw(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
        """A request with these headers and no others."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            endless = found.get("content-type", "").startswith("text/event-stream")
            return Reply(response.status, found, response.readline() if endless else response.read())
        finally:
            connection.close()

    def enter(self) -> Reply:
        """Exchange the token of the printed address for a cookie."""
        parts = urlsplit(self.address)
        reply = self.raw("GET", f"{parts.path}?{parts.query}", [("Host", self.host)])
        self.cookie = reply.headers.get("set-cookie", "").partition(";")[0]
        return reply

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """A page, as somebody who was let in. A header given as '' is left out."""
        return self.raw(method, path, self._headers({}, headers))

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        """A form of a page of this server."""
        body = urlencode(fields).encode()
        own = {
            "Origin": f"http://{self.host}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
        }
        return self.raw("POST", path, self._headers(own, headers), body)

    def _headers(self, own: dict[str, str], changed: dict[str, str]) -> list[tuple[str, str]]:
        given = {"Host": self.host, "Cookie": self.cookie, **own}
        given |= {name.replace("_", "-"): value for name, value in changed.items()}
        return [(name, value) for name, value in given.items() if value]


@contextmanager
def serving(
    project: Project, *arguments: str, enter: bool = True, first: str = "", **environment: str
) -> Iterator[Server]:
    """`ion serve ARGUMENTS` until the end of the `with`, then ended by Ctrl-C; `first` is Python code that its process
    runs before."""
    program = [sys.executable, "-P", "-c", f"{first}\nfrom ion.cli.main import main\nmain()"] if first else COMMAND
    process = subprocess.Popen(
        [*program, "serve", *arguments],
        cwd=project.folder,
        env=project.environment(**environment),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if line.startswith("It opens once"):
                break
        address = next((line for line in lines if line.startswith("http://")), "")
        assert address, lines
        server = Server(process, address, lines)
        if enter:
            assert server.enter().status == 200
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
        process.stderr.close() if process.stderr is not None else None


def make_project(folder: Path) -> Project:
    """An empty project."""
    (folder / ".ion" / "workflows").mkdir(parents=True)
    return Project(folder)


def is_closed(one: socket.socket) -> bool:
    """Whether it is closed, once all that came was read."""
    one.setblocking(False)
    try:
        while one.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
