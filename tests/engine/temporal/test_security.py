"""Who may speak to the workers of a cluster: a stranger who reaches its address gets nothing run, read or written."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.converter import PayloadConverter, WorkflowSerializationContext
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tests.engine.temporal.kit import GATE, WORKFLOWS, Project

import ion
from ion import codec
from ion.core import events as e
from ion.engine.temporal.cluster import WORKFLOW_NAME, Cluster, cluster_of, queue_of, workflow_id
from ion.engine.temporal.security import Encryption, connection
from ion.errors import UsageError
from processes import until

PROMPT = "nodes:\n  - {id: p, prompt: hello}\n"


class Stranger:
    """Somebody who knows the server's address, and of a run what the server shows of it."""

    def __init__(self, project: Project, client: Client, run_id: str) -> None:
        self.client, self.run_id, self.own = client, run_id, f"foreign-{secrets.token_hex(4)}"
        store = f"sqlite:{project.folder}/.ion/ion.db"
        self.queue = queue_of(cluster_of(project.server.url), project.folder, store)
        self.lease = {"run_id": run_id, "epoch": 1, "engine": f"{project.server.url}/default"}

    @property
    def drive(self) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(workflow_id(self.queue, self.run_id))

    async def updated(self, name: str, *arguments: Any) -> None:
        """Refused, whatever it was."""
        with pytest.raises(WorkflowUpdateFailedError):
            await self.drive.execute_update(name, args=list(arguments), rpc_timeout=timedelta(seconds=30))

    async def calls(self, name: str, *arguments: Any, type_: str, id_: str) -> Any:
        """What an activity of Ion's workers says to a workflow of this type and id."""
        return await self.client.execute_workflow(
            type_,
            args=[self.queue, name, list(arguments)],
            id=id_,
            task_queue=self.own,
            execution_timeout=timedelta(seconds=60),
        )


@workflow.defn(name="foreign", sandboxed=False)
class Foreign:
    @workflow.run
    async def run(self, queue: str, name: str, arguments: list[Any]) -> Any:
        return await called(queue, name, arguments)


@workflow.defn(name=WORKFLOW_NAME, sandboxed=False)
class Pretender:
    @workflow.run
    async def run(self, queue: str, name: str, arguments: list[Any]) -> Any:
        return await called(queue, name, arguments)


