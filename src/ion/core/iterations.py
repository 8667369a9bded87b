"""What follows an iteration of a loop: another one, a check, a gate, or the end (language.md §7).

The one place that decides it, asked after a reply and after a check.
"""

from __future__ import annotations

from msgspec.structs import replace

from ion.core import events as e
from ion.core.state import NodeState
from ion.language.workflow import Loop, LoopGroup


def after_iteration(
    loop: Loop | LoopGroup, now: NodeState, at: int, *, done: bool, checked: bool
) -> e.NodeCompleted | e.NodeFailed | str:
    """The end of the node, or the kind of the turn that follows: `until_bash`, `gate` or `prompt`.

    `done` says that the reply, or the check if it was `checked`, wants the end."""
    if not checked and _is_to_check(loop, done):
        return "until_bash"
    if loop.interactive and not (done and loop.signal_completes):
        return "gate"
    return loop_completed(now, at) if done else next_iteration(loop, now, at)


def _is_to_check(loop: Loop | LoopGroup, signaled: bool) -> bool:
    """Whether `until_bash` judges a reply. With `until_all` it does if nothing else is against the end, otherwise if
    nothing else ends the loop."""
    if loop.until_bash is None:
        return False
    if loop.until_all:
        return signaled or (loop.until is None and _other_end(loop) == "")
    return not signaled


def loop_completed(now: NodeState, at: int) -> e.NodeCompleted:
    """The loop is done: its reply is the last iteration's, whose usage counted then."""
    if now.progress.reply is None:
        raise ValueError(f"loop '{now.id}' ended without an iteration")
    return e.NodeCompleted(at, now.id, replace(now.progress.reply, usage={}))


def next_iteration(loop: Loop | LoopGroup, now: NodeState, at: int) -> e.NodeFailed | str:
    """`prompt`, or the failure of a loop that has used up its iterations: it names every way to end that it had."""
    if now.progress.iterations < loop.max_iterations:
        return "prompt"
    ways = [
        f"the signal '{loop.until}'" if loop.until else "",
        _other_end(loop),
        "a passing until_bash check" if loop.until_bash else "",
    ]
    ways = [way for way in ways if way]
    wanted = f", none with {' and '.join(ways)}" if loop.until_all else f" without {' or '.join(ways)}"
    message = f"{loop.max_iterations} iterations{wanted}"
    return e.NodeFailed(at, now.id, e.Failure("max_iterations", message, "a resume starts again at iteration 1"))


def _other_end(loop: Loop | LoopGroup) -> str:
    """What ends it besides a signal and a check, if something does."""
    if isinstance(loop, LoopGroup):
        return f"the node '{loop.until_node}' completed" if loop.until_node else ""
    return f"the field '{loop.until_field}'" if loop.until_field else ""
