"""The values of secrets, written as `***` wherever text is shown or exported; what is stored stays exact.

`mask` is the one rule: every occurrence of a value, of one of its lines, or of what JSON makes of it. A value (or line)
of fewer than four characters is not masked, since half of all texts would be stars. What a program made of a secret
(base64, a part of it) is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO

MASK = "***"
SHORTEST = 4
_CHUNK_BYTES = 1 << 18


def secret_values(names: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values that these variables have, each once; one that is not set has none."""
    return tuple(dict.fromkeys(environ[name] for name in names if environ.get(name)))


def mask(text: str, secrets: tuple[str, ...]) -> str:
    """`text` with `***` for each of these values."""
    found = _pattern(secrets) if secrets else None
    return found.sub(MASK, text) if found is not None else text


def mask_json(value: Any, secrets: tuple[str, ...]) -> Any:
    """JSON with every text in it masked. The names of fields stay."""
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {key: mask_json(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_json(item, secrets) for item in value]
    return value


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
    """What is known of `data` whatever follows: all before `limit`, and a value that begins there. With its end."""
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


def _forms(secrets: tuple[str, ...]) -> list[str]:
    """What is looked for, longest first, so that a value goes before one that is a part of it."""
    import json

    written = [form for value in secrets for form in (value, value.strip(), *map(str.strip, value.splitlines()))]
    escaped = [json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in written for ascii_only in (True, False)]
    forms = {form for form in (*written, *escaped) if len(form) >= SHORTEST}
    return sorted(forms, key=lambda form: (-len(form), form))


@lru_cache(maxsize=16)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    forms = _forms(secrets)
    return re.compile("|".join(map(re.escape, forms))) if forms else None


@lru_cache(maxsize=16)
def _bytes_pattern(secrets: tuple[str, ...]) -> re.Pattern[bytes] | None:
    forms = [form.encode("utf-8", "surrogateescape") for form in _forms(secrets)]
    return re.compile(b"|".join(map(re.escape, forms))) if forms else None