async def called(queue: str, name: str, arguments: list[Any]) -> Any:
    try:
        return await workflow.execute_activity(
            name,
            args=arguments,
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
    except ActivityError as error:
        return {"refused": error.cause.type if isinstance(error.cause, ApplicationError) else str(error.cause)}


@asynccontextmanager
async def stranger(project: Project, run_id: str) -> AsyncIterator[Stranger]:
    someone = Stranger(project, await Client.connect(project.server.url.removeprefix("temporal://")), run_id)
    workflows, runner = [Foreign, Pretender], UnsandboxedWorkflowRunner()
    async with Worker(someone.client, task_queue=someone.own, workflows=workflows, workflow_runner=runner):
        yield someone


async def test_a_stranger_gets_no_command_run(project: Project) -> None:
    """And what is refused leaves the run as it is: it can be answered afterwards."""
    project.write("w", PROMPT)
    project.work()
    assert (await asyncio.to_thread(project.run, "w", "--run-id", "one", "--quiet"))[0] == 3
    before = ion.get_events("one", project=project.folder)
    agent_limits: dict[str, Any] = {"agents": {}, "limits": {}}
    async with stranger(project, "one") as someone:
        await someone.updated("take-agent", "touch pwned")
        await someone.updated("take-agent", "touch pwned", agent_limits)
        await someone.updated("take-agent", {"no": "name"})
        order = {
            "lease": someone.lease,
            "slots": 8,
            "lanes": agent_limits,
            "heartbeat_ms": 1000,
            "longest_history": 1000,
        }
        for wrong in ({}, {**order, "slots": "many"}, {**order, "lease": {}}, {**order, "agent": "touch pwned"}):
            with pytest.raises(WorkflowFailureError):
                await someone.client.execute_workflow(
                    WORKFLOW_NAME, wrong, id=f"x-{secrets.token_hex(4)}", task_queue=someone.queue
                )
    assert ion.get_events("one", project=project.folder) == before
    assert not (project.folder / "pwned").exists()
    status, _, said = await asyncio.to_thread(project.ion, "resume", "one", "--agent", "touch pwned")
    assert (status, "workers take agents by their name" in said) == (2, True)
    assert (await asyncio.to_thread(project.ion, "resume", "one", "--quiet", "--agent", "scribe"))[0] == 0


async def test_activities_are_for_the_drive_of_their_run_alone(project: Project) -> None:
    project.write("gate", GATE)
    project.work()
    assert (await asyncio.to_thread(project.run, "gate", "--run-id", "one"))[0] == 3
    before = ion.get_events("one", project=project.folder)
    forged = codec.to_json(e.NodeCompleted(1, "g", e.Reply(e.Content("forged"))))
    async with stranger(project, "one") as someone:
        calls: list[tuple[str, list[Any]]] = [
            ("ion-read-source", ["one"]),
            ("ion-read-events", ["one", 0]),
            ("ion-record", [someone.lease, len(before), [forged]]),
            ("ion-take-agent", ["one", "scribe"]),
            ("ion-release", [someone.lease]),
            ("ion-turn", [someone.lease, "g", 1]),
        ]
        for name, arguments in calls:
            said = await someone.calls(name, *arguments, type_="foreign", id_=workflow_id(someone.queue, "other"))
            assert said == {"refused": "not-the-drive"}, name
        await someone.drive.terminate()
        mine = workflow_id(someone.queue, "one")
        for name, arguments in calls[:-1]:
            said = await someone.calls(name, *arguments, type_=WORKFLOW_NAME, id_=mine)
            assert said == {"refused": "not-the-drive"}, name
        said = await someone.calls("ion-turn", {"run_id": 1}, "g", 1, type_=WORKFLOW_NAME, id_=mine)
        assert said == {"refused": "shape"}
    assert ion.get_events("one", project=project.folder) == before


def test_a_drive_writes_no_requests() -> None:
    from ion.engine.temporal.activities import Activities
    from ion.engine.temporal.known_runs import KnownRuns

    def engine_config_for(agent: str | None) -> Any:
        raise UsageError(f"{agent} is not configured", code="unknown-agent")

    hands = Activities(KnownRuns(engine_config_for), "queue", "worker", 1)
    refused = [
        e.WorkflowStarted(1, "w", "digest", (("a", "bash"),)),
        e.ApprovalResolved(1, "g", "r", "approved"),
        e.PromptAnswered(1, "p", "r", e.Content("x")),
        e.BudgetRaised(1, 100.0),
        e.CancelRequested(1),
        e.WorkflowResumed(1, "answer", "touch pwned"),
    ]
    for event in refused:
        with pytest.raises(ApplicationError) as found:
            hands._written_by_a_drive([codec.to_json(event)])
        assert found.value.non_retryable
    for wrong in ({"type": "no"}, {"type": "node_completed", "at": 1}, {}):
        with pytest.raises(ApplicationError):
            hands._written_by_a_drive([wrong])
    assert hands._written_by_a_drive([codec.to_json(e.CancelRequested(1, "", "timeout"))])


# ---------------------------------------------------------------------- a key that clients and workers share


async def test_with_a_key_strangers_neither_read_nor_say_anything(project: Project) -> None:
    project.write("agents", WORKFLOWS["agents"])
    project.write("gate", GATE.replace("echo a'", "env | grep -c ION_TEMPORAL_KEY || true'"))
    plain, url = project.server.url, f"{project.server.url}?key_env=ION_TEMPORAL_KEY"
    project.more["ION_TEMPORAL_KEY"] = secrets.token_hex(32)
    project.work("--engine", url)
    run = ("--engine", url, "--quiet")
    assert (await asyncio.to_thread(project.ion, "run", "agents", "--run-id", "two", "--agent", "scribe", *run))[0] == 0
    assert (await asyncio.to_thread(project.ion, "run", "gate", "--run-id", "one", *run))[0] == 3
    async with stranger(project, "one") as someone:
        seen = "".join(map(str, (await someone.drive.fetch_history()).events))
        assert ("ion-aes-256-gcm" in seen, "heartbeat_ms" in seen) == (True, False)
        await someone.updated("take-agent", "scribe")
        other = Client.connect(
            plain.removeprefix("temporal://"),
            data_converter=connection(Cluster("x", "x", key_env="K"), {"K": secrets.token_hex(32)})["data_converter"],
        )
        handle = (await other).get_workflow_handle(workflow_id(someone.queue, "one"))
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("take-agent", args=["scribe"])
    status, out, said = await asyncio.to_thread(project.ion, "approve", "one", "--comment", "yes")
    assert (status, out) == (0, "yes\n"), said
    shown = json.loads((await asyncio.to_thread(project.ion, "show", "one", "--json"))[1])
    assert shown["nodes"]["a"]["output"] == "0"  # the programs of nodes do not see the key
    status, _, said = await asyncio.to_thread(project.ion, "cancel", "one", ION_TEMPORAL_KEY="")
    assert (status, "has ended" in said) == (5, True)
    status, _, said = await asyncio.to_thread(project.ion, "run", "gate", *run, ION_TEMPORAL_KEY="0123")
    assert (status, "does not hold a key" in said, "0123" in said) == (2, True, False)


async def test_payloads_are_bound_to_their_workflow() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    payload = PayloadConverter.default.to_payload({"order": "secret"})
    here, there = (WorkflowSerializationContext("default", name) for name in ("here", "there"))
    [sealed] = await Encryption([old]).with_context(here).encode([payload])
    assert b"secret" not in sealed.SerializeToString()
    assert await Encryption([new, old]).with_context(here).decode([sealed]) == [payload]
    tampered = Payload(metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    short = Payload(metadata=sealed.metadata, data=b"x")
    refused = await Encryption([old]).with_context(there).decode([sealed])
    refused += await Encryption([new]).with_context(here).decode([sealed])
    refused += await Encryption([old]).with_context(here).decode([payload, tampered, short])
    for one in refused:
        with pytest.raises(KeyError, match="encoding"):
            PayloadConverter.default.from_payload(one)


# ---------------------------------------------------------------------- the connection


def test_what_a_url_says_is_what_is_recorded() -> None:
    url = (
        "temporal://ion.tmprl.cloud:7233/ns.acc?queue=q&ca=/etc/ca.pem&cert=~/c.pem&cert_key=~/c%20x.key"
        "&server_name=s&api_key_env=ION_TEMPORAL_API_KEY&key_env=ION_TEMPORAL_KEY"
    )
    cluster = cluster_of(url)
    assert cluster_of(cluster.url) == cluster
    assert (cluster.queue, cluster.cert_key, cluster.is_open) == ("q", "~/c x.key", False)
    assert cluster.secrets == ("ION_TEMPORAL_API_KEY", "ION_TEMPORAL_KEY")
    assert cluster_of("temporal://temporal:7233?tls=true").is_open
    assert not cluster_of("temporal://localhost:7233").is_open


@pytest.mark.parametrize(
    "query",
    ["key=abc", "queue=a&queue=b", "queue=a/b", "queue=", "tls=no", "ca=relative.pem", "cert=/c.pem", "cert_key=/k.pem",
     "key_env=HOME", "api_key_env=AWS_SECRET_ACCESS_KEY", "api_key_env=ION_TEMPORAL_", "ca=/a%00b"],
)  # fmt: skip
def test_what_a_url_cannot_say(query: str) -> None:
    with pytest.raises(UsageError, match=r"parameter|certificate"):
        cluster_of(f"temporal://host:1?{query}")


def test_an_api_key_is_taken_from_the_environment_and_sent_over_tls_alone() -> None:
    how = connection(Cluster("x:1", "n", api_key_env="ION_TEMPORAL_API_KEY"), {"ION_TEMPORAL_API_KEY": "k"})
    assert (how["api_key"], bool(how["tls"])) == ("k", True)
    with pytest.raises(UsageError, match="ION_TEMPORAL_API_KEY, and it is not set"):
        connection(Cluster("x:1", "n", api_key_env="ION_TEMPORAL_API_KEY"), {})
    with pytest.raises(UsageError, match="cannot be read"):
        connection(Cluster("x:1", "n", ca="/not/there"), {})


def certificates(folder: Path) -> None:
    """`ca.pem`, and for `server` and `client` NAME.pem and NAME.key signed by it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "server", "client")}
    named = {name: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in keys}
    for name, key in keys.items():
        made = (
            x509.CertificateBuilder()
            .subject_name(named[name])
            .issuer_name(named["ca"])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{name}.test")]), critical=False)
            .sign(keys["ca"], hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(private)


@asynccontextmanager
async def behind_tls(folder: Path, port: int) -> AsyncIterator[int]:
    """A port on which the server at `port` is reached over TLS, by clients with a certificate alone."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_run_over_tls_with_client_certificates(project: Project, tmp_path: Path) -> None:
    certificates(tmp_path)
    project.write("w", "nodes:\n  - {id: a, bash: 'echo over TLS'}\n")
    port = int(project.server.url.rsplit(":", 1)[1])
    async with behind_tls(tmp_path, port) as secure:
        url = f"temporal://127.0.0.1:{secure}?ca={tmp_path}/ca.pem&server_name=server.test"
        known = f"{url}&cert={tmp_path}/client.pem&cert_key={tmp_path}/client.key"
        project.work("--engine", known)
        status, out, said = await asyncio.to_thread(project.ion, "run", "w", "--engine", known, "--quiet")
        assert (status, out) == (0, "over TLS\n"), said
        for unknown in (url, f"temporal://127.0.0.1:{secure}"):
            status, _, said = await asyncio.to_thread(project.ion, "run", "w", "--engine", unknown, "--quiet")
            assert (status, "does not answer" in said) == (1, True)
        project.close()


def test_a_worker_says_when_nobody_is_kept_out(project: Project) -> None:
    words = ("--engine", project.server.url.replace("127.0.0.1", "0.0.0.0"))
    project.work(*words)
    project.work()
    until(lambda: "works for" in (project.folder / "worker-1.log").read_text())
    until(lambda: "may speak to this worker" in (project.folder / "worker-0.log").read_text())
    assert "may speak" not in (project.folder / "worker-1.log").read_text()
