"""A frozen workflow is read again as it was, and only if the language allows what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ion.engine.freeze import source_of
from ion.language import frozen
from ion.language import workflow as w
from ion.language.load import load_workflow

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SMALL = w.Workflow(
    "small",
    (
        w.Node("a", w.Script("python", name="tidy"), env={"A": "b"}),
        w.Node("b", w.Command("ask"), depends_on=("a",), timeout_ms=5),
        w.Node("c", w.Loop(3, prompt="p"), order=("b",)),
    ),
    commands={"ask": w.CommandFile("/ask.md", "?")},
    scripts={"tidy": w.ScriptFile("/tidy.py", "tidy.py", {"tidy.py": "ab" * 32, "lib/x.py": "cd" * 32})},
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_the_language_made_is_read_as_it_was(path: Path) -> None:
    loaded = load_workflow(path)
    assert loaded.workflow is not None
    assert frozen.read_frozen(source_of(loaded.workflow)) == loaded.workflow


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("nodes", [], "no nodes"),
        ("nodes 0 id", "../up", "cannot be a node's id"),
        ("nodes 0 id", "b", "two of its nodes"),
        ("nodes 1 depends_on", ["x"], "not a node"),
        ("nodes 0 depends_on", ["b"], "wait for each other"),
        ("nodes 0 body kind", "spell", "spell"),
        ("nodes 0 body runtime", "perl", "runtime"),
        ("nodes 0 body name", "other", "no script"),
        ("nodes 0 body code", "x", "code or has a name"),
        ("nodes 0 env", {"A=": "b"}, "names"),
        ("nodes 0 env", {"A": 1}, "env"),
        ("nodes 1 timeout_ms", "5", "timeout_ms"),
        ("nodes 1 timeout_ms", -5, "timeout"),
        ("nodes 1 body name", "other", "no command"),
        ("nodes 1 trigger_rule", "never", "trigger rule"),
        ("nodes 2 body max_iterations", 0, "0 times"),
        ("scripts tidy files", {"../../up.py": "ab" * 32, "tidy.py": "ab" * 32}, "leads out"),
        ("scripts tidy files", {"/up.py": "ab" * 32, "tidy.py": "ab" * 32}, "leads out"),
        ("scripts tidy files", {"tidy.py": "../up"}, "not a hash"),
        ("scripts tidy entry", "../tidy.py", "no file"),
        ("scripts ../../../up", {"path": "", "entry": "t", "files": {"t": "ab" * 32}}, "script's name"),
        ("name", None, "name"),
        ("unheard_of", 1, "unheard_of"),
    ],
)
def test_what_the_language_does_not_allow_is_refused(path: str, value: Any, said: str) -> None:
    data: Any = json.loads(source_of(SMALL))
    *folders, last = path.split()
    place = data
    for name in folders:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    with pytest.raises(ValueError, match=said):
        frozen.read_frozen(json.dumps(data))


@pytest.mark.parametrize("source", ["", "[]", "null", "1", "{", '{"nodes": 1}', '{"nodes": [[]]}', "[" * 100_000])
def test_what_is_no_workflow_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        frozen.read_frozen(source)
