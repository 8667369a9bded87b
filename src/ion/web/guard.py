"""Who may ask what: every request passes here before a page sees it, and every response leaves with the headers that
keep a browser from doing more with it than show it.

A page on loopback is in reach of every program on the machine and of every web site that the user's browser is on. So
each request must name this server exactly (`Host`; a name that an attacker points at 127.0.0.1 is not one of them),
must come from a page of this server or from the address bar (`Sec-Fetch-Site`), and must carry the cookie for which the
token of the printed address was exchanged. A change must besides come from this very origin and carry a token of a form
that this session was shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from msgspec import Struct, field

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

ENTRANCE = "/enter"
TOKEN_SECONDS = 60
LONGEST_HEAD = 16 * 1024
LONGEST_BODY = 64 * 1024
BODY_SECONDS = 10
FORM = "application/x-www-form-urlencoded"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# The navigation to the first page begins here, so that a browser sends the cookie along: to one that began at another
# site, or in a file, it would not.
_WELCOME = '<!doctype html><meta charset="utf-8"><title>Ion</title><link rel="icon" href="data:,">\
<meta http-equiv="refresh" content="0;url=/"><p><a href="/">continue</a></p>\n'


class Access(Struct, dict=True):
    """What is known of one server: under which hosts (`name:port`) it is reached, and who has been let in. `now` is a
    clock in seconds."""

    port: int
    hosts: tuple[str, ...]
    now: Callable[[], float] = time.monotonic
    longest_body: int = LONGEST_BODY
    body_seconds: float = BODY_SECONDS
    token: str = ""
    _until: float = 0
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def new_token(self) -> str:
        """A token for the next one who comes; the one before is not valid any more."""
        self.token, self._until = secrets.token_urlsafe(32), self.now() + TOKEN_SECONDS
        return self.token

    def exchange(self, token: str) -> bool:
        """Whether this token lets somebody in; it does so once."""
        fits = bool(self.token) and self.now() < self._until and _same(token, self.token)
        if fits:
            self.token = ""
        return fits

    @property
    def cookie_name(self) -> str:
        """Named per port: browsers send the cookies of a host to all of its ports."""
        return f"ion-{self.port}"

    @property
    def cookie(self) -> str:
        return f"{self.cookie_name}={self._session}; HttpOnly; SameSite=Strict; Path=/"

    def knows(self, cookies: str) -> bool:
        """Whether the one who sends these cookies was let in."""
        found = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == self.cookie_name and _same(value, self._session) for name, _, value in found)

    @property
    def csrf(self) -> str:
        """What a form of this session carries."""
        return hmac.new(self._session.encode(), b"csrf", hashlib.sha256).hexdigest()

    def allows(self, csrf: str) -> bool:
        return _same(csrf, self.csrf)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


class RefusedRequest(Exception):  # noqa: N818 it is an answer
    """A request that no page sees."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """The application behind all checks. `writable`: changes may be asked for at all."""

    def __init__(self, app: App, access: Access, *, writable: bool) -> None:
        self._app = app
        self._access = access
        self._writable = writable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [one for one in message.get("headers", ()) if one[0].lower() not in _NAMES]
                message = {**message, "headers": [*kept, *HEADERS]}
            await send(message)

        try:
            headers = headers_of(scope)
            if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEAD:
                raise RefusedRequest(431, "the head of the request is too long")
            self._require_host(headers)
            if scope["path"] == ENTRANCE:
                await self._enter(scope, headers, guarded)
                return
            self._require_session(headers)
            if scope["method"] == "POST":
                self._require_origin(headers)
                scope["form"] = await self._form(headers, receive)
            elif scope["method"] not in ("GET", "HEAD"):
                raise RefusedRequest(405, "this page answers GET and POST")
        except RefusedRequest as refused:
            await _answer(guarded, refused.status, str(refused), scope["method"])
            return
        await self._app(scope, receive, guarded)

    def _require_host(self, headers: dict[bytes, list[bytes]]) -> None:
        given = headers.get(b"host", [])
        if len(given) != 1 or given[0].decode("latin-1") not in self._access.hosts:
            raise RefusedRequest(421, "this server is not known by that name; use the address that ion serve printed")

    def _require_session(self, headers: dict[bytes, list[bytes]]) -> None:
        if any(site not in (b"same-origin", b"none") for site in headers.get(b"sec-fetch-site", ())):
            raise RefusedRequest(403, "another site asked for this page")
        if not self._access.knows(_cookies(headers)):
            raise RefusedRequest(
                401, "open the address that ion serve printed; it works once. Enter, pressed there, prints a new one."
            )

    def _require_origin(self, headers: dict[bytes, list[bytes]]) -> None:
        host = headers[b"host"][0]
        if not self._writable:
            raise RefusedRequest(403, "this page only shows; ion serve --allow-answers lets it answer")
        if headers.get(b"origin") != [b"http://" + host]:
            raise RefusedRequest(403, "the request does not come from this page")
        if headers.get(b"sec-fetch-site") != [b"same-origin"]:
            raise RefusedRequest(403, "the browser does not say that the request comes from this page")

    async def _form(self, headers: dict[bytes, list[bytes]], receive: Receive) -> dict[str, str]:
        """The fields of the body, once its token was checked."""
        kind = b"".join(headers.get(b"content-type", ())).partition(b";")[0].strip().lower()
        if kind != FORM.encode():
            raise RefusedRequest(415, f"expected a form ({FORM})")
        body = await read_body(headers, receive, most=self._access.longest_body, seconds=self._access.body_seconds)
        try:
            found = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError:
            raise RefusedRequest(400, "the form cannot be read") from None
        fields = {name: values[0] for name, values in found.items() if len(values) == 1}
        if not self._access.allows(fields.pop("csrf", "")):
            raise RefusedRequest(403, "the form is of another session; load the page again")
        return fields

    async def _enter(self, scope: Scope, headers: dict[bytes, list[bytes]], send: Send) -> None:
        if scope["method"] != "GET":
            raise RefusedRequest(405, "this address is opened with GET")
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._access.exchange(token):
            await _send(send, 200, _WELCOME, "GET", (b"set-cookie", self._access.cookie.encode()))
        elif self._access.knows(_cookies(headers)):  # the address again, in the browser that it let in
            await _send(send, 200, _WELCOME, "GET")
        else:
            raise RefusedRequest(
                401, f"this address works once, for {TOKEN_SECONDS} s. Enter, pressed at ion serve, prints a new one."
            )


_NAMES = frozenset(name for name, _ in HEADERS)


def headers_of(scope: Scope) -> dict[bytes, list[bytes]]:
    """The headers of a request, by their names in small letters."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


