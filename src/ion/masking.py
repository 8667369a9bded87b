"""The values of secrets, written as `***` wherever text is shown or exported; stored data stays exact.

`mask` is the one rule: it replaces every occurrence of a value, of one of its lines, or of its form in JSON, Python or
a URL, also where a text that was cut (`head`, `tail`) ends in the middle of one. A value (or line) of fewer than four
characters is not masked, since it would match too much. What a program made of a secret (base64, a part of it) is not
recognised.

`mask_messages` is for everything recorded as a message, and `api.hidden` for everything shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO, TypeVar

MASK = "***"
CUT = "…"
SHORTEST = 4
_AROUND = " \n'\""
_CHUNK_BYTES = 1 << 18
# The fields of events and outcomes that hold messages, and records or tables in which there are some.
_MESSAGES = frozenset(("message", "hint", "detail", "notes", "reask", "stderr"))
_WITH_MESSAGES = frozenset(("error", "questions", "reply", "values"))
# Elsewhere a reason is a word of Ion's own.
_WITH_A_REASON = frozenset(("workflow_cancelled", "cancel_requested"))
# What is not quite a URL is shown too, in the error that says so.
_LOGIN = re.compile(
    r"\A(\s*[A-Za-z][A-Za-z0-9+.-]*://[^:@/?#]*):(?!\d{0,5}(?:[/?#]|\Z))(?:([^/?#]*)@|(.*)@)", re.DOTALL
)
_Record = TypeVar("_Record")


def head(text: str, limit: int) -> str:
    """The text, or its first characters and a mark that more followed."""
    return text if len(text) <= limit else f"{text[: limit - 1]}{CUT}"


def tail(text: str, limit: int) -> str:
    """The text, or its last characters and a mark that more came before."""
    return text if len(text) <= limit else f"{CUT}{text[len(text) - limit + 1 :].lstrip()}"


def without_password(url: str) -> str:
    """A URL without its password."""
    address, mark, query = _LOGIN.sub(r"\1@", url).partition("?")
    kept = "&".join(part for part in query.split("&") if not _is_password(part))
    return f"{address}{mark}{kept}" if kept else address


def passwords(url: str) -> tuple[str, ...]:
    """The passwords in a URL, as they are written and as they are meant."""
    from urllib.parse import unquote

    login = _LOGIN.match(url)
    found = [login[2] or login[3] or ""] if login else []
    rest = url[login.end() :] if login else url
    found += [part.partition("=")[2] for part in rest.partition("?")[2].split("&") if _is_password(part)]
    return tuple(dict.fromkeys(one for written in found for one in (written, unquote(written)) if one))


def _is_password(part: str) -> bool:
    from urllib.parse import unquote

    return unquote(part.partition("=")[0]) in ("password", "sslpassword")


def secret_values(names: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of these variables, each once; an unset variable has none."""
    return tuple(dict.fromkeys(environ[name] for name in names if environ.get(name)))


def mask(text: str, secrets: tuple[str, ...]) -> str:
    """`text` with `***` for each of these values."""
    found = _pattern(secrets) if secrets else None
    if found is None:
        return text
    shown = found.sub(MASK, text)
    return _mask_cuts(shown, _forms(secrets)) if CUT in shown else shown


def _mask_cuts(text: str, forms: tuple[str, ...]) -> str:
    """The text without the beginning of a secret before a cut, and without the end of one after it. Blanks and
    quotes may be between."""
    first, *others = text.split(CUT)
    parts = [first]
    for part in others:
        before = parts[-1].rstrip(_AROUND)
        after = part.lstrip(_AROUND)
        parts[-1] = _without_beginning(before, forms) + parts[-1][len(before) :]
        parts.append(part[: len(part) - len(after)] + _without_end(after, forms))
    return CUT.join(parts)


def _without_beginning(part: str, forms: tuple[str, ...]) -> str:
    at = len(part)
    for form in forms:
        found = part.find(form[:SHORTEST], max(0, len(part) - len(form)))
        while 0 <= found < at and not form.startswith(part[found:]):
            found = part.find(form[:SHORTEST], found + 1)
        at = found if 0 <= found < at else at
    return part if at == len(part) else part[:at] + MASK


