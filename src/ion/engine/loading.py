"""Building what is large and kept whole (a log, a plan, a result) without looking for garbage in it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Python's search for garbage stands still meanwhile. It would find nothing, and it looks through all that lives
    each time a quarter has been added: a third of a resume of 50,000 nodes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
