"""docs/problems.md lists every code of a problem, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TELLING = {"error", "warning", "Problem", "ShellProblem", "fault", "Fault", "problem"}


def codes_in(source: str) -> Iterator[str]:
    """The codes that are written where a problem is made, and in comparisons with a problem's code."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in TELLING or not call.args:
            continue
        code = call.args[1] if name == "Fault" else call.args[0]
        for part in ast.walk(code):
            if isinstance(part, ast.Constant) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", str(part.value)):
                yield str(part.value)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    sources = sorted((ROOT / "src/ion/language").rglob("*.py"))
    used = {code for path in sources for code in codes_in(path.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning|warning or error|error or warning) \| .+ \| .+ \|$",
                      (ROOT / "docs/problems.md").read_text(encoding="utf-8"), re.MULTILINE)  # fmt: skip
    documented = [code for code, _ in rows]
    assert len(used) > 50
    assert sorted(documented) == sorted(used)
