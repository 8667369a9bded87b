"""docs/problems.md lists every code of a problem, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Codes have a hyphen, but for four that the facts about SOPs name so.
CODE = re.compile("[a-z0-9]+(-[a-z0-9]+)+|empty|order|numbering|reasonless")
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
            if isinstance(part, ast.Constant) and CODE.fullmatch(str(part.value)):
                yield str(part.value)


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    sources = sorted((ROOT / "src/ion/language").rglob("*.py"))
    used = {code for path in sources for code in codes_in(path.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning|warning or error|error or warning) \| .+ \| .+ \|$",
                      (ROOT / "docs/problems.md").read_text(encoding="utf-8"), re.MULTILINE)  # fmt: skip
    documented = [code for code, _ in rows]
    assert len(used) > 50
    assert sorted(documented) == sorted(used)


def test_pydantic_and_yaml_have_one_importer_each() -> None:
    """So that whoever does not parse a file pays for neither (the design's promise)."""
    importers: dict[str, set[str]] = {"pydantic": set(), "yaml": set()}
    for path in (ROOT / "src/ion").rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            if isinstance(statement, ast.ImportFrom) and statement.level == 0:
                names = [statement.module or ""]
            for name in names:
                if name.split(".")[0] in importers:
                    importers[name.split(".")[0]].add(path.parent.relative_to(ROOT / "src/ion").as_posix())
    assert importers == {"pydantic": {"language/schema"}, "yaml": {"language/yaml"}}
