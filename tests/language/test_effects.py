"""Where each control field acts, words by which other systems govern what runs, and what is not built yet
(language.md §2, §3): none of them may be accepted without a word and change nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from load_kit import HEAD, codes, load, only, write

from ion.language.fields import AGENT_FIELDS, EFFECTS, FIELDS, FOREIGN, FOREIGN_AT_TOP, KINDS
from ion.language.load import parse_workflow

BODIES = {
    "command": "command: c",
    "prompt": "prompt: p",
    "bash": "bash: 'true'",
    "script": "script: f(), runtime: python",
    "loop": "loop: {prompt: p, until: DONE, max_iterations: 2}",
    "approval": "approval: {message: go?}",
    "on_reject": "approval: {message: go?, on_reject: {prompt: again}}",
    "cancel": "cancel: over",
    "wait": "wait: 5m",
    "check": "wait: {check: 'true'}",
    "group": "group: {nodes: [{id: inner, bash: x}]}",
    "loop_group": "loop_group: {nodes: [{id: inner, bash: x}], until: DONE, max_iterations: 2}",
    "workflow": "workflow: block",
    "include": "include: block",
}
VALUES = {
    "allow_failure": "true",
    "catches": "[m]",
    "grace": "5s",
    "timeout": "5m",
    "retry": "{max_attempts: 1}",
    "env": "{A: b}",
    "with": "{v: b}",
    "idle_timeout": "5m",
    "strict": "true",
    "on_timeout": "skip",
    "output_format": "{type: object}",
    "context": "fresh",
    "maxBudgetUsd": "1",
    "fan_out": "{items: [1], as: x}",
    "always_run": "true",
    "runs_on": "gpu",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a workflow to include and to call."""
    folder = tmp_path_factory.mktemp("project")
    block = f"{HEAD.replace('demo', 'block')}nodes:\n  - {{id: a, bash: x}}\n"
    write(folder, {".ion/workflows/block.yaml": block, ".ion/commands/c.md": "x"})
    return folder


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("field", EFFECTS)
def test_a_control_field_acts_or_is_an_error(field: str, body: str, project: Path) -> None:
    """Every control field on every kind of node: it acts, or it is refused."""
    nodes = f"- {{id: n, {BODIES[body]}, {field}: {VALUES.get(field, 'x')}}}\n- {{id: m, bash: x}}\n"
    loaded = load(nodes, project=project)
    kind = {"on_reject": "approval", "check": "wait"}.get(body, body)
    if not {kind, body} & set(EFFECTS[field]) and (field, body) != ("fan_out", "include"):
        problem = only(loaded)
        assert (problem.code, problem.path) == ("no-effect-here", f"nodes[0].{field}")
        assert problem.message.startswith(f"'{field}' has no effect on a")
        assert problem.hint
    else:
        assert codes(loaded) == (["always-run-on-approval"] if (field, kind) == ("always_run", "approval") else [])


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_and_the_models_agree(kind: str) -> None:
    """A model has those control fields that act on its kind, and no other."""
    kinds = {kind, {"approval": "on_reject", "wait": "check", "include": "fan_out"}.get(kind, kind)}
    assert FIELDS[kind] & EFFECTS.keys() == {field for field in EFFECTS if kinds & set(EFFECTS[field])}


def test_the_page_has_the_table() -> None:
    """docs/language.md lists what is built, and where it acts."""
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.split("| field | acts on |")[1].split("\n\n")[0], re.MULTILINE)
    found = {field: set(re.findall(r"`(\w+)`", acts)) for field, acts in rows}
    assert found == {field: set(where) for field, where in EFFECTS.items()}


@pytest.mark.parametrize("kind", ["bash", "script", "approval", "cancel"])
@pytest.mark.parametrize("field", sorted(AGENT_FIELDS))
def test_a_field_for_an_agent_is_ignored_with_a_warning_where_there_is_none(field: str, kind: str) -> None:
    if field in FIELDS[kind]:
        return
    loaded = load(f"- {{id: n, {BODIES[kind]}, {field}: {VALUES.get(field, 'x')}}}\n")
    assert codes(loaded) == ["agent-field-ignored"]


# Words of other systems


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", FOREIGN)
def test_a_word_of_other_systems_is_an_error_on_every_node(word: str, kind: str, project: Path) -> None:
    loaded = load(f"- {{id: n, {BODIES[kind]}, {word}: x}}\n", project=project)
    if (word, kind) in (("interactive", "loop"), ("interactive", "loop_group")):
        assert codes(loaded) == ["unknown-field"]
        return
    problem = only(loaded)
    assert (problem.code, problem.path) == ("foreign-field", f"nodes[0].{word}")
    assert problem.message == f"'{word}' governs what runs in other systems, and nothing in Ion"
    assert problem.hint


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("needs", "Ion calls it 'depends_on'\nwithout it the node starts at once"),
        ("if", "Ion calls it 'when'\nwithout it the node always runs"),
        ("retries", "Ion calls it 'retry'\nwithout it the usual number of attempts is made"),
        ("unless", "write 'when' with the opposite comparison"),
        ("timeout-minutes", "write timeout: 10m"),
    ],
)
def test_a_word_of_other_systems_names_the_one_here(word: str, hint: str) -> None:
    assert only(load(f"- {{id: b, bash: 'true', {word}: x}}\n")).hint == hint


@pytest.mark.parametrize("word", FOREIGN_AT_TOP)
def test_a_word_of_other_systems_at_the_top(word: str) -> None:
    assert (only(load("- {id: a, bash: 'true'}", root=f"{word}: x")).code) == "foreign-field"


def test_jobs_are_nodes_and_steps_have_a_problem_of_their_own() -> None:
    loaded = parse_workflow(f"{HEAD}jobs:\n  - {{id: a, bash: 'true'}}\n")
    assert sorted(codes(loaded)) == ["foreign-field", "missing-field"]
    assert loaded.errors[-1].hint == "Ion calls it 'nodes'"
    assert codes(parse_workflow(f"{HEAD}steps:\n  - {{id: a, bash: 'true'}}\n")) == ["steps-format"]


def test_the_page_has_every_word() -> None:
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
    rows = page.split("| elsewhere | Ion |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    words = [re.findall(r"`([\w-]+)`", row.split(" | ")[0]) for row in rows]
    at_top = [row.startswith("| at the top:") for row in rows]
    assert {word for found, top in zip(words, at_top, strict=True) if not top for word in found} == set(FOREIGN)
    assert {word for found, top in zip(words, at_top, strict=True) if top for word in found} == set(FOREIGN_AT_TOP)


def test_on_fail_is_a_warning() -> None:
    """Real files have it."""
    problem = only(load("- {id: b, bash: 'true', on_fail: x}\n"), "warning")
    assert (problem.code, problem.hint.split("'")[1]) == ("unknown-field", "catches")


# Slips of the new names


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("alow_failure", "allow_failure"),
        ("catchs", "catches"),
        ("fanout", "fan_out"),
        ("failfast", "fail_fast"),
        ("on_timout", "on_timeout"),
        ("until-all", "until_all"),
        ("on_exit_code_status", ""),
        ("on_exit_stats", "on_exit_status"),
        ("on_expire", "on_expired"),
        ("finaly", "finally"),
        ("cache", ""),
        ("final", ""),
    ],
)
def test_a_slip_of_a_newer_name_is_an_error(key: str, meant: str) -> None:
    problem = load(f"- {{id: a, bash: x, {key}: 1}}").problems[0]
    assert problem.code == "unknown-field"
    assert problem.severity == ("error" if meant else "warning")
    assert not meant or problem.hint.startswith(f"did you mean '{meant}'?")
