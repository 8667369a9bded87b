"""Every form of a reference in every place where bash is known to evaluate text: no value is ever executed.

What is an error of the file, or refused for its value, or code for another interpreter (which has its warning) does not
run; all that does run must leave the canary alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bash_runner import CANARY, Text, encoded, run_file

from ion.errors import UnreadableReferenceError
from ion.language.shell import preamble, rewrite
from ion.language.shell.placing import place

FORMS = [
    "$a.output",
    '"$a.output"',
    "'$a.output'",
    "$'$a.output'",
    "x$a.output",
    "$a.output=1",
    '"$a.output=1"',
    "x=$a.output",
    "'x=$a.output'",
    "m[$a.output]",
    '"m[$a.output]"',
    "m[$a.output]=1",
    "'m[$a.output]=1'",
    "m=([$a.output]=1)",
    "v[$a.output]",
    "v[$a.output]=1",
    "v=($a.output)",
    "v=([$a.output]=1)",
    "-$a.output",
    "-v$a.output",
    "${x:-$a.output}",
    "\"${x:-'$a.output'}\"",
    "${v[$a.output]}",
    "${m[$a.output]}",
    "${!a.output}$a.output",
    "1+$a.output",
    "{x,$a.output}",
    "-e{-v,$a.output}",
    "$a.output $b.output",
    "-$a.output $b.output",
    "-n $a.output",
    "! $a.output $b.output",
    "x -a $a.output $b.output",
]

# The hole is %s. `v` is an array, `m` a map, `i` an integer, `n` a nameref to y.
PLACES = [
    *("echo %s", "x=%s", "x+=%s", "i=%s", "i+=%s", "v=(%s)", "v+=(%s)", "m=(%s)", "m=(k %s)", "v[0]=%s", "m[k]=%s"),
    *("n=%s", "declare %s", "declare -i %s", "declare -a %s", "declare -A %s", "declare -n %s", "declare -gx %s"),
    *("typeset %s", "export %s", "export -n %s", "readonly %s", "f() { local %s; }; f", "f() { local -a %s; }; f"),
    *("f() { local -i %s; }; f", "declare z=%s", "declare v=%s", "declare -a z=%s", "declare -A z=%s"),
    *("declare -i z=%s", "readonly z=%s", "export z=%s", "read %s <<< x", "read -a %s <<< x", "read i <<< %s"),
    *("read z <<< %s", "read -r -p %s z <<< x", "read -n %s z <<< x", "read -a v <<< %s", "mapfile %s <<< x"),
    *("mapfile -t v <<< %s", "mapfile -O %s v <<< x", "mapfile -n %s v <<< x", "printf %s", "printf -v %s x"),
    *("printf -v z %s", "printf -v i %s", "printf %%d %s", "printf -v 'v[%s]' x", "unset %s", "unset -v %s"),
    *("unset -f %s", "wait -p %s", "wait %s", "getopts ab %s", "getopts %s z", "OPTIND=%s", "let %s", "let z=%s"),
    *("let i+=%s", "(( %s ))", "(( z = %s ))", "(( v[%s] ))", "(( m[%s]++ ))", "echo $(( %s ))", "echo $[ %s ]"),
    *("echo ${y:%s}", "echo ${y:0:%s}", "echo ${v[%s]}", 'echo "${#v[%s]}"', "echo ${v[@]:%s}", "echo ${@:%s}"),
    *("for ((z=%s; 0; )); do :; done", "for z in %s; do :; done", "for i in %s; do :; done"),
    *("for n in %s; do :; done", "[ %s ]", "[ -v %s ]", "[ %s -eq 1 ]", "test -v %s", "[ -n %s -a x ]", "[[ %s ]]"),
    *("[[ -v %s ]]", "[[ -R %s ]]", "[[ %s -eq 1 ]]", "[[ 1 -lt %s ]]", "[[ %s == x ]]", "[[ x == %s ]]"),
    *("[[ x =~ %s ]]", "[[ -n %s ]]", "[[ -o %s ]]", "case %s in x) ;; esac", "case x in %s) ;; esac"),
    *("echo ${y#%s}", "echo ${y/%s}", "echo ${y/x/%s}", "echo ${y^%s}", "echo ${!%s}", "echo ${y:-%s}", ": ${z:=%s}"),
    *("unset i; : ${i:=%s}", "echo ${y:?%s}", 'echo "${y:+%s}"', "echo x >&%s", "echo x 1>&%s", "echo x 2>&%s"),
    *("echo x >%s", "echo x &>%s", "cat <&%s", "cat <%s", "exec 3>&%s", "cat <<< %s", "cat <<E\n%s\nE"),
    *("cat <<'E'\n%s\nE", "echo `echo %s`", 'echo "$(echo %s)"', "(echo %s)", "cat <(echo %s)", "coproc echo %s"),
    *("RANDOM=%s", "SECONDS=%s", "HISTCMD=%s", "SRANDOM=%s", "IFS=%s", "PATH=%s", "x=%s true", "v[0]=%s true"),
    *("LINENO=%s", "shift %s", "return %s", "exit %s", "kill -l %s", "ulimit -n %s", "umask %s", "sleep %s", "cd %s"),
    *("pushd %s", "type %s", "hash %s", "command -v %s", "set -- %s", "shopt %s", "enable %s", "set -o %s"),
    *("disown %s", "jobs %s", "builtin %s", "%s", "select z in %s; do break; done <<< 1", "time %s", "declare -p %s"),
    *("n[%s]=1", "declare -n z=v; z[%s]=1", "$a.output() { :; }", "{read,%s}", "{printf,-v,%s} x"),
    *("unset m; m[%s]=1", "(declare -A w); w[%s]=1", "f() { local m; m[%s]=1; }; f", "f() { local m=([%s]=1); }; f"),
    *("w=1; false && declare -A w; w[%s]=1", "m+=([%s]=1)", "declare -A w=([%s]=1)", "(( m[%s] ))", "echo ${m[%s]}"),
    *("wait -n %s", "printf -v z %s", "mapfile -d %s v <<< x", "test %s x", "[ ! %s x ]", "[ %s = x ]", "[ x = %s ]"),
    *("echo `printf %s`", "echo `(( m[%s]++ ))`"),
]  # fmt: skip

VALUES = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"q[$(touch {CANARY})]",
    f"($(touch {CANARY}))",
    f"[$(touch {CANARY})]=1",
    f"x]=1+q[$(touch {CANARY})",
    f"'\"; touch {CANARY} #",
    f"-vq[$(touch {CANARY})]",
    f"-pq[$(touch {CANARY})]",
    f"vq[$(touch {CANARY})]",
    f"-Ctouch {CANARY}",
    "-v",
]

BEFORE = "declare -a v=(1 2); declare -A m=([k]=1); declare -i i; declare -n n=y; y=x; unset x\n"


def attempt(text: str, values: list[str], folder: Path) -> None:
    """Run the script with each value that it is not refused for, unless it has a problem."""
    result = place(text)
    if result.problems:
        return
    for value in values:
        try:
            rewritten = rewrite(result.shell, lambda r, value=value: Text(value if r.node == "a" else VALUES[2]))
        except UnreadableReferenceError:
            continue
        data, file = folder.parent / "data", folder.parent / "script"
        data.write_bytes(b"".join(encoded(text.text) + b"\0" for text in rewritten.variables.values()))
        file.write_text(preamble(rewritten.variables, str(data)) + rewritten.text)
        run_file(file, folder, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def script(where: str, form: str) -> str:
    return BEFORE + where.replace("%s", form).replace("%%", "%")


@pytest.mark.parametrize("where", PLACES)
def test_nothing_is_executed(where: str, folder: Path) -> None:
    attempt(script(where, "$a.output"), VALUES, folder)
    attempt(script(where, '"$a.output"'), VALUES[2:4], folder)


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", PLACES)
def test_nothing_is_executed_in_any_form(where: str, folder: Path) -> None:
    for form in FORMS:
        attempt(script(where, form), VALUES, folder)


def test_most_places_do_run() -> None:
    """Refusing everything would pass the tests above."""
    ways = [
        "error" not in {problem.severity for problem in place(script(where, "$a.output")).problems} for where in PLACES
    ]
    assert ways.count(True) > 0.7 * len(PLACES)
