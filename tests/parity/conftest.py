"""The server and the worker of a test process, a clock that a cluster follows too, and the share of the pairs that the
default run takes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import temporalio.workflow

from conformance.conftest import nobodys_settings  # noqa: F401
from conformance.kit import HURRY, Clock
from ion.engine.temporal.workflow import IonRun
from parity.exceptions import NOT_ON_TEMPORAL
from parity.temporal_world import Working

pytest.register_assert_rewrite("parity.comparison")

HERE = Path(__file__).parent
# One in so many of the pairs with each home is part of the default run; the others are of the sweep.
SHARES = {"file": 12, "sqlite": 20, "postgres": 30, "temporal": 16}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        home = getattr(item, "callspec", None) and item.callspec.params.get("home")  # type: ignore[attr-defined]
        if HERE not in item.path.parents or home is None:
            continue
        if zlib.crc32(item.name.encode()) % SHARES[home]:
            item.add_marker(pytest.mark.sweep)
        if home == "temporal" and item.originalname in NOT_ON_TEMPORAL:  # type: ignore[attr-defined]
            raises, reason = NOT_ON_TEMPORAL[item.originalname]  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.xfail(raises=raises, reason=reason, strict=True))


@pytest.fixture(scope="session")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Working]]:
    """Gives this process's worker, which begins when it is asked for."""
    begun: list[Working] = []

    def begin() -> Working:
        if not begun:
            begun.append(Working(tmp_path_factory.mktemp("temporal")))
        return begun[0]

    yield begin
    for one in begun:
        one.close()


@pytest.fixture
def hurry(hurry: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """As everywhere; and a cluster counts the same hurried time, so its timers are a hundred times shorter."""
    wait, now = temporalio.workflow.wait_condition, IonRun._now

    async def wait_condition(
        until: Callable[[], bool],
        *,
        timeout: timedelta | None = None,  # noqa: ASYNC109 its own
    ) -> None:
        await wait(until, timeout=timeout / HURRY if timeout is not None else None)

    monkeypatch.setattr(IonRun, "_now", staticmethod(lambda: hurry.at(now())))
    monkeypatch.setattr(temporalio.workflow, "wait_condition", wait_condition)
    return hurry
