"""The warnings: `reference-in-code`, with the form that hands a value over as data; `value-used-as-arithmetic`."""

from __future__ import annotations

import subprocess

import pytest

from ion.language.shell.placing import ShellProblem, place


def warnings(script: str) -> list[ShellProblem]:
    """The warnings of a script that has no error."""
    problems = place(script).problems
    assert all(problem.severity == "warning" for problem in problems), problems
    return list(problems)


@pytest.mark.parametrize(
    "script",
    [
        "eval $a.output",
        'eval "x=$a.output"',
        "trap 'rm $a.output' EXIT",
        'trap -- "rm $a.output" EXIT',
        'bash -c "echo $a.output"',
        "sh -c 'echo $a.output'",
        "/bin/bash -euo pipefail -c 'echo $a.output'",
        "bash -lc 'echo $a.output' x",
        'sudo -u me bash -c "echo $a.output"',
        "find . -exec sh -c 'echo $a.output' {} \\;",
        'xargs -I{} bash -c "echo $a.output {}"',
        "env X=1 timeout 5 bash -c 'echo $a.output'",
        'ssh host "echo $a.output"',
        "ssh -p 22 -i key me@host echo $a.output",
        "python3 -c \"print('$a.output')\"",
        "python -uc 'print($a.output)'",
        "uv run python -c 'print($a.output)'",
        'node -e "console.log(`$a.output`)"'.replace("`", "'"),
        "node --eval='$a.output'",
        "bun -p $a.output",
        "perl -ne 'print if /$a.output/'",
        "perl -e'$a.output'",
        "ruby -e 'puts \"$a.output\"'",
        "php -r \"echo '$a.output';\"",
        "awk '/$a.output/ { print }' file",
        'awk -F: -v x=1 "{ print $a.output }"',
        "sed 's/x/$a.output/' file",
        'sed -n -e "/$a.output/p" file',
        "sed -i --expression='s/x/$a.output/' file",
        "jq '.x == \"$a.output\"' file",
        'jq -r --arg x y ".[$a.output]"',
        'echo x | jq "$a.output"',
        "bash <<'EOF'\necho $a.output\nEOF",
        "bash -s <<EOF\necho $a.output\nEOF",
        "python3 - <<'EOF'\nprint('$a.output')\nEOF",
        "node <<'N'\nconsole.log('$a.output')\nN",
        "ssh host <<EOF\necho $a.output\nEOF",
        "ssh host bash <<EOF\necho $a.output\nEOF",
        "sudo sh <<EOF\necho $a.output\nEOF",
        "cat <<EOF | bash\necho $a.output\nEOF",
        'echo "echo $a.output" | sh',
        "cat <<EOF |\necho $a.output\nEOF\nbash",
        "python3 -c \"$(cat <<'PY'\nprint('$a.output')\nPY\n)\"",
        "source /dev/stdin <<< $a.output",
        'bash <<< "$a.output"',
        "alias x=$a.output",
        'compgen -W "$a.output" x',
        "mapfile -C $a.output x",
        "PS4=$a.output",
        "export BASH_ENV=$a.output",
        'x=$(bash -c "$a.output")',
        'echo `bash -c "$a.output"`',
        "if true; then eval $a.output; fi",
        "awk -f - file <<< $a.output",
    ],
)
def test_code_for_another_interpreter_earns_a_warning(script: str) -> None:
    found = warnings(script)
    assert [problem.code for problem in found] == ["reference-in-code"]
    assert script[found[0].offset :].startswith("$a.output")
    assert "$a.output" in found[0].hint


