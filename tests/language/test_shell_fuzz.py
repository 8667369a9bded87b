"""Random scripts with random hostile values: bash prints what it prints when the value is in a plain variable.

A script is built twice from the same pieces: once as an author writes it for Ion, once as a careful bash programmer
would write it with the values in variables. The builder knows each position because it made it; Ion has to find it out.
Text that is code for another interpreter, and places that demand a number, have tests of their own.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bash_runner import BIG, HOSTILE, Text, encoded, run, run_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@dataclass(frozen=True)
class Piece:
    """The same text for Ion and for bash. Where a name would continue in what follows, a `/` comes between."""

    ion: str
    plain: str

    def __add__(self, other: Piece) -> Piece:
        between = "/" if re.search(r"\$[\w.-]+\Z", self.ion) and re.match(r"[\w.-]", other.ion) else ""
        return Piece(self.ion + between + other.ion, self.plain + between + other.plain)


def same(text: str) -> Piece:
    return Piece(text, text)


def joined(pieces: list[Piece], by: str = "") -> Piece:
    result = same("")
    for index, piece in enumerate(pieces):
        result += (same(by) if index and by else same("")) + piece
    return result


def around(before: str, piece: Piece, after: str) -> Piece:
    return same(before) + piece + same(after)


REFERENCES = {"$a.output": "a", "$b.output.name": "b", "$INPUTS.my-in": "c", "$ARGUMENTS": "ARGUMENTS"}


def references(form: str) -> st.SearchStrategy[Piece]:
    """A reference, and the variable in the quotes that its position asks for."""
    return st.sampled_from(list(REFERENCES)).map(lambda r: Piece(r, form % f"${{{REFERENCES[r]}}}"))


def several(piece: st.SearchStrategy[Piece], most: int = 3) -> st.SearchStrategy[Piece]:
    return st.lists(piece, min_size=1, max_size=most).map(joined)


LITERALS = st.sampled_from(["x", "--y=", "a.b", "1", "_z", "é", ":", ",", "/", "+", "%", "@"]).map(same)
SINGLE_TEXT = st.sampled_from(['x "', "$(", "`", "\\", "# ", "$HOME", ")", "${x", "(", ";"]).map(same)
HERE_TEXT = st.sampled_from(["x ", "'", '"', "(", ")", "# it's ", "\\$a.output", "\\\\", "{", " EOF"]).map(same)
RAW_TEXT = st.sampled_from(["x ", "'", '"', "$(", "`", "\\", "$HOME", "${x", "\\\\", "# ", " EOF", "$'"]).map(same)
COMMENT = st.sampled_from(["# it's $a.output\n", "#$(\n", '# "\n', ": # ' `\n"]).map(same)

SINGLE = several(SINGLE_TEXT | references("'\"%s\"'")).map(lambda p: around("'", p, "'"))
ANSI = several(st.sampled_from(["x", "\\t", "\\'", '"', "$(", "\\\\"]).map(same) | references("'\"%s\"$'")).map(
    lambda p: around("$'", p, "'")
)


def substitution(command: Piece) -> Piece:
    return around("$( ", command, " )")


def words(command: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    """Words of one value: whatever splits, globs or expands is in quotes."""
    text = st.sampled_from(["x ", "it's", "(", ")", "#", " ;", "*", "\\$a.output", "\\\\", "{"]).map(same)
    within = text | references("%s") | command.map(substitution) | defaults_in_quotes(command)
    double = several(within).map(lambda p: around('"', p, '"'))
    default = st.one_of(references('"%s"'), SINGLE, double, LITERALS.filter(lambda p: p.ion != "/"))
    return several(
        st.one_of(
            LITERALS,
            references('"%s"'),
            references('"%s"'),
            SINGLE,
            ANSI,
            double,
            several(default).map(lambda p: around("${unset:-", p, "}")),
        )
    )


def defaults_in_quotes(command: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    word = several(st.one_of(references("%s"), LITERALS, SINGLE_IN_DOUBLE))
    pattern = several(st.one_of(references('"%s"'), st.sampled_from(["q", "w", "é"]).map(same)))
    operators = st.sampled_from(["${unset:-", "${unset-", "${set:+", "${set+"])
    return st.one_of(
        st.builds(lambda operator, p: around(operator, p, "}"), operators, word),
        pattern.map(lambda p: around("${set/w/", p, "}")),
        pattern.map(lambda p: around("${set#", p, "}")),
        pattern.map(lambda p: around("${set%%", p, "}")),
        pattern.map(lambda p: around("${set//", p, "/Z}")),
    )


SINGLE_IN_DOUBLE = references("%s").map(lambda p: around("'", p, "'"))


def commands(depth: int) -> st.SearchStrategy[Piece]:
    """A command that prints its values, in one line or with here-documents."""
    inner = commands(depth - 1) if depth else st.just(same("echo x"))
    word = words(inner)
    # bash 5.2 itself corrupts its memory on commands within subscripts, and loses its way in some $'…' there
    key = words(st.nothing()).filter(lambda p: "$'" not in p.ion)
    end = f"EOF{depth}"  # one here-document may be in another
    listed = st.lists(word, min_size=1, max_size=3).map(lambda ws: joined(ws, " "))
    say = listed.map(lambda p: around("printf '<%s>' ", p, ""))
    choices = [
        say,
        say,
        word.map(lambda p: around("x=", p, "; printf '<%s>' \"$x\"")),
        listed.map(lambda p: around("v=( ", p, " ); printf '<%s>' \"${v[@]}\"")),
        listed.map(lambda p: around("for x in ", p, "; do printf '<%s>' \"$x\"; done")),
        st.builds(lambda w, p: around("case ", w, " in (") + around("", p, ") echo y;; *) echo n;; esac"), word, word),
        st.builds(lambda w, p: around("[[ ", w, " == ") + around("", p, " ]] && echo y || echo n"), word, word),
        word.map(lambda p: around("IFS= read -r -d '' x <<< ", p, "; printf '<%s>' \"$x\"")),
        say.map(lambda p: around("( ", p, " )")),
        say.map(lambda p: around("{ ", p, "; }")),
        say.map(lambda p: around("if ! false; then ", p, "; fi")),
        say.map(lambda p: around("f() { ", p, "; }; f")),
        key.map(lambda p: around("declare -A m; m[k", p, "]=1; printf '<%s>' \"${!m[@]}\"; unset m")),
        several(HERE_TEXT | references("%s") | inner.map(substitution)).map(
            lambda p: around(f"cat <<{end}\n", p, f"\n{end}\n")
        ),
        quoted_documents(end),
    ]
    return st.one_of(choices)


def quoted_documents(end: str) -> st.SearchStrategy[Piece]:
    """For Ion the delimiter is quoted; for bash the body is escaped and the delimiter is not."""

    def text(piece: Piece) -> Piece:
        return Piece(piece.ion, "".join("\\" + c if c in "$`\\" else c for c in piece.plain))

    body = several(RAW_TEXT.map(text) | references("%s"), 5)
    quotings = st.sampled_from(["'%s'", '"%s"', "\\%s", "''%s"])
    return st.builds(
        lambda quoting, p: Piece(f"cat <<{quoting % end}\n", f"cat <<{end}\n") + p + same(f".\n{end}\n"),
        *(quotings, body),
    )


SCRIPTS = st.lists(commands(2) | COMMENT, min_size=1, max_size=4).map(lambda lines: joined(lines, "\n"))
SHORT_VALUES = st.sampled_from([value for name, value in HOSTILE.items() if name not in BIG])
VALUES = (
    SHORT_VALUES
    | st.lists(SHORT_VALUES, max_size=3).map("".join)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
)


def compare(script: Piece, values: list[str], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    known = {r: Text(v, consumed=r.count(".name")) for r, v in zip(REFERENCES, values, strict=True)}
    names = dict(zip([*REFERENCES.values()], values, strict=True))
    before = "unset x unset v; set=qwe\n"
    data, file = folder.parent / "plain.data", folder.parent / "plain.script"
    data.write_bytes(b"".join(encoded(value) + b"\0" for value in values[:3]))
    loads = "".join(f"IFS= read -rd '' {name}; " for name in "abc")
    file.write_bytes(encoded(f"{{ {loads}}} < '{data}'; {before}{script.plain}\n"))
    expected = run_file(file, folder, {"ARGUMENTS": names["ARGUMENTS"]}, script.plain)
    ran = run(f"{before}{script.ion}\n", known, folder)
    assert (ran.stdout, ran.status) == (expected.stdout, expected.status), (script.ion, ran, expected)


FUZZ: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}


@settings(max_examples=80, **FUZZ)
@given(SCRIPTS, st.lists(VALUES, min_size=4, max_size=4))
def test_bash_prints_what_it_prints_with_plain_variables(tmp_path: Path, script: Piece, values: list[str]) -> None:
    compare(script, values, tmp_path / "work")


@pytest.mark.sweep
@pytest.mark.timeout(900)
@settings(max_examples=5_000, **FUZZ)
@given(SCRIPTS, st.lists(VALUES, min_size=4, max_size=4))
def test_thousands_of_scripts(tmp_path: Path, script: Piece, values: list[str]) -> None:
    compare(script, values, tmp_path / "work")
