"""In the tests of this room all of the language is carried out: what is not, yet, is checked here all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ion.language import rules_waiting


@pytest.fixture(scope="session", autouse=True)
def all_built() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules_waiting, "NOT_YET_KINDS", ())
        patch.setattr(rules_waiting, "NOT_YET_FIELDS", {})
        yield
