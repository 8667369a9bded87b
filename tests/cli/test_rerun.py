"""`ion rerun`: a new run that keeps the outcomes before a node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import ion as library
from ion.testing import FakeAgent

from .kit import Ion, Project

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
    from ion.engine.rerun import make_rerun
    from ion.engine.run_reader import read_state

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


EDITED = """
name: edited
description: d
inputs: {n: {default: 1, type: number}}
nodes:
  - {id: costly, bash: 'echo costly >> ran; echo "{\\"ok\\": true, \\"n\\": $INPUTS.n}"'}
  - {id: made, depends_on: [costly], command: make}
  - {id: checked, depends_on: [costly], script: check, runtime: python}
  - {id: second, depends_on: [made, checked], bash: 'ecoh second >> ran'}
  - {id: third, depends_on: [second], bash: 'echo third >> ran'}
"""


@pytest.fixture
def broken(ion: Ion, project: Project) -> str:
    """A run that failed at `second` by a slip in the file."""
    for name, text in (
        ("commands/make.md", "Make it of $costly.output"),
        ("scripts/check/check.py", "open('ran', 'a').write('checked\\n')\nimport other\nprint(other.VALUE)\n"),
        ("scripts/check/other.py", "VALUE = 1\n"),
    ):
        path = project.folder / ".ion" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    agent = project.folder / "agent"
    agent.write_text("#!/bin/sh\ncat >/dev/null; echo made >> ran; echo made it\n")
    agent.chmod(0o755)
    project.write("edited", EDITED)
    assert ion("run", "edited", "--run-id", "old", "--agent", "./agent", "--quiet", "--input", "n=7").status == 1
    assert sorted(ran(project)) == ["checked", "costly", "made"]
    return "old"


FIXED = EDITED.replace("ecoh", "echo")


def test_with_the_file_as_it_is_now(ion: Ion, project: Project, broken: str) -> None:
    """What is defined as it was keeps its outcome; conditions that are new see what it gave."""
    project.write(
        "edited", FIXED.replace("depends_on: [second],", "depends_on: [second], when: '$costly.output.n == 7',")
    )
    done = ion("rerun", broken, "--from", "second", "--edited", "--run-id", "new", "--json")
    assert (done.status, ran(project)) == (0, ["second", "third"])
    run = done.json("run")
    assert run["rerun_of"] == {"run_id": "old", "from": "second", "edited": True}
    assert run["nodes"]["costly"]["output"] == '{"ok": true, "n": 7}'
    assert "rerun of old from second, edited" in ion("show", "new").out
    assert ion("show", "old", "--json").json("run")["status"] == "failed"


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (("echo costly >> ran", "echo costly >>ran"), ["costly", "second", "third"]),
        (("Make it of", "Do make it of"), ["made", "second", "third"]),
        (("VALUE = 1", "VALUE = 2"), ["checked", "second", "third"]),
        (("description: d", "description: another\nenv: {X: y}"), ["checked", "costly", "made", "second", "third"]),
        (("{id: costly,", "{id: costly, timeout: 9s, description: more,"), ["second", "third"]),
        (("depends_on: [made, checked]", "depends_on: [made]"), ["second", "third"]),
        (("{id: made, depends_on: [costly],", "{id: new, bash: 'echo new >> ran'}\n  - {id: made, depends_on: [new],"),
         ["made", "new", "second", "third"]),
    ],
)  # fmt: skip
def test_what_is_defined_otherwise_runs(
    ion: Ion, project: Project, broken: str, change: tuple[str, str], runs: list[str]
) -> None:
    before = ran(project)
    assert before == []
    project.write("edited", FIXED.replace(*change))
    for path in (project.folder / ".ion").rglob("[mo]*.*"):
        if path.suffix in (".md", ".py"):
            path.write_text(path.read_text().replace(*change))
    assert ion("rerun", broken, "--from", "second", "--edited", "--quiet").status == 0
    assert sorted(ran(project)) == runs


NESTED = """
name: nested
description: d
nodes:
  - {id: names, bash: 'echo names >> ran; printf "a\\nb\\nc\\n"'}
  - id: review
    depends_on: [names]
    fan_out: {lines: $names.output, as: name, join: all_done}
    group:
      nodes:
        - {id: read, bash: 'echo read-$INPUTS.name >> ran; echo text-$INPUTS.name'}
        - {id: check, depends_on: [read], bash: 'ecoh check-$read.output >> ran'}
        - {id: sum, depends_on: [check], bash: 'echo sum-$INPUTS.name >> ran'}
  - {id: report, depends_on: [review], bash: 'echo report >> ran'}
