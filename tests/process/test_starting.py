"""Starting a program: what it finds, and the errors, are the same wherever it begins."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ion import process

BASH = shutil.which("bash") or "bash"
WORLD = """
pwd -P
while read -r line; do case $line in Sig[BIC]*) echo "$line";; esac; done </proc/$BASHPID/status
ps -o pid=,pgid=,sid= -p $$ | { read a b c; [ "$a" = "$b" ] && [ "$b" = "$c" ] && echo leads; }
for one in /proc/$$/fd/*; do [ -e "$one" ] && echo "${one##*/}"; done
cat
env | sort
"""


@pytest.fixture(params=["here", "elsewhere"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the program begins in the directory that this process is in."""
    if request.param == "here":
        monkeypatch.chdir(tmp_path)
    return str(request.param)


@pytest.fixture
def inheritable(tmp_path: Path) -> Iterator[int]:
    """A descriptor that a host program forgot to keep for itself."""
    file = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(file, True)
    yield file
    os.close(file)


async def run(folder: Path, *argv: str, **options: object) -> process.Exit:
    given: dict[str, object] = {"env": {"PATH": os.environ["PATH"], "A": "ä", "ION_RUN_ID": "x"}, **options}
    return await process.run(argv, cwd=folder, log=folder / "logs" / "turn", **given)  # type: ignore[arg-type]


def said(folder: Path) -> str:
    return (folder / "logs" / "turn.out").read_text()


async def test_what_a_program_finds(way: str, inheritable: int, tmp_path: Path) -> None:
    ended = await run(tmp_path, BASH, "-c", WORLD, stdin=b"read me\n")
    assert ended == process.Exit(0, duration_ms=ended.duration_ms)
    lines = said(tmp_path).splitlines()
    ignored = int(next(line for line in lines if line.startswith("SigIgn")).split()[1], 16)
    blocked = int(next(line for line in lines if line.startswith("SigBlk")).split()[1], 16)
    assert lines[0] == str(tmp_path.resolve())
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    assert not blocked & ~(1 << signal.SIGCHLD - 1)  # bash itself holds that one back; others only while it forks
    assert "leads" in lines
    assert [line for line in lines if line.isdecimal()] == ["0", "1", "2"]
    assert "read me" in lines
    assert {"A=ä", "ION_RUN_ID=x"} <= {*lines}


async def test_descriptors_that_are_passed_on(way: str, inheritable: int, tmp_path: Path) -> None:
    with process.write_program_file(tmp_path / "one", [b"handed\n"]) as handed:
        other = process.ProgramFile("", os.dup(inheritable))
        given = () if handed.descriptor is None else (handed, other)
        await run(
            tmp_path, BASH, "-c", f"cat {handed.path}; [ -e /dev/fd/{other.descriptor} ] && echo too", handed=given
        )
    assert said(tmp_path) == "handed\ntoo\n"


async def test_nothing_to_read(way: str, tmp_path: Path) -> None:
    assert (await run(tmp_path, BASH, "-c", "! read line")).status == 0


async def test_what_cannot_be_started(way: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    told = {}
    for name, argv in {
        "missing": [str(tmp_path / "nothing")],
        "not allowed": [str(tmp_path / "text")],
        "a folder": [str(tmp_path)],
        "NUL": [BASH, "-c", "a\0b"],
        "too large": [BASH, "-c", ":", *["x" * 100_000] * 100],
    }.items():
        with pytest.raises(process.SpawnError) as caught:
            await run(tmp_path, *argv)
        told[name] = (caught.value.message.partition(": ")[2], caught.value.missing)
    assert told == {
        "missing": ("no such program", True),
        "not allowed": ("Permission denied", False),
        "a folder": ("Permission denied", False),
        "NUL": ("an argument or a variable cannot be passed on (embedded null byte)", False),
        "too large": ("Argument list too long", False),
    }


async def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(process.SpawnError, match=r"the working directory .* does not exist"):
        await process.run([BASH, "-c", ":"], cwd=gone, env={}, log=tmp_path / "turn")
