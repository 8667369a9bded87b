"""`dataclass` as the standard library has it, at a sixth of its cost when a module is imported.

Up to Python 3.12 the standard decorator compiles up to six methods for each class, one by one, half a millisecond a
class; with the hundred and more classes of a run that was nearly half of a cold `ion run`. Here it still makes the
fields and the slots, but no methods: those that can be the same for every class are the same functions, and `__init__`
is compiled with the first instance. Type checkers see the standard decorator, and `dataclasses.fields`, `replace`,
`asdict` and `match` work as ever; a class that inherits from one of these is made in the same way.
`tests/test_records.py` holds the two against each other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, field
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass", "field", "nothing"]


class _Nothing(dict[Any, Any]):
    """A mapping of nothing that stays so."""

    def _refuse(self, *_arguments: Any, **_named: Any) -> Any:
        raise TypeError("this is the nothing that all records share: put a mapping of your own in its place")

    __setitem__ = __ior__ = setdefault = update = _refuse


_NOTHING = _Nothing()


def nothing() -> dict[Any, Any]:
    """The factory of a field that is mostly an empty mapping: the same one for all, since a run of thousands of nodes
    would have tens of thousands of them."""
    return _NOTHING


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True):
        """As `dataclasses.dataclass` with these arguments."""

        def make(plain):
            if plain.__doc__ is None:
                plain.__doc__ = plain.__name__  # else the standard decorator makes a signature of it, which is dear
            made = dataclasses.dataclass(plain, init=False, repr=False, eq=False, slots=slots)
            _require_plain(made)
            shared = {"__init__": _first_init(made, frozen), "__repr__": _repr}
            if eq:
                shared |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
            if frozen:
                shared |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
            if frozen and slots:
                shared |= {"__getstate__": _values, "__setstate__": _set_state}
            shared["__signature__"] = _SIGNATURE
            for name in shared.keys() - plain.__dict__.keys():
                setattr(made, name, shared[name])
            return made

        return make if cls is None else make(cls)


def _require_plain(made: Any) -> None:
    """What nobody needed yet is refused and not left out in silence."""
    plain = all(one.init and one.compare and one.hash is None and not one.kw_only for one in dataclasses.fields(made))
    if not plain or hasattr(made, "__post_init__"):
        raise TypeError(f"{made.__name__} needs the standard dataclass: this one knows names, defaults and repr alone")


def _first_init(cls: Any, frozen: bool) -> Any:
    """An `__init__` that puts the real one in its place: of most classes a command makes no instance."""

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807
        cls.__init__ = real = _compiled_init(cls, frozen)
        real(self, *values, **named)

    return __init__


def _compiled_init(cls: Any, frozen: bool) -> Any:
    """Compiled from the names of the fields alone; defaults and their factories are handed to it as values."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters, lines = ["self"], ["pass"]
    for one in dataclasses.fields(cls):
        name, value = one.name, one.name
        if one.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"] = one.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif one.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = one.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines)
    exec(text, scope)  # noqa: S102  (identifiers of a class of this package, and nothing else)
    init = scope["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


class _Signature:
    """What `inspect.signature` says of a record, made when somebody asks."""

    def __get__(self, _record: Any, cls: Any) -> Any:
        from inspect import Parameter, Signature

        parameters = [
            Parameter(
                one.name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=_default_of(one),
                annotation=one.type,
            )
            for one in dataclasses.fields(cls)
        ]
        return Signature(parameters, return_annotation=None)


class _Made:
    def __repr__(self) -> str:
        return "<factory>"


_SIGNATURE, _MADE = _Signature(), _Made()


def _default_of(one: Any) -> Any:
    """As the standard library shows it."""
    from inspect import Parameter

    if one.default_factory is not dataclasses.MISSING:
        return _MADE
    return Parameter.empty if one.default is dataclasses.MISSING else one.default


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in record.__match_args__])


def _repr(self: Any) -> str:
    shown = ", ".join([f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr])
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse_to_set(_self: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _set_state(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)
