"""The works: what is run, by whom, and which ratios are asked of it, each with its goal.

A work gives the programs that do it; a question compares a figure of two of them (or takes that of one by itself). The
figures are those of `measure.run`, and what a program prints of itself.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import graphs
from bench.graphs import Graph
from bench.measure import Program

JOBS = 8
_HERE = Path(__file__).parent
_FLOOR = [sys.executable, str(_HERE / "floor.py")]
_DRIVER = [sys.executable, "-m", "bench.driver"]
_LOOKS = ("--help", "runs", "show last")
_DRIVER_ENV = {"PYTHONPATH": str(_HERE.parent)}


@dataclass(frozen=True)
class Question:
    """Whether `figure` of `above`, against that of `below` (None: by itself), times `scale`, is at most `limit`.
    `least` asks for at least that. `limit` None only reports."""

    text: str
    figure: str
    above: str = "Ion"
    below: str | None = "floor"
    limit: float | None = None
    scale: float = 1.0
    least: bool = False


@dataclass(frozen=True)
class Work:
    """`build` makes the programs in an empty folder. `graph` is there if peers can do it too."""

    text: str
    build: Callable[[Path], list[Program]]
    questions: tuple[Question, ...]
    graph: Graph | None = None
    rounds: int | None = None


def ion_command() -> list[str]:
    """The command line as it is installed beside this interpreter."""
    script = Path(sys.executable).with_name("ion")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "ion.cli"]


def _project(folder: Path, graph: Graph, name: str = "work") -> Path:
    place = folder / "ion"
    graphs.write_yaml(graph, place / ".ion" / "workflows" / f"{name}.yaml")
    return place


def _run_graph(graph: Graph, folder: Path) -> list[Program]:
    graphs.write_json(graph, folder / "graph.json")
    project = _project(folder, graph)
    return [
        Program("floor", [*_FLOOR, "graph", "graph.json", str(JOBS)], folder),
        Program("Ion", [*ion_command(), "run", "work", "--quiet", "--jobs", str(JOBS)], project),
    ]


def _graph(text: str, graph: Graph, *questions: Question) -> Work:
    whole = (*questions, Question("processor time", "cpu"))
    return Work(text, partial(_run_graph, graph), whole, graph)


def _mirrored(folder: Path) -> list[Program]:
    return [*_run_graph(_MIRRORED, folder), _driven("the run alone", "workflow", "work", str(folder / "ion"))]


def _cold(folder: Path) -> list[Program]:
    programs = _run_graph(graphs.chain(1, "echo hi"), folder)
    first = folder / "first"

    def forget() -> None:
        shutil.rmtree(first, ignore_errors=True)
        graphs.write_yaml(graphs.chain(1, "echo hi"), first / ".ion" / "workflows" / "work.yaml")

    new = Program("Ion, new project", [*ion_command(), "run", "work", "--quiet"], first, forget)
    return [*programs, new, Program("Ion --help", [*ion_command(), "--help"], folder)]


def _help(folder: Path) -> list[Program]:
    """The floor is the very library that reads the command line."""
    project = _project(folder, graphs.chain(20))

    def once() -> None:
        from bench.measure import run

        if not (project / ".ion" / "runs").exists():
            run(Program("the run to show", [*ion_command(), "run", "work", "--quiet"], project))

    commands = [Program(f"ion {words}", [*ion_command(), *words.split()], project, once) for words in _LOOKS]
    return [Program("import click", [sys.executable, "-c", "import click"], folder), *commands]


def _list(folder: Path) -> list[Program]:
    project = folder / "ion"
    for number in range(100):
        place = project / ".ion" / "workflows" / f"work{number}.yaml"
        graphs.write_yaml(graphs.chain(10, f"echo {number}"), place)

    def forget() -> None:
        shutil.rmtree(project / ".ion" / "cache", ignore_errors=True)

    floor = Program("floor", [*_FLOOR, "yaml", str(project / ".ion" / "workflows")], folder)
    return [
        floor,
        Program("Ion", [*ion_command(), "list"], project),
        Program("Ion, first look", [*ion_command(), "list"], project, forget),
    ]


def _prompts(shape: str, count: int, folder: Path) -> list[Program]:
    return [
        Program("floor", [*_FLOOR, "commits", str(count), "."], folder),
        _driven("Ion", "prompts", shape, str(count), "sqlite:.ion/ion.db", str(folder / "ion")),
    ]


def _driven(name: str, *arguments: str, prepare: Callable[[], None] | None = None) -> Program:
    return Program(name, [*_DRIVER, *arguments], _HERE.parent, prepare, _DRIVER_ENV)


def _growth(kind: str, small: int, large: int, folder: Path) -> list[Program]:
    def fresh(place: Path) -> Callable[[], None]:
        return partial(shutil.rmtree, place, ignore_errors=True)

    return [
        _driven(name, "growth", kind, str(count), str(folder / name), prepare=fresh(folder / name))
        for name, count in (("small", small), ("large", large))
    ]


def _steady(folder: Path) -> list[Program]:
    return [_driven("Ion", "growth", "steadiness", "20000", str(folder / "ion"))]


def _aged(folder: Path) -> list[Program]:
    new = folder / "new"
    return [
        _driven("aged", "growth", "aged", "1000", str(folder / "aged")),
        _driven("new", "growth", "new", "1000", str(new), prepare=partial(shutil.rmtree, new, ignore_errors=True)),
    ]


def _resume(folder: Path) -> list[Program]:
    """A chain whose last node fails every time, so that each round finds it as the first one did."""
    graph = graphs.chain(999)
    graph.append(("last", ["n998"], "exit 1"))
    project = _project(folder, graph)
    graphs.write_yaml(graphs.chain(1), project / ".ion" / "workflows" / "one.yaml")
    begin = [*ion_command(), "run", "work", "--quiet", "--run-id", "resumed"]

    def once() -> None:
        from bench.measure import run

        if not (project / ".ion" / "runs" / "resumed").exists():
            run(Program("the run to resume", begin, project, status=1))

    return [
        Program("resume", [*ion_command(), "resume", "resumed", "--quiet"], project, once, status=1),
        Program("one node", [*ion_command(), "run", "one", "--quiet"], project),
    ]


def _large(folder: Path) -> list[Program]:
    text = "head -c 100000000 /dev/zero | tr '\\0' 'x'"
    check = 'test "$(printf %s $produce.output | wc -c)" -eq 100000000'
    project = _project(folder, [("produce", [], text), ("consume", ["produce"], check)])
    graphs.write_yaml(graphs.chain(1), project / ".ion" / "workflows" / "one.yaml")
    return [
        Program(name, [*_DRIVER, "peak", "run", workflow, "--quiet"], project, None, _DRIVER_ENV)
        for name, workflow in (("100 MB", "work"), ("one node", "one"))
    ]


def _tick(folder: Path) -> list[Program]:
    from bench.clock import fill

    fill(folder / "old")
    return [Program("Ion", [*ion_command(), "tick"], folder / "old")]


def _tick_elsewhere(folder: Path, kind: str) -> list[Program]:
    from bench.clock import fill_store

    if kind == "file":
        url = f"file:{folder / 'store'}"
    else:
        from bench.postgres import server_url

        url = server_url(folder)
    fill_store(url, folder / "old")
    return [Program("Ion", [*ion_command(), "tick", "--store", url], folder / "old")]


def _at_once(folder: Path) -> list[Program]:
    project = _project(folder, graphs.fan(200))
    return [
        _driven("100 runs", "runs", "100", "10", str(folder / "runs")),
        Program("200-fan", [*ion_command(), "run", "work", "--quiet", "--jobs", str(JOBS)], project),
    ]


def _postgres(folder: Path) -> list[Program]:
    from bench.postgres import server_url

    url = server_url(folder)
    return [
        Program("floor", [*_FLOOR, "postgres", "100", url], folder),
        _driven("Ion", "prompts", "chain", "100", url, str(folder / "ion")),
    ]


def _cluster(graph: Graph, folder: Path) -> list[Program]:
    from bench.cluster import program
    from bench.measure import FailedError

    if program() is None:
        raise FailedError("no Temporal server: the program temporal is not installed")
    place = str(_project(folder, graph))
    return [
        _driven("Ion", "workflow", "work", place),
        _driven("Temporal", "cluster", "work", place, str(len(graph))),
    ]


def _show(folder: Path) -> list[Program]:
    """A run of 10,000 items that has ended; it is made once, before the first round."""
    project, url = folder / "ion", "sqlite:.ion/ion.db"

    def once() -> None:
        from bench.measure import run

        if not project.exists():
            run(_driven("the run to show", "prompts", "items", "10000", url, str(project)))

    command = [*ion_command(), "show", "last", "--store", url]
    return [
        Program("show", command, project, once),
        Program("show --json", [*command, "--json"], project, once),
    ]


def _validate(folder: Path) -> list[Program]:
    place = folder / "large.yaml"
    graphs.write_yaml(graphs.layers(100, 20), place)
    return [
        Program("2,000 nodes", [*ion_command(), "validate", str(place)], folder),
        Program("--version", [*ion_command(), "--version"], folder),
    ]


_MIRRORED = graphs.mirrored(5, 0.18, 0.02)


def _items(kind: str, count: int, folder: Path) -> list[Program]:
    return [_driven(name, "growth", name, str(count), str(folder / name)) for name in ("flat", kind)]


WORKS: dict[str, Work] = {
    "chain": _graph(
        "chain of 100 bash `true`",
        graphs.chain(100),
        Question("whole process, wall", "wall", limit=1.2),
    ),
    "fan": _graph(
        "1 → 200 bash `true` → 1",
        graphs.fan(200),
        Question("whole process, wall", "wall", limit=1.1),
    ),
    "layers": _graph(
        "10 layers × 20, three dependencies each",
        graphs.layers(10, 20),
        Question("whole process, wall", "wall", limit=1.1),
    ),
    "mirrored": Work(
        "two mirrored chains of sleeps, each 1 s long",
        _mirrored,
        (
            Question("from the run's first event to its last, to the path", "duration", "the run alone", None, 1.04),
            Question("whole process, wall, to the floor's", "wall"),
        ),
        _MIRRORED,
    ),
    "cold": Work(
        "one `echo hi`, cold",
        _cold,
        (
            Question("whole process, wall", "wall", limit=1.35),
            Question("processor time", "cpu", limit=1.35),
            Question("the first run of a new project, wall", "wall", "Ion, new project"),
            Question("ion --help, processor time, seconds", "cpu", "Ion --help", None, limit=0.1),
        ),
    ),
    "help": Work(
        "`ion --help`, `ion runs`, `ion show last` of 20 nodes, whole process, to `python -c 'import click'`",
        _help,
        tuple(
            Question(f"{name}, {figure}", figure, name, "import click", limit)
            for name, limit in (("ion --help", 1.15), ("ion runs", 1.5), ("ion show last", 1.8))
            for figure in ("wall", "cpu")
        ),
    ),
    "list": Work(
        "`ion list` over 100 files of 10 nodes",
        _list,
        (
            Question("wall, to reading them with the C YAML loader", "wall", limit=2.0),
            Question("processor time", "cpu"),
            Question("the first look, nothing cached, wall", "wall", "Ion, first look"),
        ),
    ),
    "prompt-chain": Work(
        "chain of 10,000 in-process prompts",
        partial(_prompts, "chain", 10_000),
        (
            Question("seconds, to as many one-row commits", "seconds", limit=1.8),
            Question("processor time of a node, µs", "cpu", below=None, scale=1e6 / 10_000),
        ),
        rounds=3,
    ),
    "prompt-fan": Work(
        "fan of 10,000 in-process prompts",
        partial(_prompts, "fan", 10_000),
        (
            Question("processor time of a node, µs", "cpu", below=None, scale=1e6 / 10_000, limit=150),
            Question("seconds, to as many one-row commits", "seconds"),
        ),
        rounds=3,
    ),
    **{
        f"growth-{kind}": Work(
            f"growth of {kind}: 50,000 nodes to 5,000",
            partial(_growth, kind, 5_000, 50_000),
            (Question("processor time", "cpu", "large", "small", limit=10.5 if kind == "fold" else 11),),
            rounds=2,
        )
        for kind in ("run-chain", "run-fan", "resume", "show", "fold")
    },
    "steady": Work(
        "events per second from first to last, chain of 20,000",
        _steady,
        (Question("last tenth to second tenth", "flat", below=None, limit=1.2),),
        rounds=2,
    ),
    "items": Work(
        "`fan_out` of 10,000 items, a prompt each, in memory, to a flat fan of as many",
        partial(_items, "items", 10_000),
        (
            Question("processor time", "cpu", "items", "flat", limit=1.15),
            Question("peak memory", "peak_own", "items", "flat", limit=1.3),
        ),
        rounds=3,
    ),
    "groups": Work(
        "`fan_out` of 1,000 items, a group of three prompts each, in memory, to 3,000 flat nodes",
        partial(_items, "groups", 3_000),
        (Question("processor time", "cpu", "groups", "flat", limit=1.15),),
        rounds=5,
    ),
    "steady-items": Work(
        "events per second from first to last, 10,000 items",
        lambda folder: [_driven("Ion", "growth", "steadiness-items", "10000", str(folder / "ion"))],
        (Question("last tenth to second tenth", "flat", below=None, limit=1.2),),
        rounds=2,
    ),
    "show-items": Work(
        "`ion show` of a run with 10,000 items",
        _show,
        (
            Question("whole process, processor time, seconds", "cpu", "show", None, limit=1.0),
            Question("the same with --json", "cpu", "show --json", None),
        ),
        rounds=5,
    ),
    "aged": Work(
        "a new run of 1,000 in a store with 100,000 old events",
        _aged,
        (
            Question("processor time, to an empty store", "cpu", "aged", "new", limit=1.1),
            Question("seconds", "seconds", "aged", "new"),
        ),
        rounds=3,
    ),
    "tick": Work(
        "`ion tick` in a store with 100,000 runs that have ended and 1,000 that wait",
        _tick,
        (
            Question("whole process, wall, seconds", "wall", below=None, limit=0.5),
            Question("processor time, seconds", "cpu", below=None),
        ),
    ),
    **{
        f"tick-{kind}": Work(
            f"the same in a store in {place}",
            partial(_tick_elsewhere, kind=kind),
            (
                Question("whole process, wall, seconds", "wall", below=None, limit=0.5),
                Question("processor time, seconds", "cpu", below=None),
            ),
        )
        for kind, place in (("file", "files"), ("postgres", "PostgreSQL"))
    },
    "resume": Work(
        "resume with 999 of 1,000 done",
        _resume,
        (
            Question("wall, to a cold run of one node", "wall", "resume", "one node", limit=1.5),
            Question("processor time", "cpu", "resume", "one node"),
        ),
    ),
    "large": Work(
        "100 MB output, consumed by bash",
        _large,
        (Question("Ion's own peak memory, to the one-node run", "peak_own", "100 MB", "one node", limit=1.3),),
        rounds=3,
    ),
    "at-once": Work(
        "100 runs at once in one process, 10 nodes each",
        _at_once,
        # 1,000 nodes to 202: how many nodes a second, run to run.
        (Question("nodes a second, to the 200-fan", "wall", "200-fan", "100 runs", 0.8, 1000 / 202, least=True),),
    ),
    "postgres": Work(
        "Postgres store, chain of 100 in-process prompts",
        _postgres,
        (Question("seconds, to as many commits", "seconds", limit=2.0),),
    ),
    **{
        f"cluster-{shape}": Work(
            f"{text}, on one machine and on Temporal's development server there",
            partial(_cluster, graph),
            (
                Question("nodes a second, on one machine", "rate", "Ion", None),
                Question("nodes a second, on Temporal", "rate", "Temporal", None),
            ),
            rounds=3,
        )
        for shape, text, graph in (
            ("chain", "chain of 100 bash `true`", graphs.chain(100)),
            ("fan", "1 → 200 bash `true` → 1", graphs.fan(200)),
        )
    },
    "validate": Work(
        "validate a file of 2,000 nodes",
        _validate,
        (
            Question("processor time, seconds", "cpu", "2,000 nodes", None, limit=1.0),
            Question("of that, start-up", "cpu", "--version", None),
        ),
    ),
}
