"""SOPs at the command line: run, list, validate, convert, and help with writing them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ion.language.load import parse_workflow

from .conftest import THREE_STEPS


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Ion = Callable[..., Result]


@pytest.fixture
def ion(project: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Ion:
    """`ion("run", "pay")` in this process, in the project."""
    from ion.cli.main import outcome

    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project / "no-config"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in [name for name in os.environ if name.startswith("ION_")]:
        monkeypatch.delenv(name)

    def call(*arguments: str) -> Result:
        capfdbinary.readouterr()
        status = outcome(list(arguments))
        out, err = capfdbinary.readouterr()
        return Result(status, out.decode(), err.decode())

    return call


def test_run_by_name_and_by_path(ion: Ion, write: Callable[..., Path], project: Path) -> None:
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


def test_list(ion: Ion, write: Callable[..., Path], project: Path) -> None:
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
    """The first folder wins, over the project too; what is no folder is told and passed over."""
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


def test_convert_prints_yaml(ion: Ion, write: Callable[..., Path], project: Path) -> None:
    path = write(THREE_STEPS.replace("Pay a bill", "支払い"))
    done = ion("convert", str(path))
    assert done.status == 0
    loaded = parse_workflow(done.out)
    assert loaded.workflow is not None
    assert [node.id for node in loaded.workflow.nodes] == ["read-the-bill", "check-it", "pay"]
    assert "支払い" in done.out
    assert ion("convert", str(path)).out == done.out
    assert ion("convert", str(path), "--json").json() == {"name": "pay", "text": done.out}


def test_convert_in_other_manners(ion: Ion, write: Callable[..., Path]) -> None:
    path = write("# T\n\n## Steps\n\n### 1. A\n\nx\n\n#### 1.1 B\n\ny\n\n#### 1.2 C\n\nz\n", name="sub")
    assert "- id: a-b\n" in ion("convert", str(path), "--split", "substeps").out
    fresh = ion("convert", str(path), "--split", "substeps", "--fresh").out
    assert fresh.count("context: fresh") == 2
    assert "continued:" not in fresh


def test_convert_writes_a_file_once(ion: Ion, write: Callable[..., Path], project: Path) -> None:
    """The same again is no harm; another content needs --force."""
    path = write()
    assert ion("convert", str(path), "--output", "out/pay.yaml").out == "out/pay.yaml\n"
    assert ion("convert", str(path), "--output", "out/pay.yaml").status == 0
    (project / "out" / "pay.yaml").write_text("mine")
    refused = ion("convert", str(path), "--output", "out/pay.yaml")
    assert (refused.status, (project / "out" / "pay.yaml").read_text()) == (5, "mine")
    assert "--force" in refused.err
    assert ion("convert", str(path), "--output", "out/pay.yaml", "--force").status == 0
    assert parse_workflow((project / "out" / "pay.yaml").read_text()).workflow is not None


def test_convert_to_a_skill_and_a_command(ion: Ion, write: Callable[..., Path], project: Path) -> None:
    path = write()
    assert ion("convert", str(path), "--to", "skill").status == 0
    assert (project / "skills" / "pay" / "SKILL.md").read_text().startswith("---\nname: pay\n")
    assert ion("convert", str(path), "--to", "skill", "--output", "here", "--json").json() == {
        "file": str(project / "here" / "pay" / "SKILL.md")
    }
    assert ion("convert", str(path), "--to", "cursor").status == 0
    assert "# Pay a bill" in (project / ".cursor" / "commands" / "pay.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.sop.md"], "does not exist"),
        ([".ion/workflows/w.yaml"], "does not end in .sop.md"),
        ([".ion/workflows/broken.sop.md"], "no-steps"),
        ([".ion/workflows/pay.sop.md", "--to", "skill", "--fresh"], "for --to yaml"),
        ([".ion/workflows/pay.sop.md", "--to", "word"], "word"),
    ],
)
def test_what_cannot_be_converted(
    ion: Ion, write: Callable[..., Path], project: Path, arguments: list[str], said: str
) -> None:
    write()
    write("# Broken\n", name="broken")
    (project / ".ion" / "workflows" / "w.yaml").write_text("name: w\n")
    done = ion("convert", *arguments)
    assert done.status == 2
    assert said in done.err


def test_an_sop_to_begin_with(ion: Ion, project: Path) -> None:
    """It loads without a word, and is never written over."""
    assert ion("sop", "new", "sort-mail").status == 0
    path = project / ".ion" / "workflows" / "sort-mail.sop.md"
    assert path.read_text().startswith("# Sort mail\n")
    assert ion("validate", "sort-mail", "--strict").status == 0
    assert ion("run", "sort-mail", "--input", "subject=x", "--dry-run").status == 0
    path.write_text("mine")
    assert ion("sop", "new", "sort-mail").status == 5
    assert path.read_text() == "mine"
    assert ion("sop", "new", "x", "--dir", "there", "--json").json() == {"file": str(project / "there" / "x.sop.md")}


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
