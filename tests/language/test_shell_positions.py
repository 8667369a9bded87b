"""The position of every reference, against bash itself and, where it knows the syntax, tree-sitter-bash.

bash is asked with `bash -n`: text that is wrong in one position and right in another takes the place of a reference.
"""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ion.language.references import find_references
from ion.language.shell.placing import place
from work import assert_linear

BARE, DOUBLE, SINGLE, ANSI = "bare", "double", "single", "ansi"
HERE, HERE_QUOTED = "here-document", "quoted here-document"
PATTERN, REPLACEMENT, ARITHMETIC, SUBSCRIPT = "pattern", "replacement", "arithmetic", "subscript"
TEXT = ""  # bash's own: a comment, or escaped

# Each script with the positions of its references, in order. A stands for $a.output.
SAMPLES: list[tuple[str, list[str]]] = [
    ("echo A 'A' \"A\" $'A' x'A'A", [BARE, SINGLE, DOUBLE, ANSI, SINGLE, BARE]),
    ('git commit -m "A" --author=A', [DOUBLE, BARE]),
    ("echo \\A '\\A' \"\\A\" \\\\A", [TEXT, SINGLE, TEXT, BARE]),
    ("# A\necho A # A\necho x#A '#' A", [TEXT, BARE, TEXT, BARE, BARE]),
    ("echo ${#x} $# A # it's A\necho 'A'", [BARE, TEXT, SINGLE]),
    ("v=( # it's A\n A 'A' ) ; echo \"A\"", [TEXT, BARE, SINGLE, DOUBLE]),
    ("x=$(# it's A )\necho A)", [TEXT, BARE]),
    ('x="$(echo "A" A \'A\')A"', [DOUBLE, BARE, SINGLE, DOUBLE]),
    ('x=`echo A "A" \\`echo A\\``', [BARE, DOUBLE, BARE]),
    ('x="`echo A \\"A\\" \'A\'`"', [BARE, DOUBLE, SINGLE]),
    ("x=`echo \\A`", [TEXT]),
    ("x=$(case A in a) echo A;; (b|'A') ;; A|c) esac; echo A)", [BARE, BARE, SINGLE, PATTERN, BARE]),
    ("case x in # A\n a) ;; # it's\n esac\necho A", [TEXT, BARE]),
    ("case esac in (esac) echo A;; x) echo esac A ;& y) ;;& A) esac", [BARE, BARE, PATTERN]),
    ("if [[ A == A && x != 'A' ]]; then echo A; fi", [BARE, PATTERN, SINGLE, BARE]),
    ("[[ A =~ ^(A|x)+\"A\"$ ]] && echo A", [BARE, PATTERN, DOUBLE, BARE]),
    ("[[ x =~ (a b|A) ]]; [[ x =~ A ]]; echo A", [PATTERN, PATTERN, BARE]),
    ("[[ -f A || ( A < x ) ]] || echo A", [BARE, BARE, BARE]),
    ("[[ A -eq 1 ]]; [[ ! -n A ]]", [BARE, BARE]),
    ("[ A = A ]; test A -nt A", [BARE] * 4),
    ("echo ${x:-A} ${x:-'A'} ${x:-\"A\"} ${x-$'A'}", [BARE, SINGLE, DOUBLE, ANSI]),
    ("echo \"${x:-A} ${x:-'A'} ${x:-\"A\"} ${x:+$'A'}\"", [DOUBLE, DOUBLE, DOUBLE, ANSI]),
    ("echo \"${x:-${y:-A}}\" ${x:-{A}A", [DOUBLE, BARE, BARE]),
    ("echo ${x#A} \"${x%%A}\" \"${x#'A'}\" \"${x%\"A\"}\"", [PATTERN, PATTERN, SINGLE, DOUBLE]),
    ("echo ${x/A/A} \"${x//A/A}\"", [PATTERN, REPLACEMENT, PATTERN, REPLACEMENT]),
    ("echo \"${x/#'A'/'A'}\" \"${x/%$'A'/\"A\"}\"", [SINGLE, SINGLE, ANSI, DOUBLE]),
    ("echo ${x^A} ${x,,A} ${x~A} ${x@Q} ${!x} ${!x*} ${!x[@]} ${#x[@]} A", [PATTERN] * 3 + [BARE]),
    ("echo ${@:-A} ${#} ${##} ${1:+A} ${*%A} ${?} ${-} ${!} ${$} ${10}", [BARE, BARE, PATTERN]),
    ("echo $((A + 1)) $(( (A) )) \"$((A))\" $[A] ; ((A)) ; echo ${x:A:A}", [ARITHMETIC] * 7),
    ("echo $(( \"A\" + ${x:-A} + $(echo A) ))", [DOUBLE, DOUBLE, BARE]),
    ("for ((i=A; i<A; i++)); do echo A; done", [ARITHMETIC, ARITHMETIC, BARE]),
    ("echo $((echo A) | cat) $( (echo A) )", [BARE, BARE]),
    ("((echo A); echo A)", [BARE, BARE]),
    ("( (A) ); ( ((A)) )", [BARE, ARITHMETIC]),
    ("echo ${v[A]} \"${v[A]}\" ${v['A']} \"${v[\"A\"]}\"", [SUBSCRIPT, SUBSCRIPT, SINGLE, DOUBLE]),
    ("v[A]=A; v['A'+1]+=A", [SUBSCRIPT, BARE, SINGLE, BARE]),
    ("v=([A]=A [x]='A' A); v+=(A)", [SUBSCRIPT, BARE, SINGLE, BARE, BARE]),
    ("echo v[A] [A] x[A]y; [A]=x", [BARE] * 4),
    ("x=A y='A' cmd A; x+=A; export x=A y=\"A\"", [BARE, SINGLE, BARE, BARE, BARE, DOUBLE]),
    ("f() { echo A; }; function g { echo A; }; function h() ( echo A )", [BARE] * 3),
    ("for x in A 'A'; do echo A; done", [BARE, SINGLE, BARE]),
    ("for y do echo A; done; for z; do echo A; done", [BARE, BARE]),
    ("select x in A; do break; done", [BARE]),
    ("while read -r l; do echo A; done < A", [BARE, BARE]),
    ("until A; do :; done > 'A' 2>&1 &> \"A\" >| A <> A", [BARE, SINGLE, DOUBLE, BARE, BARE]),
    ("cat <(echo A) > >(tee A) < <(A) x<(A)", [BARE] * 4),
    ("cat <<< A <<< 'A' <<<\"A\"", [BARE, SINGLE, DOUBLE]),
    ("cat <<EOF A\n'A' \"A\" \\A\n# A\nEOF\necho A", [BARE, HERE, HERE, TEXT, HERE, BARE]),
    ("cat <<EOF\n$(echo 'A' A) ${x:-A} ${x:-'A'}\nEOF", [SINGLE, BARE, HERE, HERE]),
    ("cat <<EOF\n${x#A} `A` $((A))\nEOF", [PATTERN, BARE, ARITHMETIC]),
    ("cat <<'EOF' 'A'\n'A' \\A $(A)\nEOF\necho A", [SINGLE, HERE_QUOTED, HERE_QUOTED, HERE_QUOTED, BARE]),
    ("cat <<-\"EOF\"\n\tA\n\tEOF\ncat <<\\X\nA\nX\ncat <<E'O'F\nA\nEOF", [HERE_QUOTED] * 3),
    ("cat <<A1 <<'B1'; echo A\n'A\nA1\n\"A\nB1\necho A", [BARE, HERE, HERE_QUOTED, BARE]),
    ("cat <<EOF\nfoo\\\nEOF\nA\nEOF\necho A", [HERE, BARE]),
    ("cat <<'EOF'\nfoo\\\nEOF\necho A", [BARE]),
    ("cat <<EOF\nA", [HERE]),
    ("if ! cat <<'X'; then\nit's A\nX\necho A\nfi", [HERE_QUOTED, BARE]),
    ("x=$(cat <<EOF\nit's A\nEOF\n) y='A'", [HERE, SINGLE]),
    ('x="$(cat <<\'EOF\'\n"A\nEOF\n)" y="A"', [HERE_QUOTED, DOUBLE]),
    ("cat <<EOF | while read -r x; do echo A; done\nA\nEOF", [BARE, HERE]),
    ("cat << EOF && echo \"A\nA\" A\nA\nEOF", [DOUBLE, DOUBLE, BARE, HERE]),
    ("f <<EOF; echo A\n$(cat <<'B'\nA\nB\n)\nEOF", [BARE, HERE_QUOTED]),
    ("time -p A; ! A; { A; }; (A); A & A | A || A && A; A |& A", [BARE] * 11),
    ("coproc A; coproc N { A; }; coproc if A; then A; fi", [BARE] * 4),
    ("shopt -s extglob\ncase x in @(A|'A')) ;; +([A])) ;; esac", [PATTERN, SINGLE, PATTERN]),
    ("shopt -s extglob\nls !(A) ?(x|*(A))", [BARE, BARE]),
    ("x=~A ; echo {A,b} {1..A} ~A", [BARE] * 4),
    ("echo \\\nA \\\n  \"x\\\nA\"", [BARE, DOUBLE]),
    ("echo $$a.output $!A $x$a.outputs A", [TEXT, BARE, BARE]),
    ("echo $\"A\" $\"x`echo A`\"", [DOUBLE, BARE]),
    ("exec {fd}>A 3<&A 2>&A", [BARE] * 3),
    ("&>A cmd; >A; <A cmd", [BARE] * 3),
    ("!(A); if !(A) then A; fi", [BARE] * 3),
    ("echo é '€A' \"😀A\" A", [SINGLE, DOUBLE, BARE]),
    ("for x in a; do case $x in a) if true; then (while A; do [[ A ]]; done); fi;; esac; done", [BARE, BARE]),
    ("x=`cat <<EOF\nA\nEOF\necho A`", [HERE, BARE]),
    ("cmd >&$x/A >&A-x <&x$y.A 2>&$x$a.output", [BARE] * 4),
    ("echo \"${x:-$(echo \"${y:-'A'}\" 'A')}\"", [DOUBLE, SINGLE]),
    ("echo \"$(echo \"$(echo \"A\")\")\" A", [DOUBLE, BARE]),
    ("echo ';' A ';;' A '(' A", [BARE] * 3),
    ("true;A;true&A", [BARE, BARE]),
    ("\tA\n\n  A\r\nA", [BARE] * 3),
]  # fmt: skip
ORDINARY = [sample for sample in SAMPLES if {*sample[1]} <= {BARE, DOUBLE, SINGLE, TEXT} and "${x:" not in sample[0]]
# What each position makes of the four probes: 1 where bash finds an error.
PROBES = (" ;; ;; ", "$(;;)", "'$(;;)'", "\n;;;;\n")
ANSWERS = {
    BARE: {"1101", "0100", "0000"},
    DOUBLE: {"0110", "0000"},
    SINGLE: {"0010", "0000"},
    TEXT: {"0001", "0010", "0000", "1101"},
}


