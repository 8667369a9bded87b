"""What bash gets: the rewritten text, the variables and the line that loads them; engine names; values of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from bash_runner import HOSTILE, Text, encoded, placed, run, run_file
from msgspec import convert, to_builtins

from ion.errors import UnreadableReferenceError
from ion.language.references import reference_text
from ion.language.shell import Rewritten, preamble, rewrite, unsafe_in_environment
from ion.language.shell.placing import place
from ion.language.workflow import Reference, Shell


def rewritten(script: str, **consumed: int) -> Rewritten[Text]:
    """`script` with every value empty; `consumed` says how far the path of a node's references reaches."""
    return rewrite(placed(script), lambda r: Text("", consumed.get(getattr(r, "node", ""), 0)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_each_position_has_its_form() -> None:
    script = (
        "echo $a.output \"$a.output\" '$a.output' $'$a.output' ${x#$a.output} \"${x/p/$a.output}\" $((1 -$a.output))"
    )
    number = rewrite(placed(script), lambda _: Text("1"))
    assert number.text == (
        "echo \"${__ion_1}\" \"${__ion_1}\" ''\"${__ion_1}\"'' $''\"${__ion_1}\"$'' "
        '${x#"${__ion_1}"} "${x/p/"${__ion_1}"}" $((1 - ${__ion_1}))'
    )


def test_one_variable_for_each_distinct_value() -> None:
    script = "echo $b.output $a.output.x $INPUTS.y $a.output.x.md $b.output.md $ARGUMENTS"
    result = rewritten(script, a=1)
    assert result.text == ('echo "${__ion_1}" "${__ion_2}" "${__ion_3}" "${__ion_2}".md "${__ion_1}".md "${ARGUMENTS}"')
    assert list(result.variables) == ["__ion_1", "__ion_2", "__ion_3"]


def test_a_reference_is_resolved_once() -> None:
    asked: list[str] = []

    def resolve(reference: Reference) -> Text:
        asked.append(reference_text(reference))
        return Text("")

    rewrite(placed('echo $a.output "$a.output" $ARGUMENTS $ARGUMENTS $a.output.x'), resolve)
    assert asked == ["$a.output", "$ARGUMENTS", "$a.output.x"]


def test_what_resolve_raises_passes_through() -> None:
    def resolve(reference: Reference) -> Text:
        raise UnreadableReferenceError(f"{reference_text(reference)} cannot be read")

    with pytest.raises(UnreadableReferenceError, match=r"\$a\.output cannot be read"):
        rewrite(placed("echo $a.output"), resolve)


def test_a_quoted_here_document_is_opened() -> None:
    result = rewritten("cat <<'E O F'\n$HOME `x` \\ION_END_1 $a.output\nE O F\n")
    assert result.text == "cat <<ION_END_2\n\\$HOME \\`x\\` \\\\ION_END_1 ${__ion_1}\nION_END_2\n"


def test_a_quoted_here_document_without_values_stays() -> None:
    script = "cat <<'EOF'\n$HOME \\$a.outputs\nEOF\necho $a.output"
    assert rewritten(script).text == script.replace("$a.output", '"${__ion_1}"').replace('"${__ion_1}"s', "$a.outputs")


def test_a_placed_shell_goes_to_json_and_back() -> None:
    shell = place("declare -i x\nx=5-$a.output.n\ncat <<'EOF'\n$b.output $\nEOF\n").shell
    assert convert(to_builtins(shell), Shell) == shell
    assert shell.placements[0].detail == {"check": "integer", "where": "the integer variable x", "gap": True}


def test_a_text_without_references_is_itself() -> None:
    assert rewrite(placed("echo 'unclosed"), lambda _: Text("")) == Rewritten("echo 'unclosed", {})
    assert preamble([], "data") == ""


# Engine names


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ('BASE_BRANCH=x; P $BASE_BRANCH "$BASE_BRANCH" ${BASE_BRANCH}', "<x><x><x>"),
        ("BASE_BRANCH=x; P '$BASE_BRANCH'", "<$BASE_BRANCH>"),
        ("BASE_BRANCH=x\ncat <<'EOF'\n$BASE_BRANCH\nEOF", "$BASE_BRANCH\n"),
        ("read -r BASE_BRANCH <<< x; P '$BASE_BRANCH' $BASE_BRANCH", "<$BASE_BRANCH><x>"),
        ("for BASE_BRANCH in x; do P '$BASE_BRANCH' $BASE_BRANCH; done", "<$BASE_BRANCH><x>"),
        ("printf -v BASE_BRANCH x; P '$BASE_BRANCH' \"$BASE_BRANCH\"", "<$BASE_BRANCH><x>"),
        ("f() { local BASE_BRANCH=x; P $BASE_BRANCH; }; f", "<x>"),
        (': ${BASE_BRANCH:=y}; P "$BASE_BRANCH"', "<it's *>"),
        ("P $BASE_BRANCH \"$BASE_BRANCH\" '$BASE_BRANCH' $'$BASE_BRANCH'", "<it's *>" * 4),
        ("cat <<'EOF'\n$BASE_BRANCH $HOME\nEOF", "it's * $HOME\n"),
        (
            "cat <<'EOF'\nBASE_BRANCH=x # for another script\n$BASE_BRANCH\nEOF",
            "BASE_BRANCH=x # for another script\n$BASE_BRANCH\n",
        ),
        ("P $BASE_BRANCH/x $BASE_BRANCHES", "<it's */x>"),
        ("P ${BASE_BRANCH}", "<it's><file>"),
        ("P \\$BASE_BRANCH", "<$BASE_BRANCH>"),
        # In code of a shell a name is read by that shell, from its environment.
        ("bash -c 'P \"$BASE_BRANCH\"'", "<it's *>"),
        ("trap 'P \"$BASE_BRANCH\"' EXIT", "<it's *>"),
        ("eval 'P \"$BASE_BRANCH\"'", "<it's *>"),
        ("bash <<'EOF'\nP \"$BASE_BRANCH\"\nEOF", "<it's *>"),
        ("n=3 BASE_BRANCH=4; echo $(( $BASE_BRANCH + 1 ))", "5\n"),
    ],
)
def test_an_engine_name(script: str, printed: str, folder: Path) -> None:
    """It keeps its own name, so whatever the script does to it holds."""
    (folder / "file").touch()
    said = script.replace("P ", "printf '<%s>' ") if "'P" not in script else script.replace("P ", 'printf "<%s>" ')
    assert run(said, {"$BASE_BRANCH": "it's *"}, folder).stdout == printed


