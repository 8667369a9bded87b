"""How much work a call is, counted and never timed: the lines of Python that it runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of Python a call runs in this thread; the same at each call, however busy the machine is."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


class CallCount:
    """How many functions are called meanwhile, in Python and in C, in this thread and in those that it starts."""

    def __init__(self) -> None:
        self.calls = 0

    def _note(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.calls += event in ("call", "c_call")

    def __enter__(self) -> Self:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_how: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


def assert_linear(read: Callable[[str], object], text: Callable[[int], str], size: int) -> None:
    """Four times the text is about four times the lines; growth with the square would be sixteen times.

    What a loop inside of a C function costs is not counted. The tests read a large text besides: with the square of its
    length that would not end within the time limit of a test.
    """
    read(text(size // 2))  # what is made once, is made; what is kept for a text, is not that of these two
    small = lines_run(lambda: read(text(size)))
    large = lines_run(lambda: read(text(4 * size)))
    assert large <= 6 * small + 100, f"{small} lines for {size}, {large} for four times as much"
