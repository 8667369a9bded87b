"""What docs/serve.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path

import click

import console_blocks
from ion.cli.servers import serve
from ion.web import guard
from ion.web.connections import REQUEST_SECONDS
from ion.web.report import LONGEST_TEXT
from ion.web.site import SECTIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    assert console_blocks.run(PAGE, tmp_path) == 7


def test_every_option_is_explained() -> None:
    options = {name for one in serve.params if isinstance(one, click.Option) for name in one.opts if name[:2] == "--"}
    assert {name for name in options - {"--store", "--project", "--port"} if name not in PAGE} == set()


def test_every_page_is_named() -> None:
    assert [label for _, _, label in SECTIONS if f"| {label} |" not in PAGE] == []


def test_the_limits_are_those_of_the_server() -> None:
    assert guard.TOKEN_SECONDS == 60
    assert f"at most {guard.LONGEST_BODY >> 10} KiB, heads {guard.LONGEST_HEAD >> 10} KiB" in PAGE
    assert (REQUEST_SECONDS, guard.BODY_SECONDS) == (10, 10)
    assert f"{LONGEST_TEXT >> 10} KB each" in PAGE


def test_its_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert len(pictures) == 2
    for picture in pictures:
        assert 10_000 < (ROOT / "docs" / picture).stat().st_size <= 150_000