def test_an_engine_name_that_the_script_assigns_is_not_asked_for() -> None:
    """A base branch that cannot be found fails only the node that uses it."""

    def resolve(reference: Reference) -> Text:
        raise UnreadableReferenceError("the base branch is unknown")

    assert rewrite(placed("BASE_BRANCH=main; git diff $BASE_BRANCH"), resolve).text.endswith(
        'git diff "${BASE_BRANCH}"'
    )
    with pytest.raises(UnreadableReferenceError):
        rewrite(placed("git diff $BASE_BRANCH"), resolve)


# Delivery


def test_lines_keep_their_numbers(folder: Path) -> None:
    ran = run("echo $a.output\ncat <<'EOF'\n$a.output\nEOF\nnosuchcmd\necho $LINENO", {"$a.output": "a\nb"}, folder)
    assert "line 5: nosuchcmd" in ran.stderr
    assert ran.stdout.endswith("\n6\n")


def test_a_first_line_for_another_interpreter_is_a_comment(folder: Path) -> None:
    assert run("#!/bin/sh $a.output\nprintf %s $a.output", {"$a.output": "x"}, folder).stdout == "x"


def test_nothing_is_exported(folder: Path) -> None:
    ran = run("env | grep -c __ion; bash -c 'echo ${__ion_1-unset}'; echo $a.output", {"$a.output": "x"}, folder)
    assert ran.stdout == "0\nunset\nx\n"


