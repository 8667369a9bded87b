"""`dataclass` as the standard library has it, for a tenth of its price at import.

The standard one compiles up to eight methods for each class when its module is imported, 0.3 ms in Python 3.11; for the
hundred and more classes of a run that was half of the time until `ion run` did anything. Here `__init__` is compiled
when the first instance is made, and all other methods are shared. Type checkers see the standard decorator, and
`dataclasses.fields`, `replace` and `asdict` work as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True):
        """As `dataclasses.dataclass` with these arguments, less what Ion does not use."""

        def make(plain):
            return _made(plain, frozen=frozen, slots=slots, eq=eq)

        return make if cls is None else make(cls)


def _made(cls: Any, *, frozen: bool, slots: bool, eq: bool) -> Any:
    inherited, own = _fields(cls)
    fields = inherited | own
    if slots:
        cls = _with_slots(cls, own)
    cls.__dataclass_fields__ = fields
    shared = {"__match_args__": tuple(fields), "__repr__": _repr, "__init__": _first_init(cls, frozen=frozen)}
    if eq:
        shared |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        shared |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    if frozen and slots:
        shared |= {"__getstate__": _get_state, "__setstate__": _set_state}
    for name, method in shared.items():
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, method)
    return cls


def _fields(cls: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the bases and the class's own, by name, in their order. Defaults stay in the class unless they are
    made for each instance."""
    import dataclasses
    import inspect

    inherited: dict[str, Any] = {}
    for base in cls.__mro__[-1:0:-1]:
        inherited |= getattr(base, "__dataclass_fields__", {})
    own: dict[str, Any] = {}
    for name, kind in inspect.get_annotations(cls).items():
        if kind.startswith("ClassVar"):
            continue
        default = cls.__dict__.get(name, dataclasses.MISSING)
        one: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        if type(one.default).__hash__ is None:
            raise ValueError(f"the default of {cls.__name__}.{name} would be shared: use default_factory")
        if default is one:
            delattr(cls, name)
        one.name, one.type, one._field_type = name, kind, dataclasses._FIELD  # type: ignore[attr-defined] # noqa: SLF001
        own[name] = one
    return inherited, own


def _with_slots(cls: Any, own: dict[str, Any]) -> Any:
    """The same class with slots. A class gets its slots when it is made, so it is made anew."""
    content = {name: value for name, value in cls.__dict__.items() if name not in own}
    content.pop("__dict__", None)
    content.pop("__weakref__", None)
    content |= {"__slots__": tuple(own), "__qualname__": cls.__qualname__}
    return type(cls)(cls.__name__, cls.__bases__, content)


def _first_init(cls: Any, *, frozen: bool) -> Any:
    """An `__init__` that puts the real one in its place when it is first called."""

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807
        real = _compiled_init(cls, frozen=frozen)
        cls.__init__ = real
        real(self, *values, **named)

    return __init__


def _compiled_init(cls: Any, *, frozen: bool) -> Any:
    import dataclasses

    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    parameters, lines = ["self"], []
    for field in cls.__dataclass_fields__.values():
        name, value = field.name, field.name
        if field.default_factory is not dataclasses.MISSING:
            names[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif field.default is not dataclasses.MISSING:
            names[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
    exec(text, names)  # noqa: S102  (the names are those of a class in this package)
    init = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _values(record: Any) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in record.__dataclass_fields__])


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse_to_set(_self: Any, name: str, _value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> tuple[Any, ...]:
    return _values(self)


def _set_state(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)
