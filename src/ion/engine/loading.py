"""Reading a long log without looking for garbage in it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Python's search for garbage stands still meanwhile. What a log is read into is all kept, so that the search finds
    nothing, and it is made again and again while a large state grows: a third of a resume of 50,000 nodes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