@pytest.mark.parametrize(
    "env",
    [
        {"POSIXLY_CORRECT": "1"},
        {"SHELLOPTS": "errexit:nounset:pipefail"},
        {"SHELLOPTS": "allexport"},
        {"SHELLOPTS": "posix"},
        {"BASHOPTS": "extglob:nullglob:failglob"},
        {"BASH_ENV": "/dev/null", "ENV": "/dev/null"},
        {"IFS": "x"},
        {"LC_ALL": "C"},
        {"__ion_1": "inherited"},
        {f"BASH_FUNC_{name}%%": "() { echo hijacked; }" for name in ("read", "builtin", "export", "exit")},
    ],
    ids=str,
)
def test_an_odd_environment_changes_nothing(env: dict[str, str], folder: Path) -> None:
    for name in ("trailing-newlines", "blanks", "unicode", "backslash-newline"):
        value = HOSTILE[name]
        ran = run("printf '<%s>' $a.output; env | grep -c __ion_ || :", {"$a.output": value}, folder, env=env)
        assert (ran.stdout, ran.stderr) == (f"<{value}>0\n", "")


def test_names_that_must_not_be_inherited() -> None:
    assert unsafe_in_environment("BASH_FUNC_read%%")
    assert unsafe_in_environment("__ion_1")
    assert not unsafe_in_environment("BASH_FUNC_mine%%")
    assert not unsafe_in_environment("PATH")


@pytest.mark.parametrize("name", ["plain", "it's", "a b", "$(touch CANARY)", "new\nline", "tab\t'x'\\", "é"])
def test_the_data_file_may_have_any_name(name: str, folder: Path) -> None:
    data = folder / name
    data.write_bytes(b"one\0two\n\0")
    script = folder / "script"
    text = preamble(["__ion_1", "__ion_2"], str(data)) + 'printf "<%s>" "$__ion_1" "$__ion_2" $LINENO'
    assert "\n" not in text
    script.write_bytes(encoded(text))
    assert run_file(script, folder, {}).stdout == "<one><two\n><1>"


@pytest.mark.parametrize("data", [None, b"", b"one\0", b"one\0two"])
def test_without_its_values_a_script_does_not_run(data: bytes | None, folder: Path) -> None:
    """A data file that is gone, or cut short, must not become empty values."""
    if data is not None:
        (folder / "data").write_bytes(data)
    (folder / "script").write_text(preamble(["__ion_1", "__ion_2"], str(folder / "data")) + "echo ran\n")
    ran = run_file(folder / "script", folder, {})
    assert (ran.stdout, ran.status) == ("", 125)
    assert "ion: the values of this script cannot be read" in ran.stderr


@pytest.mark.parametrize("size", [1, 131_071, 131_072, 2_000_000, pytest.param(10_000_000, marks=pytest.mark.sweep)])
def test_a_value_of_any_size(size: int, folder: Path) -> None:
    value = "".join(chr(33 + i % 90) for i in range(1000)) * (size // 1000) + "\n" * (size % 1000)
    ran = run(
        'printf %s "$a.output" | sha256sum; cat <<< $a.output | wc -c; /bin/true && echo runs',
        {"$a.output": value},
        folder,
    )
    digest, count, runs = ran.stdout.split("\n")[:3]
    assert digest.split()[0] == hashlib.sha256(value.encode()).hexdigest()
    assert (int(count), runs) == (len(value) + 1, "runs")


def test_many_values_in_one_script(folder: Path) -> None:
    nodes = [f"n{i}" for i in range(300)]
    ran = run(
        "printf '%s,' " + " ".join("$" + f"{n}.output" for n in nodes), {f"${n}.output": n for n in nodes}, folder
    )
    assert ran.stdout == "".join(f"{n}," for n in nodes)
