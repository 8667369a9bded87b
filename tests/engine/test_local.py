"""The local engine on real processes, in every store (on PostgreSQL a share: `conftest.ON_POSTGRES`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import ion
from ion import PromptRequest, PromptResult, RunOptions, events
from ion.core.events import Recorded
from ion.core.state import RunState
from ion.errors import RefusedError
from ion.stores.base import WorkflowStore
from processes import PATIENCE_S, alive, eventually

Write = Callable[..., Path]


def run(workflow: Path, store: WorkflowStore, project: Path, **values: object) -> ion.RunResult:
    return ion.execute_workflow_sync(workflow, store=store, project=project, **values)


async def appears(file: Path) -> None:
    """Wait until another process has written the file."""
    await eventually(lambda: file.exists() and file.read_text().endswith("\n"))


def log(store: WorkflowStore, run_id: str) -> list[events.Event]:
    return [recorded.event for recorded in store.get_workflow_events(run_id)]


def test_a_chain_hands_its_values_on(write: Write, store: WorkflowStore, project: Path) -> None:
    result = run(
        write("""
            nodes:
              - id: a
                bash: printf 'it'"'"'s\\n\\n"alive" $(touch X)\\n'
              - id: b
                depends_on: [a]
                bash: printf '<%s>' $a.output
            """),
        store,
        project,
    )
    assert result.status == "completed"
    assert result.output == '<it\'s\n\n"alive" $(touch X)>'
    assert not (project / "X").exists()
    assert [event.type for event in log(store, result.run_id)] == [
        "workflow_started",
        "node_started",
        "node_completed",
        "node_started",
        "node_completed",
        "workflow_completed",
    ]


def test_two_mirrored_chains_take_the_longest_path_and_not_the_sum_of_layers(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    """Each chain sleeps 5 × 0.2 s at opposite places: the longest path is 1 s, the layers' sum 2 s."""
    nodes = []
    for chain, sleeping in (("a", 0), ("b", 1)):
        for i in range(10):
            before = f"[{chain}{i - 1}]" if i else "[]"
            command = "sleep 0.2" if i % 2 == sleeping else "'true'"
            nodes.append(f"  - {{id: {chain}{i}, bash: {command}, depends_on: {before}}}")
    result = run(write("nodes:\n" + "\n".join(nodes) + "\n"), store, project)
    assert result.status == "completed"
    spans = {n.id: (n.started_at or 0, n.ended_at or 0) for n in result.state.nodes.values()}
    overlaps = [
        i for i in range(9) if spans[f"a{i + 1}"][0] < spans[f"b{i}"][1] or spans[f"b{i + 1}"][0] < spans[f"a{i}"][1]
    ]
    assert len(overlaps) >= 5, "a node waited for the other chain's layer"


def test_no_more_than_max_concurrency_run_at_once(write: Write, store: WorkflowStore, project: Path) -> None:
    workflow = write("max_concurrency: 2\nnodes:\n" + "".join(f"  - {{id: n{i}, prompt: go}}\n" for i in range(6)))
    running, most = 0, 0

    async def agent(request: PromptRequest) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "done"

    assert run(workflow, store, project, agent=agent).status == "completed"
    assert most == 2