async def read_body(headers: dict[bytes, list[bytes]], receive: Receive, *, most: int, seconds: float) -> bytes:
    """The body of a request. Raises `RefusedRequest` if it is longer than `most` bytes or takes too long."""
    announced = b"".join(headers.get(b"content-length", ()))
    if announced.isdigit() and int(announced[:20]) > most:
        raise RefusedRequest(413, f"the body is longer than {most:,} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedRequest(400, "the request ended early")
                body += message.get("body", b"")
                if len(body) > most:
                    raise RefusedRequest(413, f"the body is longer than {most:,} bytes")
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise RefusedRequest(408, "the request took too long") from None


def _cookies(headers: dict[bytes, list[bytes]]) -> str:
    return b"; ".join(headers.get(b"cookie", ())).decode("latin-1")


async def _answer(send: Send, status: int, message: str, method: str) -> None:
    body = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Ion</title><p>{escape(message)}</p></html>\n'
    # What is left of a body that nobody reads would be taken for the next request.
    await _send(send, status, body, method, (b"connection", b"close"))


async def _send(send: Send, status: int, body: str, method: str, *headers: tuple[bytes, bytes]) -> None:
    data = body.encode()
    length = (b"content-length", str(len(data)).encode())
    start = [(b"content-type", b"text/html; charset=utf-8"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else data})
