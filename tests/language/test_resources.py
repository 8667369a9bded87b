"""Command and script files: where they are looked for, front matter, freezing a script's folder, links and limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from load_kit import HEAD, codes, load_file, only, write

from ion.language.load import load_workflow
from ion.language.resources import MAX_SCRIPT_BYTES, Folder, find_project, user_config_folder, walk_files
from ion.language.workflow import CommandFile

USES_REVIEW = HEAD + "nodes:\n  - {id: first, bash: x}\n  - {id: a, command: review, depends_on: [first]}\n"
USES_SCRIPT = HEAD + "nodes:\n  - {id: a, script: tool, runtime: bun}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, {".ion/workflows/w.yaml": USES_REVIEW, ".ion/workflows/s.yaml": USES_SCRIPT})
    return tmp_path


def workflow_file(project: Path, name: str = "w") -> Path:
    return project / ".ion" / "workflows" / f"{name}.yaml"


# Commands


def test_a_command_is_found_beside_then_in_the_project_then_in_the_users_folder(project: Path, tmp_path: Path) -> None:
    """The first of the four places of language.md wins; each later one is shadowed."""
    user = tmp_path / "config"
    places = [
        ".ion/workflows/commands/review.md",
        ".ion/commands/deep/er/review.md",
        ".archon/commands/defaults/review.md",
        "config/ion/commands/review.md",
    ]
    write(project, dict.fromkeys(places, "Review it.\n"))
    for place in places:
        loaded = load_workflow(workflow_file(project), project=project, user_config=user)
        assert loaded.workflow is not None
        assert loaded.workflow.commands == {"review": CommandFile(str(project / place), "Review it.\n")}
        (project / place).unlink()
    missing = only(load_workflow(workflow_file(project), project=project, user_config=user))
    assert (missing.code, missing.path) == ("missing-file", "nodes[1].command")
    for folder in (".ion/workflows/commands", ".ion/commands", ".archon/commands", "config/ion/commands"):
        assert str(project / folder) in missing.hint


def test_a_command_that_ships_with_archon_says_where_it_comes_from(project: Path) -> None:
    """Many files of Archon's users name one; once the folder is copied it is found."""
    file = project / ".archon/workflows/w.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("name: w\ndescription: d\nnodes: [{id: a, command: archon-validate}]\n")
    first, *rest = only(load_file(file, project)).hint.split("\n")
    assert (first.split(":")[0], rest[0]) == ("it ships with Archon", "looked in")
    write(project, {f"{first.split()[-4]}/archon-validate.md": "Validate it.\n"})
    assert load_file(file, project).problems == ()


def test_of_two_files_of_one_name_the_shallower_wins(project: Path) -> None:
    write(project, {".ion/commands/a/review.md": "deep", ".ion/commands/review.md": "shallow"})
    loaded = load_file(workflow_file(project), project)
    assert loaded.workflow is not None
    assert loaded.workflow.commands["review"].text == "shallow"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain\n", "plain\n"),
        ("---\ndescription: x\n---\nBody\n", "Body\n"),
        ("---\n: not [valid yaml\n---\n\nBody\n", "\nBody\n"),
        ("---\r\na: b\r\n--- \r\nBody\r\n", "Body\r\n"),
        ("---\nnever closed\n", "---\nnever closed\n"),
        ("\ufeff---\na: b\n---\nBody", "Body"),
        ("----\nno front matter\n---\n", "----\nno front matter\n---\n"),
    ],
)
def test_front_matter_is_not_sent(project: Path, content: str, text: str) -> None:
    """Whatever stands between the two lines, valid YAML or not."""
    path = project / ".ion" / "commands" / "review.md"
    path.parent.mkdir()
    path.write_bytes(content.encode())
    loaded = load_file(workflow_file(project), project)
    assert loaded.workflow is not None
    assert loaded.workflow.commands["review"].text == text


