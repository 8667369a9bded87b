"""Workflows without errors, with nodes inside of nodes to any depth, for tests of what holds of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from load_kit import load_file, write

from ion.language.library import Loaded


def load_any(folder: Path, data: st.DataObject, *, items: bool = True, failures: bool = False) -> Loaded:
    """One of three workflows, each of which may include and call those before it. Without `items` what is fanned out
    has a list in the file, else whatever a text refers to. With `failures` some are foreseen, in every way."""
    writer = Writer(data, items, failures)
    blocks: list[str] = []
    for name in ("one", "two", "main"):
        nodes = writer.graph([], [] if name == "main" else ["given", "item"], blocks, 2)
        document: dict[str, Any] = {"name": name, "description": "x", "nodes": nodes}
        if failures and name == "main" and writer.one_of(True, False):
            seen = [node["id"] for node in nodes]
            first, last = writer.name(), writer.name()
            inside = {"id": writer.name(), "bash": f"{writer.text([*seen, first], [])} $RUN.status"}
            document["finally"] = [
                {"id": first, "prompt": f"{writer.text(seen, [])} $RUN.error", "when": "$RUN.status != 'failed'"},
                {"id": last, "group": {"nodes": [inside]}, "depends_on": [first], "allow_failure": True},
            ]
        write(folder, {f".ion/workflows/{name}.yaml": json.dumps(document)})
        blocks.append(name)
    return load_file(folder / ".ion/workflows/main.yaml", folder)


class Writer:
    """Writes workflows without errors: ids of their own, references to what can be seen."""

    def __init__(self, data: st.DataObject, items: bool, failures: bool) -> None:
        self.data = data
        self.items = items
        self.failures = failures
        self.count = 0

    def one_of(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def text(self, seen: list[str], items: list[str]) -> str:
        names = ["x", *(f"${node}.output" for node in seen), *(f"$INPUTS.{item}" for item in items)]
        if self.failures:
            names += [f"${node}.outcome.{name}" for node in seen[:3] for name in ("stderr", "status")]
        return f"{self.one_of(*names)} {self.one_of(*names)}"

    def graph(self, seen: list[str], items: list[str], blocks: list[str], depth: int) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = []
        for _ in range(self.one_of(1, 2, 3)):
            own = [node["id"] for node in nodes]
            node: dict[str, Any] = {"id": self.name()}
            if own and self.one_of(True, False):
                node["depends_on"] = [self.one_of(*own)]
            item = self.name() if self.one_of(True, False, False) else ""
            if item:
                read = self.text([*seen, *own], items).split()[0]
                written = read if self.items and read != "x" and "outcome" not in read else [1, 2]
                node["fan_out"] = {"items": written, "as": item}
            within = [*items, item] if item else items
            kind = self.one_of(
                "bash",
                "prompt",
                *(("include", "workflow") if blocks else ()),
                *(("group", "loop_group") if depth else ()),
            )
            if kind in ("include", "workflow"):
                node[kind] = self.one_of(*blocks)
                node["with"] = {"given": self.text([*seen, *own], items)}
                if item:
                    node["fan_out"]["as"] = "item"
                else:
                    node["with"]["item"] = self.text([*seen, *own], items)
            elif kind in ("group", "loop_group"):
                body = {"nodes": self.graph([*seen, *own], within, blocks, depth - 1)}
                first = body["nodes"][0]  # it has no condition, but the last node that it includes may have one
                end = {"until_bash": "true"} if "include" in first else {"until_node": first["id"]}
                loop = {"max_iterations": 2, **end}
                node[kind] = body if kind == "group" else {**body, **loop}
            else:
                node[kind] = self.text([*seen, *own], within)
            plain = [one["id"] for one in nodes if "bash" in one and "fan_out" not in one]
            if plain and self.one_of(True, False, False):
                node["when"] = f"${self.one_of(*plain)}.output == 'x'"
            if self.failures and not (kind == "include" and not item):
                self.foresee(node, [one for one in own if one not in node.get("depends_on", ())])
            nodes.append(node)
        return nodes

    def foresee(self, node: dict[str, Any], others: list[str]) -> None:
        """It may fail, catches some of the others, and runs by what became of one."""
        if self.one_of(True, False):
            codes = {"codes": ["timeout", "crashed"]}
            node["allow_failure"] = self.one_of(True, codes)
        if others and self.one_of(True, False):
            node["catches"] = sorted({self.one_of(*others), self.one_of(*others)})
            node["when"] = f"${self.one_of(*others)}.outcome.status == 'failed'"
        if "bash" in node:
            node["cwd"] = self.one_of("sub", ".", "/tmp", *(f"sub/${other}.outcome.code" for other in others[:1]))
