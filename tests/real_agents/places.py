"""Where the real agents live in a test: the folder that install.sh made, a home of their own, settings that point each
of them to the stand-in of its provider and keep it from everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real_agents.provider import Provider

# None of it is Ion's: it says where the provider is, who pays, and that nothing else is to be called.
_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
}
_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
}


@dataclass
class Place:
    """A project in which real agents answer. An agent whose name ends in `@old` is that of an older release."""

    agents: Path
    folder: Path
    provider: Provider
    env: dict[str, str]

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def write(self, nodes: str, agent: str, permission: str = "") -> None:
        """The workflow `w`, and the settings of the agent."""
        workflows = self.project / ".ion" / "workflows"
        workflows.mkdir(parents=True, exist_ok=True)
        (workflows / "w.yaml").write_text(f"name: w\ndescription: test\nnodes:\n{nodes}")
        if permission:
            settings = f"agents: {{{agent.partition('@')[0]}: {{permission: {permission}}}}}\n"
            (self.project / ".ion" / "config.yaml").write_text(settings)

    def start(self, *words: str, old: bool = False) -> subprocess.Popen[str]:
        """A command of Ion."""
        env = {**self.env, "PATH": f"{self.agents / 'old-bin'}{os.pathsep}{self.env['PATH']}"} if old else self.env
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ion.cli", *words],
            cwd=self.project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, agent: str, nodes: str, permission: str = "") -> subprocess.Popen[str]:
        """`ion run` of these nodes, as the run `r`."""
        self.write(nodes, agent, permission)
        name, _, old = agent.partition("@")
        return self.start("run", "w", "--run-id", "r", "--agent", name, "--json", old=bool(old))

    def ion(self, *words: str) -> tuple[int, str, str]:
        """A command of Ion, to its end."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def run(self, agent: str, nodes: str, permission: str = "") -> tuple[int, dict[str, Any]]:
        """`ion run` of a workflow of these nodes: its exit status and what `--json` prints."""
        with self.begin(agent, nodes, permission) as process:
            out, err = process.communicate(timeout=300)
        assert out, err
        return process.returncode, json.loads(out)

    def shown(self) -> dict[str, Any]:
        """The run as it is."""
        _, out, _ = self.ion("show", "r", "--json")
        shown: dict[str, Any] = json.loads(out)
        return shown

    def events(self) -> list[dict[str, Any]]:
        """The log of the last run."""
        _, out, _ = self.ion("events", "last")
        return [json.loads(line) for line in out.splitlines()]


def place(agents: Path, folder: Path, provider: Provider) -> Place:
    home = folder / "home"
    _write(home / ".gemini" / "settings.json", json.dumps(_GEMINI))
    _write(home / ".config" / "opencode" / "opencode.json", json.dumps(_opencode(provider.url)))
    _write(home / ".codex" / "config.toml", _codex(provider.url))
    llm = f"- model_id: standin\n  model_name: one\n  api_base: {provider.url}/v1\n  supports_schema: true\n"
    _write(home / "llm" / "extra-openai-models.yaml", llm)
    env = {
        "PATH": f"{agents / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "CODEX_HOME": str(home / ".codex"),
        "LLM_USER_PATH": str(home / "llm"),
        "ANTHROPIC_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "sk-ant-no-key",
        "OPENAI_API_KEY": "sk-no-key",
        "GOOGLE_GEMINI_BASE_URL": provider.url,
        "GEMINI_API_KEY": "no-key",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{provider.url}/v1",
        "COPILOT_MODEL": "gpt-5",
        "IS_SANDBOX": "1",  # as root claude does nothing without asking, unless it is told that it may
        **_QUIET,
    }
    return Place(agents, folder, provider, env)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _opencode(url: str) -> dict[str, Any]:
    models = {name: {"name": name} for name in ("one", "two")}
    options = {"baseURL": f"{url}/v1", "apiKey": "no-key"}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "stand-in", "options": options, "models": models}
    chosen = {"model": "standin/one", "small_model": "standin/one"}
    return {"autoupdate": False, "share": "disabled", **chosen, "provider": {"standin": provider}}


def _codex(url: str) -> str:
    return f"""model = "gpt-5"
model_provider = "standin"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.standin]
name = "stand-in"
base_url = "{url}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
