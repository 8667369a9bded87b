"""The address: where it listens, which names it has, and who is let in anew."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from cli.kit import COMMAND
from ion.errors import UsageError
from ion.web import server
from processes import PATIENCE_S
from web.kit import Server, make_project


def resolving(to: list[str]) -> Any:
    def look_up(name: str, *_arguments: object, **_options: object) -> list[tuple[Any, ...]]:
        assert re.fullmatch(r"ion-[0-9a-f]{8}\.localhost", name)
        if not to:
            raise socket.gaierror("unknown name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in to]

    return look_up


def test_the_name_is_random_where_such_names_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving(["127.0.0.1", "::1"]))
    names = {server.loopback_name() for _ in range(20)}
    assert len(names) == 20


@pytest.mark.parametrize("to", [[], ["93.184.216.34"], ["127.0.0.1", "93.184.216.34"]])
def test_a_name_that_leads_elsewhere_is_not_used(monkeypatch: pytest.MonkeyPatch, to: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving(to))
    assert server.loopback_name() == ""


def test_a_port_that_another_has_on_either_address_is_refused() -> None:
    if not socket.has_ipv6:
        pytest.fail("the tests need IPv6 on loopback")
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as other:
        other.bind(("::1", 0))
        other.listen()
        with pytest.raises(UsageError) as raised:
            server.listen(other.getsockname()[1])
    assert "cannot be used" in raised.value.message


def test_browsers_leave_out_the_usual_port() -> None:
    assert server.hosts_of(["localhost", "[::1]"], 80) == ("localhost", "[::1]")
    assert server.hosts_of(["localhost", "[::1]"], 8080) == ("localhost:8080", "[::1]:8080")


def test_both_addresses_of_loopback_have_the_port() -> None:
    opened = server.listen(0)
    try:
        assert [one.getsockname()[0] for one in opened] == ["127.0.0.1", "::1"]
        assert len({one.getsockname()[1] for one in opened}) == 1
    finally:
        for one in opened:
            one.close()


def test_enter_prints_a_new_address_and_the_old_one_is_worthless(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    child = pexpect.spawn(
        sys.executable,
        [*COMMAND[1:], "serve"],
        cwd=str(project.folder),
        env={**project.environment(), "TERM": "dumb"},
        timeout=PATIENCE_S,
        encoding="utf-8",
        dimensions=(30, 200),
    )
    try:
        child.expect(r"(http://\S+)")
        assert child.match is not None
        first = Server(child, child.match[1], [])  # type: ignore[arg-type]
        child.expect("Enter: a new address")
        child.sendline("")
        child.expect(r"(http://\S+)")
        second = Server(child, child.match[1], [])  # type: ignore[arg-type]
        assert first.enter().status == 401
        assert second.enter().status == 200
        assert second.get("/").status == 200
        child.sendintr()
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 0
