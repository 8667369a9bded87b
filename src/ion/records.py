"""The mapping of nothing that records share."""

from __future__ import annotations

from typing import Any


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
