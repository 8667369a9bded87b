"""An SOP run to its end by a real program as the agent, killed in step 2 and resumed: no step is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ion
from processes import PATIENCE_S, until

ION = [sys.executable, "-P", "-m", "ion.cli"]
AGENT = """\
#!/bin/bash
# Keeps each prompt; its first try at step 2 hangs until it is killed.
cat > "prompt.$ION_NODE_ID"
echo "$ION_NODE_ID" >> asked
if [ "$ION_NODE_ID" = check-it ] && [ ! -e go ]; then touch hangs; sleep 3600; fi
echo "$ION_NODE_ID found {limit} and \\$ARGUMENTS"
"""


def start(project: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(project / "no-config")}
    return subprocess.Popen(
        [*ION, *arguments], cwd=project, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )


def test_killed_in_the_second_step_and_resumed(project: Path, write: Callable[..., Path]) -> None:
    write()
    agent = project / "agent.sh"
    agent.write_text(AGENT)
    agent.chmod(0o755)
    first = start(project, "run", "pay", "--input", "bill=b.pdf", "--agent", "./agent.sh", "--run-id", "k", "--quiet")
    until((project / "hangs").exists)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    shown = ion.get_run("k", project=project)
    assert shown.status == "interrupted"
    assert [node.status for node in shown.state.nodes.values()] == ["completed", "running", "pending"]
    (project / "go").touch()
    assert start(project, "resume", "k", "--quiet").wait(timeout=PATIENCE_S) == 0
    ended = ion.get_run("k", project=project)
    assert ended.status == "completed"
    assert ended.output == "pay found {limit} and $ARGUMENTS"
    assert (project / "asked").read_text().split() == ["read-the-bill", "check-it", "check-it", "pay"]
    last = (project / "prompt.pay").read_text()
    for step in ("1. Read the bill", "2. Check it"):
        assert f"=== k: result of {step} ===\n" in last
    assert "\nread-the-bill found {limit} and $ARGUMENTS\n" in last
    assert "Pay from main, receipt to {folder}/main.pdf." in last
