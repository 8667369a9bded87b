"""`ion rerun`: a new run that keeps the outcomes before a node."""

from __future__ import annotations

from pathlib import Path

import pytest

import ion as library
from ion.testing import FakeAgent

from .conftest import Ion, Project

CHAIN = """
name: chain
description: d
inputs: {n: {default: 1, type: number}}
nodes:
  - {id: a, bash: 'echo a >> ran; echo art > "$ARTIFACTS_DIR/a"; head -c 300000 /dev/zero | tr "\\\\0" x'}
  - {id: b, depends_on: [a], bash: 'echo b >> ran; cat "$ARTIFACTS_DIR/a"; printf "%s" "$a.output" | wc -c'}
  - {id: c, depends_on: [b], bash: 'echo c >> ran; echo "$b.output $INPUTS.n"'}
  - {id: d, bash: 'echo d >> ran; echo D'}
  - {id: e, depends_on: [d], always_run: true, bash: 'echo e >> ran'}
"""
BRANCH = """
name: branch
description: d
nodes:
  - {id: fails, bash: 'test -e fixed'}
  - {id: ok, bash: 'echo ok >> ran'}
  - {id: after, depends_on: [fails, ok], trigger_rule: all_done, bash: 'echo after >> ran'}
  - {id: last, depends_on: [ok], bash: 'echo last >> ran'}
"""


def ran(project: Project) -> list[str]:
    """What ran since the last look."""
    file = project.folder / "ran"
    words = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return words


@pytest.fixture
def first(ion: Ion, project: Project) -> str:
    project.write("chain", CHAIN)
    assert ion("run", "chain", "--run-id", "first", "--input", "n=7", "--quiet").status == 0
    assert sorted(ran(project)) == list("abcde")
    return "first"


def test_from_a_node(ion: Ion, project: Project, first: str) -> None:
    """What does not wait for it is kept, with outputs, artifacts and inputs; what always runs runs."""
    done = ion("rerun", first, "--from", "b", "--run-id", "second", "--json")
    assert (done.status, sorted(ran(project))) == (0, ["b", "c", "e"])
    shown = done.json("run")
    assert (shown["run_id"], shown["rerun_of"]) == ("second", {"run_id": "first", "from": "b"})
    assert shown["nodes"]["c"]["output"] == "art\n300000 7"
    assert "rerun of first from b" in ion("show", "second").out
    assert ion("show", "first", "--json").json("run")["rerun_of"] is None


def test_wholly(ion: Ion, project: Project, first: str) -> None:
    done = ion("rerun", "--json")
    assert (done.status, sorted(ran(project))) == (0, list("abcde"))
    assert done.json("run")["rerun_of"] == {"run_id": "first", "from": None}


def test_the_workflow_is_the_one_that_was_frozen(ion: Ion, project: Project, first: str) -> None:
    project.write("chain", CHAIN.replace("echo c >> ran", "echo changed >> ran"))
    assert ion("rerun", first, "--from", "c", "--quiet").status == 0
    assert sorted(ran(project)) == ["c", "e"]


def test_of_a_failed_run(ion: Ion, project: Project) -> None:
    """A kept node that ran because another one failed runs again when that one does not."""
    project.write("branch", BRANCH)
    assert ion("run", "branch", "--quiet").status == 1
    ran(project)
    (project.folder / "fixed").touch()
    assert ion("rerun", "--from", "last", "--quiet").status == 0
    assert sorted(ran(project)) == ["after", "last"]


def test_what_is_refused(ion: Ion, project: Project, first: str) -> None:
    assert "its nodes: a, b, c" in ion("rerun", first, "--from", "nope").err
    assert ion("rerun", "nobody").status == 2
    assert ion("rerun", first, "--run-id", first).status == 5
    assert len(ion("runs", "--json").json("runs")) == 1
    assert not (project.folder / ".ion" / "runs" / "nope").exists()


def test_a_rerun_that_is_cut_off_can_be_resumed(ion: Ion, project: Project, first: str) -> None:
    """The new log has its kept outcomes from the first moment."""
    from ion.api.workspace import open_workspace
    from ion.engine.look import read_state
    from ion.engine.rerun import make_rerun

    with_store = open_workspace(project.folder)
    make_rerun(
        with_store.store,
        data=with_store.data,
        project=with_store.project,
        old=first,
        state=read_state(with_store.store, first),
        new="cut",
        from_node="c",
        agent=None,
        by={},
    )
    with_store.close()
    assert ion("show", "cut", "--json").json("run")["status"] == "interrupted"
    assert ion("resume", "cut", "--quiet").status == 0
    assert sorted(ran(project)) == ["c", "e"]


def test_from_a_program(tmp_path: Path) -> None:
    workflow = library.parse_workflow("""
name: asks
description: d
nodes:
  - {id: one, prompt: first}
  - {id: two, depends_on: [one], prompt: "then $one.output"}
""")
    store = library.create_store("memory:")
    agent = FakeAgent({"one": ["1", "1 again"], "two": ["2", "2 again"]})
    run = library.execute_workflow_sync(workflow, agent=agent, store=store, project=tmp_path)
    again = library.rerun_workflow_sync(run.run_id, from_node="two", agent=agent, store=store, project=tmp_path)
    assert (again.output, len(agent.prompts("one"))) == ("2 again", 1)
    with pytest.raises(library.errors.RefusedError, match="is a function of the program"):
        library.rerun_workflow_sync(run.run_id, store=store, project=tmp_path)
    assert len(library.list_runs(store=store, project=tmp_path)) == 2
