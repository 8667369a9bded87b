"""The handles: a project, and a run of it; what the short functions do in one call, step by step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ion

GATE = """
name: gate
description: A prompt, a gate, a step
secrets: [TOKEN]
nodes:
  - {id: draft, prompt: Draft it}
  - {id: ask, depends_on: [draft], approval: {message: 'publish?', decisions: [{id: approve}, {id: later}]}}
  - {id: say, depends_on: [ask], bash: 'printf "%s" "$TOKEN $ask.output.decision"'}
"""


async def test_a_run_is_answered_and_continued_by_its_handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-value")
    with ion.open(tmp_path, "memory:") as project:
        started = project.start(ion.parse_workflow(GATE), run_id="one")
        assert (await started.drive()).status == "paused"
        run = project.run("one")
        assert project.run() == run
        assert [(prompt["node"], prompt["prompt"]) for prompt in run.prompts()] == [("draft", "Draft it")]
        assert run.submit("draft", "a draft")
        assert not run.submit("draft", "a draft")
        assert (await run.resume()).status == "paused"
        with pytest.raises(ion.errors.UsageError, match="has no decision 'never'"):
            run.answer("never", "ask")
        assert run.answer("later") == "ask"
        done = await run.resume()
        assert (done.status, done.output) == ("completed", "s3cret-value later")
        assert run.result().output == done.output
        assert run.show().output == run.show().to_json()["output"] == run.show().nodes["say"].output == "*** later"
        assert run.workflow().name == "gate"
        assert [recorded async for recorded in run.follow(after=2)] == run.events(after=2)
        assert run.state().status == "completed"
        assert {file.suffix for file in run.logs("say")} >= {".out"}
        assert [(row.run_id, status) for row, status in project.runs(status="completed")] == [("one", "completed")]
        with pytest.raises(ion.errors.RefusedError, match="has ended"):
            run.cancel()


async def test_a_run_without_an_owner_is_cancelled_by_its_handle(tmp_path: Path) -> None:
    with ion.open(tmp_path, "memory:") as project:
        await project.start(ion.parse_workflow(GATE.replace("secrets: [TOKEN]\n", "")), run_id="one").drive()
        run = project.run("one")
        run.cancel(reason="not today")
        assert (await run.resume()).error == ion.Failure("cancelled", "not today")
        again = await run.rerun(run_id="two").drive()
        assert again.to_json()["rerun_of"] == {"run_id": "one", "from": None}
        assert [row.run_id for row, _ in project.runs()] == ["two", "one"]


def test_a_project_lists_what_it_has_and_makes_no_store(tmp_path: Path) -> None:
    folder = tmp_path / ".ion" / "workflows"
    folder.mkdir(parents=True)
    (folder / "hi.yaml").write_text("name: hi\ndescription: d\nnodes: [{id: a, bash: echo}]\n")
    with ion.open(tmp_path) as project:
        assert project.folder == tmp_path
        assert [found.name for found in project.workflows()] == ["hi"]
        assert project.workflow("hi").nodes[0].id == "a"
        assert project.validate().problems == []
        assert project.runs() == []
        with pytest.raises(ion.errors.NotFoundError, match="no runs"):
            project.run()
    assert not (tmp_path / ".ion" / "ion.db").exists()


def test_a_store_that_was_given_stays_open(tmp_path: Path) -> None:
    with ion.create_store("sqlite:x.db", project=tmp_path) as store:
        with ion.open(tmp_path, store) as project:
            assert project.store is store
        assert store.list_workflow_runs() == []


def test_looking_at_a_run_by_its_handle_loads_no_event_loop(tmp_path: Path) -> None:
    script = (
        "import sys, ion\n"
        "with ion.open(sys.argv[1]) as project:\n"
        "    assert project.runs() == []\n"
        "assert 'asyncio' not in sys.modules and 'pydantic' not in sys.modules, sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
