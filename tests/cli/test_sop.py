"""SOPs at the command line: `ion sop`, and `run`, `list` and `validate` of an SOP."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS

from ion.language.load import parse_workflow

from .kit import Ion, Project


def test_run_by_name_and_by_path(ion: Ion, write: Callable[..., Path], project: Project) -> None:
    """The output of the last step; `cat` as the agent gives each prompt back."""
    path = write()
    for workflow in ("pay", ".ion/workflows/pay.sop.md", str(path)):
        done = ion("run", workflow, "--input", "bill=b.pdf", "--agent", "cat", "--quiet")
        assert done.status == 0
        assert "Pay from main" in done.out


def test_run_says_what_is_missing(ion: Ion, write: Callable[..., Path]) -> None:
    write()
    done = ion("run", "pay", "--input", "acount=x")
    assert done.status == 2
    assert "unknown input 'acount': did you mean 'account'?; missing input 'bill': The file of the bill" in done.err
    assert "--input bill=…" in done.err


def test_run_notes_what_stays_open(ion: Ion, write: Callable[..., Path]) -> None:
    write()
    done = ion("run", "pay", "--input", "bill=b", "--agent", "true", "--plain")
    assert "note: 'receipt' holds {folder}, since 'folder' was not given" in done.err


def test_list(ion: Ion, write: Callable[..., Path], project: Project) -> None:
    write()
    write("# Broken\n", name="broken")
    shown = ion("list")
    assert "(SOP, 3 steps) From" in shown.out
    assert "✗ broken" in shown.out
    pay = next(one for one in ion("list", "--json").json() if one["name"] == "pay")
    assert (pay["kind"], pay["description"]) == ("sop", "From a bill to a payment.")
    assert pay["inputs"]["bill"]["required"]
    assert pay["inputs"]["receipt"]["default"] == "{folder}/{account}.pdf"
    assert pay["inputs"]["limit"] == {
        "required": False,
        "description": "The most that may be paid",
        "type": "integer",
        "default": 100,
    }


def test_sop_paths(ion: Ion, write: Callable[..., Path], tmp_path: Path) -> None:
    """The first folder wins, over the project too; what is not a folder is reported and skipped."""
    write()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pay.sop.md").write_text(f"# {name}\n\n## Steps\n\n### 1. A\n\nfrom {name}\n")
    paths = os.pathsep.join([str(tmp_path / "nowhere"), f" {tmp_path / 'one'} ", "", str(tmp_path / "two")])
    listed = ion("list", "--json", "--sop-paths", paths)
    assert "nowhere is not there" in listed.err
    assert [(Path(one["file"]).parent.name, one["shadowed_by"] is None) for one in listed.json()] == [
        ("one", True),
        ("two", False),
        ("workflows", False),
    ]
    assert "from one" in ion("run", "pay", "--sop-paths", paths, "--agent", "cat", "--quiet").out
    assert "Pay from main" in ion("run", "pay", "--input", "bill=b", "--agent", "cat", "--quiet").out


def test_a_name_that_is_in_no_sop_path_is_looked_for_as_ever(
    ion: Ion, write: Callable[..., Path], tmp_path: Path
) -> None:
    write()
    done = ion("run", "pay", "--sop-paths", str(tmp_path), "--input", "bill=b", "--dry-run")
    assert done.status == 0


def test_validate_finds_no_fault_with_a_good_one(ion: Ion, write: Callable[..., Path]) -> None:
    """Lint is a warning, and fails only with --strict."""
    path = write()
    assert ion("validate", str(path), "--strict").status == 0
    write(THREE_STEPS + "\n### 5. Again\n\nGo back to step 1.\n", name="lint")
    assert ion("validate", "lint").status == 0
    assert ion("validate", "lint", "--strict").status == 1
    found = ion("validate", ".", "--json").json()
    assert {one["code"] for one in found} == {"numbering", "sop-jump", "no-constraints"}
    assert {Path(one["file"]).name for one in found} == {"lint.sop.md"}


def test_validate_shows_the_place(ion: Ion, write: Callable[..., Path]) -> None:
    write("# T\n\n## Parameters\n\n- **amount** (maybe): x\n\n## Steps\n\n### 1. A\n\nx\n", name="bad")
    done = ion("validate", "bad")
    assert done.status == 1
    assert "bad.sop.md:5:14" in done.out
    assert "5 | - **amount** (maybe): x" in done.out
    assert "^^^^^^^" in done.out


def test_an_sop_to_begin_with(ion: Ion, project: Project) -> None:
    """It loads without a word, and is never written over."""
    assert ion("sop", "new", "sort-mail").status == 0
    path = project.folder / ".ion" / "workflows" / "sort-mail.sop.md"
    assert path.read_text().startswith("# Sort mail\n")
    assert ion("validate", "sort-mail", "--strict").status == 0
    assert ion("run", "sort-mail", "--input", "subject=x", "--dry-run").status == 0
    path.write_text("mine")
    assert ion("sop", "new", "sort-mail").status == 5
    assert path.read_text() == "mine"
    assert ion("sop", "new", "x", "--dir", "there", "--json").json() == {
        "file": str(project.folder / "there" / "x.sop.md")
    }


@pytest.mark.parametrize(
    ("name", "hint"), [("Sort Mail", "write sort-mail"), ("../x", "write x"), ("日本", "small letters")]
)
def test_names_of_new_sops(ion: Ion, name: str, hint: str) -> None:
    done = ion("sop", "new", name)
    assert done.status == 2
    assert hint in done.err


def test_the_guide_keeps_its_own_rules(ion: Ion) -> None:
    """The example in it loads, with nothing to say about it."""
    guide = ion("sop", "rule").out
    assert guide.startswith("# How to write an SOP\n")
    example = guide.split("````markdown\n")[1].split("````")[0]
    loaded = parse_workflow(
        example.replace("…\n\n## Ex", "x\n\n**Constraints:**\n- You MUST x\n\n## Ex"), file="x.sop.md"
    )
    assert loaded.problems == ()
    assert ion("sop", "rule", "--json").json() == {"text": guide}
    assert ion("sop").status == 2