"""
REPAIRED = NESTED.replace("ecoh", "echo")


def of_all(*what: str) -> list[str]:
    return [f"{one}-{name}" for one in what for name in "abc"]


@pytest.fixture
def nested(ion: Ion, project: Project) -> str:
    """A run in which one node of each item failed by a slip in the file."""
    project.write("nested", NESTED)
    assert ion("run", "nested", "--run-id", "old", "--quiet").status == 1
    assert sorted(ran(project)) == ["names", *of_all("read")]
    return "old"


def test_with_the_file_as_it_is_now_from_a_node_inside(ion: Ion, project: Project, nested: str) -> None:
    """What completed inside of other items, and before it in its own, keeps its outcome as far as it is unchanged."""
    project.write("nested", REPAIRED)
    assert ion("rerun", nested, "--from", "review[1].check", "--edited", "--run-id", "new", "--quiet").status == 0
    assert sorted(ran(project)) == [*of_all("check-text"), "report", *of_all("sum")]
    assert "rerun of old from review.1.check, edited" in ion("show", "new").out
    # Once more: now nothing but what waits for that one instance.
    assert ion("rerun", "new", "--from", "review.1.check", "--edited", "--quiet").status == 0
    assert ran(project) == ["check-text-b", "sum-b", "report"]


SUM = "{id: sum, depends_on: [check], bash: 'echo sum-$INPUTS.name >> ran'}"
MORE = "{id: more, depends_on: [read], bash: 'echo more-$INPUTS.name >> ran'}"


@pytest.mark.parametrize(
    ("change", "from_node", "runs"),
    [
        # The node before it is another one: it runs in every item.
        (("echo text", "echo TEXT"), "review.1.check", of_all("read", "check-TEXT", "sum")),
        # A node that was not there, and one that is gone.
        ((SUM, MORE), "review.2.more", of_all("more", "check-text")),
        # One item is begun again as a whole.
        (("", ""), "review.0", ["read-a", *of_all("check-text", "sum")]),
    ],
)
def test_what_is_defined_otherwise_inside_runs(
    ion: Ion, project: Project, nested: str, change: tuple[str, str], from_node: str, runs: list[str]
) -> None:
    assert change[0] in REPAIRED
    project.write("nested", REPAIRED.replace(*change) if change[0] else REPAIRED)
    assert ion("rerun", nested, "--from", from_node, "--edited", "--quiet").status == 0
    assert sorted(ran(project)) == sorted([*runs, "report"])


@pytest.mark.parametrize(
    ("change", "from_node", "said"),
    [
        (("lines: $names.output", "items: [a, b, c]"), "review.1.check", "'review' is opened otherwise"),
        (("{id: read,", "{id: read, when: $INPUTS.name == 'b',"), "review.1.check", "'review' is opened otherwise"),
        (("check", "checked"), "review.1.check", "the file as it is now has no node 'review.1.check'"),
        (("", ""), "review.7.check", "the run has no node 'review.7'"),
        (("", ""), "review.1.check.x", "the file as it is now has no node 'review.1.check.x'"),
        (("", ""), "names.0", "the file as it is now has no node 'names.0'"),
        (("", ""), "names.x", "the file as it is now has no node 'names.x'"),
    ],
)
def test_an_edited_file_from_what_is_not_there(
    ion: Ion, project: Project, nested: str, change: tuple[str, str], from_node: str, said: str
) -> None:
    assert change[0] in REPAIRED
    project.write("nested", REPAIRED.replace(*change) if change[0] else REPAIRED)
    refused = ion("rerun", nested, "--from", from_node, "--edited")
    assert (refused.status, ran(project)) == (2, [])
    assert said in refused.err


def test_that_the_file_has_changed_is_said(ion: Ion, project: Project, broken: str) -> None:
    """Where one would look: after the failure, at `resume`, at `rerun`, at `show`."""
    fix = "ion rerun old --from second --edited"
    assert f"  fix      {fix}      (once the file is corrected)" in ion("show", broken).out
    assert "has changed since" not in ion("resume", broken).err
    project.write("edited", FIXED)
    for said in (ion("resume", broken).err, ion("rerun", broken, "--from", "second").err):
        assert "note: .ion/workflows/edited.yaml has changed since this run began" in said
        assert f"as it is now: {fix}\n" in said
    assert f"  fix      {fix}      (the file has changed since)" in ion("resume", broken).err
    assert "has changed" not in ion("rerun", broken, "--from", "second", "--edited").err
    assert "note:" not in ion("rerun", broken, "--from", "second", "--quiet").err
    ran(project)


def test_a_command_file_that_changed_counts_as_well(ion: Ion, project: Project, broken: str) -> None:
    """And the workflow's own file, which is as it was, is not said to have changed."""
    os.utime(project.folder / ".ion" / "workflows" / "edited.yaml", (1, 1))
    (project.folder / ".ion" / "commands" / "make.md").write_text("Make it otherwise of $costly.output")
    said = ion("resume", broken).err
    assert "note: a file that .ion/workflows/edited.yaml uses has changed since this run began" in said
    assert "as they are now: ion rerun old --from second --edited\n" in said