def test_a_synchronous_agent_runs_in_a_thread_and_does_not_hold_others_up(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    import threading

    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    def agent(request: PromptRequest) -> PromptResult:
        meeting.wait()
        return PromptResult(f"reply to {request.prompt}")

    workflow = write("nodes:\n  - {id: a, prompt: one}\n  - {id: b, prompt: two}\n")
    result = run(workflow, store, project, agent=agent)
    assert [node["output"] for node in result.data["nodes"].values()] == ["reply to one", "reply to two"]


def test_without_an_agent_prompts_wait_and_an_answer_goes_on(write: Write, store: WorkflowStore, project: Path) -> None:
    workflow = write("""
        nodes:
          - {id: ask, prompt: "Say $ARGUMENTS"}
          - {id: use, depends_on: [ask], bash: "printf %s \\"$ask.output\\""}
        """)
    result = run(workflow, store, project, arguments="hello")
    assert (result.status, result.exit_status) == ("paused", 3)
    (prompt,) = ion.next_prompts(result.run_id, store=store, project=project)
    assert (prompt["node"], prompt["prompt"], prompt["key"]) == ("ask", "Say hello", f"{result.run_id}/ask")
    assert ion.submit(result.run_id, "ask", "Hello!", store=store, project=project)
    assert not ion.submit(result.run_id, "ask", "Hello!", store=store, project=project)
    with pytest.raises(RefusedError):
        ion.submit(result.run_id, "ask", "Something else", store=store, project=project)
    after = ion.resume_workflow_sync(result.run_id, store=store, project=project)
    assert (after.status, after.output) == ("completed", "Hello!")


def test_resume_keeps_what_completed_and_its_exact_output(write: Write, store: WorkflowStore, project: Path) -> None:
    workflow = write("""
        nodes:
          - id: big
            bash: echo ran >> big.runs; head -c 600000 /dev/urandom | base64 -w 77
          - id: use
            depends_on: [big]
            bash: |
              test -e mended || exit 9
              printf '%s' "$big.output" | sha256sum
        """)
    first = run(workflow, store, project)
    assert first.status == "failed"
    output = first.state.nodes["big"].output
    assert output is not None
    assert output.text is None, "too long for the log"
    (project / "mended").touch()
    second = ion.resume_workflow_sync(first.run_id, store=store, project=project)
    assert second.status == "completed"
    assert second.output == f"{output.sha256}  -"
    assert (project / "big.runs").read_text() == "ran\n"


def test_cancel_ends_a_running_process_group_and_skips_the_rest(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    workflow = write("""
        nodes:
          - {id: long, bash: "sleep 3600 & echo $! > child; echo $$ > leader; wait"}
          - {id: after, depends_on: [long], bash: "true"}
        """)

    async def scenario() -> ion.RunResult:
        task = asyncio.create_task(
            ion.execute_workflow(
                workflow, store=store, project=project, run_id="cancel-me", options=RunOptions(grace_ms=500)
            )
        )
        await appears(project / "leader")
        ion.cancel("cancel-me", reason="enough", store=store, project=project)
        return await task

    result = asyncio.run(scenario())
    assert (result.status, result.exit_status) == ("cancelled", 4)
    assert {n: d["status"] for n, d in result.data["nodes"].items()} == {"long": "cancelled", "after": "skipped"}
    for name in ("leader", "child"):
        assert not alive(int((project / name).read_text()))


def test_interrupting_the_driver_ends_its_processes_and_leaves_the_run_resumable(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    workflow = write("nodes:\n  - {id: long, bash: 'echo $$ > leader; test -e fast || sleep 60'}\n")

    async def scenario() -> None:
        running = ion.execute_workflow(
            workflow, store=store, project=project, run_id="cut", options=RunOptions(grace_ms=500)
        )
        task = asyncio.create_task(running)
        await appears(project / "leader")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not alive(int((project / "leader").read_text()))
    assert ion.get_run("cut", store=store, project=project).status == "interrupted"
    assert log(store, "cut")[-1].type == "node_started"
    (project / "fast").touch()
    assert ion.resume_workflow_sync("cut", store=store, project=project).status == "completed"


def test_fail_fast_stops_what_runs(write: Write, store: WorkflowStore, project: Path) -> None:
    workflow = write("""
        fail_fast: true
        nodes:
          - {id: bad, bash: "sleep 0.1; exit 3"}
          - {id: long, bash: "sleep 60"}
          - {id: after, depends_on: [long], bash: "true"}
        """)
    result = run(workflow, store, project)
    assert {n: (d["status"], d["reason"]) for n, d in result.data["nodes"].items()} == {
        "bad": ("failed", None),
        "long": ("cancelled", "fail_fast"),
        "after": ("skipped", "fail_fast"),
    }
    assert result.status == "failed"


def test_the_runs_timeout_ends_it(write: Write, store: WorkflowStore, project: Path) -> None:
    result = run(write("timeout: 1s\nnodes:\n  - {id: long, bash: sleep 60}\n"), store, project)
    assert result.status == "failed"
    assert result.data["error"]["code"] == "timeout"
    assert result.data["nodes"]["long"]["status"] == "cancelled"


def test_of_two_resumers_one_owns_the_run_and_the_other_is_told(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    workflow = write("nodes:\n  - {id: a, bash: 'test -e go && sleep 0.3'}\n")
    first = run(workflow, store, project)
    (project / "go").touch()

    async def scenario() -> list[object]:
        resumes = [ion.resume_workflow(first.run_id, store=store, project=project) for _ in range(2)]
        return list(await asyncio.gather(*resumes, return_exceptions=True))

    outcomes = asyncio.run(scenario())
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RefusedError", "RunResult"]


def test_observers_see_every_event_and_a_broken_one_cannot_fail_a_run(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    class Seen:
        def __init__(self) -> None:
            self.events: list[int] = []

        def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:
            self.events.append(recorded.seq)

        def progress(self, run_id: str, node: str, line: str) -> None:
            pass

    class Broken(Seen):
        def event(self, run_id: str, recorded: Recorded, state: RunState) -> None:
            raise RuntimeError("no")

    seen = Seen()
    workflow = write("nodes:\n  - {id: a, bash: 'true'}\n  - {id: b, bash: 'true', depends_on: [a]}\n")
    result = run(workflow, store, project, options=RunOptions(observers=[Broken(), seen]))
    assert result.status == "completed"
    assert seen.events == list(range(1, len(log(store, result.run_id)) + 1))


@pytest.mark.usefixtures("hurry")
def test_an_agent_that_raises_something_unexpected_fails_its_node_and_not_the_run_of_others(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    def agent(request: PromptRequest) -> str:
        raise KeyError("oops")

    result = run(
        write("nodes:\n  - {id: a, prompt: hi, retry: {max_attempts: 1, delay_ms: 1000}}\n  - {id: b, bash: 'true'}\n"),
        store,
        project,
        agent=agent,
    )
    assert result.status == "failed"
    assert result.data["nodes"]["a"]["error"]["code"] == "crashed"
    assert result.data["nodes"]["b"]["status"] == "completed"


@pytest.mark.usefixtures("hurry")
def test_a_retry_waits_and_then_succeeds(write: Write, store: WorkflowStore, project: Path) -> None:
    workflow = write("""
        nodes:
          - id: flaky
            bash: test -e tried || { touch tried; exit 1; }
            retry: {max_attempts: 2, delay_ms: 1000, on_error: all}
        """)
    result = run(workflow, store, project)
    assert result.status == "completed"
    assert result.data["nodes"]["flaky"]["attempts"] == 2
    retrying = next(event for event in log(store, result.run_id) if isinstance(event, events.NodeRetrying))
    assert 1000 <= retrying.due_at - retrying.at <= 1250


def test_looking_for_runs_where_none_was_ever_kept_creates_nothing(tmp_path: Path) -> None:
    assert ion.list_runs(project=tmp_path) == []
    with pytest.raises(ion.errors.NotFoundError, match="no runs"):
        ion.get_run(project=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_acting_on_answers_alone_never_resumes_a_failed_run(write: Write, store: WorkflowStore, project: Path) -> None:
    from ion.api import runs
    from ion.api.workspace import open_workspace

    failed = run(write("nodes:\n  - {id: a, bash: exit 1}\n"), store, project)
    assert runs.acquire_run(open_workspace(project, store), failed.run_id, resume=False) is None


def test_a_comment_too_long_for_an_event_is_refused_and_the_gate_stays_open(
    write: Write, store: WorkflowStore, project: Path
) -> None:
    paused = run(write("nodes:\n  - {id: g, approval: {message: '?'}}\n"), store, project)
    with pytest.raises(ion.errors.UsageError, match="256 KiB"):
        ion.approve(paused.run_id, comment="x" * 300_000, store=store, project=project)
    assert ion.approve(paused.run_id, comment="x" * 200_000, store=store, project=project) == "g"
