"""`ion output`: an output, whole."""

from __future__ import annotations

import json
from pathlib import Path

from .kit import Ion, Project


def test_large_outputs_are_in_a_file(ion: Ion, project: Project) -> None:
    project.write(
        "big", "name: big\ndescription: d\nnodes:\n  - id: big\n    bash: head -c 300000 /dev/zero | tr '\\0' x\n"
    )
    result = ion("run", "big", "--json").json("run")
    assert (result["output"], result["output_bytes"]) == (None, 300_000)
    assert Path(result["output_file"]).read_text() == "x" * 300_000
    assert json.loads(ion("events").out.splitlines()[-2])["output"]["bytes"] == 300_000


def test_an_output_is_printed_whole_and_nothing_else(project: Project) -> None:
    """Of a run, of a node, of a loop that waits; what there is not has status 2 and says why."""
    project.write(
        "outputs",
        "name: outputs\ndescription: d\nreturns: long\nnodes:\n"
        '  - {id: long, bash: \'head -c 300000 /dev/zero | tr "\\0" x; printf "\\n\\033[31mred \\044(x)\\n\\n"\'}\n'
        "  - {id: ask, depends_on: [long], approval: {message: ok?}}\n"
        "  - id: draft\n"
        "    loop: {prompt: Write, until: DONE, max_iterations: 3, interactive: true, gate_message: Good?}\n",
    )
    assert project.run("run", "outputs", "--agent", "printf 'first\\nsecond'", "--quiet").status == 3
    none = project.run("output")
    assert (none.status, none.out) == (2, "")
    assert "has no output: it is paused" in none.err
    long = project.run("output", "last", "long")
    assert (long.status, len(long.out), long.out[300_001:]) == (0, 300_016, "\x1b[31mred $(x)\n\n")
    assert project.run("output", "last", "draft").out == "first\nsecond\n"
    assert "'ask' has no output: it is waiting" in project.run("output", "last", "ask").err
    assert project.run("output", "last", "nope").status == 2
    assert "ion output" in project.run("show", "last", "long").out
    assert project.run("approve", "last", "ask", "--quiet").status == 3
    assert project.run("approve", "last", "draft", "--quiet").status == 3
    assert project.run("reject", "last", "draft", "--quiet").status == 4
    assert project.run("output", "last", "long").out == long.out
    data = project.run("output", "last", "long", "--json").json("output")
    assert (data["output"], data["output_bytes"]) == (None, 300_015)
    assert Path(data["output_file"]).read_text() + "\n" == long.out
