"""The budget of a run that a cluster drives is raised as that of any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.engine.temporal.kit import Project

import ion
from ion.api.runs import acquire_run
from ion.api.workspace import open_workspace
from ion.core import events as e
from ion.engine import freeze
from ion.engine.temporal.client import EngineError
from ion.engine.temporal.cluster import owner_of

NOWHERE = "temporal://127.0.0.1:1/default"
NODES = """
nodes:
  - {id: one, prompt: first}
  - {id: two, depends_on: [one], prompt: second}
"""
COSTLY = """
import json, sys
prompt = sys.stdin.read()
print(json.dumps({"type": "result", "subtype": "success", "is_error": "BROKEN" in prompt, "result": "done",
                  "session_id": "s", "total_cost_usd": 2, "usage": {"input_tokens": 1, "output_tokens": 1}}))
"""


def paused_over_budget(folder: Path) -> ion.RunResult:
    """A run of a cluster that nobody reaches, as the cluster left it."""
    text = f"name: w\ndescription: d\nmax_budget_usd: 1\n{NODES}"
    store = ion.create_store(f"sqlite:{folder}/ion.db", project=folder)
    workflow = ion.parse_workflow(text)
    source = freeze.freeze(workflow, store)
    nodes = tuple((node.id, node.kind) for node in workflow.nodes)
    started = e.WorkflowStarted(
        1, "w", freeze.digest_of(source), nodes, cwd=str(folder), max_budget_usd=1, engine=NOWHERE
    )
    owner = owner_of("r1", NOWHERE)
    lease = store.create_workflow_run(
        "r1", project=str(folder), source=source, event=started, owner=owner, lease_ms=1 << 40
    )
    done = e.NodeCompleted(3, "one", e.Reply(e.Content("x"), usage={"cost_usd": 2.0}))
    log = [e.NodeStarted(2, "one", "prompt"), done, e.WorkflowPaused(4, over_budget=True)]
    store.create_workflow_event("r1", log, lease=lease)
    store.close()
    return ion.get_run("r1", store=f"sqlite:{folder}/ion.db", project=folder)


def test_the_cluster_is_told_of_a_larger_budget(tmp_path: Path) -> None:
    """Here it cannot be reached: what was asked for is in the log all the same, and the answer says why."""
    assert paused_over_budget(tmp_path).status == "paused"
    store = f"sqlite:{tmp_path}/ion.db"
    with pytest.raises(ion.errors.UsageError, match="has spent"):
        acquire_run(open_workspace(tmp_path, store), "r1", max_budget_usd=2)
    with pytest.raises(EngineError, match="does not answer"):
        acquire_run(open_workspace(tmp_path, store), "r1", max_budget_usd=10)
    with pytest.raises(EngineError, match="does not answer"):
        ion.raise_budget("r1", 20, store=store, project=tmp_path)
    raised = [x.event for x in ion.get_events("r1", store=store, project=tmp_path)][-2:]
    assert [event.max_budget_usd for event in raised if isinstance(event, e.BudgetRaised)] == [10, 20]


def test_a_larger_budget_lets_the_cluster_continue(project: Project) -> None:
    project.write_file("costly.py", COSTLY)
    agents = {"costly": {"preset": "claude", "command": [sys.executable, "costly.py"]}}
    project.write_file(".ion/config.yaml", json.dumps({"agents": agents}))
    project.write("w", f"max_budget_usd: 1\n{NODES}  - {{id: three, depends_on: [two], bash: test -e fixed}}\n")
    project.work()
    assert project.run("w", "--run-id", "one", "--quiet", "--agent", "costly")[0] == 3
    status, _, said = project.ion("resume", "one", "--max-budget-usd", "3", "--quiet")
    assert status == 1, said
    project.write_file("fixed", "")
    status, _, said = project.ion("resume", "one", "--max-budget-usd", "9", "--quiet")  # also of one that has failed
    assert status == 0, said
    found = ion.get_run("one", project=project.folder)
    assert found.to_json()["max_budget_usd"] == 9
    assert [x.event.type for x in ion.get_events("one", project=project.folder)].count("budget_raised") == 2
