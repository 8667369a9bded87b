"""Digests of texts and bytes. What makes them is loaded by the first one: to list runs needs none, and to load OpenSSL
takes as long as to read the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def sha256() -> _Hash:
    """A new sha256, to be told what it is of."""
    import hashlib

    return hashlib.sha256()


def sha256_of(data: bytes) -> str:
    """The sha256 of these bytes, in hex."""
    digest = sha256()
    digest.update(data)
    return digest.hexdigest()
