"""`ion.records.dataclass` against the standard library's: whatever one can do with a record, both do the same."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ion import records

Decorator = Callable[..., Any]


def _classes(decorator: Decorator, **how: bool) -> tuple[Any, Any]:
    """A class and one that inherits from it, made by this decorator."""

    @decorator(**how)
    class Base:
        """A base."""

        type: ClassVar[str] = "base"
        at: int

    @decorator(**how)
    class Thing(Base):
        type: ClassVar[str] = "thing"
        name: str
        tags: dict[str, Any] = dataclasses.field(default_factory=dict)
        note: str = ""
        hidden: int = dataclasses.field(default=0, repr=False)

        @property
        def loud(self) -> str:
            return self.name.upper()

    return Base, Thing


def _seen(act: Callable[[], Any]) -> Any:
    """What came of it, in a form that can be compared between the two."""
    try:
        return act()
    except Exception as error:
        return type(error)


def _told(decorator: Decorator, made_before: int, **how: bool) -> dict[str, Any]:
    base, thing = _classes(decorator, **how)
    for number in range(made_before):
        base(number), thing(number, "x")
    one, same, other = thing(1, "a"), thing(1, name="a"), thing(1, "a", {"x": 1}, note="n")
    return {
        "repr": [repr(one).rpartition(".")[2], repr(other).rpartition(".")[2]],
        "equal": [one == same, one == other, one == (1, "a"), base(1) == thing(1, "a"), base(1) == base(1)],
        "hash": [_seen(lambda: hash(base(1)) == hash(base(1))), _seen(lambda: hash(one)) is TypeError],
        "own": one.tags is not same.tags,
        "set": _seen(lambda: setattr(one, "note", "new")),
        # Of what kind the refusal is differs between versions of Python, where there are slots.
        "set another": isinstance(_seen(lambda: setattr(one, "nothing", 1)), type),
        "delete": _seen(lambda: delattr(one, "at")),
        "too few": _seen(lambda: thing(1)),
        "too many": _seen(lambda: thing(1, "a", {}, "", 0, 1)),
        "unknown": _seen(lambda: thing(1, "a", wrong=1)),
        "twice": _seen(lambda: thing(1, "a", at=2)),
        "match": thing.__match_args__,
        "fields": [(field.name, field.type) for field in dataclasses.fields(thing)],
        "is one": [dataclasses.is_dataclass(thing), dataclasses.is_dataclass(one)],
        "as a dict": dataclasses.asdict(other),
        "replaced": repr(dataclasses.replace(other, note="m")).rpartition(".")[2],
        "copied": copy.deepcopy(other) == other,
        "type": [base.type, thing.type, other.type],
        "property": other.loud,
        "slots": [hasattr(base(1), "__dict__"), getattr(thing, "__slots__", None)],
        "names": [base.__name__, base.__doc__, thing.__qualname__.rpartition(".")[2], thing.__init__.__name__],
    }


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("eq", [False, True])
@pytest.mark.parametrize("made_before", [0, 1])  # the first is made in another way than the rest
def test_both_tell_the_same(frozen: bool, slots: bool, eq: bool, made_before: int) -> None:
    how = {"frozen": frozen, "slots": slots, "eq": eq}
    assert _told(records.dataclass, made_before, **how) == _told(dataclasses.dataclass, made_before, **how)


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((), {}, "missing 1 required positional argument: 'one'"),
        ((1, [], 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"one": 2}, "got multiple values for argument 'one'"),
        ((1,), {"two": 2}, "got an unexpected keyword argument 'two'"),
    ],
)
def test_wrong_arguments_are_named_from_the_first(values: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    @records.dataclass(frozen=True, slots=True)
    class Made:
        one: int
        many: list[int] = records.field(default_factory=list)

    with pytest.raises(TypeError, match=message):
        Made(*values, **named)


@records.dataclass(frozen=True, slots=True)
class Pickled:
    kind: ClassVar[str] = "pickled"
    name: str
    tags: tuple[str, ...] = ()


def test_a_frozen_record_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled("a", ("b",)))) == Pickled("a", ("b",))


def test_a_class_that_is_not_decorated_inherits_all() -> None:
    class Heir(Pickled):
        pass

    heir = Heir("a")
    assert (heir.name, Pickled("b").name, heir == Heir("a"), heir == Pickled("a")) == ("a", "b", True, False)


@pytest.mark.parametrize("decorator", [records.dataclass, dataclasses.dataclass])
def test_methods_of_the_class_itself_stay(decorator: Decorator) -> None:
    @decorator(slots=True)
    class Own:
        name: str

        def __repr__(self) -> str:
            return "mine"

    assert repr(Own("a")) == "mine"


@pytest.mark.parametrize(
    "body",
    [
        {"name": records.field(init=False, default="")},
        {"name": records.field(compare=False)},
        {"name": records.field(hash=False)},
        {"name": records.field(kw_only=True)},
        {"__post_init__": lambda self: None},
    ],
)
def test_what_it_does_not_know_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Made needs the standard dataclass"):
        records.dataclass(type("Made", (), {"__annotations__": {"name": "str"}, **body}))


@pytest.mark.parametrize("decorator", [records.dataclass, dataclasses.dataclass])
def test_a_default_that_all_would_share_is_refused(decorator: Decorator) -> None:
    class Shared:
        names: list[str] = []  # noqa: RUF012

    with pytest.raises(ValueError, match="default_factory"):
        decorator(Shared)


def test_the_nothing_that_records_share_refuses_to_become_something() -> None:
    found = records.nothing()
    assert found == {}
    assert found is records.nothing()
    for change in (lambda: found.update(a=1), lambda: found.setdefault("a", 1), lambda: found.__setitem__("a", 1)):
        with pytest.raises(TypeError, match="a mapping of your own"):
            change()
    assert {**found, "a": 1} == {"a": 1}
    assert records.nothing() == {}
