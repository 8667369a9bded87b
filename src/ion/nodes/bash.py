"""One bash script, and the same for a loop's `until_bash`.

The script is always run from a file: as an argument it could have no more than 128 KiB.
"""

from __future__ import annotations

from ion.core.outcomes import Failed, Judged, Outcome
from ion.language.workflow import Bash, Loop, Shell
from ion.nodes import program
from ion.nodes.base import Context, Turn


async def run(turn: Turn, context: Context) -> Outcome:
    """Run the node's script; exit status 0 completes it."""
    body = turn.node.body
    assert isinstance(body, Bash)
    return await _run(body.shell, turn, context)


async def run_until(turn: Turn, context: Context) -> Outcome:
    """Run a loop's `until_bash`: status 0 ends the loop, any other does not; a signal or the timeout fails it."""
    body = turn.node.body
    assert isinstance(body, Loop)
    assert body.until_bash is not None
    outcome = await _run(body.until_bash, turn, context)
    if not isinstance(outcome, Failed):
        return Judged(done=True)
    return Judged(done=False) if outcome.error.code == "exit-status" else outcome


async def _run(shell: Shell, turn: Turn, context: Context) -> Outcome:
    script = context.folders.scratch / f"{turn.log_name}.sh"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(shell.text)
    env = {**context.environ, "ION_RUN_ID": context.run_id, "ION_NODE_ID": turn.node.id}
    ended = await program.run(["bash", str(script)], turn, context, env)
    return program.failure(ended, turn, context, {str(script): "bash"}) or program.completed(turn, context)
