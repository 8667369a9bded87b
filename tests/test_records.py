"""`ion.records.dataclass` is held to the standard decorator: whatever is asked of both, both say the same."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion import records

T = TypeVar("T")


@records.dataclass(frozen=True, slots=True)
class Base:
    kind: ClassVar[str] = "base"
    at: int


@records.dataclass(frozen=True, slots=True)
class Point(Base):
    """A point."""

    kind: ClassVar[str] = "point"
    x: int = 0
    names: tuple[str, ...] = ()
    more: dict[str, int] = field(default_factory=dict)

    @property
    def double(self) -> int:
        return 2 * self.x

    @classmethod
    def origin(cls) -> Point:
        return cls(0)


@records.dataclass(slots=True)
class Counter(Generic[T]):
    seen: T
    count: int = 0


@records.dataclass(frozen=True)
class Whole:
    parts: tuple[int, ...]

    @cached_property
    def total(self) -> int:
        return sum(self.parts)


def twins(**options: bool) -> list[type[Any]]:
    """The same class by the standard decorator and by ours."""

    def make(decorate: Callable[..., Any]) -> type[Any]:
        class Pair:
            one: int
            other: str = "x"
            rest: list[int] = field(default_factory=list)

        made: type[Any] = decorate(**options)(Pair)
        return made

    return [make(dataclasses.dataclass), make(records.dataclass)]


OPTIONS: list[dict[str, bool]] = [
    {"frozen": frozen, "slots": slots, "eq": eq}
    for frozen in (False, True)
    for slots in (False, True)
    for eq in (False, True)
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@given(one=st.integers(0, 3), other=st.sampled_from(["x", "y"]), rest=st.lists(st.integers(0, 2), max_size=2))
def test_both_say_the_same(options: dict[str, bool], one: int, other: str, rest: list[int]) -> None:
    """Fields, texts, equality, hashes, copies, matching: the standard decorator is the specification."""

    def answers(cls: type[Any]) -> list[Any]:
        made, named, short = cls(one, other, rest), cls(rest=rest, other=other, one=one), cls(1)
        return [
            [(f.name, f.type, f.default, f.init) for f in dataclasses.fields(cls)],
            cls.__match_args__,
            repr(made),
            made == named,
            made == short,
            made == object(),
            made != named,
            dataclasses.asdict(made),
            repr(dataclasses.replace(made, other="z")),
            repr(copy.deepcopy(made)),
            short.rest == [],
            short.rest is cls(1).rest,
            hasattr(made, "__dict__"),
            cls.__hash__ is None,
            dataclasses.is_dataclass(cls),
        ]

    standard, ours = (answers(cls) for cls in twins(**options))
    assert ours == standard


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("arguments", [(), (1, 2, 3, 4)])
def test_wrong_arguments_are_refused_in_the_same_words(options: dict[str, bool], arguments: tuple[int, ...]) -> None:
    said = []
    for cls in twins(**options):
        with pytest.raises(TypeError) as raised:
            cls(*arguments)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("slots", [False, True])
def test_a_frozen_one_stays_as_it_is(slots: bool) -> None:
    for cls in twins(frozen=True, slots=slots):
        made = cls(1)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'one'"):
            made.one = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'one'"):
            del made.one
        assert made.one == 1


def test_equal_frozen_ones_are_one_key() -> None:
    assert len({Whole((1, 2)), Whole((1, 2)), Whole((2, 1))}) == 2
    assert hash(Base(1)) == hash(Base(1))


def test_bases_come_first_and_class_variables_are_no_fields() -> None:
    point = Point(1, 2, ("a",))
    assert [f.name for f in dataclasses.fields(Point)] == ["at", "x", "names", "more"]
    assert (point.kind, Base(1).kind, point.double, Point.origin()) == ("point", "base", 4, Point(0))
    assert Point(1) != Base(1)
    assert not hasattr(point, "__dict__")


def test_an_argument_wins_over_a_default_that_is_made() -> None:
    assert (Point(1, more={"a": 1}).more, Point(1).more) == ({"a": 1}, {})


def test_they_can_be_matched_and_pickled() -> None:
    match Point(1, 2):
        case Point(at, x):
            assert (at, x) == (1, 2)
    again = pickle.loads(pickle.dumps(Point(1, 2, ("a",), {"b": 3})))
    assert again == Point(1, 2, ("a",), {"b": 3})


def test_one_that_may_change_does_and_is_no_key() -> None:
    counter = Counter("x")
    counter.count += 1
    assert counter == Counter("x", 1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    with pytest.raises(AttributeError):
        counter.other = 1  # type: ignore[attr-defined]


def test_one_without_slots_keeps_computed_values() -> None:
    whole = Whole((1, 2))
    assert whole.total == 3
    assert whole.__dict__["total"] == 3
    assert whole == Whole((1, 2))


def test_its_own_methods_are_kept() -> None:
    @records.dataclass(frozen=True, slots=True)
    class Loud:
        name: str

        def __repr__(self) -> str:
            return self.name.upper()

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Loud) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return 7

    assert repr(Loud("a")) == "A"
    assert Loud("a") == Loud("A")
    assert hash(Loud("a")) == 7


def test_a_default_that_instances_would_share_is_refused() -> None:
    with pytest.raises(ValueError, match="use default_factory"):

        @records.dataclass
        class _Wrong:
            names: list[str] = []  # noqa: RUF012


def test_nothing_is_compiled_before_it_is_needed() -> None:
    @records.dataclass
    class Late:
        name: str

    before = Late.__init__
    Late("x")
    assert Late.__init__ is not before
