"""Every command that the guides show really ran, and printed that."""

from __future__ import annotations

from pathlib import Path

import pytest

import console_blocks
from console_blocks import Command, File

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "at_least"),
    [
        ("docs/guide.md", 25),
        ("docs/language.md", 25),
        ("docs/from-scripts.md", 8),
        ("docs/from-archon.md", 3),
        ("docs/observing.md", 5),
    ],
)
def test_the_page_shows_what_happens(page: str, at_least: int, tmp_path: Path) -> None:
    assert console_blocks.run((ROOT / page).read_text(encoding="utf-8"), tmp_path) >= at_least


PAGE = """
Text, and `$ no command`.

```console
$ first
shown
$ second
```

```yaml
# a/b.yaml
name: x
```

```yaml
name: no file
```

<!-- tested -->

```console
$ third
```
"""


def test_what_a_page_tells_its_reader_to_do() -> None:
    assert list(console_blocks.steps(PAGE)) == [
        Command(5, "first", ("shown",)),
        Command(7, "second", ()),
        File("a/b.yaml", "# a/b.yaml\nname: x\n"),
        Command(22, "third", ()),
    ]


def test_only_the_marked_blocks() -> None:
    assert list(console_blocks.steps(PAGE, only_marked=True)) == [Command(22, "third", ())]


@pytest.mark.parametrize(
    ("shown", "printed", "fit"),
    [
        (("a", "b"), "a\nb\n", True),
        (("a",), "a\nb\n", False),
        (("a", "b"), "a\n", False),
        (("…", "c"), "a\nb\nc\n", True),
        (("…", "c"), "c\n", True),
        (("…", "c"), "a\nb\n", False),
        (("x … z",), "x y z\n", True),
        (("x … z",), "x y\nz\n", False),
        (("a.c",), "abc\n", False),
        (("took 0.1s",), "took 12s\n", True),
        (("run y5y3jp29ee",), "run 0123456789\n", True),
        (("run y5y3jp29ee",), "run completed\n", False),
        ((), "\n", True),
        ((), "x\n", False),
    ],
)
def test_what_is_shown_and_what_is_printed(shown: tuple[str, ...], printed: str, fit: bool) -> None:
    assert console_blocks.fits(shown, printed) is fit


@pytest.mark.parametrize(
    "block",
    ["$ false", "$ true\n$ echo $?\n1", "$ echo one\ntwo", "$ echo one"],
    ids=["status", "another status", "output", "output that is not shown"],
)
def test_what_is_not_so_is_found(block: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"line \d: \$ "):
        console_blocks.run(f"```console\n{block}\n```\n", tmp_path)


def test_a_status_that_is_asked_for_may_be_any(tmp_path: Path) -> None:
    assert console_blocks.run("```console\n$ exit 3\n$ echo $?\n3\n```\n", tmp_path) == 2
