"""`ion next`: the prompts that wait for the host, and their answers."""

from __future__ import annotations

from .kit import Ion, Project
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