def test_a_called_file_that_is_gone_is_named_and_nothing_is_offered_that_cannot_load(
    ion: Ion, project: Project
) -> None:
    called = project.write("called", "name: called\ndescription: d\nnodes:\n  - {id: x, bash: exit 1}\n")
    project.write("caller", "name: caller\ndescription: d\nnodes:\n  - {id: c, workflow: called}\n")
    assert ion("run", "caller", "--run-id", "r1").status == 1
    called.unlink()
    said = ion("resume", "r1").err
    assert "note: .ion/workflows/called.yaml is gone since this run began" in said
    assert "--edited" not in said
    assert "(what it uses is gone since)" in ion("show", "r1").out


def test_what_cannot_be_taken_as_it_is_now(ion: Ion, project: Project, broken: str) -> None:
    """Each is said before anything runs, and no run is left behind."""
    file = project.write("edited", FIXED.replace("id: second", "id: zweite").replace("[second]", "[zweite]"))
    refused = ion("rerun", broken, "--from", "second", "--edited")
    assert refused.status == 2
    assert "the file as it is now has no node 'second'" in refused.err
    assert "costly, made, checked, zweite, third" in refused.err
    project.write("edited", FIXED.replace("n: {default: 1, type: number}", "n: {enum: [a, b]}, m: {required: true}"))
    refused = ion("rerun", broken, "--from", "second", "--edited")
    assert refused.status == 2
    assert "missing input 'm'" in refused.err
    assert "'n' must be one of a, b" in refused.err
    project.write("edited", FIXED.replace("ran'}", "ran"))
    assert ion("rerun", broken, "--from", "second", "--edited").status == 2
    file.unlink()
    assert ion("rerun", broken, "--from", "second", "--edited").status == 2
    assert "edited.yaml is gone since this run began" in ion("resume", broken).err
    assert ran(project) == []
    assert len(ion("runs", "--json").json("runs")) == 1


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


def test_an_edited_file_from_a_program(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    text = "name: w\ndescription: d\nnodes:\n  - {id: one, prompt: first}\n"
    text += "  - {id: two, depends_on: [one], bash: 'nope'}\n"
    file.write_text(text)
    agent = FakeAgent({"one": ["1", "1 again"]})
    store = library.create_store("memory:")
    run = library.execute_workflow_sync(file, agent=agent, store=store, project=tmp_path)
    file.write_text(text.replace("nope", 'echo "$one.output"'))
    again = library.rerun_workflow_sync(
        run.run_id, from_node="two", edited=True, agent=agent, store=store, project=tmp_path
    )
    assert (run.status, again.status, again.output) == ("failed", "completed", "1")
    unnamed = library.execute_workflow_sync(library.parse_workflow(text), agent=agent, store=store, project=tmp_path)
    with pytest.raises(library.errors.UsageError, match="started without a file"):
        library.rerun_workflow_sync(unnamed.run_id, edited=True, agent=agent, store=store, project=tmp_path)
