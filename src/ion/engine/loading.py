"""Building large, long-lived objects (a log, a plan, a result) without garbage collection."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Disable Python's garbage collection meanwhile. It would find nothing, and it traverses all live objects each
    time a quarter has been added: a third of a resume of 50,000 nodes."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