def written(sample: str) -> str:
    """`A` as a word of its own is a reference."""
    return re.sub(r"(?<![A-Z])A(?![A-Z0-9])", "$a.output", sample)


def positions(script: str) -> list[str]:
    result = place(script)
    assert [p for p in result.problems if p.severity == "error"] == []
    by_start = {placement.start: placement.position for placement in result.shell.placements}
    return [by_start.get(found.start, TEXT) for found in find_references(script, escapes=False)]


@pytest.mark.parametrize(("sample", "expected"), SAMPLES, ids=[sample for sample, _ in SAMPLES])
def test_position(sample: str, expected: list[str]) -> None:
    assert positions(written(sample)) == expected


def ask_bash(script: str) -> str:
    """1 if bash cannot read the script, else 0. A here-document without its end counts as an error."""
    options = ["-O", "extglob"] if "extglob" in script else []
    result = subprocess.run(["bash", *options, "-n"], input=script, capture_output=True, text=True, check=False)
    return "1" if result.returncode or "delimited by end-of-file" in result.stderr else "0"


@pytest.mark.parametrize(("sample", "expected"), ORDINARY, ids=[sample for sample, _ in ORDINARY])
def test_bash_agrees(sample: str, expected: list[str]) -> None:
    """Backticks, `[[ ]]` and `${…}` hide a probe or two from `bash -n`, so several answers fit a position; but for
    silence none fits two that are quoted differently."""
    script = written(sample)
    found = find_references(script, escapes=False)
    for index, reference in enumerate(found):
        if script[reference.start - 1] in "$\\":
            continue
        answer = ""
        for probe in PROBES:
            parts = [script[: found[0].start]]
            for other, following in zip(found, [*found[1:], None], strict=True):
                parts.append(probe if other is reference else "${x}")
                parts.append(script[other.end : following.start if following else len(script)])
            answer += ask_bash("".join(parts))
        assert answer in ANSWERS[expected[index]], (script, index, answer)