def _without_end(part: str, forms: tuple[str, ...]) -> str:
    done = 0
    for form in forms:
        found = part.rfind(form[-SHORTEST:], 0, len(form))
        while found >= 0 and not form.endswith(part[: found + SHORTEST]):
            found = part.rfind(form[-SHORTEST:], 0, found + SHORTEST - 1)
        done = max(done, found + SHORTEST if found >= 0 else 0)
    return MASK + part[done:] if done else part


def mask_json(value: Any, secrets: tuple[str, ...]) -> Any:
    """JSON with every text in it masked. The names of fields stay."""
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {key: mask_json(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_json(item, secrets) for item in value]
    return value


def mask_messages(record: _Record, secrets: tuple[str, ...]) -> _Record:
    """An event, or the outcome of a turn, with every message in it masked; outputs stay exact."""
    return record if not secrets else _masked_record(record, secrets)


def _masked_record(record: Any, secrets: tuple[str, ...]) -> Any:
    from msgspec import structs

    changed: dict[str, Any] = {}
    free = _MESSAGES | {"reason"} if getattr(record, "type", "") in _WITH_A_REASON else _MESSAGES
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if value and name in free:
            changed[name] = type(value)(mask_json(value, secrets))
        elif value and name in _WITH_MESSAGES:
            changed[name] = _masked_within(value, secrets)
    return structs.replace(record, **changed) if changed else record


def _masked_within(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return mask(value, secrets)
    if hasattr(value, "__struct_fields__"):
        return _masked_record(value, secrets)
    if isinstance(value, Mapping):  # what conditions will need, or why there is none
        return {key: _masked_record(one, secrets) for key, one in value.items()}
    return tuple(_masked_record(one, secrets) for one in value)


def mask_stream(stream: BinaryIO, secrets: tuple[str, ...]) -> Iterator[bytes]:
    """The bytes of a stream to its end, masked; a value is found wherever a chunk ends."""
    found = _bytes_pattern(secrets) if secrets else None
    longest = longest_form(secrets)
    kept = b""
    while chunk := stream.read(_CHUNK_BYTES):
        if found is None:
            yield chunk
            continue
        kept += chunk
        shown, done = _replaced(kept, found, len(kept) - longest)
        kept = kept[done:]
        yield shown
    if found is not None and kept:
        yield found.sub(MASK.encode(), kept)


def _replaced(data: bytes, pattern: re.Pattern[bytes], limit: int) -> tuple[bytes, int]:
    """The masked part of `data` that is final whatever follows: all before `limit`, and a value that begins there.
    Also its end."""
    parts, done = [], 0
    for match in pattern.finditer(data):
        if match.start() >= limit:
            break
        parts += [data[done : match.start()], MASK.encode()]
        done = match.end()
    if limit > done:
        parts.append(data[done:limit])
        done = limit
    return b"".join(parts), done


def longest_form(secrets: tuple[str, ...]) -> int:
    """The length in bytes of the longest text that is masked."""
    return max((len(form.encode("utf-8", "surrogateescape")) for form in _forms(secrets)), default=0)


@lru_cache(maxsize=16)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The texts to look for, longest first, so that a value is replaced before one that is part of it."""
    import json
    from urllib.parse import quote

    written = [form for value in secrets for form in (value, value.strip(), *map(str.strip, value.splitlines()))]
    escaped = [json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in written for ascii_only in (True, False)]
    shown = [form.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for form in written]
    others = [made for form in written for made in (repr(form)[1:-1], quote(form, safe="", errors="surrogateescape"))]
    forms = {form for form in (*written, *escaped, *shown, *others) if len(form) >= SHORTEST}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


@lru_cache(maxsize=16)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    forms = _forms(secrets)
    return re.compile("|".join(map(re.escape, forms))) if forms else None


@lru_cache(maxsize=16)
def _bytes_pattern(secrets: tuple[str, ...]) -> re.Pattern[bytes] | None:
    forms = [form.encode("utf-8", "surrogateescape") for form in _forms(secrets)]
    return re.compile(b"|".join(map(re.escape, forms))) if forms else None
