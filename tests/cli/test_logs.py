"""`ion logs`: what the programs of a run wrote."""

from __future__ import annotations

from .kit import Ion


def test_logs_prints_what_programs_wrote(built: Ion) -> None:
    everything = built("logs", "mine").out
    assert '==> fetch, bash, stdout <==\n{"type":"bug"}\n' in everything
    assert "==> fetch, bash, stderr <==\nnoise\n" in everything
    assert "==> tests, bash, start 2, stderr <==\nno luck\n" in everything
    assert built("logs", "mine", "fix").out == "fixed bug for Ada\n"
    entries = built("logs", "mine", "tests", "--json").json()
    assert [(entry["start"], entry["stream"], entry["text"]) for entry in entries] == [
        (1, "stderr", "no luck\n"),
        (2, "stderr", "no luck\n"),
    ]
    nothing = built("logs", "mine", "publish")
    assert (nothing.status, nothing.out) == (0, "")
    assert built("logs", "mine", "nobody").status == 2
    assert built("logs").status == 2
