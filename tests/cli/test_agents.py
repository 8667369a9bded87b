"""`ion agents`: what can be named, what is installed, and whether one answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .kit import Ion, Project

STAND_IN = Path(__file__).parents[1] / "agents" / "stand_in.py"


@pytest.fixture
def settings(project: Project) -> Path:
    command = json.dumps([sys.executable, "-S", "-E", str(STAND_IN), "claude"])
    path = project.folder / ".ion" / "config.yaml"
    path.write_text(
        f"agent: reviewer\nagents:\n  reviewer: {{preset: claude, command: {command}, max_parallel: 2}}\n"
        "  broken: {preset: claude, command: no-such-program}\n"
    )
    return path


def test_the_agents_of_the_settings_and_the_presets_are_listed(
    settings: Path, ion: Ion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = {one["name"]: one for one in ion("agents", "--json").json("agents")}
    assert list(found)[:4] == ["reviewer", "broken", "claude", "codex"]
    assert found["reviewer"] == {
        "name": "reviewer",
        "source": "settings",
        "type": "command",
        "preset": "claude",
        "program": sys.executable,
        "path": sys.executable,
        "max_parallel": 2,
        "default": True,
        "install": "npm install -g @anthropic-ai/claude-code",
    }
    assert (found["broken"]["path"], found["codex"]["source"]) == (None, "preset")
    said = ion("agents").out
    assert "* reviewer" in said
    assert "no-such-program is not installed" in said


def test_a_default_that_is_a_command_line_is_listed_too(project: Project, ion: Ion) -> None:
    (project.folder / ".ion" / "config.yaml").write_text("agent: cat -u\n")
    last = ion("agents", "--json").json("agents")[-1]
    assert (last["name"], last["source"], last["default"]) == ("cat -u", "command line", True)


def test_one_is_asked_for_a_word(settings: Path, ion: Ion) -> None:
    checked = ion("agents", "--check", "--json").json("agents")
    assert (checked["name"], checked["ok"], checked["error"]) == ("reviewer", True, None)
    assert checked["reply"] == "you said: Reply with the single word: ok"
    assert checked["usage"]["cost_usd"] == 0.25
    said = ion("agents", "--check", "reviewer")
    assert said.status == 0
    assert "reviewer answers (" in said.out
    assert "$0.25" in said.out


def test_one_that_does_not_answer_says_why_and_what_to_do(
    settings: Path, ion: Ion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENARIO", "unauthorized")
    said = ion("agents", "--check", "reviewer")
    assert said.status == 1
    assert "not_logged_in: agent reviewer failed [exit 1]: Not logged in" in said.out
    assert "= run claude once and log in" in said.out
    missing = ion("agents", "--check", "broken", "--json")
    assert missing.status == 1
    error = missing.json("agents")["error"]
    assert (error["code"], error["hint"]) == ("not_found", "install it: npm install -g @anthropic-ai/claude-code")


def test_there_must_be_somebody_to_ask(ion: Ion) -> None:
    result = ion("agents", "--check", "--json")
    assert (result.status, result.json("error")["error"]["code"]) == (2, "usage")
    assert ion("agents", "--check", "cat 'x").status == 2


@pytest.mark.parametrize(
    "nodes",
    [
        "nodes: [{id: a, prompt: x, agent: nope}]",
        "nodes: [{id: g, group: {nodes: [{id: a, prompt: x, agent: nope}]}}]",
        "nodes: [{id: a, prompt: x, agent: nope, fan_out: {items: [1]}}]",
        "nodes: [{id: b, bash: 'true'}]\nfinally: [{id: a, prompt: x, agent: nope}]",
    ],
)
def test_a_run_does_not_begin_without_an_agent_that_it_asks_anywhere(nodes: str, project: Project, ion: Ion) -> None:
    project.write("w", f"name: w\ndescription: d\n{nodes}\n")
    assert "agent" in ion("list").out.splitlines()[1]
    result = ion("run", "w")
    assert (result.status, "nope" in result.err) == (2, True)
    assert ion("runs", "--json").json() == []


def test_a_command_that_is_the_program_of_a_preset_is_said(project: Project, ion: Ion) -> None:
    program = project.folder / "codex"
    program.write_text("#!/bin/bash\ncat\n")
    program.chmod(0o755)
    agents = f"mine: {{command: {program}}}, claude: {{command: cat}}, meant: {{command: {program}, parser: text}}"
    (project.folder / ".ion" / "config.yaml").write_text(f"agents: {{{agents}}}\n")
    assert "`preset: codex` beside the command" in ion("agents", "--check", "mine").out
    assert "`preset: claude` beside" in ion("agents", "--check", "claude", "--json").json("agents")["note"]
    assert ion("agents", "--check", "meant", "--json").json("agents")["note"] == ""
    said = " ".join(ion("doctor", "--json").json("doctor")["notes"])
    assert ("'mine' is only a command" in said, "'claude' is only a command" in said) == (True, True)
    assert "meant'" not in said


def test_a_workflow_does_not_grant_what_the_settings_deny(settings: Path, project: Project, ion: Ion) -> None:
    settings.write_text(settings.read_text().replace("max_parallel: 2", "permission: deny"))
    node = "{id: a, prompt: hi, allowed_tools: [Read, 'Bash(rm *)']}"
    project.write("w", f"name: w\ndescription: d\nnodes: [{node}]\n")
    record = project.folder / "record"
    assert ion("run", "w", RECORD=str(record)).status == 0
    argv = json.loads(record.read_text().splitlines()[0])["argv"]
    assert "--permission-mode=dontAsk" in argv
    assert "--tools=Read,Bash" in argv
    assert not [word for word in argv if word.startswith("--allowedTools")]


def test_flags_that_the_installed_program_does_not_have_are_named(project: Project, ion: Ion) -> None:
    program = project.folder / "codex"
    program.write_text(
        "#!/bin/bash\n"
        'if [ "$2" = --help ]; then echo "  --json  --model <M>  --sandbox-of-old"; exit; fi\n'
        "cat > /dev/null\n"
        """echo '{"type": "item.completed", "item": {"type": "agent_message", "text": "ok"}}'\n"""
    )
    program.chmod(0o755)
    settings = f"agents: {{old: {{preset: codex, command: {program}}}}}\n"
    (project.folder / ".ion" / "config.yaml").write_text(settings)
    flags = ["--skip-git-repo-check", "--output-schema", "--config", "--sandbox"]
    assert ion("agents", "--check", "old", "--json").json("agents")["unknown_flags"] == flags
    said = ion("agents", "--check", "old").out
    assert f"the installed program does not list {', '.join(flags)} in its help" in said
