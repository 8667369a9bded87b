"""`ion resume`: a run continues and keeps what is completed."""

from __future__ import annotations

from .kit import Ion, Project
from .workflows import FLAKY, start


def test_prompts_can_be_pending_and_then_given_to_an_agent(ion: Ion, project: Project) -> None:
    start(ion, project, "name: it\ndescription: d\nnodes:\n  - id: ask\n    prompt: hi\n")
    waiting = ion("resume", "mine")
    assert waiting.status == 3
    assert "1 prompt waits for an agent" in waiting.err
    done = ion("resume", "mine", "--agent", "tr a-z A-Z")
    assert (done.status, done.out) == (0, "HI\n")


def test_resume_keeps_what_is_completed(ion: Ion, project: Project) -> None:
    start(ion, project, FLAKY)
    (project.folder / "there").write_text("at last")
    result = ion("resume")
    assert (result.status, result.out) == (0, "at last\n")
    assert "continues; 1 of 2 are completed" in result.err
    assert (project.folder / "kept").read_text() == "x\n"
    again = ion("resume", "mine", "--json")
    assert again.status == 5
    assert again.json("error")["error"]["code"] == "ended"


def test_a_failed_resume_has_its_status(ion: Ion, project: Project) -> None:
    start(ion, project, FLAKY)
    assert ion("resume", "--quiet").status == 1
    assert ion("resume", "--json").json("run")["status"] == "failed"
