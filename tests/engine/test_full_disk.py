"""A run whose process is killed, whose disk is full, whose every write is a danger: it continues where it was."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, URLS, Site, assert_sound

from ion.core import events as e
from ion.core.events import NodeCompleted
from processes import PATIENCE_S


@pytest.fixture(params=URLS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, URLS[request.param])


def completed(site: Site) -> list[e.Event]:
    return [event for event in site.log() if isinstance(event, NodeCompleted)]


def many_events(site: Site) -> None:
    """A run that writes more than a small disk holds."""
    site.write(
        "nodes:\n" + "".join(f"  - {{id: n{i}, bash: 'head -c 4000 /dev/zero | tr \"\\0\" x'}}\n" for i in range(60))
    )


def is_no_room(err: str) -> bool:
    return any(word in err for word in ("No space left", "no room", "File too large", "the disk failed"))


def test_a_file_that_may_not_grow_any_more_stops_the_run_with_a_clear_word(site: Site) -> None:
    many_events(site)

    process = subprocess.run(
        ["prlimit", "--fsize=150000", *COMMAND, "run", "w", "--run-id", site.id],
        cwd=site.folder,
        env=site.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert process.returncode == 1
    assert is_no_room(process.stderr)
    assert "Traceback" not in process.stderr
    before = completed(site)
    assert 0 < len(before) < 60
    assert site.shown()["status"] == "interrupted"
    assert site.run("resume", site.id)[0] == 0
    assert completed(site)[: len(before)] == before
    assert_sound(site)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk; the test with a limit on files says nearly the same")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_disk_that_is_full_in_the_midst_of_a_run(small_disk: Path, url: str) -> None:
    site = Site(small_disk, url)
    site.write("""
        nodes:
          - {id: before, bash: echo kept}
          - id: fill
            depends_on: [before]
            bash: 'test -e full || { touch full; head -c 2000000 /dev/zero > filler; }; echo filled'
          - {id: after, depends_on: [fill], bash: 'echo "$before.output $fill.output"'}
        """)
    status, _, err = site.run("run", "w", "--run-id", site.id)
    assert status == 1
    assert is_no_room(err), err
    site.path("filler").unlink()
    assert site.shown()["status"] in ("interrupted", "failed")
    assert [event.node for event in completed(site)][:1] == ["before"]
    assert site.run("resume", site.id)[:2] == (0, "kept filled\n")
    assert_sound(site)
