"""docs/ci.md: the steps of its two Actions files, run one by one in checkouts that are thrown away after each job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

import console_blocks

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
FILES = {step.path: step.text for step in console_blocks.steps(PAGE) if isinstance(step, console_blocks.File)}


@dataclass
class Runner:
    """What Actions does, as far as these files need it: a checkout at the same place for each job, and artifacts."""

    folder: Path
    artifacts: list[Path] = field(default_factory=list)

    def run(self, file: str, **inputs: str) -> tuple[int, str]:
        """The status of the first step that failed, else 0, and what was printed."""
        (job,) = yaml.safe_load(FILES[f".github/workflows/{file}.yaml"])["jobs"].values()
        values = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.actor": "ana"}
        status, printed = 0, ""
        for step in job["steps"]:
            if status and step.get("if") != "always()":
                continue
            code, text = self.step(step, values)
            status, printed = status or code, printed + text
        shutil.rmtree(self.folder / "checkout")
        return status, printed

    def step(self, step: dict, values: dict[str, str]) -> tuple[int, str]:  # type: ignore[type-arg]
        checkout = self.folder / "checkout"
        match step.get("uses"):
            case "actions/checkout@v4":
                (checkout / ".ion/workflows").mkdir(parents=True)
                (checkout / ".ion/workflows/release.yaml").write_text(FILES[".ion/workflows/release.yaml"])
            case "actions/upload-artifact@v4":
                assert step["with"]["include-hidden-files"] is True
                self.artifacts.append(self.folder / f"artifact-{len(self.artifacts)}")
                shutil.copytree(checkout / step["with"]["path"], self.artifacts[-1])
            case "actions/download-artifact@v4":
                number = int(filled(step["with"]["run-id"], values))
                shutil.copytree(self.artifacts[number], checkout / step["with"]["path"], dirs_exist_ok=True)
            case None:
                return self.bash(
                    step["run"], {name: filled(text, values) for name, text in step.get("env", {}).items()}
                )
            case other:
                raise AssertionError(other)
        return 0, ""

    def bash(self, text: str, env: dict[str, str]) -> tuple[int, str]:
        if text.startswith("pip install"):
            return 0, ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ION_", "XDG_"))}
        kept |= {"CI": "true", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **env}
        kept |= {"XDG_STATE_HOME": str(self.folder / f"machine-{len(self.artifacts)}")}  # another machine for each job
        done = subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=self.folder / "checkout",
            env=kept,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr


def filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: values[found[1]], text)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_a_release_that_is_approved_by_a_later_job(runner: Runner) -> None:
    status, printed = runner.run("release", version="1.4; touch pwned")
    assert (status, "Publish 1.4; touch pwned?" in printed) == (0, True), printed
    status, printed = runner.run("answer", job="0", answer="approve", reason='it is "fine" $(true)')
    assert (status, "published: app 1.4; touch pwned" in printed) == (0, True), printed


def test_a_release_that_is_rejected_is_a_red_job(runner: Runner) -> None:
    runner.run("release", version="1.4")
    status, printed = runner.run("answer", job="0", answer="reject", reason="not today")
    assert (status, "ana: not today" in printed) == (4, True), printed


def test_an_answer_to_what_is_answered_is_refused(runner: Runner) -> None:
    runner.run("release", version="1.4")
    runner.run("answer", job="0", answer="approve", reason="")
    status, printed = runner.run("answer", job="1", answer="approve", reason="")
    assert (status != 0, "the run has ended" in printed) == (True, True), printed


def test_no_text_of_an_input_is_pasted_into_a_step() -> None:
    for path, text in FILES.items():
        if path.startswith(".github"):
            (job,) = yaml.safe_load(text)["jobs"].values()
            runs = [step["run"] for step in job["steps"] if "run" in step]
            assert not [one for one in runs if "${{" in one and "vars.ION_REPOSITORY" not in one]
