"""Discovery: which files are workflows, what shadows what, names that clash, finding one by name or path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from load_kit import write

import ion.language.discovery as discovery_module
from ion.errors import InvalidWorkflowError, NotFoundError
from ion.language.discovery import Discovered, discover, find_workflow, is_path
from ion.language.load import LoadContext
from ion.language.resources import Folder

ION, ARCHON, USER = ".ion/workflows", ".archon/workflows", "config/ion/workflows"


def workflow(name: str, *, node: str = "{id: a, bash: x}") -> str:
    return f"name: {name}\ndescription: d\nnodes: [{node}]\n"


def found(project: Path) -> list[Discovered]:
    return discover(project, project / "config")


def find(project: Path, name: str) -> Discovered:
    return find_workflow(name, project=project, user_config=project / "config", cwd=project)


def rows(project: Path) -> list[tuple[str, str, str, str]]:
    """(name, file, scope, shadowing file), paths relative to the project."""
    return [
        (
            one.name,
            one.path.relative_to(project).as_posix(),
            one.scope,
            one.shadowed_by.relative_to(project).as_posix() if one.shadowed_by else "",
        )
        for one in found(project)
    ]


# What is found


def test_the_three_places_and_their_folders(tmp_path: Path) -> None:
    """All endings, at any depth, in the project's two folders and the user's."""
    write(
        tmp_path,
        {
            f"{ION}/one.yaml": workflow("one"),
            f"{ION}/deep/er/two.yml": workflow("two"),
            f"{ARCHON}/defaults/three.yaml": workflow("three"),
            f"{USER}/four.yaml": workflow("four"),
            f"{ION}/notes.txt": "name: not-me",
            f"{ION}/steps.sop.md": "# An SOP",
            f"{ION}/README.md": "# Not an SOP",
            "elsewhere.yaml": workflow("elsewhere"),
        },
    )
    assert rows(tmp_path) == [
        ("four", f"{USER}/four.yaml", "user", ""),
        ("one", f"{ION}/one.yaml", "project", ""),
        ("steps", f"{ION}/steps.sop.md", "project", ""),
        ("three", f"{ARCHON}/defaults/three.yaml", "archon", ""),
        ("two", f"{ION}/deep/er/two.yml", "project", ""),
    ]


def test_what_has_neither_nodes_nor_name_is_passed_over(tmp_path: Path) -> None:
    """While discovering; named by its path it is an error."""
    write(tmp_path, {f"{ION}/data.yaml": "a: 1", f"{ION}/list.yaml": "[1]", f"{ION}/empty.yml": ""})
    assert found(tmp_path) == []
    with pytest.raises(InvalidWorkflowError) as caught:
        find(tmp_path, f"{ION}/data.yaml")
    assert [problem.code for problem in caught.value.problems] == ["not-a-workflow"]


def test_a_broken_file_hides_nothing(tmp_path: Path) -> None:
    """It is listed with its problems, under its name or, if that is not known, its file's."""
    write(
        tmp_path,
        {
            f"{ION}/fine.yaml": workflow("fine"),
            f"{ION}/a.yaml": workflow("wrong", node="{id: a}"),
            f"{ION}/torn.yaml": "nodes: [\n",
            f"{ION}/early.yaml": "name: early\nnodes: @\n",
        },
    )
    (tmp_path / ION / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert [(one.name, [p.code for p in one.errors]) for one in found(tmp_path)] == [
        ("binary", ["not-utf8"]),
        ("early", ["yaml-syntax"]),
        ("fine", []),
        ("torn", ["yaml-syntax"]),
        ("wrong", ["no-kind"]),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_listed(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/secret.yaml": workflow("x"), f"{ION}/fine.yaml": workflow("fine")})
    (tmp_path / ION / "secret.yaml").chmod(0)
    assert [one.name for one in found(tmp_path)] == ["fine", "secret"]


def test_links_out_of_the_project_are_not_followed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside, {"x.yaml": workflow("outside"), "d/y.yaml": workflow("outside-too")})
    write(tmp_path, {f"{ION}/in.yaml": workflow("inside"), "shared/s.yaml": workflow("shared")})
    (tmp_path / ION / "x.yaml").symlink_to(outside / "x.yaml")
    (tmp_path / ION / "d").symlink_to(outside / "d")
    (tmp_path / ION / "shared").symlink_to(tmp_path / "shared")
    assert [(one.name, one.passed_over) for one in found(tmp_path)] == [
        ("d", True),
        ("inside", False),
        ("shared", False),
        ("x", True),
    ]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/good.yaml": workflow("good")})
    (tmp_path / ION / "lost.yaml").symlink_to(tmp_path / "gone.yaml")
    (tmp_path / ION / "ring.yaml").symlink_to(tmp_path / ION / "ring.yaml")
    by_name = {one.name: one for one in found(tmp_path)}
    assert set(by_name) == {"good", "lost", "ring"}
    assert by_name["lost"].problems[0].message == f"{ION}/lost.yaml is a link that leads nowhere: it is skipped"
    with pytest.raises(NotFoundError) as error:
        find(tmp_path, "lost")
    assert "leads nowhere" in error.value.hint


def test_a_link_out_of_the_project_is_named_and_hides_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing behind it is read; a workflow of its name elsewhere is found."""
    outside = tmp_path_factory.mktemp("outside")
    write(outside, {"x.yaml": workflow("x"), "y2.yaml": workflow("y"), "notes.txt": "n"})
    user = tmp_path_factory.mktemp("config")
    write(user, {"ion/workflows/x.yaml": workflow("x")})
    write(tmp_path, {f"{ION}/in.yaml": workflow("y"), f"{ION}/y.yaml": workflow("z")})
    for name in ("x.yaml", "y2.yaml", "notes.txt"):
        (tmp_path / ION / name).symlink_to(outside / name)
    by_name = {one.name: one for one in discover(tmp_path, user) if one.passed_over}
    assert list(by_name) == ["x", "y2"]
    (problem,) = by_name["x"].problems
    assert (problem.code, problem.severity) == ("link-passed-over", "warning")
    assert problem.message == f"{ION}/x.yaml is a link that leads out of the project: it is skipped"
    assert find_workflow("x", project=tmp_path, user_config=user).scope == "user"
    with pytest.raises(NotFoundError) as error:
        find_workflow("y2", project=tmp_path, user_config=user)
    assert f"{ION}/y2.yaml is a link that leads out of the project" in error.value.hint


def test_a_user_may_keep_workflows_elsewhere(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Dotfiles, stow, home-manager: files, folders, and the whole folder may be links, also those of commands."""
    dotfiles = tmp_path_factory.mktemp("dotfiles")
    write(
        dotfiles,
        {
            "one.yaml": workflow("one", node="{id: a, command: review}"),
            "more/two.yaml": workflow("two"),
            "commands/review.md": "Review it.",
        },
    )
    user = tmp_path_factory.mktemp("config")
    folder = user / "ion" / "workflows"
    folder.mkdir(parents=True)
    (folder / "one.yaml").symlink_to(dotfiles / "one.yaml")
    (folder / "more").symlink_to(dotfiles / "more")
    (folder / "ring").symlink_to(folder)
    (user / "ion" / "commands").symlink_to(dotfiles / "commands")
    assert [(one.name, one.errors) for one in discover(tmp_path, user)] == [("one", ()), ("two", ())]


def test_nothing_of_the_repository_runs(tmp_path: Path) -> None:
    """Listing a project whose files would all leave a trace leaves none."""
    canary = tmp_path / "canary"
    code = f"import pathlib; pathlib.Path({str(canary)!r}).touch()"
    write(
        tmp_path,
        {
            f"{ION}/w.yaml": workflow("w", node="{id: a, script: tool, runtime: uv}"),
            f"{ION}/tag.yaml": f"name: !!python/object/apply:os.system ['touch {canary}']\nnodes: []\n",
            f"{ION}/shell.yaml": workflow("shell", node=f"{{id: a, bash: 'touch {canary}'}}"),
            ".ion/scripts/tool.py": code,
            "sitecustomize.py": code,
            "yaml.py": code,
            "pydantic.py": code,
        },
    )
    script = (
        "import sys; from pathlib import Path; from ion.language.discovery import discover; "
        "print(len(discover(Path(sys.argv[1]), Path(sys.argv[1]) / 'config')))"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", script, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "3\n"
    assert not canary.exists()


# Shadows and clashes


def test_the_project_shadows_archon_and_the_user(tmp_path: Path) -> None:
    """One name in several places: the first is taken, the others are shown with what shadows them."""
    for place in (ION, ARCHON, USER):
        write(tmp_path, {f"{place}/w.yaml": workflow("same")})
    assert rows(tmp_path) == [
        ("same", f"{ION}/w.yaml", "project", ""),
        ("same", f"{ARCHON}/w.yaml", "archon", f"{ION}/w.yaml"),
        ("same", f"{USER}/w.yaml", "user", f"{ION}/w.yaml"),
    ]
    assert find(tmp_path, "same").path == tmp_path / ION / "w.yaml"


def test_a_broken_file_shadows_too(tmp_path: Path) -> None:
    """A mistake in the project's file must not make the user's run instead."""
    write(tmp_path, {f"{ION}/w.yaml": workflow("same", node="{id: a}"), f"{USER}/w.yaml": workflow("same")})
    with pytest.raises(InvalidWorkflowError):
        find(tmp_path, "same")


def test_two_files_of_one_place_with_one_name(tmp_path: Path) -> None:
    """That name is an error naming both files; all others work."""
    write(
        tmp_path,
        {
            f"{ION}/a.yaml": "# first\n" + workflow("same"),
            f"{ION}/b.yaml": workflow("same"),
            f"{ION}/c.yaml": workflow("other"),
            f"{USER}/d.yaml": workflow("same"),
        },
    )
    by_file = {one.path.name: one for one in found(tmp_path)}
    problem = by_file["a.yaml"].errors[0]
    assert (problem.code, Path(problem.file).name, problem.line) == ("duplicate-name", "a.yaml", 2)
    assert str(tmp_path / ION / "b.yaml") in problem.message
    assert [problem.code for problem in by_file["b.yaml"].errors] == ["duplicate-name"]
    assert by_file["d.yaml"].errors == ()
    assert find(tmp_path, "other").path.name == "c.yaml"
    with pytest.raises(InvalidWorkflowError) as caught:
        find(tmp_path, "same")
    assert caught.value.problems[0].code == "duplicate-name"


# Finding one


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("fix", False),
        ("fix-issue", False),
        ("./fix", True),
        ("a/b", True),
        ("x.yaml", True),
        ("x.yml", True),
        ("x.md", True),
    ],
)
def test_names_and_paths(name: str, path: bool) -> None:
    assert is_path(name) == path


def test_a_name_is_that_in_the_file(tmp_path: Path) -> None:
    """Not the file's; only exact; quoted, folded and escaped names count as what they say."""
    write(
        tmp_path,
        {
            f"{ION}/a.yaml": workflow("fix-issue"),
            f"{ION}/b.yaml": workflow('"f\\x69x"'),
            f"{ION}/c.yaml": workflow("two\n  words"),
            f"{ION}/d.yaml": 'description: d\n"name": "qu\\u006Fted"\nnodes: [{id: a, bash: x}]\n',
        },
    )
    assert find(tmp_path, "fix-issue").path.name == "a.yaml"
    assert find(tmp_path, "fix").path.name == "b.yaml"
    assert find(tmp_path, "two words").path.name == "c.yaml"
    assert find(tmp_path, "quoted").path.name == "d.yaml"
    with pytest.raises(NotFoundError):
        find(tmp_path, "a")


def test_only_files_that_can_have_the_name_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running one workflow does not cost reading all of them."""
    write(tmp_path, {f"{ION}/{n}.yaml": workflow(f"flow-{n}") for n in "abcdef"})
    parsed = []
    real = discovery_module.load_from

    def recording(path: Path, place: LoadContext) -> object:
        parsed.append(path.name)
        return real(path, place)

    monkeypatch.setattr(discovery_module, "load_from", recording)
    assert find(tmp_path, "flow-c").path.name == "c.yaml"
    assert parsed == ["c.yaml"]


def test_a_name_that_is_not_there_says_what_was_meant_and_where_it_was_sought(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/a.yaml": workflow("fix-issue")})
    with pytest.raises(NotFoundError) as caught:
        find(tmp_path, "fix-isue")
    assert caught.value.message == "unknown workflow 'fix-isue'"
    assert "did you mean 'fix-issue'?" in caught.value.hint
    for place in (ION, ARCHON, USER):
        assert str(tmp_path / place) in caught.value.hint


def test_a_file_named_without_its_ending_is_pointed_out(tmp_path: Path) -> None:
    write(tmp_path, {"release.yaml": workflow("whatever")})
    with pytest.raises(NotFoundError) as caught:
        find(tmp_path, "release")
    assert "./release.yaml" in caught.value.hint


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path) -> None:
    """Any file may be named, wherever it lies."""
    write(tmp_path, {"sub/w.yaml": workflow("by-path")})
    one = find_workflow("w.yaml", project=tmp_path, user_config=tmp_path, cwd=tmp_path / "sub")
    assert (one.name, one.scope, one.path) == ("by-path", "path", tmp_path / "sub" / "w.yaml")
    assert find(tmp_path, str(tmp_path / "sub" / "w.yaml")).name == "by-path"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sub/x.yaml", "did you mean"),
        ("sub/", "is a folder"),
        ("nowhere/q.yaml", "ion list"),
        ("nowhere.sop.md", "does not exist"),
    ],
)
def test_a_path_that_is_no_file(tmp_path: Path, name: str, said: str) -> None:
    write(tmp_path, {"sub/w.yaml": workflow("w")})
    with pytest.raises(NotFoundError) as caught:
        find(tmp_path, name)
    assert said in f"{caught.value.message} {caught.value.hint}"


SOP = "# Pay\n\n## Steps\n\n### 1. Send\n\nSend it.\n"


def test_an_sop_has_the_name_of_its_file(tmp_path: Path) -> None:
    """Unless its front matter says another; it is found by name and by path."""
    named = f"---\nname: other\n---\n{SOP}"
    write(tmp_path, {f"{ION}/pay.sop.md": SOP, f"{ION}/a.b.sop.md": SOP, f"{ION}/x.sop.md": named})
    assert [one.name for one in found(tmp_path)] == ["a.b", "other", "pay"]
    assert find(tmp_path, "pay").path.name == "pay.sop.md"
    assert find(tmp_path, f"{ION}/x.sop.md").name == find(tmp_path, "other").name == "other"


def test_markdown_that_is_no_sop_says_how_to_call_it(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/pay.md": SOP})
    assert found(tmp_path) == []
    with pytest.raises(InvalidWorkflowError) as caught:
        find(tmp_path, f"{ION}/pay.md")
    assert [(problem.code, problem.hint) for problem in caught.value.problems] == [
        ("not-a-workflow", "call it pay.sop.md, if it is one")
    ]


def test_sop_paths_come_first_in_the_order_given(tmp_path: Path) -> None:
    """Only SOPs directly in them; the first folder that has a name wins, over the project too."""
    write(
        tmp_path,
        {
            f"{ION}/pay.sop.md": SOP,
            "one/pay.sop.md": SOP,
            "one/deep/not.sop.md": SOP,
            "one/not.yaml": workflow("not"),
            "two/pay.sop.md": SOP,
            "two/ship.sop.md": SOP,
        },
    )
    paths = [tmp_path / "one", tmp_path / "two"]
    listed = discover(tmp_path, tmp_path / "config", sop_paths=paths)
    assert [(one.name, one.scope, one.shadowed_by is None) for one in listed] == [
        ("pay", "sop-path", True),
        ("pay", "sop-path", False),
        ("pay", "project", False),
        ("ship", "sop-path", True),
    ]
    chosen = find_workflow("pay", project=tmp_path, user_config=tmp_path / "config", sop_paths=paths)
    assert chosen.path == tmp_path / "one" / "pay.sop.md"
    assert {one.shadowed_by for one in listed if one.shadowed_by} == {chosen.path}


def test_a_file_that_vanishes_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look into the folder and the look into the file."""
    write(tmp_path, {f"{ION}/a.yaml": workflow("a"), f"{ION}/b.yaml": workflow("b")})
    real = discovery_module.walk_files

    def vanishing(folder: Folder, links: list[Path]) -> Iterator[Path]:
        for path in real(folder, links):
            if path.name == "a.yaml":
                path.unlink()
            yield path

    monkeypatch.setattr(discovery_module, "walk_files", vanishing)
    assert [one.name for one in found(tmp_path)] == ["b"]


def test_a_file_with_errors_is_refused_with_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/w.yaml": workflow("w", node="{id: a, bash: 3, when: 4}")})
    for name in ("w", f"{ION}/w.yaml"):
        with pytest.raises(InvalidWorkflowError) as caught:
            find(tmp_path, name)
        assert [problem.code for problem in caught.value.problems] == ["wrong-type", "wrong-type"]
        assert caught.value.message == "'w' does not load: 2 errors"


def test_warnings_do_not_keep_a_workflow_from_being_found(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/w.yaml": workflow("w", node="{id: a, bash: x, timeout: 5}")})
    assert [problem.code for problem in find(tmp_path, "w").problems] == ["short-timeout"]


def test_the_project_is_looked_for_above_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path, {f"{ION}/w.yaml": workflow("w"), "src/deep/x": ""})
    assert find_workflow("w", user_config=tmp_path, cwd=tmp_path / "src" / "deep").name == "w"
