"""Others that can run a graph of commands, where they are installed: each is a small adapter."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from bench import graphs
from bench.graphs import Graph
from bench.measure import Program

JOBS = 8


def make(graph: Graph, folder: Path) -> Program | str:
    """GNU make; it keeps nothing."""
    program = shutil.which("make")
    if program is None:
        return "make is not installed"
    graphs.write_makefile(graph, folder / "Makefile")
    return Program("make", [program, "--silent", f"-j{JOBS}", "all"], folder)


def ninja(graph: Graph, folder: Path) -> Program | str:
    """ninja; it keeps a log that it does not sync."""
    program = shutil.which("ninja")
    if program is None:
        return "ninja is not installed"
    graphs.write_ninja(graph, folder / "build.ninja")
    return Program("ninja", [program, "--quiet", f"-j{JOBS}"], folder)


def doit(graph: Graph, folder: Path) -> Program | str:
    """doit with threads; it writes its state at the end of a run."""
    if importlib.util.find_spec("doit") is None:
        return "doit is not installed"
    graphs.write_dodo(graph, folder / "dodo.py")
    command = [sys.executable, "-m", "doit", "--verbosity", "0", "-n", str(JOBS), "-P", "thread"]
    return Program("doit", command, folder)


def dbos(graph: Graph, folder: Path) -> Program | str:
    """DBOS on SQLite: one step for each node."""
    if importlib.util.find_spec("dbos") is None:
        return "DBOS is not installed"
    graphs.write_json(graph, folder / "dbos.json")
    adapter = Path(__file__).with_name("dbos_peer.py")
    return Program("DBOS", [sys.executable, str(adapter), "dbos.json", "dbos.sqlite"], folder)


ALL: dict[str, Callable[[Graph, Path], Program | str]] = {"make": make, "ninja": ninja, "doit": doit, "dbos": dbos}


def able(graph: Graph, folder: Path, wanted: list[str], tell: Callable[[str], None]) -> list[Program]:
    """Those of `wanted` that are here, ready to run `graph` in folders of their own."""
    found = []
    for name in wanted:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        program = ALL[name](graph, place)
        if isinstance(program, str):
            tell(f"{program}: left out")
        else:
            found.append(program)
    return found