def test_front_matter_without_an_end_costs_no_time(project: Path) -> None:
    """A hundred thousand lines that look like front matter are read in linear time."""
    path = project / ".ion" / "commands" / "review.md"
    path.parent.mkdir()
    path.write_bytes(b"---\r\n" + b"- x\r\n" * 100_000)
    assert load_file(workflow_file(project), project).workflow is not None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-command"),
        (b" \n\t\n", "empty-command"),
        (b"---\na: b\n---\n \n", "empty-command"),
        (b"x \xff y", "not-utf8"),
        (b"x \0 y", "control-character"),
        (b"x" * 5_000_000, "file-too-large"),
    ],
)
def test_a_command_that_cannot_be_sent(project: Path, data: bytes, code: str) -> None:
    """The problem is in the command file."""
    path = project / ".ion" / "commands" / "review.md"
    path.parent.mkdir()
    path.write_bytes(data)
    problem = only(load_file(workflow_file(project), project))
    assert (problem.code, problem.file) == (code, str(path))


def test_references_in_a_command_are_those_of_its_node(project: Path) -> None:
    """Unknown nodes are told in the command file, at their line; known ones are edges."""
    write(project, {".ion/commands/review.md": "---\na: b\n---\nRead $first.output\n  and $nothing.output.\n"})
    problem = only(load_file(workflow_file(project), project))
    assert (problem.code, Path(problem.file).name, problem.line, problem.column) == ("unknown-node", "review.md", 5, 7)
    write(project, {".ion/workflows/w.yaml": USES_REVIEW.replace(", depends_on: [first]", "")})
    write(project, {".ion/commands/review.md": "Read $first.output\n"})
    loaded = load_file(workflow_file(project), project)
    assert codes(loaded) == ["order-by-reference"]
    assert loaded.workflow is not None
    assert loaded.workflow.nodes[1].order == ("first",)


def test_a_loop_may_use_a_command(project: Path) -> None:
    write(project, {".ion/commands/go.md": "Go on after $LOOP_PREV_OUTPUT"})
    write(
        project,
        {".ion/workflows/w.yaml": HEAD + "nodes: [{id: a, loop: {command: go, until: D, max_iterations: 1}}]"},
    )
    loaded = load_file(workflow_file(project), project)
    assert loaded.workflow is not None
    assert list(loaded.workflow.commands) == ["go"]


# Scripts


def test_a_script_is_frozen_with_its_folder(project: Path) -> None:
    """The files that lie with it, so that what it imports is in the run's copy too; not the cache of an interpreter."""
    write(
        project,
        {
            ".ion/scripts/tool/tool.ts": "import './lib/x.ts'",
            ".ion/scripts/tool/lib/x.ts": "export {}",
            ".ion/scripts/tool/__pycache__/x.pyc": "no",
            ".ion/scripts/other/y.ts": "no",
        },
    )
    loaded = load_file(workflow_file(project, "s"), project)
    assert loaded.workflow is not None
    script = loaded.workflow.scripts["tool"]
    assert (script.path, script.entry) == (str(project / ".ion/scripts/tool/tool.ts"), "tool.ts")
    assert set(script.files) == {"tool.ts", "lib/x.ts"}
    assert all(len(digest) == 64 for digest in script.files.values())


@pytest.mark.parametrize(
    ("runtime", "file", "found"),
    [
        ("bun", "tool.ts", True),
        ("bun", "tool.js", True),
        ("node", "tool.mjs", True),
        ("uv", "tool.py", True),
        ("python", "tool.py", True),
        ("python", "tool.sh", False),
    ],
)
def test_endings_and_runtimes(project: Path, runtime: str, file: str, found: bool) -> None:
    write(project, {f".archon/scripts/{file}": "x", ".ion/workflows/s.yaml": USES_SCRIPT.replace("bun", runtime)})
    assert (load_file(workflow_file(project, "s"), project).workflow is not None) == found


def test_a_script_for_another_runtime_is_pointed_out(project: Path) -> None:
    write(project, {".ion/scripts/tool.py": "x"})
    problem = only(load_file(workflow_file(project, "s"), project))
    assert problem.code == "missing-file"
    assert problem.hint == f"{project}/.ion/scripts/tool.py is there, but bun does not run it: change 'runtime'"


