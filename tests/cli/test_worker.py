"""`ion worker`: which words are refused; what a worker does is in tests/engine/temporal."""

from __future__ import annotations

import pytest

from .kit import Ion


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only-labelled",), "--label"),
        (("--label", "A B"), "'A B'"),
        (("--name", "a/b"), "'a/b'"),
        (("--name", ""), "''"),
        (("--engine", "nowhere"), "'nowhere'"),
    ],
)
def test_what_is_not_a_worker(ion: Ion, words: tuple[str, ...], said: str) -> None:
    refused = ion("worker", "--engine", "temporal://127.0.0.1:1", *words)
    assert (refused.status, said in refused.err) == (2, True), refused.err
