"""The thread beside the loop: what it gives, raises, and leaves when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ion.engine.store_thread import StoreThread


async def test_calls_come_one_after_the_other_in_one_other_thread() -> None:
    aside = StoreThread("test")
    seen: list[tuple[int, int]] = []

    def note(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    assert await asyncio.gather(*(aside.call(note, number) for number in range(50))) == list(range(50))
    aside.close()
    assert [number for number, _ in seen] == list(range(50))
    assert {thread for _, thread in seen}.isdisjoint({threading.get_ident()})
    assert len({thread for _, thread in seen}) == 1


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
async def test_what_a_call_raises_is_raised_where_it_is_awaited_and_the_next_one_works(error: BaseException) -> None:
    aside = StoreThread("test")

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        await aside.call(fail)
    assert await aside.call(lambda: 7) == 7
    aside.close()


async def test_the_loop_goes_on_meanwhile() -> None:
    aside = StoreThread("test")
    call = asyncio.ensure_future(aside.call(time.sleep, 0.2))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 3
    aside.close()


async def test_a_call_that_nobody_waits_for_takes_its_course_before_the_end() -> None:
    aside = StoreThread("test")
    done: list[int] = []

    def work() -> None:
        time.sleep(0.1)
        done.append(1)

    call = asyncio.ensure_future(aside.call(work))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    aside.close()
    assert done == [1]


def test_a_loop_that_is_gone_holds_nothing_up() -> None:
    async def begin() -> StoreThread:
        aside = StoreThread("test")
        asyncio.ensure_future(aside.call(time.sleep, 0.1)).cancel()
        call = asyncio.ensure_future(aside.call(time.sleep, 0.1))
        await asyncio.sleep(0.02)
        call.cancel()
        return aside

    asyncio.run(begin()).close()


async def test_where_there_are_no_more_threads_it_is_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        aside = StoreThread("test")
        assert await aside.call(threading.current_thread) is threading.current_thread()
        aside.close()
    assert await aside.call(threading.current_thread) is not threading.current_thread()
    aside.close()