TREE_SITTER = {"raw_string": SINGLE, "string": DOUBLE, "ansi_c_string": ANSI, "heredoc_body": HERE, "comment": TEXT}
# Syntax that tree-sitter-bash reads wrongly or not at all (bash is the judge): by a part of the sample.
NOT_FOR_TREE_SITTER = (
    *("<<A1", "foo\\", "<<E'O'F", "for y do", "$((echo", "((echo", "${x:-'A'}", "${x//A", "${x/#", "${x:-{A", "coproc"),
    *("${x~A}", "`", "time -p", "!(A)", "esac in", '<<-"EOF"', "=~ (", "cat <<EOF\nA", "\\A", "@(A", "[A]", "x+=A"),
    *(
        "${x/A",
        "${!x*}",
        "{fd}",
        "$[A]",
        "&>A cmd",
        "<<'X'",
        "${@:-A}",
        "y='A'",
        "$$",
        '"A\nA"',
        '$"A',
        "f <<EOF",
        "\t",
    ),
    *('"A"$ ]]', '$(( "A"', '"${y:-', "v['A'"),
)


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if not any(part in s[0] for part in NOT_FOR_TREE_SITTER)], ids=str
)
def test_tree_sitter_agrees(sample: tuple[str, list[str]]) -> None:
    import tree_sitter
    import tree_sitter_bash

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
    script = written(sample[0])
    # the parser needs no reference: any expansion does
    plain = script.replace("$a.output", "${xxxxxx}")
    tree = parser.parse(plain.encode())
    for found, expected in zip(find_references(script, escapes=False), sample[1], strict=True):
        start = len(script[: found.start].encode())
        node = tree.root_node.descendant_for_byte_range(start, start + 1)
        while node is not None and node.type not in (*TREE_SITTER, "command_substitution", "process_substitution"):
            node = node.parent
        opinion = TREE_SITTER.get(node.type, BARE) if node is not None else BARE
        quoted = {HERE_QUOTED: HERE, DOUBLE: DOUBLE, SINGLE: SINGLE, ANSI: ANSI, HERE: HERE, TEXT: TEXT}.get(expected)
        assert opinion in (BARE, DOUBLE, HERE) if quoted is None else opinion == quoted, (script, found, opinion)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("echo 'A", "quote ' is not closed"),
        ('echo "A', 'quote " is not closed'),
        ("echo $'A", "quote $' is not closed"),
        ("echo `A", "backtick is not closed"),
        ("echo $(A", "parenthesis is not closed"),
        ("echo (A)", "does not expect a parenthesis"),
        ("echo A )", "does not expect ')'"),
        ("echo ${x:-A", "${ is not closed"),
        ("echo ${ A; }", "cannot read this ${"),
        ("echo ${x!A}", "cannot read this ${"),
        ("echo $((A", "parenthesis is not closed"),
        ("[[ A", "[[ is not closed"),
        ("case A in x) echo", "case is not closed"),
        ("case A of x) echo;; esac", "case has no in"),
        ("v=(A", "parenthesis is not closed"),
        ("echo > ; A", "does not expect ';'"),
        ("x=$(cat <<EOF)\nA\nEOF", "outside of its $( )"),
        ("x=`cat <<'EOF'\nA\nEOF\n`", "quoted here-document within backticks"),
        ("cat <<EOF\n$(cat <<'X'\nA\\\nb\nX\n)\nEOF", "which joins its lines"),
        ("echo `x >&./A`", "rewrite this within backticks"),
        ("cat <<`x`\nA", "delimiter"),
    ],
)
def test_what_cannot_be_classified_is_a_placed_error(script: str, what: str) -> None:
    """Never a guess: the problem says where, and no reference is placed."""
    result = place(written(script))
    assert [(problem.code, problem.severity) for problem in result.problems] == [("reference-position", "error")]
    assert what in result.problems[0].message
    assert 0 <= result.problems[0].offset <= len(written(script))
    assert result.shell.placements == ()


