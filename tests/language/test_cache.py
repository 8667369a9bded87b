"""The cache of loaded workflows: when it holds, when it does not, that it costs no imports and cannot do harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from load_kit import HEAD, load_file, write

from ion.language import cache
from ion.language.library import Loaded
from ion.language.load import load_workflow

WORKFLOW = (
    HEAD
    + """\
nodes:
  - {id: a, bash: echo, timeout: 5}
  - {id: b, command: review, depends_on: [a], when: $a.output == 'x', output_format: {type: object}}
  - {id: c, script: tool, runtime: bun, depends_on: [b]}
"""
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            ".ion/workflows/w.yaml": WORKFLOW,
            ".ion/commands/review.md": "Review it.",
            ".ion/scripts/t/tool.ts": "x",
            ".ion/scripts/t/lib.ts": "y",
        },
    )
    return tmp_path


def load(project: Path) -> Loaded:
    return load_file(project / ".ion/workflows/w.yaml", project)


def entries(project: Path) -> list[Path]:
    return sorted((project / ".ion" / "cache").glob("*.json"))


def is_hit(project: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a load is answered by the cache: then nothing is parsed."""
    parsed = []
    import ion.language.load as load_module

    real = load_module.parse_workflow
    monkeypatch.setattr(load_module, "parse_workflow", lambda *a, **k: parsed.append(1) or real(*a, **k))
    load(project)
    monkeypatch.setattr(load_module, "parse_workflow", real)
    return not parsed


def test_the_second_load_is_the_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflow, problems and name come back equal, from one entry, and git does not see it."""
    first = load(project)
    assert first.workflow is not None
    assert [problem.code for problem in first.problems] == ["short-timeout"]
    assert is_hit(project, monkeypatch)
    assert load(project) == first
    assert len(entries(project)) == 1
    assert (project / ".ion/cache/.gitignore").read_text() == "*\n"


def test_a_hit_imports_neither_pydantic_nor_yaml(project: Path) -> None:
    """A second process that loads the same workflow pays for neither, nor for jsonschema."""
    script = (
        "import sys; from pathlib import Path; from ion.language.load import load_workflow; "
        "loaded = load_workflow(Path(sys.argv[1]) / '.ion/workflows/w.yaml', project=Path(sys.argv[1]), "
        "user_config=Path('/nonexistent')); "
        "heavy = {'pydantic', 'yaml', 'jsonschema', 'asyncio', 'sqlite3'}; "
        "print(loaded.workflow.name, sorted(heavy & set(sys.modules)))"
    )
    said = []
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", script, str(project)], capture_output=True, text=True, check=True
        )
        said.append(result.stdout)
    assert said == ["demo ['jsonschema', 'pydantic', 'yaml']\n", "demo []\n"]


def test_a_broken_workflow_is_kept_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a project with a broken file need not read it again and again."""
    write(project, {".ion/workflows/w.yaml": HEAD + "nodes: [{id: a}]"})
    first = load(project)
    assert first.workflow is None
    assert is_hit(project, monkeypatch)
    assert load(project) == first


