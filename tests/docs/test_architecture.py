"""docs/architecture.md and CONTRIBUTING's words: what they name exists, and the walks are walked in their order."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE, WORDS = [(ROOT / name).read_text() for name in ("docs/architecture.md", "CONTRIBUTING.md")]
NAME = re.compile(r"`((?:agents|api|cli|core|engine|kinds|language|mcp|nodes|process|stores|views)(?:\.(?!py\b)\w+)+)`")
TITLES = ("One value", "One approval", "One list")
VALUE, APPROVAL, LIST = (PAGE.split(f"\n## {title}")[1].split("\n## ")[0] for title in TITLES)
WORKFLOW = """
name: two
description: Two steps and a gate
nodes:
  - {id: a, bash: echo hello}
  - {id: b, depends_on: [a], bash: 'echo "$a.output world"'}
  - {id: gate, depends_on: [b], approval: {message: 'Ship $b.output?'}}
  - {id: c, depends_on: [gate], bash: echo shipped}
"""
MANY = """
name: many
description: A node for each line
nodes:
  - {id: list, bash: "printf '%s\\n' a b c d e f g"}
  - {id: each, depends_on: [list], fan_out: {lines: $list.output}, bash: echo $INPUTS.item}
"""
# runs a command and prints each function of Ion when it is called for the first time
TRACED = """
import sys, threading
seen = {}
def called(frame, event, _):
    if event == "call":
        seen.setdefault(frame.f_code)
sys.setprofile(called)
threading.setprofile(called)
from ion.cli.main import main
sys.argv = ["ion", *sys.argv[1:]]
try:
    main()
finally:
    sys.setprofile(None)
    codes = {}
    for code in seen:
        codes[code.co_filename, code.co_firstlineno] = len(codes)
    import ion, inspect, importlib
    for name in sys.stdin.read().split():
        found = ion
        for part in name.split("."):
            found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
        found = inspect.unwrap(getattr(found, "callback", found))
        code = getattr(found, "__code__", None)
        print(name, codes.get((code.co_filename, code.co_firstlineno)) if code else None, file=sys.stderr)
"""


@pytest.mark.parametrize("name", sorted(set(NAME.findall(PAGE + WORDS))))
def test_what_is_named_exists(name: str) -> None:
    parts = name.split(".")
    found = importlib.import_module(f"ion.{parts[0]}")
    for at, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module("ion." + ".".join(parts[:at]))
        found = getattr(found, part)
    assert found is not None


def walked(project: Path, names: list[str], *command: str) -> dict[str, int]:
    """When each of these functions was first called by `ion COMMAND`, those that were."""
    done = subprocess.run(
        [sys.executable, "-c", TRACED, *command],
        cwd=project,
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.split() for line in done.stderr.splitlines() if line.split(" ")[0] in names]
    assert len(found) == len(names), done.stderr
    return {name: int(at) for name, at in found if at != "None"}


def in_order(what: str, project: Path, text: str, *command: str) -> None:
    names = list(dict.fromkeys(NAME.findall(text)))
    found = walked(project, names, *command)
    assert [name for name in names if name not in found] == [], what
    assert names == sorted(names, key=found.__getitem__), what


def test_the_walks_are_walked(tmp_path: Path) -> None:
    (tmp_path / ".ion/workflows").mkdir(parents=True)
    (tmp_path / ".ion/workflows/two.yaml").write_text(WORKFLOW)
    (tmp_path / ".ion/workflows/many.yaml").write_text(MANY)
    run, show = VALUE.split("\n12. ")
    in_order("run", tmp_path, run, "run", "two", "--run-id", "r1", "--quiet")
    in_order("show", tmp_path, show, "show", "r1")
    steps = LIST.split("\n1. ")[1].split("\n\nA group")[0].replace("`core.scopes.ScopeState`", "")
    in_order("fan out", tmp_path, steps, "run", "many", "--quiet")
    in_order("approve", tmp_path, APPROVAL.split("\n\nAn answer")[0], "approve", "r1", "gate", "--quiet")
