"""`python -m bench`: choose works, measure them in turn, print what came of it."""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from bench import measure, peers, table
from bench.measure import FailedError, Figures
from bench.table import Row
from bench.works import WORKS, Work


def main() -> None:
    """Measure the works that the command line names."""
    options = _options()
    if options.list:
        for name, work in WORKS.items():
            print(f"{name:<18} {work.text}")
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    _compile()
    rows: list[Row] = []
    root = Path(tempfile.mkdtemp(prefix="ion-bench-", dir=options.folder))
    print(_surroundings(), flush=True)
    try:
        for name in options.works or WORKS:
            rows += _measure(WORKS[name], root / name, options)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if options.markdown is not None:
        options.markdown.write_text(f"{_surroundings()}\n\n{table.markdown(rows)}")
    missed = [row for row in rows if row.met is False]
    print(f"\n{sum(row.met is True for row in rows)} goals met, {len(missed)} missed")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description="How fast Ion is, against the floor and peers.")
    parser.add_argument("works", nargs="*", metavar="WORK", help="which works (default: all); --list shows them")
    parser.add_argument("--rounds", type=int, default=7, help="how often each program runs (default: 7)")
    parser.add_argument("--peers", default="", metavar="A,B", help=f"add others: {', '.join(peers.ALL)}, or all")
    parser.add_argument("--folder", type=Path, help="where to work: a folder on the disk that is to be measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--list", action="store_true", help="list the works and stop")
    options = parser.parse_args()
    unknown = [name for name in options.works if name not in WORKS]
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)}; there are {', '.join(WORKS)}")
    options.peers = list(peers.ALL) if options.peers == "all" else [name for name in options.peers.split(",") if name]
    strangers = [name for name in options.peers if name not in peers.ALL]
    if strangers:
        parser.error(f"no such peer: {', '.join(strangers)}; there are {', '.join(peers.ALL)}")
    return options


def _measure(work: Work, folder: Path, options: argparse.Namespace) -> list[Row]:
    print(f"\n{work.text}", flush=True)
    folder.mkdir(parents=True)
    try:
        programs = work.build(folder)
    except FailedError as error:
        _tell(str(error))
        return []
    if work.graph is not None:
        programs += peers.able(work.graph, folder / "peers", options.peers, _tell)
    count = min(options.rounds, work.rounds or options.rounds)
    found: dict[str, list[Figures]] = measure.rounds(programs, count, _tell)
    rows = table.rows_of(work, found)
    for row in rows:
        print(table.line(row), flush=True)
    print(f"  {table.seconds(found)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return rows


def _compile() -> None:
    """Modules are compiled before anything is measured: an installed package comes that way or is soon so."""
    for name in ("ion", "click", "yaml", "pydantic", "jsonschema"):
        found = importlib.util.find_spec(name)
        for place in (found.submodule_search_locations or ()) if found is not None else ():
            compileall.compile_dir(place, quiet=2)


def _surroundings() -> str:
    from ion import __version__

    return (
        f"Ion {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} {platform.release().partition('-')[0]}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M')}"
    )


def _tell(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    main()
