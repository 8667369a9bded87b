"""`agents` in the settings: what may stand there, what is wrong with a place and a hint, and what comes of it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ion.agents.acp import AcpAgent
from ion.agents.command import CommandAgent
from ion.api.agents import make_agent
from ion.api.settings import Settings, read_settings
from ion.errors import InvalidWorkflowError, Problem


def settings(folder: Path, text: str) -> Settings:
    file = folder / "config.yaml"
    file.write_text(textwrap.dedent(text))
    return read_settings(file, folder / "none.yaml")


def problems(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(InvalidWorkflowError) as caught:
        settings(folder, text)
    return list(caught.value.problems)


def made(folder: Path, text: str, name: str) -> CommandAgent:
    agent = make_agent(name, settings(folder, text))
    assert isinstance(agent, CommandAgent)
    return agent


def test_a_preset_with_settings_of_its_own(tmp_path: Path) -> None:
    agent = made(
        tmp_path,
        """
        agents:
          reviewer:
            preset: claude
            command: /opt/claude/bin/claude --debug
            arguments: [--no-session-persistence]
            permission: allow-reads
            options: {model: opus}
            flags: {temperature: ["--temperature={value}"]}
            env: {API: key}
            max_parallel: 2
        """,
        "reviewer",
    )
    assert agent.name == "reviewer"
    assert agent.preset.command == ("/opt/claude/bin/claude", "--debug")
    assert agent.preset.arguments[-2:] == ("--no-session-persistence", "--permission-mode=default")
    assert (agent.preset.parser, agent.options, agent.env) == ("claude-json", {"model": "opus"}, {"API": "key"})
    assert agent.preset.options["temperature"].some == ("--temperature={value}",)
    assert agent.preset.options["model"].some == ("--model={value}",)


def test_an_agent_named_as_a_preset_is_that_preset_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = "agents: {claude: {max_parallel: 1}, codex: {command: my-codex}}\n"
    read = settings(tmp_path, text)
    assert (read.agents["claude"].preset, read.agents["claude"].max_parallel) == ("claude", 1)
    assert (read.agents["codex"].preset, read.agents["codex"].max_parallel) == (None, None)
    assert made(tmp_path, text, "codex").preset.parser == "text"


def test_a_command_of_ones_own(tmp_path: Path) -> None:
    agent = made(
        tmp_path,
        """
        agents:
          mine:
            command: [my agent, --json]
            parser: json
            pointer: /result/0/text
            session_pointer: /session
            resume: ["--session={session}"]
        """,
        "mine",
    )
    assert (agent.preset.command, agent.pointer, agent.session_pointer) == (
        ("my agent", "--json"),
        "/result/0/text",
        "/session",
    )


def test_a_name_is_a_configured_one_else_a_preset_else_a_command_line(tmp_path: Path) -> None:
    text = "agents: {gemini: {command: mine}}\n"
    assert made(tmp_path, text, "gemini").preset.command == ("mine",)
    assert made(tmp_path, text, "claude").preset.arguments[:1] == ("-p",)
    assert made(tmp_path, text, "claude -p").preset.command == ("claude", "-p")


def test_an_agent_that_speaks_acp(tmp_path: Path) -> None:
    text = "agents: {a: {type: acp, command: mine --acp, permission: deny}, b: {preset: claude-acp, arguments: [-v]}}\n"
    (tmp_path / "config.yaml").write_text(text)
    settings = read_settings(tmp_path / "config.yaml", tmp_path / "none.yaml")
    mine, claude = make_agent("a", settings), make_agent("b", settings)
    assert isinstance(mine, AcpAgent)
    assert isinstance(claude, AcpAgent)
    assert (mine.preset.command, mine.permission) == (("mine", "--acp"), "deny")
    assert (claude.preset.command[0], claude.preset.arguments[-1], claude.permission) == (
        "claude-agent-acp",
        "-v",
        "ask",
    )
    assert "log in" in claude.preset.login


@pytest.mark.parametrize(
    ("agent", "place", "code", "message", "hint"),
    [
        ("{}", "1:10", "missing-field", "neither a preset nor a command", "preset: claude"),
        ("[x]", "1:13", "bad-value", "must be a mapping", "such as"),
        ("{comand: x}", "1:14", "unknown-field", "unknown agent setting 'comand'", "did you mean 'command'?"),
        ("{preset: cluade}", "1:22", "unknown-preset", "unknown preset 'cluade'", "did you mean 'claude'?"),
        ("{command: ''}", "1:23", "bad-value", "must be a command line", ""),
        ("{command: []}", "1:23", "bad-value", "must be a command line", ""),
        ('{command: "a \'b"}', "1:23", "bad-value", "is not a valid command line", "quotes"),
        ("{command: x, type: http}", "1:32", "bad-value", "one of: command, acp", ""),
        ("{command: x, parser: xml}", "1:34", "bad-value", "one of: text, claude-json", ""),
        ("{command: x, pointer: /a}", "1:26", "bad-value", "for the parser json", "parser: json"),
        ("{command: x, parser: json, pointer: a}", "1:49", "bad-value", "a JSON pointer", ""),
        ("{command: x, max_parallel: 0}", "1:40", "bad-value", "a number above 0", ""),
        ("{command: x, max_parallel: true}", "1:40", "bad-value", "a number above 0", ""),
        ("{command: x, env: {A: 1}}", "1:31", "bad-value", "a mapping of texts", ""),
        ("{command: x, flags: {m: --model}}", "1:33", "bad-value", "a mapping from an option", ""),
        ("{command: x, permission: allow}", "1:38", "bad-value", "has no option for", "arguments"),
        ("{preset: claude, permission: ask}", "1:42", "bad-value", "has no option for", "allow-reads"),
        ("{preset: claude, type: acp}", "1:36", "bad-value", "is of type command", "preset: claude-acp"),
        ("{preset: goose-acp, type: command}", "1:39", "bad-value", "is of type acp", "preset: goose"),
        ("{preset: pi-acp, parser: json}", "1:30", "bad-value", "means nothing to an agent of type acp", ""),
        ("{type: acp}", "1:10", "missing-field", "neither a preset nor a command", ""),
        ('{command: x, flags: {m: ["{value}{json}"]}}', "1:33", "bad-value", "one {…} in a word", ""),
        ("{command: x, options: {maxBudgetUsd: 1}}", "1:35", "bad-value", "are the nodes'", ""),
        ("{command: x, options: [a]}", "1:35", "bad-value", "a mapping from an option to its value", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, agent: str, place: str, code: str, message: str, hint: str
) -> None:
    (found,) = problems(tmp_path, f"agents: {{a: {agent}}}\n")
    assert found.code == code
    assert message in found.message
    assert hint in found.hint
    assert f"{found.line}:{found.column}" == place


@pytest.mark.parametrize("name", ["''", "' '", "python:me"])
def test_a_name_that_names_nobody(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, f"agents: {{{name}: {{command: x}}}}\n")
    assert "is not a valid name for an agent" in found.message


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "agents:\n  a: {x: 1}\n  b: {preset: no}\n  c: {command: 5, type: x}\nstor: x\n")
    assert [one.line for one in found] == [2, 3, 4, 4, 5]


def test_a_file_full_of_faults_is_refused_with_the_first_thousand(tmp_path: Path) -> None:
    found = problems(tmp_path, "".join(f"x{i}: 1\n" for i in range(1100)))
    assert (found[0].message, found[-1].code) == ("unknown setting 'x0'", "too-many-problems")