@pytest.mark.parametrize(
    "changed",
    [
        {".ion/workflows/w.yaml": WORKFLOW + "# a comment\n"},
        {".ion/commands/review.md": "Review it well."},
        {".ion/workflows/commands/review.md": "A command that goes before."},
        {".ion/scripts/t/tool.ts": "z"},
        {".ion/scripts/t/lib.ts": "z"},
        {".ion/scripts/t/new.ts": "z"},
        {".ion/scripts/tool.ts": "goes before"},
    ],
    ids=lambda files: next(iter(files)),
)
def test_any_change_is_a_miss(project: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
    """Of the file, of a command or script, or of where one is found; then the new state is kept."""
    load(project)
    assert is_hit(project, monkeypatch)
    write(project, changed)
    assert not is_hit(project, monkeypatch)
    assert is_hit(project, monkeypatch)


def test_a_file_that_was_missing_and_is_there_now(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that found nothing counts as well."""
    (project / ".ion/commands/review.md").unlink()
    assert load(project).workflow is None
    assert is_hit(project, monkeypatch)
    write(project, {".ion/commands/review.md": "Now."})
    assert load(project).workflow is not None


def test_a_removed_file_is_a_miss(project: Path) -> None:
    assert load(project).workflow is not None
    (project / ".ion/scripts/t/tool.ts").unlink()
    assert load(project).workflow is None


def test_another_version_of_ion_is_a_miss(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(project)
    monkeypatch.setattr(cache, "VERSION", "9.9.9")
    cache._version.cache_clear()
    try:
        assert not is_hit(project, monkeypatch)
        assert is_hit(project, monkeypatch)
    finally:
        cache._version.cache_clear()


def test_the_same_bytes_at_another_path_are_another_entry(project: Path) -> None:
    """What is beside a workflow and in its problems depends on its path."""
    load(project)
    write(project, {".ion/workflows/copy.yaml": WORKFLOW})
    copy = load_file(project / ".ion/workflows/copy.yaml", project)
    assert copy.problems[0].file.endswith("copy.yaml")
    assert len(entries(project)) == 2


def test_edits_do_not_pile_up(project: Path) -> None:
    """There is one entry for a file, however often it is edited."""
    for number in range(5):
        write(project, {".ion/workflows/w.yaml": WORKFLOW + f"# {number}\n"})
        load(project)
    assert len(entries(project)) == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign", "shapeless", "folder"])
def test_a_damaged_entry_is_a_miss(project: Path, damage: str) -> None:
    """Torn, altered, not ours, or right by its checksum and yet not of our shape: it is made anew."""
    first = load(project)
    entry = entries(project)[0]
    data = entry.read_bytes()
    key = cache.Entry.of(project / ".ion" / "cache", project / ".ion/workflows/w.yaml", WORKFLOW.encode())
    bodies = [
        b"[]",
        b"{}",
        b'{"lookups": [[1]], "loaded": {}}',
        b'{"lookups": [], "loaded": {"workflow": {"nodes": 3}}}',
    ]
    contents = {
        "empty": [b""],
        "cut": [data[: len(data) // 2]],
        "flipped": [data.replace(b'"demo"', b'"dema"')],
        "foreign": [b"\xff\x00 not json"],
        "shapeless": [cache._checksum(key.key, body).encode() + b"\n" + body for body in bodies],
        "folder": [b""],
    }
    for content in contents[damage]:
        entry.unlink()
        if damage == "folder":
            entry.mkdir()
        else:
            entry.write_bytes(content)
        assert load(project) == first
        if damage != "folder":
            assert entry.read_bytes() == data


def test_a_project_without_ion_folder_gets_none(tmp_path: Path) -> None:
    """Listing the workflows of an Archon project leaves no trace in it."""
    write(tmp_path, {".archon/workflows/w.yaml": HEAD + "nodes: [{id: a, bash: x}]"})
    load_workflow(tmp_path / ".archon/workflows/w.yaml", project=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".archon"]


def test_a_cache_that_cannot_be_written_is_no_error(project: Path) -> None:
    """Here a file stands where the folder would be."""
    (project / ".ion/cache").write_text("in the way")
    assert load(project).workflow is not None
    assert load(project).workflow is not None


@pytest.mark.parametrize("link", [".ion/cache", ".ion"])
def test_nothing_is_written_through_a_link_out_of_the_project(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, link: str
) -> None:
    """A repository may come with `.ion/cache` as a link to the reader's home folder."""
    outside = tmp_path_factory.mktemp("outside")
    write(tmp_path, {"w.yaml": HEAD + "nodes: [{id: a, bash: x}]"})
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(outside)
    assert load_file(tmp_path / "w.yaml", tmp_path).workflow is not None
    assert list(outside.iterdir()) == []


def test_links_inside_of_the_cache_are_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the entry nor the file for git is written where a link leads; an entry that is a pipe blocks nobody."""
    outside = tmp_path_factory.mktemp("outside")
    load(project)
    entry = entries(project)[0]
    entry.unlink()
    entry.symlink_to(outside / "entry")
    ignore = project / ".ion/cache/.gitignore"
    ignore.unlink()
    ignore.symlink_to(outside / "ignore")
    assert load(project).workflow is not None
    assert list(outside.iterdir()) == []
    assert not entry.is_symlink()
    entry.unlink()
    os.mkfifo(entry)
    assert load(project).workflow is not None


def test_without_the_cache_nothing_is_written(project: Path) -> None:
    load_workflow(project / ".ion/workflows/w.yaml", project=project, use_cache=False)
    assert not (project / ".ion/cache").exists()


LOAD_OFTEN = """
import json, sys
from pathlib import Path
from ion.language.load import load_workflow
project = Path(sys.argv[1])
file = project / ".ion/workflows/w.yaml"
seen = {json.dumps(load_workflow(file, project=project).to_json(), sort_keys=True) for _ in range(40)}
print(len(seen))
"""


def test_two_processes_may_use_it_at_once(project: Path) -> None:
    """Both always see the whole workflow, and no half-written file stays."""
    command = [sys.executable, "-c", LOAD_OFTEN, str(project)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["1\n", "1\n"]
    assert [path.name for path in (project / ".ion/cache").iterdir() if path.suffix == ".tmp"] == []


def test_a_kill_while_writing_leaves_a_whole_entry_or_none(project: Path) -> None:
    """The process dies just before the new file takes its name: the next load finds no entry and continues."""
    script = (
        "import os, sys; from pathlib import Path; from ion.language.load import load_workflow; "
        "Path.replace = lambda *a: os._exit(7); "
        "load_workflow(Path(sys.argv[1]) / '.ion/workflows/w.yaml', project=Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", script, str(project)], check=False).returncode == 7
    assert entries(project) == []
    assert load(project).workflow is not None
    assert len(entries(project)) == 1


def test_file_names_that_are_no_utf8(project: Path) -> None:
    """A path of odd bytes is a path like any other."""
    name = os.fsdecode(b"odd\xff.yaml")
    (project / ".ion/workflows" / name).write_text(HEAD + "nodes: [{id: a, bash: x}]")
    for _ in range(2):
        assert load_file(project / ".ion/workflows" / name, project).workflow is not None
