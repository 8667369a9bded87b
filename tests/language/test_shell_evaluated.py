"""Where bash would evaluate a value as code: refused when the file is loaded, or checked before bash starts.

And the other half: places that look dangerous and are not, in which any text must arrive.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bash_runner import CANARY, HOSTILE, Ran, Text, placed, run

from ion.errors import UnreadableReferenceError
from ion.language.shell import rewrite
from ion.language.shell.placing import place

# Each prints what bash makes of the value 2, where a = 2.
CHECKED = [
    ("echo $(($a.output + 1))", "3"),
    ('echo "$(( $a.output + 1 ))"', "3"),
    ('echo $(( "$a.output" + 1 ))', "3"),
    ("echo $[ $a.output + 1 ]", "3"),
    ("echo $((10#$a.output))", "2"),
    ("echo $((10#0$a.output))", "2"),
    ("(( $a.output > 1 )) && echo yes", "yes"),
    ("for ((i=0; i<$a.output; i++)); do echo $i; done", "0\n1"),
    ('let "y=$a.output+1"; echo $y', "3"),
    ("let y=$a.output+1; echo $y", "3"),
    ("let 'y = $a.output'; echo $y", "2"),
    ("builtin let y=$a.output; echo $y", "2"),
    ("[[ $a.output -gt 1 ]] && echo yes", "yes"),
    ('[[ 1 -lt "$a.output" && -n x ]] && echo yes', "yes"),
    ("[[ ( ! 1 -eq '$a.output' ) ]] && echo yes", "yes"),
    ("x=abc; echo ${x:$a.output}", "c"),
    ('x=abc; echo "${x:0:$a.output}"', "ab"),
    ("set -- p q r; echo ${@:$a.output}", "q r"),
    ('v=(p q r); echo "${v[@]:$a.output}"', "r"),
    ("v=(p q r); echo ${v[$a.output]}", "r"),
    ('v=(p q rr); echo "${#v[$a.output]}"', "2"),
    ('v=(p q r); echo "${v["$a.output"]}"', "r"),
    ("v=(); v[$a.output]=z; echo ${!v[@]}", "2"),
    ('v=(); v["$a.output"+1]+=z; echo ${!v[@]}', "3"),
    ("v=([$a.output]=z); echo ${!v[@]}", "2"),
    ("v=(p q r); (( v[$a.output] = 7 )); echo ${v[2]}", "7"),
    ("declare -i z=$a.output; echo $z", "2"),
    ("declare -i z; z=$a.output; echo $z", "2"),
    ("z=1; declare -i z; z+=$a.output; echo $z", "3"),
    ("f() { local -ir z='$a.output'; echo $z; }; f", "2"),
    ("typeset -i z; for z in $a.output 3; do echo $z; done", "2\n3"),
    ('declare -i z; read -r z <<< "$a.output"; echo $z', "2"),
    ("declare -i z; printf -v z %s $a.output; echo $z", "2"),
    ("declare -i z; unset z; declare -i z; : ${z:=$a.output}; echo $z", "2"),
    ("declare -ai v=($a.output 1); echo ${v[*]}", "2 1"),
    ("declare -ai v; read -ra v <<< $a.output; echo ${v[*]}", "2"),
    ("f() { z=$a.output; echo $z; }; declare -i z; f", "2"),
    ("RANDOM=$a.output; echo ok", "ok"),
    ("OPTIND=$a.output; echo $OPTIND", "2"),
    ("unset x; echo $(( ${x:-$a.output} + 1 ))", "3"),
    ("cat <<EOF\n$(( $a.output + 1 ))\nEOF", "3"),
    ("echo `echo $(( $a.output + 1 ))`", "3"),
    ('echo "$(echo "$(( $(echo $a.output) + $a.output ))")"', "4"),
]

BAD_NUMBERS = [
    f"q[$(touch {CANARY})]",
    "x",
    "",
    " 2",
    "2\n",
    "2.0",
    "1e3",
    "0x10",
    "٣",
    "99999999999999999999",
    "-9223372036854775809",
]


def stripped(ran: Ran) -> str:
    return ran.stdout.removesuffix("\n")


@pytest.mark.parametrize(("script", "printed"), CHECKED, ids=[script for script, _ in CHECKED])
def test_a_number_arrives_and_nothing_else_does(script: str, printed: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ran = run(script, {"$a.output": "2"}, folder)
    assert (stripped(ran), ran.stderr) == (printed, "")
    for value in BAD_NUMBERS:
        with pytest.raises(UnreadableReferenceError, match="whole number of 64 bits"):
            rewrite(placed(script), lambda _, value=value: Text(value))


@pytest.mark.parametrize("value", ["0", "-0", "+7", "-9223372036854775808", "9223372036854775807", "0" * 50 + "1"])
def test_every_64_bit_number_is_accepted(value: str) -> None:
    rewrite(placed("(( $a.output ))"), lambda _: Text(value))


def test_a_refusal_names_the_line_the_reference_and_the_value() -> None:
    with pytest.raises(UnreadableReferenceError) as caught:
        rewrite(placed("echo x\n\n(( $plan.output.count > 3 ))"), lambda _: Text("many\n" * 100, 1))
    assert caught.value.message == (
        "line 3: $plan.output.count is in arithmetic, where its value must be a whole number of 64 bits; "
        r"it is 'many\nmany\nmany\nmany\nmany\nmany\nmany\nmany\n'… (500 characters)"
    )
    assert "as code" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("x=5; echo $((x -$a.output))", "8"),
        ("x=5; echo $((x+$a.output))", "2"),
        ('x=5; let "y=x-$a.output"; echo $y', "8"),
        ("x=5; let y=x-$a.output; echo $y", "8"),
        ("let 'y=5-$a.output'; echo $y", "8"),
        ('declare -i y; y=5-"$a.output"; echo $y', "8"),
        ("[[ 5-$a.output -eq 8 ]] && echo 8", "8"),
        ("v=(); v[5-$a.output]=; echo ${!v[@]}", "8"),
        ("echo $((-$a.output))", "3"),
        ("x=abcdef; echo ${x: $a.output}", "def"),
    ],
)
def test_a_minus_sign_does_not_meet_another(script: str, printed: str, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    assert stripped(run(script, {"$a.output": "-3"}, tmp_path / "work")) == printed


def test_a_leading_zero_is_bashs_own_error(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    assert "value too great for base" in run("echo $(($a.output))", {"$a.output": "08"}, tmp_path / "work").stderr
    assert stripped(run("echo $((10#$a.output))", {"$a.output": "08"}, tmp_path / "work")) == "8"


MISPLACED = [
    "read $a.output",
    "read -r x '$a.output'",
    "read -a $a.output",
    "read -ra $a.output",
    'command read -rp "x" "$a.output"',
    "builtin printf -v $a.output x",
    "printf -v$a.output x",
    "printf -v v[$a.output] x",
    "wait -p $a.output",
    "unset $a.output",
    "unset -v x '$a.output'",
    'unset "m[$a.output]"',
    "mapfile -t $a.output",
    "readarray $a.output",
    "getopts ab $a.output",
    "test -v $a.output",
    "[ -v $a.output ]",
    '[[ -v "$a.output" ]]',
    "[[ ! -v $a.output && 1 ]]",
    "[[ -R $a.output ]]",
    "echo ${!$a.output}",
    'echo "${!$a.output}"',
    "declare $a.output",
    "declare $a.output=1",
    'declare "$a.output=1"',
    "f() { local $a.output; }",
    "export $a.output",
    "readonly '$a.output'=1",
    "declare -n r=$a.output",
    "declare -n r; r=$a.output",
    "f() { local -n r=x; for r in $a.output; do :; done; }",
    "declare -a v=$a.output",
    "declare -A m='$a.output'",
    'declare -ga "v=$a.output"',
    "readonly -a v=x$a.output",
    "declare -A m; declare m[$a.output]=1",
    "declare -A m; declare 'm[$a.output]=1'",
    "for $a.output in x; do :; done",
    "function $a.output { :; }",
    "x=$(unset $a.output)",
    "cat <<EOF\n$(read $a.output)\nEOF",
    "echo `unset $a.output`",
    "read $INPUTS.name",
    "unset $ARGUMENTS",
    "echo $(( '$a.output' ))",
    'echo hi >&"$x$a.output"',
    "{read,$a.output}",
    "read -p {x,$a.output} y",
    "printf {-v,$a.output} x",
    "[ {-v,$a.output} ]",
    "printf -$a.output x",
    "printf -v x -$a.output",
    "read -r -$a.output x",
    'export "-$a.output" x',
    "[ $a.output x ]",
    "[ ! $a.output $b.outputs ]",
    "[ x -a $a.output x ]",
]


@pytest.mark.parametrize("script", MISPLACED)
def test_a_value_cannot_be_a_name(script: str) -> None:
    """The problem stands at the reference and says what to do instead."""
    problems = [problem for problem in place(script).problems if problem.severity == "error"]
    assert [problem.code for problem in problems] == ["reference-position"]
    assert script[problems[0].offset] == "$"
    assert "where bash would evaluate its value as code" in problems[0].message
    assert problems[0].hint


# Where any text is right, though the neighbouring forms are not. Each prints the value of a between < and >.
SAFE = [
    "printf '<%s>' {$a.output,}",
    "printf \"{<$a.output>,}\" >/dev/null; printf '<%s>' $a.output",
    "x==; [ $a.output $x x ] || [ ! $a.output ]; printf '<%s>' $a.output",
    "[ ! $a.output = x ] && [ x = y -o $a.output ] && printf '<%s>' $a.output",
    "read -rd'$a.output' x <<< y; wait $a.output 2>/dev/null; printf '<%s>' $a.output",
    "[ $a.output -gt 1 ] 2>/dev/null; printf '<%s>' $a.output",
    "v=($a.output); printf '<%s>' \"${v[@]}\"",
    "declare -a v=($a.output); printf '<%s>' \"${v[@]}\"",
    "f() { local v=($a.output); printf '<%s>' \"${v[@]}\"; }; f",
    "readonly v=($a.output); printf '<%s>' \"${v[@]}\"",
    "b=(); b[0]=$a.output; printf '<%s>' \"$b\"",
    "b=$a.output; b+=; export b; printf '<%s>' \"$b\"",
    "export b=$a.output; printf '<%s>' \"$b\"",
    'readonly "b=$a.output"; printf \'<%s>\' "$b"',
    "read -r -d '' -p '$a.output' x <<< '' ; printf '<%s>' $a.output",
    "IFS= read -r -d '' -i $a.output x < <(printf '%s\\0' $a.output); printf '<%s>' \"$x\"",
    "printf -v x %s $a.output; printf '<%s>' \"$x\"",
    "f() { local -n out=$1; out=$a.output; }; f x; printf '<%s>' \"$x\"",
    "declare -A m=([k]=$a.output); printf '<%s>' \"${m[k]}\"",
    "declare -A m=(k $a.output); printf '<%s>' \"${m[k]}\"",
    "declare -A m; m[x$a.output]=1; [[ ${m[x$a.output]} == 1 ]] && printf '<%s>' $a.output",
    "x=$a.output; printf '<%s>' \"${x@E}\" >/dev/null; printf '<%s>' \"${x}\"",
    "[[ $a.output < x || $a.output > x || -f $a.output || -o $a.output || -n $a.output ]]; printf '<%s>' $a.output",
    "cd $a.output 2>/dev/null; command -v $a.output >/dev/null; type -- $a.output &>/dev/null; printf '<%s>' $a.output",
    "echo {1..$a.output} ~$a.output > /dev/null; printf '<%s>' $a.output",
    "printf %b $a.output >/dev/null; printf %q '$a.output' >/dev/null; printf '<%s>' $a.output",
    "GLOBIGNORE=$a.output; printf '<%s>' $a.output",
    "shift $a.output 2>/dev/null; printf %d $a.output >/dev/null 2>&1; printf '<%s>' $a.output",
    "(exit $a.output) 2>/dev/null; sleep x$a.output 2>/dev/null; printf '<%s>' $a.output",
]


@pytest.mark.parametrize("script", SAFE)
def test_text_that_only_looks_evaluated(script: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("subscript", "substitution", "element", "compound", "backticks", "references", "closes-all"):
        ran = run(script, {"$a.output": HOSTILE[name]}, folder)
        assert ran.stdout == f"<{HOSTILE[name]}>", (name, ran)


def test_a_value_is_no_option(tmp_path: Path) -> None:
    """`-vq[$(…)]` would be one of printf, `-pq[…]` one of wait."""
    (tmp_path / "work").mkdir()
    for value in (f"-vq[$(touch {CANARY})]", f"-pq[$(touch {CANARY})]", "-x", "--"):
        script = 'printf $a.output; printf -v x $a.output; wait $a.output; echo "|$x"; echo `printf $a.output`'
        assert run(script, {"$a.output": value}, tmp_path / "work").stdout == f"{value}|{value}\n{value}\n"


def test_an_array_that_is_no_map_is_bashs_own_error(tmp_path: Path) -> None:
    """Where a map is declared and where it is used may be two scopes; the value is not evaluated in either."""
    (tmp_path / "work").mkdir()
    for script in (
        "f() { local -A m; }; f; m[$a.output]=1",
        "(declare -A m); echo \"${m['$a.output']}\"",
        "declare -A m; f() { local m; (( m[$a.output] = 1 )); }; f",
        "declare -A m; unset m; cat <<E\n${m[$a.output]}\nE",
    ):
        assert "syntax error" in run(script, {"$a.output": f"q[$(touch {CANARY})]"}, tmp_path / "work").stderr


def test_an_array_takes_no_text_that_looks_like_its_elements() -> None:
    """`local b=…` of a variable that is an array would evaluate (…)."""
    script = placed("b=(1 2)\ndeclare b=$a.output\n")
    assert rewrite(script, lambda _: Text("text (fine)")).variables
    with pytest.raises(
        UnreadableReferenceError, match=r"the array b, where its value must be a text that does not begin with \("
    ):
        rewrite(script, lambda _: Text(HOSTILE["compound"]))


@pytest.mark.parametrize(
    "target", [">&$a.output", '1>&"$a.output"', ">& '$a.output'", "2>&$a.output", "{x}>&$a.output", "<&$a.output"]
)
def test_a_descriptor_is_one(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for value in (f"$(touch {CANARY})", "file", "", "2 ", "-1", "--"):
        with pytest.raises(UnreadableReferenceError, match="number of a file descriptor"):
            rewrite(placed(f"echo hi {target}"), lambda _, value=value: Text(value))
    for value in ("2", "2-", "-"):
        rewrite(placed(f"echo hi {target}"), lambda _, value=value: Text(value))
    assert run("echo hi >&$a.output", {"$a.output": "2"}, folder).stderr == "hi\n"


@pytest.mark.parametrize("operator", [">&", "1>&", "&>", "&>>", ">", ">>", ">|", "<>"])
def test_a_file_of_any_name_is_written_to(operator: str, tmp_path: Path) -> None:
    """`>&name` would expand the name twice, so it becomes `&>name`."""
    folder = tmp_path / "work"
    folder.mkdir()
    for value in (f"$(touch {CANARY})", "a b", "*", "$HOME"):
        ran = run(f"printf hi {operator}./$a.output\ncat < ./$a.output", {"$a.output": value}, folder)
        assert (ran.stdout, ran.stderr) == ("hi", "")


def test_a_pattern_of_braces_is_bounded() -> None:
    """bash 5.2 matches them in quadratic time: 200 kB run for minutes."""
    script = placed('y=x; echo "${y#$a.output}" ${y/$a.output/$a.output} ${y:-$a.output}')
    assert [p.detail.get("check") for p in script.placements] == ["short", "short", None, None]
    with pytest.raises(UnreadableReferenceError, match="at most 20000 characters"):
        rewrite(script, lambda _: Text("x" * 20_001))
    assert rewrite(script, lambda _: Text("x" * 20_000)).variables


def test_a_value_is_read_only_where_it_is_checked() -> None:
    """A value of 100 MB need not be in memory."""
    value = Text("x" * 10)
    rewrite(placed('echo $a.output "$a.output"; cat <<E\n$a.output\nE'), lambda _: value)
    assert value.asked == 0
