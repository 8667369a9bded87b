"""`ion next`: the prompts that wait for the host, and their answers."""

from __future__ import annotations

from typing import Any

from .kit import Ion, Project, Result
from .workflows import PROMPTS, start


def test_a_host_takes_prompts_and_submits_answers(ion: Ion, project: Project) -> None:
    start(ion, project, PROMPTS, "the", "cat")
    asked = ion("next", "mine", "--json").json("next")
    assert asked["status"] == "paused"
    assert [(prompt["node"], prompt["prompt"]) for prompt in asked["prompts"]] == [
        ("name", "Name the cat"),
        ("rate", "Rate it"),
    ]
    assert asked["prompts"][1]["output_format"]["required"] == ["stars"]
    shown = ion("next", "mine")
    assert "    Name the cat\n\n  ion submit mine name --file FILE\n" in shown.out
    told = "    Rate it\n\n    Reply with nothing but JSON that fits this JSON Schema:\n    {"
    assert told in shown.out
    assert '"required": ["stars"]' in shown.out
    (project.folder / "answer").write_text("Tom\n")
    assert ion("submit", "mine", "name", "--file", "answer").status == 3
    (project.folder / "bad").write_text('{"stars": "many"}')
    bad = ion("submit", "mine", "rate", "--file", "bad", "--json")
    assert bad.status == 2
    assert bad.json("error")["error"]["code"] == "output-format"
    assert ion("submit", "mine", "name", "--file", "answer").status == 3
    (project.folder / "other").write_text("Kitty")
    assert ion("submit", "mine", "name", "--file", "other").status == 5
    (project.folder / "good").write_text('{"stars": 5}')
    request = asked["prompts"][1]["request"]
    done = ion("submit", "mine", "rate", "--file", "good", "--request", request, "--session", "s1")
    assert (done.status, done.out) == (0, "Tom 5\n")


INSIDE = """
name: inside
description: A prompt, a gate and a prompt for each place
nodes:
  - id: each
    fan_out: {items: ["eu", "us", "asia"], as: where}
    group:
      nodes:
        - {id: notes, prompt: 'Notes for $INPUTS.where'}
        - {id: ok, depends_on: [notes], approval: {message: 'Ship $notes.output?'}}
        - {id: ship, depends_on: [ok], prompt: 'Ship to $INPUTS.where'}
  - {id: report, depends_on: [each], bash: 'echo "$each.output"'}
"""


def nodes_of(asked: Any) -> list[str]:
    return [prompt["node"] for prompt in asked["prompts"]]


def test_prompts_and_gates_inside_are_answered_by_their_addresses(ion: Ion, project: Project) -> None:
    def answer(node: str, text: str, *more: str) -> Result:
        (project.folder / "answer").write_text(text)
        return ion("submit", "mine", node, "--file", "answer", *more)

    start(ion, project, INSIDE)
    assert nodes_of(ion("next", "mine", "--json").json("next")) == ["each.0.notes", "each.1.notes", "each.2.notes"]
    assert nodes_of(ion("next", "mine", "each[1]", "--json").json("next")) == ["each.1.notes"]
    shown = ion("next", "mine", "each.1").out
    assert "Notes for us" in shown
    assert "Notes for eu" not in shown
    assert "  ion submit mine each.1.notes --file FILE\n" in shown
    assert answer("each[1].notes", "fast").status == 3
    assert "No prompt of 'each.1' waits for an answer; the run is paused." in ion("next", "mine", "each.1").err
    assert answer("each", "x").status == 5
    assert answer("each.7.notes", "x").status == 2
    assert ion("next", "mine", "each.7").status == 2
    for place in ("0", "2"):
        answer(f"each.{place}.notes", f"notes {place}", "--no-resume")
    assert ion("resume", "mine", "--quiet").status == 3
    gates = ion("show", "mine", "--json").json("run")["waiting"]
    assert [(one["node"], one["message"]) for one in gates] == [
        ("each.0.ok", "Ship notes 0?"), ("each.1.ok", "Ship fast?"), ("each.2.ok", "Ship notes 2?"),
    ]  # fmt: skip
    assert ion("approve", "mine", "each[1].ok", "--quiet").status == 3
    assert ion("reject", "mine", "each.2.ok", "--reason", "not there", "--quiet").status == 3
    assert ion("approve", "mine", "each", "--each", "--quiet").status == 3
    assert nodes_of(ion("next", "mine", "each", "--json").json("next")) == ["each.0.ship", "each.1.ship"]
    answer("each.0.ship", "shipped eu", "--quiet")
    done = answer("each.1.ship", "shipped us", "--quiet")
    assert done.status == 1, "the item whose gate was rejected has failed"
    assert [one["status"] for one in ion("show", "mine", "each", "--json").json("node")["instances"]] == [
        *("completed", "completed", "failed"),
    ]


def test_of_many_prompts_the_first_are_printed(ion: Ion, project: Project) -> None:
    fan = f"{{id: f, fan_out: {{items: {[*range(25)]}, as: n, max_parallel: all}}, prompt: 'say $INPUTS.n'}}"
    start(ion, project, f"name: many\ndescription: d\nnodes:\n  - {fan}\n")
    shown = ion("next", "mine")
    assert shown.out.count("ion submit") == 20
    assert "… and 5 of 25 more wait: ion next mine NODE" in shown.err
    assert len(nodes_of(ion("next", "mine", "--json").json("next"))) == 25
    assert "say 24" in ion("next", "mine", "f.24").out
