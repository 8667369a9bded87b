"""Claude Code, Codex, Gemini CLI and OpenCode, played by the stand-in, call `ion mcp`; so does the MCP inspector."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from real_agents.places import Place

pytestmark = [pytest.mark.real_agents, pytest.mark.timeout(400)]

NODES = """\
- {id: a, prompt: say something}
- {id: b, depends_on: [a], bash: echo b}
- {id: c, depends_on: [b], prompt: a name, output_format: {type: object, properties: {name: {type: string}}}}
- {id: d, depends_on: [c], bash: echo $c.output.name}
"""
CLIENTS = {
    "claude": ["claude", "-p", "<<mcp w>>", "--mcp-config=.mcp.json", "--allowedTools=mcp__ion"],
    "codex": ["codex", "exec", "--skip-git-repo-check", "<<mcp w>>"],
    "gemini": ["gemini", "--prompt=<<mcp w>>", "--skip-trust", "--approval-mode=yolo"],
    "opencode": ["opencode", "run", "<<mcp w>>"],
}


@pytest.fixture
def ion_mcp(here: Place) -> list[str]:
    """The command line of the server, which every client has in its settings."""
    here.write(NODES, "")
    command = [sys.executable, "-P", "-m", "ion.cli", "mcp", "--project", str(here.project)]
    server = {"command": command[0], "args": command[1:]}
    (here.project / ".mcp.json").write_text(json.dumps({"mcpServers": {"ion": server}}))
    home = Path(here.env["HOME"])
    settings = json.loads((home / ".gemini" / "settings.json").read_text())
    (home / ".gemini" / "settings.json").write_text(json.dumps({**settings, "mcpServers": {"ion": server}}))
    opencode = home / ".config" / "opencode" / "opencode.json"
    servers = {"ion": {"type": "local", "command": command}}
    opencode.write_text(json.dumps({**json.loads(opencode.read_text()), "mcp": servers}))
    with (home / ".codex" / "config.toml").open("a") as config:  # as docs/mcp.md has it
        config.write(f"[mcp_servers.ion]\ncommand = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n")
        config.write('default_tools_approval_mode = "approve"\nrequired = true\n')
    return command


@pytest.mark.parametrize("client", CLIENTS)
def test_a_workflow_to_its_end(here: Place, ion_mcp: list[str], client: str) -> None:
    words = CLIENTS[client]
    done = subprocess.run(
        words,
        cwd=here.project,
        env=here.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "the run is completed: heron" in done.stdout, (done.stdout, done.stderr)


def test_the_inspector(here: Place, ion_mcp: list[str]) -> None:
    def asked(*words: str) -> dict[str, object]:
        line = ["mcp-inspector", "--cli", *ion_mcp, *words]
        done = subprocess.run(
            line, cwd=here.project, env=here.env, capture_output=True, text=True, timeout=120, check=True
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    tools = asked("--method", "tools/list")["tools"]
    assert isinstance(tools, list)
    assert "ion_start" in {one["name"] for one in tools}
    started = asked("--method", "tools/call", "--tool-name", "ion_start", "--tool-arg", "workflow=w")
    assert started["isError"] is False
