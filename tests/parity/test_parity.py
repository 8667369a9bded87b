"""Every run of the conformance tests is the same run in memory, in files, in SQLite, in PostgreSQL and on Temporal.

Each conformance test that has a world is a test here once for each home: it is carried out in memory and there, passes
in both, and the logs of its runs are the same node by node and in every causal order (`comparison`).
"""

from __future__ import annotations

import importlib
import inspect
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parity.comparison import differences
from parity.exceptions import BY_CHANCE, NOT_IN_MEMORY, NOT_ON_TEMPORAL
from parity.homes import HOMES, tell_all, world_in
from parity.temporal_world import Working

WORLDS = ("world", "lasting")
CONFORMANCE = Path(__file__).parent.parent / "conformance"


def pair(function: Callable[..., None]) -> Callable[..., None]:
    """The test of a conformance test, with what else it asks for: its parameters, its fixtures."""
    parameters = inspect.signature(function).parameters
    (name_of_world,) = [name for name in parameters if name in WORLDS]
    reference = "sqlite" if function.__name__ in NOT_IN_MEMORY else "memory"

    def test(
        home: str, tmp_path: Path, working: Callable[[], Working], request: pytest.FixtureRequest, **arguments: Any
    ) -> None:
        name = f"{zlib.crc32(request.node.name.encode()):08x}"
        told = []
        for place in (reference, home):
            with world_in(place, tmp_path, name, working) as world:
                function(**{name_of_world: world}, **arguments)
                told.append(tell_all(world))
        if function.__name__ not in BY_CHANCE:
            assert differences(*told) == []

    own = inspect.signature(test).parameters
    asked = [own[name] for name in ("home", "tmp_path", "working", "request")]
    asked += [parameter for name, parameter in parameters.items() if name not in (name_of_world, "request")]
    test.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    test.__name__, test.__doc__ = function.__name__, function.__doc__
    marks = [*getattr(function, "pytestmark", []), pytest.mark.parametrize("home", HOMES).mark]
    test.pytestmark = marks  # type: ignore[attr-defined]
    return test


for _file in sorted(CONFORMANCE.glob("test_*.py")):
    _module = importlib.import_module(f"conformance.{_file.stem}")
    for _name, _test in vars(_module).items():
        if _name.startswith("test_") and {*WORLDS} & {*inspect.signature(_test).parameters}:
            assert _name not in globals(), f"two conformance tests are called {_name}"
            globals()[_name] = pair(_test)


@pytest.mark.parametrize("name", [*NOT_IN_MEMORY, *BY_CHANCE, *NOT_ON_TEMPORAL])
def test_every_exception_is_one_of_a_test(name: str) -> None:
    assert name in globals()


@pytest.mark.parametrize("place", ["memory", *HOMES])
def test_there_is_something_to_compare(place: str, tmp_path: Path, working: Callable[[], Working]) -> None:
    """Every home tells of all of its runs."""
    with world_in(place, tmp_path, "run", working) as world:
        for text in ("one", "two"):
            world.run(f"nodes: [{{id: a, bash: echo {text}}}]\n")
        told = tell_all(world)
    assert [*told] == ["run-1", "run-2"]
    assert [event["type"] for event in told["run-1"].says["a"]] == ["node_started", "node_completed"]
    assert [told[run].says["a"][1]["output"] for run in told] == ["one", "two"]
    assert (len(told["run-2"].says[""]), told["run-2"].after["a"]) == (2, [{"stretch": 1}] * 2)
