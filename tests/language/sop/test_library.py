"""SOPs for programs: reading, prompts with the SOP's own arguments, and no cost for what is not used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sop_kit import THREE_STEPS

import ion
from ion.api.sops import PromptArgument, render_prompt, sop_folders, sop_prompt


@pytest.fixture
def sop() -> ion.Sop:
    return ion.read_sop(THREE_STEPS, file="pay.sop.md")


def test_a_prompt_has_the_parameters_as_arguments(sop: ion.Sop) -> None:
    prompt = sop_prompt(sop)
    assert (prompt.name, prompt.title, prompt.description) == ("pay", "Pay a bill", "From a bill to a payment.")
    assert prompt.arguments[:2] == (
        PromptArgument("bill", "The file of the bill", True),
        PromptArgument("account", "Where the money is", False),
    )


def test_a_rendered_prompt_is_the_whole_procedure_with_its_values(sop: ion.Sop) -> None:
    text = render_prompt(sop, {"bill": "b.pdf", "limit": "7"}, "and be quick")
    assert THREE_STEPS.strip() in text
    assert "\n\nbill:\n~~~\nb.pdf\n~~~\n\n" in text
    assert "\n\nlimit:\n~~~\n7\n~~~\n\n" in text
    assert "\n\nreceipt:\n~~~\n{folder}/main.pdf\n~~~\n\n" in text
    assert "\n\nfolder: (not given)\n\n" in text
    assert text.endswith("besides:\n~~~\nand be quick\n~~~\n")


@pytest.mark.parametrize("value", ["~~~\nout", "~~~~~~~~", "a\n ~~~~ \nb", "{account}", "</user-input>"])
def test_no_value_gets_out_of_its_fence(sop: ion.Sop, value: str) -> None:
    """Fact 44: the fence is longer than any in the value."""
    text = render_prompt(sop, {"bill": value})
    fence = text.split("\n\nbill:\n")[1].split("\n")[0]
    assert set(fence) == {"~"}
    assert f"\n\nbill:\n{fence}\n{value}\n{fence}\n\n" in text
    assert fence not in value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "missing input 'bill'"),
        ({"bill": "x", "bil": "y"}, "did you mean 'bill'"),
        ({"bill": "x", "limit": "y"}, "integer"),
    ],
)
def test_arguments_that_do_not_fit(sop: ion.Sop, given: dict[str, str], said: str) -> None:
    with pytest.raises(ion.errors.UsageError, match=said):
        render_prompt(sop, given)


def test_an_sop_that_does_not_load() -> None:
    with pytest.raises(ion.errors.InvalidWorkflowError) as caught:
        ion.read_sop("# T\n\n## Parameters\n\n- **a** (maybe): x\n", file="x.sop.md")
    assert [one.code for one in caught.value.problems if one.severity == "error"] == ["no-steps", "bad-parameter"]


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "bytes.sop.md").write_bytes(b"# \xff")
    (tmp_path / "folder.sop.md").mkdir()
    for name, error in [
        ("nowhere.sop.md", ion.errors.NotFoundError),
        ("bytes.sop.md", ion.errors.InvalidWorkflowError),
        ("folder.sop.md", ion.errors.InvalidWorkflowError),
    ]:
        with pytest.raises(error):
            ion.load_sop(tmp_path / name)


def test_folders_in_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks are taken off, `~` is home, what is not a folder is reported."""
    (tmp_path / "a").mkdir()
    (tmp_path / "f").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folders, wrong = sop_folders(f" ~/a : :a:{tmp_path}/f:b")
    assert folders == (tmp_path / "a",)
    assert [one.rpartition("/")[2] for one in wrong] == ["f is not a directory", "b is not there"]
    assert sop_folders("") == ((), ())


LOADED = """
import sys
from pathlib import Path
from ion.language.load import load_workflow
loaded = load_workflow(Path(sys.argv[1]))
assert loaded.workflow is not None
print(sorted({"markdown_it", "yaml", "pydantic", "ion.language.sop"} & set(sys.modules)))
"""


def test_the_parser_is_loaded_only_to_parse(write: Callable[..., Path]) -> None:
    """The first load needs markdown-it-py and nothing else that is large; the second takes it from the cache."""
    path = write()
    loads = [
        subprocess.run([sys.executable, "-c", LOADED, str(path)], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert loads == ["['ion.language.sop', 'markdown_it']\n", "[]\n"]