def test_one_name_cannot_be_two_scripts(project: Path) -> None:
    """`tool.py` for one node and `tool.ts` for another would be frozen under one name."""
    write(project, {".ion/scripts/tool.py": "x", ".ion/scripts/tool.ts": "x"})
    both = USES_SCRIPT + "  - {id: b, script: tool, runtime: uv}\n"
    write(project, {".ion/workflows/s.yaml": both})
    assert only(load_file(workflow_file(project, "s"), project)).code == "bad-name"


def test_a_folder_that_is_too_large_is_an_error(project: Path) -> None:
    write(project, {".ion/scripts/tool.ts": "x"})
    with (project / ".ion/scripts/data.bin").open("wb") as stream:
        stream.truncate(MAX_SCRIPT_BYTES + 1)
    assert only(load_file(workflow_file(project, "s"), project)).code == "script-too-large"


def test_a_workflow_holds_its_commands_and_scripts(project: Path) -> None:
    """A changed command, or a changed file beside a script, is another workflow."""
    write(project, {".ion/commands/review.md": "one", ".ion/scripts/t/tool.ts": "x", ".ion/scripts/t/lib.ts": "x"})
    made = []
    for name, changed in (("w", ".ion/commands/review.md"), ("s", ".ion/scripts/t/lib.ts")):
        for content in ("one", "two", "one"):
            write(project, {changed: content})
            made.append(load_file(workflow_file(project, name), project).workflow)
    assert None not in made
    assert made[0] == made[2] != made[1]
    assert made[3] == made[5] != made[4]


# Folders


def test_links_out_of_the_project_are_not_followed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither a linked file nor a linked folder; a link inside of the project is as good as a file."""
    outside = tmp_path_factory.mktemp("outside")
    write(outside, {"review.md": "secret", "d/review.md": "secret"})
    commands = project / ".ion" / "commands"
    commands.mkdir()
    (commands / "review.md").symlink_to(outside / "review.md")
    (commands / "sub").symlink_to(outside / "d")
    problem = only(load_file(workflow_file(project), project))
    assert problem.code == "missing-file"
    over = [f"{commands / name} leads out of the project: it is skipped" for name in ("review.md", "sub")]
    assert problem.hint.splitlines()[:3] == [*over, "looked in"]
    write(project, {"shared/review.md": "ours"})
    (commands / "ours").symlink_to(project / "shared")
    loaded = load_file(workflow_file(project), project)
    assert loaded.workflow is not None
    assert loaded.workflow.commands["review"].text == "ours"


def test_a_folder_that_is_itself_a_link_out_is_not_searched(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside, {"review.md": "secret"})
    (project / ".ion" / "commands").symlink_to(outside)
    assert only(load_file(workflow_file(project), project)).code == "missing-file"


def test_walking_survives_rings_pipes_and_dangling_links(tmp_path: Path) -> None:
    """A link to a folder above, to itself or to nothing, and a pipe, are passed over without waiting."""
    write(tmp_path, {"a.yaml": "x", "d/b.yaml": "x"})
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    found = [path.relative_to(tmp_path).as_posix() for path in walk_files(Folder(tmp_path, tmp_path))]
    assert found == ["a.yaml", "d/b.yaml"]


def test_a_pipe_named_as_a_workflow_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.yaml")
    assert codes(load_workflow(tmp_path / "w.yaml", project=tmp_path)) == ["unreadable-file"]


@pytest.mark.parametrize("marker", [".ion", ".archon", ".git"])
def test_the_project_is_the_nearest_parent_with_a_marker(tmp_path: Path, marker: str) -> None:
    inner = tmp_path / "repo" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "repo" / marker).mkdir()
    assert find_project(inner) == tmp_path / "repo"
    assert find_project(inner / ".." / "b") == tmp_path / "repo"


def test_without_a_marker_the_project_is_the_folder_itself(tmp_path: Path) -> None:
    if find_project(tmp_path.parent) != tmp_path.parent:
        pytest.skip("a folder above has a marker")
    assert find_project(tmp_path) == tmp_path


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg-of-ana")
    assert user_config_folder() == Path("/etc/xdg-of-ana")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ana")
    assert user_config_folder() == Path("/home/ana/.config")
