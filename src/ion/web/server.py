"""The server: sockets on loopback and nowhere else, the printed address, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from ion.errors import UsageError
from ion.web import clock
from ion.web.app import application
from ion.web.connections import MOST as CONNECTIONS_OF_PAGE
from ion.web.connections import limited
from ion.web.guard import ENTRANCE, LONGEST_HEAD, Access, App, Guard
from ion.web.hooks import CONNECTIONS as CONNECTIONS_OF_HOOKS
from ion.web.hooks import Listener, read_secrets, say_hooks
from ion.web.site import Site

_TRIES = 20
_USUAL_PORT = 80
_RESOLVE_SECONDS = 1
# So long a page that is being sent may take at the end; an event stream ends at once.
_GRACE_SECONDS = 1


def serve(site: Site, *, port: int = 0, open_page: bool = False, hooks_port: int | None = None) -> None:
    """Serve until a signal; with `hooks_port` also webhooks, at that port. Raises `UsageError` if a port is taken, or a
    hook has no secret."""
    secrets_of_hooks = read_secrets(site) if hooks_port is not None else {}
    sockets = listen(port)
    port = sockets[0].getsockname()[1]
    names = [name for name in (loopback_name(), "127.0.0.1", "localhost") if name]
    names += ["[::1]"] if len(sockets) > 1 else []
    access = site.access = Access(port, hosts_of(names, port))
    page = Guard(application(site), access, writable=site.allow_answers)
    servers = [(_Server(page, most=CONNECTIONS_OF_PAGE), sockets)]
    if hooks_port is not None:
        hook_sockets = listen(hooks_port)
        servers.append((_Server(Listener(site, secrets_of_hooks), most=CONNECTIONS_OF_HOOKS), hook_sockets))
    with _door(access) as door:
        site.say(f"Ion shows {site.workspace.project}")
        target = address(access)
        site.say(target)
        if hooks_port is not None:
            say_hooks(site, secrets_of_hooks, hook_sockets[0].getsockname()[1])
        site.say(f"It opens once, within a minute.{' Enter: a new address.' if _has_keys() else ''} Ctrl-C: the end.")
        if open_page:
            _open(door, target)
        asyncio.run(_run(site, servers, lambda: site.say(address(access))))


def hosts_of(names: Sequence[str], port: int) -> tuple[str, ...]:
    """What browsers call a server with these names: its usual port they leave out."""
    return tuple(name if port == _USUAL_PORT else f"{name}:{port}" for name in names)


def address(access: Access) -> str:
    """An address that lets one in."""
    return f"http://{access.hosts[0]}{ENTRANCE}?token={access.new_token()}"


def listen(port: int) -> list[socket.socket]:
    """Sockets on 127.0.0.1 and, where there is one, ::1, both on the same port: a name of loopback may mean either.
    Raises `UsageError` if the port is taken."""
    for _ in range(_TRIES if port == 0 else 1):
        with contextlib.ExitStack() as opened:
            try:
                first = opened.enter_context(_bind(socket.AF_INET, "127.0.0.1", port))
                found = [first]
                if _has_ipv6():
                    found.append(opened.enter_context(_bind(socket.AF_INET6, "::1", first.getsockname()[1])))
            except OSError as error:
                problem = error
                continue
            opened.pop_all()
            return found
    raise UsageError(
        f"port {port} of this machine cannot be used: {problem.strerror}", hint="--port 0 takes a free one"
    )


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(64)
    except OSError:
        made.close()
        raise
    return made


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def loopback_name() -> str:
    """A name of this machine that no other server on it has, so that its pages are of another site than theirs; '' if
    such names are not resolved here."""
    name = f"ion-{secrets.token_hex(4)}.localhost"
    found: list[str] = []

    def look_up() -> None:
        with contextlib.suppress(OSError):
            found.extend(str(one[4][0]) for one in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))

    asking = threading.Thread(target=look_up, daemon=True)  # where it is asked of a network, that may be away
    asking.start()
    asking.join(_RESOLVE_SECONDS)
    return name if found and all(one in ("127.0.0.1", "::1") for one in found) else ""


@contextlib.contextmanager
def _door(access: Access) -> Iterator[Path]:
    """The file that leads to the page, for programs that open one: on their command line, which every user of the
    machine can read, no token stands."""
    with tempfile.TemporaryDirectory(prefix=f"ion-{access.port}-") as folder:
        yield Path(folder) / "open.html"


def _open(door: Path, target: str) -> None:
    """Open the page in the user's browser."""
    import webbrowser

    descriptor = os.open(door, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 it is a descriptor
        file.write('<!doctype html><meta charset="utf-8"><title>Ion</title><meta http-equiv="refresh" ')
        file.write(f'content="0;url={target}"><p><a href="{target}">open Ion</a></p>\n')
    webbrowser.open(door.as_uri())


class _Server(uvicorn.Server):
    """uvicorn, quiet, and without its handling of signals."""

    def __init__(self, app: App, *, most: int) -> None:
        config = uvicorn.Config(
            app,
            http=limited(most),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            date_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(site: Site, servers: list[tuple[_Server, list[socket.socket]]], on_enter: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        site.ended.set()
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    if _has_keys():
        loop.add_reader(sys.stdin, _read_line, on_enter)
    ticking = asyncio.create_task(clock.run(site)) if site.clock or len(servers) > 1 else None
    if ticking is not None:  # should it end by a fault of ours, so does all: a clock that stands still is worse
        ticking.add_done_callback(lambda _: end())
    await asyncio.gather(*(server.serve(sockets=sockets) for server, sockets in servers))
    if ticking is not None:
        await ticking


def _has_keys() -> bool:
    """Whether a person may press a key here."""
    return sys.stdin is not None and sys.stdin.isatty()


def _read_line(then: Callable[[], None]) -> None:
    if os.read(0, 4096):
        then()
    else:
        asyncio.get_running_loop().remove_reader(sys.stdin)
