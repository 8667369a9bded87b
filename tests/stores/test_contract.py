"""The contract of `WorkflowStore`, held against every store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs
from store_kit import (
    LEASE_MS,
    STARTED,
    STORES,
    HandClock,
    approved,
    begin,
    dead,
    elsewhere,
    gate,
    living,
    log_of,
)

from ion.core import events as e
from ion.errors import (
    DamagedStoreError,
    NotFoundError,
    OwnershipLostError,
    RefusedError,
    StaleStateError,
    StoreError,
    UsageError,
)
from ion.stores.base import Lease, WorkflowStore
from ion.stores.memory import MemoryStore

ODD_TEXT = "quotes \"' $x `y` \x00 NUL \ud800 lone \n\r\t line\u2028 ünï 漢字 🎈 " + "x" * 5_000

NO_RUN_IDS = ["", ".", "..", "../up", "a/b", "a\0b", "-x", ".hidden", "a b", "é", "A", "x" * 65, "last"]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[WorkflowStore]:
    made = STORES[request.param](tmp_path, clock)
    yield made
    made.close()


def code_of(refusal: pytest.ExceptionInfo[RefusedError]) -> str:
    return refusal.value.error_code


class TestRuns:
    def test_a_new_run_has_its_first_event_source_and_lease(self, store: WorkflowStore, clock: HandClock) -> None:
        owner = living()
        lease = begin(store, owner=owner)
        run = store.get_workflow_run("r1")
        assert (run.workflow, run.project, run.status, run.digest) == ("report", "/project", "running", "d1")
        assert (run.started_at, run.ended_at, run.last_seq, run.epoch) == (1_000, None, 1, 1)
        assert (run.owner, run.lease_expires_at) == (owner, clock.now + LEASE_MS)
        assert lease == Lease("r1", 1, owner)
        assert store.get_workflow_events("r1") == [e.Recorded(1, STARTED)]

    def test_an_id_is_given_once_and_the_first_run_stays(self, store: WorkflowStore) -> None:
        begin(store)
        with pytest.raises(RefusedError) as refusal:
            begin(store, at=9)
        assert code_of(refusal) == "run-exists"
        assert log_of(store) == [STARTED]

    @pytest.mark.parametrize("run_id", NO_RUN_IDS)
    def test_an_id_that_could_leave_a_folder_is_refused(self, store: WorkflowStore, run_id: str) -> None:
        with pytest.raises(UsageError, match="cannot be a run's id"):
            begin(store, run_id)
        assert store.list_workflow_runs() == []

    @pytest.mark.parametrize("run_id", ["nothing", "", "../up", "a\0b", "\ud800"])
    def test_a_run_that_is_not_there_is_said_so_by_every_method(self, store: WorkflowStore, run_id: str) -> None:
        lease = Lease(run_id, 1, living())
        for ask in (
            lambda: store.get_workflow_run(run_id),
            lambda: store.get_source(run_id),
            lambda: store.get_workflow_events(run_id),
            lambda: store.get_completed_dag_node_outputs(run_id),
            lambda: store.create_workflow_event(run_id, [gate()], lease=None),
            lambda: store.update_workflow_run(run_id, status="paused", at=2, lease=lease),
            lambda: store.acquire_lease(run_id, living(), lease_ms=LEASE_MS),
            lambda: store.renew_lease(lease, lease_ms=LEASE_MS),
            lambda: store.delete_workflow_run(run_id),
        ):
            with pytest.raises(NotFoundError, match="unknown run"):
                ask()
        store.release_lease(lease)

    def test_names_and_texts_come_back_exactly(self, store: WorkflowStore) -> None:
        started = structs.replace(STARTED, workflow=ODD_TEXT, arguments=ODD_TEXT, inputs={ODD_TEXT: [1.5, None]})
        store.create_workflow_run(
            "r1", project=ODD_TEXT, source=ODD_TEXT, event=started, owner=living(), lease_ms=LEASE_MS
        )
        assert store.get_source("r1") == ODD_TEXT
        assert log_of(store) == [started]
        found = store.list_workflow_runs(project=ODD_TEXT, workflow=ODD_TEXT)
        assert [(run.project, run.workflow) for run in found] == [(ODD_TEXT, ODD_TEXT)]

    def test_runs_are_listed_newest_first_and_filtered(self, store: WorkflowStore) -> None:
        lease = begin(store, "a1", at=10)
        begin(store, "a2", at=30)
        begin(store, "b1", at=20)
        store.update_workflow_run("a1", status="completed", at=40, lease=lease)

        def ids(**filters: object) -> list[str]:
            return [run.run_id for run in store.list_workflow_runs(**filters)]  # type: ignore[arg-type]

        assert ids() == ["a2", "b1", "a1"]
        assert ids(limit=2) == ["a2", "b1"]
        assert ids(limit=0) == []
        assert ids(status="completed") == ["a1"]
        assert ids(prefix="a") == ["a2", "a1"]
        assert ids(prefix="a", limit=1) == ["a2"]
        assert ids(prefix="%") == ids(prefix="_1") == ids(prefix="A") == []
        assert ids(project="/project", workflow="report") == ids()
        assert ids(project="/other") == ids(workflow="other") == []
        assert ids(before=(20, "b1")) == ["a1"]
        assert ids(before=(20, "c")) == ["b1", "a1"]
        assert ids(before=(31, ""), limit=1) == ["a2"]
        assert ids(before=(10, "a1")) == []

    def test_a_deleted_run_is_gone_and_its_id_is_free(self, store: WorkflowStore) -> None:
        lease = begin(store)
        begin(store, "other")
        with pytest.raises(RefusedError) as refusal:
            store.delete_workflow_run("r1")
        assert code_of(refusal) == "owned"
        store.create_workflow_event("r1", [gate()], lease=lease)
        store.release_lease(lease)
        store.delete_workflow_run("r1")
        assert [run.run_id for run in store.list_workflow_runs()] == ["other"]
        begin(store)
        assert log_of(store) == [STARTED]
        with pytest.raises(RefusedError):
            store.create_workflow_event("r1", [approved()], lease=None)


class TestEvents:
    def test_events_are_numbered_in_order_and_read_from_any_place(self, store: WorkflowStore) -> None:
        lease = begin(store)
        turns = [e.NodeStarted(2_000 + i, "build", "bash", attempt=i) for i in range(1, 6)]
        assert store.create_workflow_event("r1", turns[:2], lease=lease) == 3
        assert store.create_workflow_event("r1", turns[2:], lease=lease) == 6
        assert store.create_workflow_event("r1", [], lease=lease) == 6
        assert store.get_workflow_events("r1") == [e.Recorded(i + 1, ev) for i, ev in enumerate([STARTED, *turns])]
        assert [r.seq for r in store.get_workflow_events("r1", after=2, limit=3)] == [3, 4, 5]
        assert store.get_workflow_events("r1", after=6) == store.get_workflow_events("r1", after=60) == []

    def test_every_kind_of_event_survives(self, store: WorkflowStore) -> None:
        text = e.Content(ODD_TEXT)
        failure = e.Failure("exit", ODD_TEXT, "hint", 3)
        events = [
            e.WorkflowResumed(1, "answer", "claude", {"pid": 1}),
            e.CancelRequested(2, "why", "timeout"),
            e.NodeStarted(3, "build", "bash", 2, 1, {"a": "completed:1"}, True),
            e.NodeRetrying(4, "build", failure, 99, ("a", "b"), {"tokens": 1.5}),
            e.NodeCompleted(
                5, "build", e.Reply(text, {"output.x": e.Value(text=ODD_TEXT)}, "s1", "claude", {"cost": 0.1}, True)
            ),
            e.NodeInvalidated(6, "build", "dependency", "other"),
            e.NodeFailed(7, "build", failure),
            e.NodeSkipped(8, "build", "when", ODD_TEXT),
            e.NodeCancelled(9, "build", "rejected"),
            e.IterationCompleted(10, "build", 3, e.Reply(e.Content(blob="ab" * 32, length=300_000))),
            structs.replace(gate(), decisions=("ship", "hold")),
            approved(),
            e.PromptRequested(12, "write", "write/1", text, output_format={"type": "object"}, key="k"),
            e.PromptAnswered(13, "write", "write/1", text, "s2", {"user": "me"}),
            e.WorkflowPaused(14, due_at=99),
            e.WorkflowQueued(14, "deploy"),
            e.BudgetRaised(14, 2.5, {"user": "me"}),
            e.WorkflowPlaced(14, "worker-1"),
            e.LaneClosed(14, "claude", structs.replace(failure, resets_at=99), 99, 1),
            e.LaneOpened(14, "claude"),
            e.IterationJudged(14, "build", 3),
            e.ScopeOpened(
                14,
                "each",
                inputs={"a": "completed:1"},
                nodes=(("test", "bash"),),
                iteration=1,
                items=text,
                keys=("k", "l"),
                numbers=(1, 0),
                given=text,
                read=({"ITEM": e.Value(text=ODD_TEXT)}, {}),
            ),
            e.WaitStarted(14, "wait", "signal", 99, "go"),
            e.SignalReceived(14, "go", "1", "{}", "wait", {"user": "ana"}),
            e.ApprovalRequested(14, "ask", "ask.9", "?"),
            e.GateReminded(14, "ask", "ask.9", 1),
            e.GateExpired(14, "ask", "ask.9", "failed"),
            e.ScopeFinishing(14, "each", ("clean",), "failed", failure),
            e.WorkflowFinishing(14, "failed", ("clean",), failure),
            e.WorkflowFailed(15, failure),
            e.WorkflowCancelled(16, "reason", "ask"),
            e.WorkflowCompleted(17, "build"),
        ]
        assert {type(event) for event in [STARTED, *events]} == set(e.EVENT_TYPES.values())
        store.create_workflow_event("r1", events, lease=begin(store))
        assert log_of(store) == [STARTED, *events]

    def test_the_row_follows_the_log(self, store: WorkflowStore) -> None:
        lease = begin(store)
        for event, status, ended_at in (
            (e.WorkflowPaused(2_000), "paused", None),
            (e.WorkflowResumed(3_000), "running", None),
            (e.WorkflowFailed(4_000, e.Failure("x", "y")), "failed", 4_000),
            (e.WorkflowResumed(5_000), "running", None),
            (e.NodeStarted(6_000, "build", "bash"), "running", None),
            (e.WorkflowCompleted(7_000), "completed", 7_000),
        ):
            seq = store.create_workflow_event("r1", [event], lease=lease)
            run = store.get_workflow_run("r1")
            assert (run.status, run.ended_at, run.last_seq) == (status, ended_at, seq)

    def test_the_short_ways_append_the_event_that_says_so(self, store: WorkflowStore) -> None:
        lease = begin(store)
        failure = e.Failure("bug", "it broke")
        store.update_workflow_run("r1", status="paused", at=2, lease=lease)
        store.update_workflow_run("r1", status="running", at=3, lease=lease)
        store.fail_workflow_run("r1", error=failure, at=4, lease=lease)
        store.update_workflow_run("r1", status="cancelled", at=5, lease=lease, reason="enough")
        assert store.update_workflow_run("r1", status="completed", at=6, lease=lease) == 6
        assert log_of(store)[1:] == [
            e.WorkflowPaused(2),
            e.WorkflowResumed(3),
            e.WorkflowFailed(4, failure),
            e.WorkflowCancelled(5, "enough"),
            e.WorkflowCompleted(6),
        ]
        with pytest.raises(UsageError):
            store.update_workflow_run("r1", status="failed", at=7, lease=lease)

    def test_an_owner_that_has_not_read_the_newest_event_is_told(self, store: WorkflowStore) -> None:
        lease = begin(store)
        assert store.create_workflow_event("r1", [gate()], lease=lease, after=1) == 2
        store.create_workflow_event("r1", [e.CancelRequested(2_500)], lease=None)
        with pytest.raises(StaleStateError):
            store.create_workflow_event("r1", [e.NodeStarted(2_600, "build", "bash")], lease=lease, after=2)
        assert store.get_workflow_run("r1").last_seq == 3
        assert store.create_workflow_event("r1", [e.NodeStarted(2_600, "build", "bash")], lease=lease, after=3) == 4

    def test_outputs_are_those_of_nodes_that_are_completed_now(self, store: WorkflowStore) -> None:
        lease = begin(store)
        first, second = e.Content("one"), e.Content(blob="cd" * 32, length=400_000)
        store.create_workflow_event(
            "r1",
            [
                e.NodeCompleted(2, "build", e.Reply(first)),
                e.NodeCompleted(3, "write", e.Reply(second)),
                e.NodeFailed(4, "ask", e.Failure("x", "y")),
            ],
            lease=lease,
        )
        assert store.get_completed_dag_node_outputs("r1") == {"build": first, "write": second}
        store.create_workflow_event("r1", [e.NodeInvalidated(5, "build", "always_run")], lease=lease)
        assert store.get_completed_dag_node_outputs("r1") == {"write": second}


class TestRequests:
    def test_a_request_is_answered_once(self, store: WorkflowStore) -> None:
        store.create_workflow_event("r1", [gate()], lease=begin(store))
        assert store.create_workflow_event("r1", [approved()], lease=None) == 3
        rejected = structs.replace(approved(), decision="rejected")
        with pytest.raises(RefusedError) as refusal:
            store.create_workflow_event("r1", [rejected], lease=None)
        assert code_of(refusal) == "answered"
        assert log_of(store)[1:] == [gate(), approved()]

    @pytest.mark.parametrize(
        "closing",
        [
            e.NodeStarted(3, "ask", "gate"),
            e.NodeCompleted(3, "ask", e.Reply(e.Content(""))),
            e.NodeFailed(3, "ask", e.Failure("x", "y")),
            e.NodeSkipped(3, "ask", "when"),
            e.NodeCancelled(3, "ask", "cancelled"),
        ],
    )
    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_request_ends_when_its_node_goes_on(self, store: WorkflowStore, closing: e.Event, at_once: bool) -> None:
        lease = begin(store)
        prompt = e.PromptRequested(2, "write", "write/1", e.Content("?"))
        writes = [[gate(), prompt, closing]] if at_once else [[gate()], [prompt], [closing]]
        for events in writes:
            store.create_workflow_event("r1", events, lease=lease)
        with pytest.raises(RefusedError) as refusal:
            store.create_workflow_event("r1", [approved()], lease=None)
        assert code_of(refusal) == "answered"
        answer = e.PromptAnswered(4, "write", "write/1", e.Content("!"))
        assert store.create_workflow_event("r1", [answer], lease=None) == 5

    def test_a_request_that_is_asked_again_by_another_node_is_that_node_s(self, store: WorkflowStore) -> None:
        lease = begin(store)
        again = e.PromptRequested(2, "write", gate().request, e.Content("?"))
        store.create_workflow_event("r1", [gate(), again], lease=lease)
        store.create_workflow_event("r1", [e.NodeStarted(3, "ask", "gate")], lease=lease)
        assert store.create_workflow_event("r1", [approved()], lease=None) == 5

    @pytest.mark.parametrize(
        "end", [e.WorkflowCompleted(3), e.WorkflowCancelled(3), e.WorkflowFailed(3, e.Failure("x", "y"))]
    )
    def test_after_the_end_no_request_is_taken(self, store: WorkflowStore, end: e.Event) -> None:
        lease = begin(store)
        store.create_workflow_event("r1", [gate(), end], lease=lease)
        for late in (approved(), e.CancelRequested(4)):
            with pytest.raises(RefusedError) as refusal:
                store.create_workflow_event("r1", [late], lease=None)
            assert code_of(refusal) == "ended"
        store.create_workflow_event("r1", [e.WorkflowResumed(5)], lease=lease)
        with pytest.raises(RefusedError) as refusal:
            store.create_workflow_event("r1", [approved()], lease=None)
        assert code_of(refusal) == "answered"

    def test_a_batch_with_one_wrong_answer_writes_nothing(self, store: WorkflowStore) -> None:
        lease = begin(store)
        store.create_workflow_event("r1", [gate()], lease=lease)
        with pytest.raises(RefusedError):
            store.create_workflow_event("r1", [approved(), e.CancelRequested(4), approved()], lease=None)
        assert store.get_workflow_run("r1").last_seq == 2
        assert store.create_workflow_event("r1", [approved()], lease=None) == 3

    def test_requests_belong_to_their_run(self, store: WorkflowStore) -> None:
        store.create_workflow_event("r1", [gate()], lease=begin(store))
        begin(store, "r2")
        with pytest.raises(RefusedError):
            store.create_workflow_event("r2", [approved()], lease=None)


class TestLeases:
    def test_a_live_owner_keeps_its_run(self, store: WorkflowStore) -> None:
        owner = living()
        begin(store, owner=owner)
        with pytest.raises(RefusedError) as refusal:
            store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        assert code_of(refusal) == "owned"
        assert str(owner.pid) in refusal.value.message
        assert owner.host in refusal.value.message

    def test_a_dead_owner_of_this_host_is_replaced_at_once_and_fenced(self, store: WorkflowStore) -> None:
        old = begin(store, owner=dead())
        new = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        assert new.epoch == old.epoch + 1
        with pytest.raises(OwnershipLostError):
            store.create_workflow_event("r1", [gate()], lease=old)
        with pytest.raises(OwnershipLostError):
            store.renew_lease(old, lease_ms=LEASE_MS)
        store.release_lease(old)
        assert store.create_workflow_event("r1", [gate()], lease=new) == 2

    def test_an_owner_elsewhere_is_replaced_when_its_lease_has_ended(
        self, store: WorkflowStore, clock: HandClock
    ) -> None:
        lease = begin(store, owner=elsewhere())
        clock.now += LEASE_MS - 1
        with pytest.raises(RefusedError, match="another-host"):
            store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        store.renew_lease(lease, lease_ms=LEASE_MS)
        clock.now += LEASE_MS - 1
        with pytest.raises(RefusedError):
            store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        clock.now += 1
        assert store.acquire_lease("r1", living(), lease_ms=LEASE_MS).epoch == 2

    def test_an_owner_that_slept_past_its_lease_goes_on_only_if_nobody_came(
        self, store: WorkflowStore, clock: HandClock
    ) -> None:
        sleeper = begin(store)
        clock.now += LEASE_MS + 1
        assert store.create_workflow_event("r1", [gate()], lease=sleeper) == 2
        store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        with pytest.raises(OwnershipLostError):
            store.create_workflow_event("r1", [e.NodeStarted(9, "build", "bash")], lease=sleeper)
        assert store.get_workflow_run("r1").last_seq == 2

    def test_a_released_run_is_free_and_its_old_lease_worth_nothing(
        self, store: WorkflowStore, clock: HandClock
    ) -> None:
        lease = begin(store)
        clock.now += 5_000
        store.release_lease(lease)
        run = store.get_workflow_run("r1")
        assert (run.owner, run.lease_expires_at, run.epoch) == (None, clock.now, 1)
        with pytest.raises(OwnershipLostError):
            store.create_workflow_event("r1", [gate()], lease=lease)
        with pytest.raises(OwnershipLostError):
            store.renew_lease(lease, lease_ms=LEASE_MS)
        again = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        assert again.epoch == 2
        store.release_lease(lease)
        assert store.get_workflow_run("r1").owner == again.owner

    def test_a_new_lease_says_until_when_the_run_was_owned(self, store: WorkflowStore, clock: HandClock) -> None:
        first = begin(store, owner=dead())
        assert (first.owned_until, first.owner_died) == (None, False)
        clock.now += 5_000
        store.renew_lease(first, lease_ms=LEASE_MS)
        renewed, clock.now = clock.now, clock.now + 7_000
        second = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        assert (second.owned_until, second.owner_died) == (renewed, True)
        store.release_lease(second)
        released, clock.now = clock.now, clock.now + 7_000
        third = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        assert (third.owned_until, third.owner_died) == (released, False)

    def test_the_lease_is_looked_at_before_the_newest_event(self, store: WorkflowStore) -> None:
        old = begin(store, owner=dead())
        store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
        with pytest.raises(OwnershipLostError):
            store.create_workflow_event("r1", [gate()], lease=old, after=99)


class TestBlobs:
    @pytest.mark.parametrize("data", [b"", b"text", bytes(range(256)) * 20_000], ids=["empty", "small", "5 MB"])
    def test_bytes_come_back(self, store: WorkflowStore, data: bytes) -> None:
        content = store.put_blob(data)
        assert (content.size, content.text) == (len(data), None)
        assert store.put_blob(data) == content
        with store.open_blob(content.sha256) as file:
            assert file.read() == data
        with store.open_blob(content.sha256) as file:
            assert file.read(3) == data[:3]
            assert b"".join(iter(lambda: file.read(70_000), b"")) == data[3:]

    def test_a_file_is_kept_like_its_bytes(self, store: WorkflowStore, tmp_path: Path) -> None:
        path = tmp_path / "output.log"
        path.write_bytes(b"line\r\n\0" * 400_000)
        content = store.put_blob(path)
        assert content == store.put_blob(path.read_bytes())
        path.unlink()
        with store.open_blob(content.sha256) as file:
            assert file.read() == b"line\r\n\0" * 400_000

    def test_only_what_nobody_uses_and_nobody_has_put_lately_is_forgotten(self, store: WorkflowStore) -> None:
        used, unused = store.put_blob(b"used"), store.put_blob(b"unused")
        far = 4_000_000_000_000  # in the year 2096: all was put before
        assert store.delete_blobs({used.sha256}, before=0) == (0, 0)
        assert store.delete_blobs({used.sha256}, before=far) == (1, len(b"unused"))
        with store.open_blob(used.sha256) as file:
            assert file.read() == b"used"
        with pytest.raises(DamagedStoreError):
            store.open_blob(unused.sha256).read()
        assert store.put_blob(b"unused") == unused
        with store.open_blob(unused.sha256) as file:
            assert file.read() == b"unused"
        assert store.delete_blobs(set(), before=far) == (2, len(b"usedunused"))
        assert store.delete_blobs(set(), before=far) == (0, 0)

    def test_putting_again_what_is_there_makes_it_new(self, store: WorkflowStore, clock: HandClock) -> None:
        """A process that found its output in the store already may rely on it."""
        store.put_blob(b"output")
        time.sleep(0.05)
        between = clock.now if isinstance(store, MemoryStore) else time.time_ns() // 1_000_000
        time.sleep(0.05)
        clock.now += 1
        store.put_blob(b"output")
        assert store.delete_blobs(set(), before=between) == (0, 0)

    def test_what_is_not_there_is_said_so(self, store: WorkflowStore, tmp_path: Path) -> None:
        for name in ("00" * 32, "../../etc/passwd", "", "0" * 63, "0" * 64 + "\n"):
            with pytest.raises(DamagedStoreError):
                store.open_blob(name)
        with pytest.raises(StoreError, match="No such file"):
            store.put_blob(tmp_path / "nothing")
