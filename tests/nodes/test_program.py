"""What counts as the output of a program, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from turn_kit import World

from ion.core.events import INLINE_LIMIT_BYTES
from ion.nodes.program import take

NODES = "nodes: [{id: x, bash: echo}]"
TEXTS = st.text().map(str.encode)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary() | TEXTS | st.tuples(TEXTS, st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\0\n"])).map(b"".join))
def test_every_byte_but_one_final_newline_is_kept(tmp_path: Path, data: bytes) -> None:
    world = World(tmp_path, NODES)
    path = tmp_path / "out"
    path.write_bytes(data)
    content = take(path, world.context.keep)
    expected = data.removesuffix(b"\n")
    assert world.read_bytes(content) == expected
    assert content.size == len(expected)
    if content.text is not None:
        assert content.text.encode() == expected
        assert "\0" not in content.text
    else:
        assert b"\0" in expected or expected.decode("utf-8", "ignore").encode() != expected


@pytest.mark.parametrize("extra", [-1, 0, 1, 2])
@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_long_outputs_are_kept_beside_the_log(tmp_path: Path, extra: int, newline: bytes) -> None:
    world = World(tmp_path, NODES)
    path = tmp_path / "out"
    data = b"x" * (INLINE_LIMIT_BYTES + extra)
    path.write_bytes(data + newline)
    content = take(path, world.context.keep)
    assert (content.text is not None) is (extra <= 0)
    assert world.read_bytes(content) == data


def test_a_character_on_the_boundary_is_not_torn(tmp_path: Path) -> None:
    world = World(tmp_path, NODES)
    path = tmp_path / "out"
    path.write_bytes("€".encode() * (INLINE_LIMIT_BYTES // 3 + 1))
    content = take(path, world.context.keep)
    assert world.context.read(content) == "€" * (INLINE_LIMIT_BYTES // 3 + 1)
