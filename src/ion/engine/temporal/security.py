"""Who may speak with a cluster's workers: the connection's own security, and a key that clients and workers share.

With a key every payload is encrypted and authenticated, and bound to the workflow that it belongs to. Whoever reaches
the cluster without the key can neither read what passes through it nor give a worker orders: it can stop, delay or
repeat a run's drive, but not change its result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.service import TLSConfig

from ion.engine.temporal.cluster import Cluster
from ion.errors import UsageError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_ENCODING = b"binary/ion-aes-256-gcm"
# No converter knows this encoding: what was not made with the key fails where it is read, and nothing else with it.
_REFUSED = Payload(metadata={"encoding": b"ion/not-made-with-the-key"})


class Encryption(PayloadCodec, WithSerializationContext):
    """AES-256-GCM over whole payloads. The first key encrypts, each of them decrypts; `place` is what the payloads
    are bound to. A payload that was not made with one of the keys for this place cannot be read."""

    def __init__(self, keys: Sequence[bytes], place: bytes = b"") -> None:
        self._keys, self._place = keys, place

    def with_context(self, context: SerializationContext) -> Encryption:
        assert isinstance(context, WorkflowSerializationContext | ActivitySerializationContext)
        return Encryption(self._keys, f"{context.namespace}\n{context.workflow_id}".encode())

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        data = AESGCM(self._keys[0]).encrypt(nonce, payload.SerializeToString(), self._place)
        return Payload(metadata={"encoding": _ENCODING}, data=nonce + data)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return _REFUSED
        nonce, data = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        for key in self._keys:
            try:
                return Payload.FromString(AESGCM(key).decrypt(nonce, data, self._place))
            except (InvalidTag, ValueError):
                continue
        return _REFUSED


def connection(cluster: Cluster, environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `Client.connect`. Raises `UsageError` for a variable that is not set, or a file that cannot
    be read."""
    made: dict[str, Any] = {"namespace": cluster.namespace}
    if cluster.key_env is not None:
        made["data_converter"] = replace(
            DataConverter.default,
            payload_codec=Encryption(_keys(cluster.key_env, environ)),
            failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        )
    if cluster.api_key_env is not None:
        made["api_key"] = _secret(cluster.api_key_env, environ)
    if any((cluster.tls, cluster.ca, cluster.cert, cluster.server_name, cluster.api_key_env)):
        made["tls"] = TLSConfig(
            server_root_ca_cert=_read(cluster.ca),
            domain=cluster.server_name,
            client_cert=_read(cluster.cert),
            client_private_key=_read(cluster.cert_key),
        )
    return made


def _secret(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "")
    if not value:
        raise UsageError(
            f"the engine needs the environment variable {name}, and it is not set",
            hint="its value is the same for all who work for these runs, or ask something of them",
        )
    return value


def _keys(name: str, environ: Mapping[str, str]) -> list[bytes]:
    try:
        keys = [bytes.fromhex(key) for key in _secret(name, environ).split(",")]
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise UsageError(
            f"{name} does not hold a key",
            hint=f"{_KEY_BYTES} random bytes as hexadecimal digits: openssl rand -hex {_KEY_BYTES}",
        )
    return keys


def _read(file: str | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{file}, which the engine's URL names, cannot be read: {error.strerror}") from error
