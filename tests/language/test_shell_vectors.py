"""The vectors of the shell reference: scripts whose output with a hostile value is known, run in the real bash.

In a script `P ` stands for `printf '<%s>' `; in what is expected ⟦a⟧ stands for the exact value of `$a.output`, and
`$b.output` is always `B`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bash_runner import BIG, EVERY_RUN, HOSTILE, run

Vector = tuple[str, str, str]

# name, script, what it prints
EXACT: list[Vector] = [
    ("1 bare", "P $a.output", "<⟦a⟧>"),
    ("1 double", 'P "$a.output"', "<⟦a⟧>"),
    ("1 single", "P '$a.output'", "<⟦a⟧>"),
    ("1 translated", 'P $"$a.output"', "<⟦a⟧>"),
    ("2 ansi", r"P $'p\t$a.output\x41'", "<p\t⟦a⟧A>"),
    ("3 glued", "P pre$a.output-post", "<pre⟦a⟧-post>"),
    ("4 option", "P --x=$a.output", "<--x=⟦a⟧>"),
    ("5 two", "P $a.output$b.output", "<⟦a⟧B>"),
    ("5 two quoted", 'P "$a.output"$b.output', "<⟦a⟧B>"),
    ("6 all quotes", "P 'x$a.output'\"y$a.output\"$a.output", "<x⟦a⟧y⟦a⟧⟦a⟧>"),
    ("8 assignment", 'x=$a.output; P "$x"', "<⟦a⟧>"),
    ("8 append", 'x=; x+=$a.output; P "$x"', "<⟦a⟧>"),
    ("8 declare", 'declare x=$a.output; P "$x"', "<⟦a⟧>"),
    ("8 readonly", 'readonly x=$a.output; P "$x"', "<⟦a⟧>"),
    ("8 local", 'f(){ local x=$a.output; P "$x"; }; f', "<⟦a⟧>"),
    ("9 test", "[ $a.output = zz ] && echo y || echo n", "n\n"),
    ("12 equal", "x=$a.output; [[ $x == $a.output ]] && P y", "<y>"),
    ("12 case", "x=$a.output; case $x in $a.output) P y;; *) P n;; esac", "<y>"),
    ("12 case single", "x=$a.output; case \"-$x\" in '-$a.output') P y;; *) P n;; esac", "<y>"),
    ("13 regex", 'x=$a.output; [[ "q${x}q" =~ ^q$a.output"q"$ ]] && P y', "<y>"),
    ("17 default", 'unset x; P "${x:-$a.output}"', "<⟦a⟧>"),
    ("17 default bare", "unset x; P ${x:-$a.output}", "<⟦a⟧>"),
    ("17 default single", "unset x; P ${x:-'$a.output'}", "<⟦a⟧>"),
    ("17 alternative", 'x=1; P "${x:+$a.output}"', "<⟦a⟧>"),
    ("17 assigning", 'unset x; : "${x:=$a.output}"; P "$x"', "<⟦a⟧>"),
    ("18 quotes as text", "unset x; P \"${x:-'$a.output'}\"", "<'⟦a⟧'>"),
    ("18 ansi in default", "unset x; P \"${x:-$'p\\t$a.output\\x41'}\"", "<p\t⟦a⟧A>"),
    ("19 for", 'for x in $a.output $b.output; do P "$x"; done', "<⟦a⟧><B>"),
    ("20 set -f", "set -f\nP $a.output", "<⟦a⟧>"),
    ("20 set -ue", "set -u; set -e\nP $a.output", "<⟦a⟧>"),
    ("20 IFS", "IFS=x:\nP $a.output", "<⟦a⟧>"),
    ("21 here-string", "cat <<< $a.output", "⟦a⟧\n"),
    ("21 here-string double", 'cat <<< "$a.output"', "⟦a⟧\n"),
    ("21 here-string single", "cat <<< '$a.output'", "⟦a⟧\n"),
    ("21 descriptor", "exec 3<<< $a.output; cat <&3", "⟦a⟧\n"),
    ("22 read", 'IFS= read -r -d "" x <<< $a.output; P "$x"', "<⟦a⟧\n>"),
    ("23 heredoc", "cat <<EOF\np\"$a.output\"'$a.output'\nEOF", "p\"⟦a⟧\"'⟦a⟧'\n"),
    (
        "24 quoted heredoc",
        "cat <<'EOF'\n$HOME `x` \\ \\\\ $(y) \\$z \\\"q\" $a.output\\\nEOF",
        '$HOME `x` \\ \\\\ $(y) \\$z \\"q" ⟦a⟧\\\n',
    ),
    ("25 double-quoted delimiter", 'cat <<"EOF"\n$a.output\nEOF\necho z', "⟦a⟧\nz\n"),
    ("25 escaped delimiter", "cat <<\\EOF\n$a.output\nEOF\necho z", "⟦a⟧\nz\n"),
    ("25 odd delimiter", "cat <<'E O F'\n$a.output\nE O F\necho z", "⟦a⟧\nz\n"),
    ("25 partly quoted", "cat <<E'O'F\n$a.output\nEOF\necho z", "⟦a⟧\nz\n"),
    ("25 empty delimiter", "cat <<''\n$a.output\n\necho z", "⟦a⟧\nz\n"),
    ("26 tabs quoted", "cat <<-'EOF'\n\t\tx$a.output\n\t\tEOF\necho z", "x⟦a⟧\nz\n"),
    ("26 tabs", "cat <<-EOF\n\t$a.output\n\tEOF\necho z", "⟦a⟧\nz\n"),
    ("28 substitution", 'x=$(P $a.output; echo x); printf "%s" "$x"', "<⟦a⟧>x"),
    ("28 in quotes", 'printf "%s" "$(P $a.output; echo x)"', "<⟦a⟧>x"),
    ("28 single within", "printf '%s' \"$(P '$a.output'; echo x)\"", "<⟦a⟧>x"),
    ("28 backticks", 'x=`P $a.output; echo x`; printf "%s" "$x"', "<⟦a⟧>x"),
    ("28 backticks in quotes", 'printf "%s" "`P "$a.output"; echo x`"', "<⟦a⟧>x"),
    ("28 single in backticks", "x=`P '$a.output'; echo x`; printf '%s' \"$x\"", "<⟦a⟧>x"),
    ("28 nested backticks", 'printf "%s" "`P \\`printf %s "$b.output"\\`$a.output; echo x`"', "<B⟦a⟧>x"),
    ("28 escaped quotes", 'printf "%s" "`P \\"$a.output\\"; echo x`"', "<⟦a⟧>x"),
    ("29 process", "cat <(printf %s $a.output)", "⟦a⟧"),
    ("30 array", 'v=($a.output $b.output); P "${v[@]}" "${#v[@]}"', "<⟦a⟧><B><2>"),
    ("31 array append", 'v=(); v+=($a.output); P "${v[@]}" "${#v[@]}"', "<⟦a⟧><1>"),
    ("31 element", 'v[0]=$a.output; P "${v[@]}"', "<⟦a⟧>"),
    ("31 map", 'declare -A m=([k]=$a.output); P "${m[k]}"', "<⟦a⟧>"),
    ("32 subshell", "( P $a.output )", "<⟦a⟧>"),
    ("32 background", "{ P $a.output; } & wait", "<⟦a⟧>"),
    ("32 function", "f(){ P $a.output; }; f", "<⟦a⟧>"),
    ("32 argument", 'f(){ P "$1"; }; f $a.output', "<⟦a⟧>"),
    ("33 function's heredoc", "f(){ cat; }; f <<EOF\n$a.output\nEOF", "⟦a⟧\n"),
    ("34 braces", "P {$a.output,z}", "<⟦a⟧><z>"),
    ("35 joined lines", "true && \\\nP $a.output \\\n $b.output", "<⟦a⟧><B>"),
    ("36 comments", '# $a.output it\'s\nP "$a.output" # $(', "<⟦a⟧>"),
    ("36 no comment", "printf '%s\\n' x#$a.output", "x#⟦a⟧\n"),
    ("37 set", 'set -- $a.output; P "$#" "$1"', "<1><⟦a⟧>"),
    ("37 select", 'select x in $a.output; do P "$x"; break; done <<< 1 2>/dev/null', "<⟦a⟧>"),
    (
        "39 heredoc expansions",
        'unset x; cat <<EOF\n$(printf %s "$a.output"; echo x)|${x:-$a.output}|${x:-"$a.output"}\nEOF',
        "⟦a⟧x|⟦a⟧|⟦a⟧\n",
    ),
    ("40 heredoc in quotes", "printf %s \"$(cat <<'EOF'\n$ \\ $a.output .\"'\nEOF\n)\"", "$ \\ ⟦a⟧ .\"'"),
    ("41 joined delimiter", "cat <<EOF\nfoo\\\nEOF\n$a.output\nEOF", "fooEOF\n⟦a⟧\n"),
    ("42 two heredocs", "cat <<A - 3<<'B' <&3\n'\nA\n$a.output\nB", "⟦a⟧\n"),
    ("47 map key", 'declare -A m; m[x$a.output]=1; P "${!m[@]}"', "<x⟦a⟧>"),
    ("47 map lookup", 'declare -A m; k=x$a.output; m[$k]=1; P "${m[x$a.output]}" ${m[x$a.output]}', "<1><1>"),
    ("47 map literal", 'declare -A m=([x$a.output]=v); P "${!m[@]}"', "<x⟦a⟧>"),
    ("47 map in quotes", 'declare -A m; m["x$a.output"]=1; P "${m[\'x$a.output\']}${m["x$a.output"]:-}"', "<11>"),
    (
        "47 map in heredoc",
        "declare -A m; m['x$a.output']=1; cat <<E\n${m[x$a.output]} ${m[\"x$a.output\"]}\nE",
        "1 1\n",
    ),
    ("47 map in backticks", 'declare -A m; m[x$a.output]=1; P "`echo ${m[x$a.output]}`"', "<1>"),
    ("54 escapes", 'P \\$a.output "\\$a.output" \\\\$a.output', "<$a.output><$a.output><\\⟦a⟧>"),
    ("more: elif, until", "if false; then :; elif P $a.output; then until true; do :; done; fi", "<⟦a⟧>"),
    (
        "more: case in substitution",
        'x=$(case $a.output in zz) echo no;; *) P $a.output; echo x;; esac); printf %s "$x"',
        "<⟦a⟧>x",
    ),
    ("more: nested heredocs", "cat <<A\n$(cat <<'B'\n\\ $a.output\\.\nB\necho x)\nA", "\\ ⟦a⟧\\.\nx\n"),
    ("more: path goes on", "P $a.output.txt '$a.output.txt' \"$a.output.txt\"", "<⟦a⟧.txt><⟦a⟧.txt><⟦a⟧.txt>"),
    ("more: subshells, no arithmetic", "P $((true) | cat; ((false); P $a.output) >&2; echo x)", "<x>"),
    ("more: export in quotes", 'export -n "x=$a.output"; P "$x"', "<⟦a⟧>"),
    ("more: array with comments", 'v=( # it\'s\n $a.output # $b.output\n); P "${v[@]}"', "<⟦a⟧>"),
    ("more: ampersand target", "P $a.output >&out-$b.output; cat out-B", "<⟦a⟧>"),
    (
        "more: coprocess",
        "coproc C { P $a.output; printf '\\0'; }; IFS= read -r -d '' v <&${C[0]}; printf %s \"$v\"",
        "<⟦a⟧>",
    ),
]

# Where long values take bash a time that grows with their square.
SHORT: list[Vector] = [
    ("14 prefix", 'x=$a.output; y="q${x}r"; P "${y#q$a.output}" ${y#q$a.output}', "<r><r>"),
    ("14 heredoc", 'x=$a.output; y="q${x}r"; cat <<EOF\n${y#q$a.output}${y%\'$a.output\'r}\nEOF', "rq\n"),
    ("15 suffix", 'x=$a.output; y="r$x"; P "${y%$a.output}"', "<r>"),
    ("15 suffix single", "x=$a.output; y=\"r$x\"; P \"${y%'$a.output'}\"", "<r>"),
    ("16 replacement", 'y=aXb; P "${y/X/$a.output}"', "<a⟦a⟧b>"),
    ("16 replacement bare", 'y=aXb; z=${y/X/$a.output}; P "$z"', "<a⟦a⟧b>"),
    ("16 replacement glued", 'y=aXb; P "${y/X/-$a.output-}"', "<a-⟦a⟧-b>"),
    ("16 replacement single", "y=aXb; P \"${y/X/'$a.output'}\"", "<a⟦a⟧b>"),
    ("16 replacement heredoc", "y=aXb; cat <<EOF\n${y/X/$a.output}\nEOF", "a⟦a⟧b\n"),
    ("16 pattern", 'y="q$a.output."; P "${y/q$a.output/Z}" "${y//q$a.output}"', "<Z.><.>"),
    ("16 ansi", "y=$'\\t'$a.output; P \"${y/$'\\t$a.output'/Z}\"", "<Z>"),
    ("38 extglob", 'shopt -s extglob\nx=$a.output\ncase "q$x" in q@($a.output|zz)) P y;; *) P n;; esac', "<y>"),
    ("7 environment", "x=$a.output y=$b.output sh -c 'printf \"<%s>\" \"$x\" \"$y\"'", "<⟦a⟧><B>"),
    ("8 export", 'export x=$a.output; P "$x"', "<⟦a⟧>"),
    ("more: builtin's environment", 'x=$a.output eval \'printf "<%s>" "$x"\'', "<⟦a⟧>"),
]  # fmt: skip


# (( )) itself loses the characters 01 and 7F of a key, with a plain variable too.
NO_CONTROLS: Vector = ("47 map in arithmetic", 'declare -A m; (( m[x$a.output] = 5 )); P "${!m[@]}"', "<x⟦a⟧>")


def check(vector: Vector, name: str, folder: Path) -> None:
    """The script prints the exact value where ⟦a⟧ stands, and nothing of it is executed."""
    _, script, expected = vector
    value = HOSTILE[name]
    ran = run(
        script.replace("P ", "printf '<%s>' "),
        {"$a.output": value, "$a.output.txt": value, "$b.output": "B", "$b.output.txt": "B"},
        folder,
    )
    assert ran.stdout == expected.replace("⟦a⟧", value), (name, ran)


def ids(vector: Vector) -> str:
    return vector[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").touch()
    return tmp_path / "work"


@pytest.mark.parametrize("vector", [*EXACT, *SHORT], ids=ids)
def test_a_value_arrives_exactly(vector: Vector, folder: Path) -> None:
    for name in EVERY_RUN:
        check(vector, name, folder)


@pytest.mark.parametrize("name", EVERY_RUN)
def test_only_an_empty_value_is_empty(name: str, folder: Path) -> None:
    """10"""
    script = '[ -z $a.output ] && echo empty; [[ $a.output == "" ]] && echo empty; [ -n $a.output ] || echo empty'
    assert run(script, {"$a.output": HOSTILE[name]}, folder).stdout == ("" if HOSTILE[name] else "empty\n" * 3)


def test_a_pattern_of_a_value_is_literal(folder: Path) -> None:
    """11"""
    for value in ("*", "z*", "?zzz", "[z]zzz", "@(zzzz|x)"):
        script = "[[ zzzz == $a.output ]] && echo y\ncase zzzz in $a.output) echo y;; esac\n"
        script += "x=zzzz; echo ${x#$a.output}${x/$a.output/y}"
        assert run(script, {"$a.output": value}, folder).stdout == "zzzzzzzz\n"


def test_a_here_document_goes_down_a_pipe_line_by_line(folder: Path) -> None:
    """27"""
    script = "cat <<EOF | while IFS= read -r l; do printf '[%s]' \"$l\"; done\n$a.output\nEOF"
    assert run(script, {"$a.output": "a\n b \\\n$(touch CANARY)"}, folder).stdout == "[a][ b \\][$(touch CANARY)]"


def test_what_is_no_reference_is_bashs_own(folder: Path) -> None:
    """53 and 55"""
    script = "a=1 ARGUMENTS_X=2; P $a.outputs $ARGUMENTS_X $$a.output | grep -c '^<1.outputs><2><[0-9]*a.output>$'"
    said = script.replace("P ", "printf '<%s>' ").replace("$$a.output |", "$$a.output $b.output | sed 's/<B>//' |")
    assert run(said, {"$b.output": "B"}, folder).stdout == "1\n"


def test_a_key_in_arithmetic_is_text(folder: Path) -> None:
    for name in set(HOSTILE) - {"control"}:
        check(NO_CONTROLS, name, folder)


@pytest.mark.sweep
@pytest.mark.parametrize("vector", [*EXACT, *SHORT], ids=ids)
def test_every_hostile_value_arrives_exactly(vector: Vector, folder: Path) -> None:
    for name in HOSTILE:
        if name not in BIG or vector not in SHORT:
            check(vector, name, folder)