@pytest.mark.parametrize(
    "script",
    [
        "bash script.sh $a.output",
        "bash -c 'echo \"$1\"' x $a.output",
        "VALUE=$a.output bash -c 'echo \"$VALUE\"'",
        "python3 script.py $a.output",
        "python3 -c 'import sys; print(sys.argv)' $a.output",
        "python3 script.py <<EOF\n$a.output\nEOF",
        "python3 -c 'import sys; print(sys.stdin.read())' <<< $a.output",
        "echo $a.output | python3 -c 'import sys'",
        "echo $a.output | jq .x",
        "jq .x <<< $a.output",
        "jq -n --arg x $a.output '$x'",
        "jq --argjson x \"$a.output\" --rawfile y $b.output '.[$x]'",
        "awk -v x=$a.output '{ print x }' $b.output",
        "awk -f prog.awk $a.output",
        "sed -n 1p $a.output",
        "sed -e s/x/y/ $a.output",
        "sed -f prog.sed $a.output",
        "scp $a.output host:",
        "ssh $a.output",
        "ssh -i $a.output host ls",
        "echo eval $a.output; printf bash -c $a.output",
        "echo 'bash -c' \"$a.output\"",
        "node script.js $a.output",
        "cat <<EOF | python3 script.py\n$a.output\nEOF",
        "cat <<EOF > script.sh\n$a.output\nEOF",
        'git commit -m "$a.output" -e',
        "trap - $a.output",
        "# bash -c $a.output",
        "trap 'rm -rf $ARTIFACTS_DIR/x' EXIT",
        "bash -c 'echo \"$ARGUMENTS\"'",
        'BASE_BRANCH=x; bash -c "echo $BASE_BRANCH"',
    ],
)
def test_data_for_another_program_earns_none(script: str) -> None:
    assert warnings(script) == []


@pytest.mark.parametrize(
    ("script", "form"),
    [
        ("bash -c 'echo $a.output'", "VALUE=$a.output bash -c '… \"$VALUE\" …'"),
        ("python3 -c '$a.output.x'", "VALUE=$a.output.x python3 -c '… os.environ[\"VALUE\"] …'"),
        ("python3 -c '$INPUTS.my-in'", "python3 -c '… os.environ[\"INPUTS_MY_IN\"] …'"),
        ("node -e '$ARGUMENTS'", "node -e '… process.env.ARGUMENTS …'"),
        ("perl -e '$a.output'", "VALUE=$a.output perl -e '… $ENV{VALUE} …'"),
        ("awk '$a.output'", "VALUE=$a.output awk '… ENVIRON[\"VALUE\"] …'"),
        ("jq '$a.output'", "VALUE=$a.output jq '… env.VALUE …'"),
        ("ssh h '$a.output'", "printf %s $a.output | ssh host"),
        ("sed 's/$a.output/x/'", "value=$a.output"),
    ],
)
def test_the_hint_shows_the_form_for_data(script: str, form: str) -> None:
    assert form in warnings(script)[0].hint


@pytest.mark.parametrize(
    "command",
    [
        "bash -c 'printf %s \"${V}\"'",
        'python3 -c \'import os; print(os.environ["V"], end="")\'',
        'awk \'BEGIN { printf "%s", ENVIRON["V"] }\'',
    ],
)
def test_the_forms_of_the_hints_work(command: str) -> None:
    value = '$(touch x) \\n it\'s "x"\n'
    result = subprocess.run(
        ["bash", "-c", command], env={"PATH": "/usr/bin:/bin", "V": value}, capture_output=True, check=True
    )
    assert result.stdout.decode() == value


def test_each_reference_is_warned_of_once() -> None:
    found = warnings("eval \"$a.output $b.output\"; bash -c 'bash -c $a.output'")
    assert [problem.offset for problem in found] == [6, 16, 45]


@pytest.mark.parametrize(
    "script",
    [
        "n=$plan.output.count\nif (( n > 3 )); then :; fi",
        'n="$plan.output.count"; echo $((n + 1))',
        "n='$plan.output.count'; [[ $n -gt 3 ]]",
        "local_() { local n=$plan.output.count; let n++; }",
        "export n=$plan.output.count; x=abc; echo ${x:n}",
        "n=$plan.output.count; for ((i = 0; i < n; i++)); do :; done",
    ],
)
def test_a_value_that_is_evaluated_further_on(script: str) -> None:
    found = warnings(script)
    assert [problem.code for problem in found] == ["value-used-as-arithmetic"]
    assert "write $plan.output.count itself there" in found[0].hint


@pytest.mark.parametrize(
    "script",
    [
        "n=$plan.output.count; [ $n -gt 3 ]",
        "n=$plan.output.count; [[ $n =~ ^[0-9]+$ ]] || exit 1; (( n > 3 ))",
        "declare -i n=$plan.output.count; (( n > 3 ))",
        "n=x$plan.output.count; (( m > 3 ))",
        "(( $plan.output.count > 3 ))",
        "ARGUMENTS=1; n=$ARGUMENTS; (( n ))",
    ],
)
def test_what_is_checked_or_not_evaluated_earns_none(script: str) -> None:
    assert warnings(script) == []