def test_text_without_references_is_not_read_at_all() -> None:
    """Not even if it is not bash."""
    assert place("echo 'unclosed $(").problems == ()


@pytest.mark.parametrize(
    "opening",
    [
        "$(",
        "$((",
        "((",
        "(",
        "${x:-",
        '"$(',
        "`",
        '"${x:-',
        "$[",
        "case x in (a) ",
        "[[ (",
        "v=(",
        "x[",
        "<(",
        "@(",
        "if ",
        "{ ",
        "cat <<E\n$(",
    ],
)
def test_deep_nesting_ends_quickly(opening: str) -> None:
    assert_linear(place, lambda depth: f"echo $a.output {opening * depth} $a.output", 100)
    for depth in (30, 5_000):
        script = f"echo $a.output {opening * depth} $a.output"
        assert all(0 <= problem.offset <= len(script) for problem in place(script).problems)


@pytest.mark.parametrize(
    "line",
    [
        'echo "$a.output" x=$a.output\n',
        "if [[ $a.output == x ]]; then x=$(echo 'y' \"$z\"); fi\n",
        "cat <<EOF\n$a.output $HOME\nEOF\n",
        "cat <<'EOF'\n$a.output $HOME\nEOF\n",
        "echo $((1 + (2 * 3))) ${x:-y} ${z//a/b}\n",
        "echo $((echo $a.output) | cat)\n",
        "# it's a comment\n",
        "v=(a b 'c' [d]=e)\n",
        "python3 -c 'print(1)' \"$a.output\" | jq .x\n",
    ],
)
def test_long_scripts_take_linear_time(line: str) -> None:
    assert_linear(place, lambda size: "echo $a.output\n" + line * (size // len(line)), 2_000)
    place("echo $a.output\n" + line * (200_000 // len(line)))


@pytest.mark.parametrize(
    ("begin", "piece", "end"),
    [
        ("", "x", "$a.output"),
        ("", "$a.output", ""),
        ("echo ", "'a'\"b\"", "$a.output"),
        ("", "\\", "$a.output"),
        ("", "[", "$a.output"),
        ("", "a[", "$a.output"),
        ("x=$((", "1+", "$a.output))"),
    ],
)
def test_a_long_line_and_a_long_word_take_linear_time(begin: str, piece: str, end: str) -> None:
    def script(size: int) -> str:
        return begin + piece * (size // len(piece)) + end

    assert_linear(place, script, 1_000)
    place(script(200_000))


PIECES = st.sampled_from(
    [
        *("$a.output", "$ARGUMENTS", "'", '"', "`", "$(", "$((", "((", "))", ")", "(", "${", "}", "${x:-", "${x/", "/"),
        *("[[", "]]", "[", "]", "case x in ", "esac", ";;", "<<EOF\n", "<<'EOF'\n", "\nEOF\n", "<<<", ">&", "|", "&"),
        *(";", "\n", "#", " ", "\\", "$'", "x=", "v=(", "declare -A ", "read ", "eval ", "bash -c ", "for ", " in "),
        *("=~", "==", "-eq", "!", "@(", "\t", "é", "\0", "$", "{", "+", "-", "1"),
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join) | st.text())
def test_any_text_is_placed_or_refused(script: str) -> None:
    """Nothing is raised, offsets lie in the text, and placements are references in order."""
    result = place(script)
    starts = {found.start: found.end for found in find_references(script, escapes=False)}
    ends = 0
    for placement in result.shell.placements:
        assert starts[placement.start] == placement.end
        assert placement.start >= ends
        ends = placement.end
    for problem in result.problems:
        assert 0 <= problem.offset <= len(script)
        assert problem.message
        assert problem.severity in ("error", "warning")
    edits = result.shell.edits
    assert all(before[1] <= after[0] for before, after in pairwise(edits))


SCRIPTS = [*sorted((Path(__file__).parent / "scripts").iterdir()), Path(__file__).parents[2] / ".ci" / "run"]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_that_bash_reads_are_read(file: Path) -> None:
    """A reference is placed after the last line as before the first: what is between is understood to its end."""
    text = file.read_text(encoding="utf-8")
    assert ask_bash(text) == "0"
    result = place(f"# $a.output\n{text}\necho $a.output")
    assert [problem for problem in result.problems if problem.severity == "error"] == []
    assert result.shell.placements
