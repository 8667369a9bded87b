"""The package as a whole: its version, its face, what it costs to look at it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ion


def test_the_version_is_said_once_and_the_same() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert ion.__version__ == project["project"]["version"]


@pytest.mark.parametrize("name", sorted(set(ion.__all__)))
def test_every_name_of_the_face_is_there(name: str) -> None:
    assert getattr(ion, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ion.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import ion, sys; print([m for m in ('asyncio', 'pydantic', 'yaml', 'sqlite3', 'ion.api') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def imports(tree: ast.Module) -> set[str]:
    """The top packages that a module imports, wherever in it."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


PURE = {"__future__", "bisect", "collections", "msgspec", "functools", "hashlib", "heapq", "json", "operator"}
PURE |= {"re", "typing", "unicodedata", "ion"}


@pytest.mark.parametrize("file", sorted((Path(ion.__file__).parent / "core").glob("*.py")), ids=lambda file: file.stem)
def test_the_core_is_pure(file: Path) -> None:
    """No await, clock, disk, process, randomness or log in what decides: it cannot even import them."""
    tree = ast.parse(file.read_text())
    assert imports(tree) <= PURE
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize(
    "file", sorted((Path(ion.__file__).parent / "views").rglob("*.py")), ids=lambda file: file.stem
)
def test_views_know_no_terminal(file: Path) -> None:
    """A page can show them as well as a command: no click, no rich, no stream, no size of a window."""
    assert not imports(ast.parse(file.read_text())) & {"click", "rich", "sys", "shutil", "curses", "termios", "html"}
