"""The first process of a container inherits every process whose parent has ended, and has to reap it.

Ion leaves that to a separate process: the first one does nothing else, and the program continues in a child. So only
the process that started a program ever takes its status.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

_PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def leave_to_the_first() -> None:
    """If this is the first process of its container, continue in a child of it; otherwise do nothing.

    Call it before any thread is started. The first process passes signals on, and exits with the status of the child
    once that has ended; the system then ends whatever is left.
    """
    if os.getpid() != 1:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would lose the status
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child:
        _reap_until_it_ends(child, mask)
    _come_to_the_front()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _come_to_the_front() -> None:
    """Ctrl-C on the container's terminal is for the program alone: the first process would pass on a second one."""
    os.setpgid(0, 0)
    with contextlib.suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(terminal, os.getpgrp())
        finally:
            signal.signal(signal.SIGTTOU, before)
            os.close(terminal)


def _reap_until_it_ends(child: int, mask: set[int] | set[signal.Signals]) -> None:
    """Never returns."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    while True:
        pid, raw = os.waitpid(-1, os.WUNTRACED)
        if os.WIFSTOPPED(raw):
            if pid == child and os.WSTOPSIG(raw) != signal.SIGSTOP:  # Ctrl-Z: there is no shell to continue it
                os.kill(child, signal.SIGCONT)
        elif pid == child:
            status = os.waitstatus_to_exitcode(raw)
            os._exit(status if status >= 0 else 128 - status)
