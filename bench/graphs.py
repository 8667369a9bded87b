"""The graphs of the works, and each of them written for whoever runs it.

A graph is a list of (node, what it waits for, its command), in an order in which it could be run.
"""

from __future__ import annotations

import json
from pathlib import Path

Graph = list[tuple[str, list[str], str]]


def chain(length: int, command: str = "true") -> Graph:
    """One after the other."""
    return [(f"n{i}", [f"n{i - 1}"] if i else [], command) for i in range(length)]


def fan(width: int) -> Graph:
    """One, then `width` at once, then one that waits for all of them."""
    middle = [f"m{i}" for i in range(width)]
    return [("first", [], "true"), *((node, ["first"], "true") for node in middle), ("last", middle, "true")]


def layers(depth: int, width: int) -> Graph:
    """`depth` layers of `width` nodes, each waiting for three of the layer before."""
    return [
        (f"l{i}n{j}", [f"l{i - 1}n{(j + k) % width}" for k in range(3)] if i else [], "true")
        for i in range(depth)
        for j in range(width)
    ]


def mirrored(pairs: int, long: float, short: float) -> Graph:
    """Two chains of sleeps, one long where the other is short: who waits for whole layers takes nearly twice as long.
    Both take `pairs * (long + short)` seconds."""
    graph: Graph = []
    for name, times in (("a", (long, short)), ("b", (short, long))):
        for i in range(2 * pairs):
            graph.append((f"{name}{i}", [f"{name}{i - 1}"] if i else [], f"sleep {times[i % 2]}"))
    return graph


def write_json(graph: Graph, place: Path) -> None:
    """For the floor."""
    place.write_text(json.dumps(graph))


def write_yaml(graph: Graph, place: Path, *, description: str = "A graph of the benchmark") -> None:
    """For Ion. The name of the workflow is that of the file."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"name: {place.stem}", f"description: {description}", "nodes:"]
    for node, after, command in graph:
        lines += [f"  - id: {node}", f"    bash: {json.dumps(command)}"]
        if after:
            lines.append(f"    depends_on: [{', '.join(after)}]")
    place.write_text("\n".join(lines) + "\n")


def write_makefile(graph: Graph, place: Path) -> None:
    """For make: every target is phony, so that each run runs all of them."""
    names = " ".join(node for node, _, _ in graph)
    rules = [f"{node}: {' '.join(after)}\n\t@bash -c '{command}'" for node, after, command in graph]
    place.write_text("\n".join([f"all: {names}", f".PHONY: all {names}", *rules]) + "\n")


def write_ninja(graph: Graph, place: Path) -> None:
    """For ninja: no command makes its output, so that each run runs all of them."""
    text = "rule run\n  command = bash -c '$text'\n"
    for node, after, command in graph:
        text += f"build {node}: run {' '.join(after)}\n  text = {command}\n"
    place.write_text(text)


def write_dodo(graph: Graph, place: Path) -> None:
    """For doit: tasks without targets are never up to date."""
    tasks = [
        {"name": node, "actions": [["bash", "-c", command]], "task_dep": [f"node:{other}" for other in after]}
        for node, after, command in graph
    ]
    place.write_text(f"def task_node():\n    yield from {tasks!r}\n")
