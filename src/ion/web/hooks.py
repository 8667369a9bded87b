"""The listener for webhooks: `POST /hooks/NAME`, and nothing else.

Whoever can reach it may send anything, so a stranger's request is only read, up to a limit, and held against the
secret: no file and no store is asked before its sender is known. A name that is not a hook's costs the same and is
answered in the same way as a wrong signature. It needs no name of its own, as the page does: there is nothing to read
here, no cookie is known, and a program in front of it, a tunnel or a proxy, calls it as it likes.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Mapping

from msgspec import Struct, field
from starlette.concurrency import run_in_threadpool

from ion.api.acceptance import judge_hook, read_acceptance
from ion.api.deployment import Hook, seconds_of
from ion.api.hooks import Delivery, deliver
from ion.api.schedules import why_not_in_effect
from ion.errors import IonError, UsageError
from ion.views.masking import hide_variables, masked
from ion.web.guard import HEADERS, LONGEST_HEAD, Receive, RefusedRequest, Scope, Send, headers_of, read_body
from ion.web.site import Site

LONGEST_BODY = 1024 * 1024
BODY_SECONDS = 10
CONNECTIONS = 32
TOLERANCE = "5m"
# What Slack and Zoom sign.
SIGNED = "v0:{timestamp}:{body}"
_GITHUB = {"header": "X-Hub-Signature-256"}
# What is the sender's fault; all else is ours, and the sender may try again.
_FAULTS = {"bad-json": 400, "missing-field": 422, "inputs": 422}
_SAID = 200


class Secret(Struct, frozen=True):
    """A hook as it was when the server began, and the value of its secret."""

    hook: Hook
    value: bytes


def read_secrets(site: Site) -> dict[str, Secret]:
    """The hooks of the settings. Their secrets leave the environment, so that no program of a run is given them, and
    are masked in all that is shown. Raises `UsageError` if the settings have none, or if a secret is not set."""
    hooks = site.workspace.settings.hooks
    if not hooks:
        raise UsageError("this project has no hooks", hint="'hooks:' in .ion/config.yaml names them")
    unset = [f"{name}: {hook.secret_env}" for name, hook in hooks.items() if not os.environ.get(hook.secret_env)]
    if unset:
        message = f"the secrets of these hooks are not set, or empty: {', '.join(unset)}"
        raise UsageError(message, hint="without its secret a hook would take anybody's word", code="missing-secret")
    names = [hook.secret_env for hook in hooks.values()]
    hide_variables(names)
    found = {name: Secret(hook, os.environb[hook.secret_env.encode()]) for name, hook in hooks.items()}
    for name in names:
        os.environ.pop(name, None)
    return found


def say_hooks(site: Site, hooks: Mapping[str, Secret], port: int) -> None:
    """Tell the person at the terminal where the hooks are, and which of them do nothing."""
    acceptance = read_acceptance(site.workspace)
    for name in hooks:
        judged = judge_hook(site.workspace, name, acceptance)
        note = "" if judged.state == "accepted" else f"  does nothing: {why_not_in_effect(judged)}"
        site.say(f"POST http://127.0.0.1:{port}/hooks/{name}{note}")


class Listener(Struct):
    """The ASGI application."""

    site: Site
    hooks: Mapping[str, Secret]
    said: set[str] = field(default_factory=set)
    stranger: Secret = field(
        default_factory=lambda: Secret(Hook(secret_env="", verify="github-sha256"), secrets.token_bytes(32))
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            status, text = await self._answer(scope, receive)
        except RefusedRequest as refused:
            status, text = refused.status, str(refused)
        except Exception as error:  # noqa: BLE001 a bug of ours: said, and the server continues
            self._say(f"hooks: {error!r}")
            status, text = 500, "this failed"
        body = f"{text}\n".encode() if text and scope["method"] != "HEAD" else b""
        # What is left of a body that nobody reads would be taken for the next request.
        own = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        own += [] if status == 204 else [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": [*own, *HEADERS]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, str]:
        path, headers = scope["path"], headers_of(scope)
        if scope["method"] != "POST" or not re.fullmatch(r"/hooks/[^/]+", path):
            raise RefusedRequest(404, "not found")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEAD:
            raise RefusedRequest(431, "the head of the request is too long")
        kind = b"".join(headers.get(b"content-type", ())).partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RefusedRequest(415, "expected application/json")
        body = await read_body(headers, receive, most=LONGEST_BODY, seconds=BODY_SECONDS)
        name = path.removeprefix("/hooks/")
        known = self.hooks.get(name, self.stranger)
        if not is_signed(known, headers, body, time.time()) or known is self.stranger:
            if name in self.hooks:
                self._say(f"hooks: {name}: refused a request that is not signed with {known.hook.secret_env}")
            raise RefusedRequest(401, "the request is not signed as it must be")
        return await run_in_threadpool(self._deliver, name, known, headers, body)

    def _deliver(self, name: str, known: Secret, headers: dict[bytes, list[bytes]], body: bytes) -> tuple[int, str]:
        is_github = known.hook.verifier[0] == "github-sha256"
        event_header = known.hook.event_header or ("X-GitHub-Event" if is_github else "")
        id_header = known.hook.delivery_header or ("X-GitHub-Delivery" if is_github else "")
        delivery = Delivery(hook=name, body=body, id=_one(headers, id_header), event=_one(headers, event_header))
        try:
            with contextlib.closing(self.site.fresh("hook")) as workspace:
                if workspace.settings.hooks.get(name) != known.hook:
                    self._say(f"hooks: {name} has changed in the settings; start ion serve again")
                    return 503, "not now"
                done = deliver(workspace, delivery)
        except IonError as error:
            self._say(f"hooks: {name}: {error.message}")
            status = _FAULTS.get(error.error_code, 503)
            return status, masked(error.message) if status != 503 else "not now"
        if not done.known and known.hook.signal is not None:
            self.site.signalled.update(done.runs)
        for run_id in () if done.known else done.runs:
            self.site.say(f"hook {name}: {'sent to' if known.hook.signal else 'started'} {run_id}")
        return (202, "taken") if done.runs else (204, "")

    def _say(self, line: str) -> None:
        """Each line once, and not without end: a stranger may cause them."""
        if line not in self.said and len(self.said) < _SAID:
            self.said.add(line)
            self.site.say(line)


def is_signed(secret: Secret, headers: dict[bytes, list[bytes]], body: bytes, now: float) -> bool:
    """Whether who sent this knows the secret. `now` is in seconds since the epoch."""
    name, options = secret.hook.verifier
    if name == "bearer":
        own = options.get("header")
        given, wanted = _one(headers, own or "Authorization"), secret.value if own else b"Bearer " + secret.value
        return hmac.compare_digest(given.encode("latin-1"), wanted)
    options = _GITHUB if name == "github-sha256" else options
    given, signed = _one(headers, options["header"]), body
    if "timestamp_header" in options:
        stamp = _one(headers, options["timestamp_header"])
        seconds = int(stamp) if re.fullmatch(r"[0-9]{1,15}", stamp) else 0
        if abs(now - seconds) > seconds_of(options.get("tolerance", TOLERANCE)):
            return False
        before, after = options.get("signed", SIGNED).replace("{timestamp}", stamp).split("{body}", 1)
        signed = before.encode() + body + after.encode()
    digest = hmac.new(secret.value, signed, "sha256").hexdigest()
    return hmac.compare_digest(re.sub(r"\A[a-z0-9]{1,10}=", "", given).encode("latin-1"), digest.encode())


def _one(headers: dict[bytes, list[bytes]], name: str) -> str:
    """The header's value, '' if it is not there, or there more than once."""
    values = headers.get(name.lower().encode(), [])
    return values[0].decode("latin-1") if len(values) == 1 else ""
