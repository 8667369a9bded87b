"""bash turns, by real bash: what comes out, what goes in, how they fail, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from msgspec.structs import replace
from turn_kit import World

from ion.core.outcomes import Completed, Failed, Judged
from ion.kinds import TURNS
from ion.language.references import ENGINE_NAMES
from ion.names import ITEM_NAMES
from processes import PATIENCE_S, eventually

A_THEN_B = """
    nodes:
      - {id: a, bash: echo}
      - id: b
        depends_on: [a]
        bash: |
          %s
"""

STRICT = "\n    strict: true"

LOOP = """
    nodes:
      - id: l
        timeout: 500
        loop: {prompt: go, max_iterations: 3, until_bash: "%s"}
"""


def bash(folder: Path, script: str, **options: object) -> World:
    """A world with one bash node `x`."""
    return World(folder, f"nodes:\n  - id: x\n    bash: |\n{textwrap.indent(script, '      ')}\n", **options)


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("echo hello", "hello"),
        ("printf 'a\\n\\n'", "a\n"),
        ("printf 'a\\r\\n'", "a\r"),
        ("printf 'no newline'", "no newline"),
        ("true", ""),
        ("echo", ""),
        ("echo out; echo err >&2", "out"),
        ("printf '\\e[31mred\\e[0m'", "\x1b[31mred\x1b[0m"),
        ("printf 'é€😀'", "é€😀"),
        ("cat; echo end", "end"),
    ],
)
async def test_output_is_stdout_less_one_final_newline(tmp_path: Path, script: str, output: str) -> None:
    assert await bash(tmp_path, script).output("x") == output


async def test_failure_says_the_status_and_the_last_of_stderr_and_not_the_script(tmp_path: Path) -> None:
    error = await bash(tmp_path, "true 'a secret of the script'\necho boom >&2\nexit 3").error("x")
    assert (error.code, error.exit_status) == ("exit-status", 3)
    assert error.message == "bash failed [exit 3]: boom"


async def test_long_stderr_is_cut_to_its_end(tmp_path: Path) -> None:
    error = await bash(tmp_path, "seq 1 100000 >&2; printf '\\e[2Jlast' >&2; exit 1").error("x")
    assert error.message.endswith("100000\n\x1b[2Jlast")
    assert len(error.message) < 2100


async def test_messages_of_bash_name_the_authors_line_and_not_a_file_of_ion(tmp_path: Path) -> None:
    error = await bash(tmp_path, "true\ntrue\nnosuchcmd").error("x")
    assert error.message == "bash failed [exit 127]: bash: line 3: nosuchcmd: command not found"


async def test_line_numbers_stay_with_references(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "true $a.output\n          nosuchcmd $a.output").completed("a", "x\ny")
    assert "bash: line 2: nosuchcmd" in (await world.error("b")).message


async def test_end_by_signal_is_named(tmp_path: Path) -> None:
    error = await bash(tmp_path, "echo so far >&2; kill -KILL $$").error("x")
    assert (error.code, error.exit_status) == ("signal", None)
    assert error.message == "bash was ended by SIGKILL: so far"


async def test_timeout_ends_everything(tmp_path: Path) -> None:
    world = World(tmp_path, "nodes: [{id: x, timeout: 200, bash: 'echo so far >&2; sleep 60 & sleep 60 | cat'}]")
    error = await world.error("x")
    assert (error.code, error.message) == ("timeout", "bash timed out after 200 ms: so far")
    assert not world.alive()


async def test_cancelling_ends_everything(tmp_path: Path) -> None:
    world = bash(tmp_path, "sleep 60 & (trap '' TERM; sleep 60; sleep 60) & touch up; wait")
    task = asyncio.ensure_future(world.run("x"))
    await eventually((world.context.cwd / "up").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not world.alive()


async def test_cancelling_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    for milliseconds in range(0, 40, 2):
        world = bash(tmp_path, "sleep 60 & sleep 60")
        task = asyncio.ensure_future(world.run("x"))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not world.alive()


async def test_a_background_child_neither_holds_the_node_up_nor_lives_on(tmp_path: Path) -> None:
    world = bash(tmp_path, "sleep 3600 & echo done")
    assert await world.output("x") == "done"
    assert not world.alive()


async def test_it_runs_in_the_working_directory_in_a_group_of_its_own(tmp_path: Path) -> None:
    world = bash(tmp_path, "pwd; ps -o pid=,pgid=,sid= $$")
    folder, ids = (await world.output("x")).split("\n")
    assert folder == str(world.context.cwd)
    assert len(set(ids.split())) == 1


async def test_no_bash_is_a_missing_runtime(tmp_path: Path) -> None:
    error = await bash(tmp_path, "true", environ={"PATH": str(tmp_path)}).error("x")
    assert error.code == "missing-runtime"


async def test_a_working_directory_that_went_away(tmp_path: Path) -> None:
    error = await bash(tmp_path, "true", cwd=tmp_path / "gone").error("x")
    assert error.code == "spawn"
    assert "gone" in error.message


async def test_a_scratch_folder_that_cannot_be_written(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "echo $a.output | wc -c").completed("a", "x" * 300_000)
    world.context.folders.scratch.write_text("in the way")
    assert (await world.error("b")).code == "io"


async def test_a_script_larger_than_any_argument(tmp_path: Path) -> None:
    assert await bash(tmp_path, f"# {'x' * 300_000}\necho done").output("x") == "done"


async def test_what_ion_wrote_for_the_script_is_gone_afterwards(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "stat -L -c %a $0; echo $a.output").completed("a", "value")
    assert await world.output("b") == "600\nvalue"
    assert [path for path in world.context.folders.scratch.rglob("*") if path.is_file()] == []


async def test_each_start_has_a_log_of_its_own(tmp_path: Path) -> None:
    world = bash(tmp_path, "echo out; echo err >&2")
    await world.run("x", start=1)
    await world.run("x", start=2)
    assert world.log("x/1-bash.out") == world.log("x/2-bash.out") == b"out\n"
    assert world.log("x/1-bash.err") == b"err\n"


# ---------------------------------------------------------------------- strict


def strict(folder: Path, script: str, **options: object) -> World:
    """A world with a node `a` before, and `b`, which a strict workflow runs."""
    return World(folder, f"{STRICT}{A_THEN_B}" % script.replace("\n", "\n          "), **options)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("false\necho went on", "bash failed [exit 1]"),
        ("false | cat\necho went on", "bash failed [exit 1]"),
        ("true\necho $nothing\necho went on", "bash failed [exit 1]: bash: line 2: nothing: unbound variable"),
        (
            "true $a.output\nnosuchcmd\necho went on",
            "bash failed [exit 127]: bash: line 2: nosuchcmd: command not found",
        ),
        ("#!/bin/sh\nexit 7", "bash failed [exit 7]"),
    ],
)
async def test_a_strict_script_ends_at_the_first_failure(tmp_path: Path, script: str, message: str) -> None:
    """And says the author's line."""
    assert (await strict(tmp_path, script).completed("a", "v").error("b")).message == message


async def test_without_strict_only_the_last_line_counts(tmp_path: Path) -> None:
    world = World(tmp_path, f"{STRICT}{A_THEN_B}" % "false\n          echo $nothing | cat -\n        strict: false")
    assert await world.output("b") == ""


async def test_a_bash_node_can_be_strict_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "false\n          echo went on\n        strict: true")
    assert (await world.error("b")).exit_status == 1


async def test_a_line_that_bash_shows_is_the_authors(tmp_path: Path) -> None:
    message = (await strict(tmp_path, "echo )").completed("a", "v").error("b")).message
    assert "bash: line 1: `echo" in message
    assert "pipefail" not in message


async def test_every_name_of_ion_is_set_in_a_strict_script(tmp_path: Path) -> None:
    """Values that are empty or were not given, and those that no environment can carry."""
    names = [*(one for one in ENGINE_NAMES if one not in ITEM_NAMES), "INPUTS_BIG", "INPUTS_NOT_GIVEN"]
    script = f"echo [$a.output] [$INPUTS.not_given]; : {' '.join(f'${name}' for name in names)}; echo ${{#INPUTS_BIG}}"
    text = f"{STRICT}\n    inputs: {{big: {{}}, not_given: {{default: ''}}}}{A_THEN_B % script}"
    values = {"inputs": {"big": "x" * 200_000, "not_given": ""}, "base_branch": lambda: "main"}
    assert await World(tmp_path, text, **values).skipped("a").output("b") == "[] []\n200000"


async def test_strict_is_the_scripts_own_and_not_that_of_what_it_starts(tmp_path: Path) -> None:
    script = """printf 'false\\necho ran on\\n' > tool; chmod +x tool; ./tool; bash tool"""
    assert await strict(tmp_path, script).output("b") == "ran on\nran on"


@pytest.mark.parametrize(("script", "done"), [("false; true", False), ("false | true", False), ("true", True)])
async def test_until_bash_of_a_strict_workflow_is_strict(tmp_path: Path, script: str, done: bool) -> None:
    assert await World(tmp_path, STRICT + LOOP % script).run("l", "until_bash", iteration=1) == Judged(done)


# ---------------------------------------------------------------------- values in

HOSTILE = [
    "",
    " ",
    "it's",
    '"dq"',
    "$(touch canary)",
    "`touch canary`",
    "; touch canary;",
    "a\n\n\n",
    "\n",
    "*",
    "-n",
    "\\",
    "\r\n",
    "EOF",
    "$HOME ${x} $a.output",
    "\x01\x02\x7f\x1b[0m",
    "é€😀\ufeff",
    "x" * 300_000,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
async def test_values_arrive_whole_in_every_quoting(tmp_path: Path, value: str) -> None:
    script = "printf '<%s>' $a.output \"$a.output\" '$a.output' \"$(printf '%s' $a.output; printf x)\""
    world = World(tmp_path, A_THEN_B % script).completed("a", value)
    assert await world.output("b") == f"<{value}><{value}><{value}><{value}x>"
    assert list(world.context.cwd.iterdir()) == []


async def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    data = bytes(range(1, 256)) + b"\xff\n\n"
    world = World(tmp_path, A_THEN_B % "printf %s $a.output | sha256sum | cut -d' ' -f1").completed("a", data)
    assert await world.output("b") == hashlib.sha256(data).hexdigest()


async def test_stdout_that_is_no_text_is_kept_by_its_bytes(tmp_path: Path) -> None:
    for script, data in (("printf 'a\\xff\\xfeb\\n'", b"a\xff\xfeb"), ("printf 'a\\0b\\n\\n'", b"a\0b\n")):
        world = bash(tmp_path, script)
        outcome = await world.run("x")
        assert isinstance(outcome, Completed)
        assert outcome.reply.output.text is None
        assert world.read_bytes(outcome.reply.output) == data


async def test_a_nul_fails_the_consumer_before_bash_starts(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "touch canary; echo $a.output").completed("a", b"a\0b")
    error = await world.error("b")
    assert error.code == "reference"
    assert "$a.output holds a NUL" in error.message
    assert list(world.context.cwd.iterdir()) == []


async def test_fields_and_inputs_and_engine_names(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        """
        inputs: {who: {default: "it's me"}, list: {default: [1, "x"]}}
        nodes:
          - {id: a, bash: echo}
          - id: b
            depends_on: [a]
            bash: |
              echo "$a.output.n.m" $a.output.list '$INPUTS.who' $INPUTS_LIST
              echo "$ARGUMENTS" ${ARGUMENTS} $a.output.s.txt
        """,
        arguments="do  it",
    ).completed("a", '{"n": {"m": 42}, "list": [1, {"x": null}], "s": "file"}')
    assert await world.output("b") == '42 [1,{"x":null}] it\'s me [1,"x"]\ndo  it do it file.txt'


@pytest.mark.parametrize(
    ("state", "reference", "message"),
    [
        ("failed", "$a.output", "$a.output cannot be read: 'a' failed"),
        ("cancelled", "$a.output", "'a' was stopped"),
        ("skipped", "$a.output.x", "'a' was skipped, so it has no fields"),
        ("running", "$a.output", "'a' has not ended"),
    ],
)
async def test_values_that_cannot_be_read_fail_the_node(
    tmp_path: Path, state: str, reference: str, message: str
) -> None:
    world = World(tmp_path, A_THEN_B % f"touch canary; echo {reference}").failed("a", state)
    error = await world.error("b")
    assert (error.code, list(world.context.cwd.iterdir())) == ("reference", [])
    assert message in error.message


async def test_the_whole_output_of_a_skipped_node_is_empty(tmp_path: Path) -> None:
    assert await World(tmp_path, A_THEN_B % "echo [$a.output]").skipped("a").output("b") == "[]"


async def test_a_missing_field_names_those_there_are(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "echo $a.output.titel").completed("a", '{"title": 1, "n": 2}')
    error = await world.error("b")
    assert "$a.output.titel: unknown field 'titel'" in error.message
    assert "'title'" in error.message


async def test_arithmetic_takes_numbers_only(tmp_path: Path) -> None:
    world = World(tmp_path, A_THEN_B % "touch canary; echo $(( $a.output + 1 ))")
    assert await world.completed("a", "41").output("b") == "42"
    (world.context.cwd / "canary").unlink()
    error = await world.completed("a", "q[$(touch canary)]").error("b")
    assert error.code == "reference"
    assert list(world.context.cwd.iterdir()) == []


async def test_inherited_tricks_do_not_reach_the_preamble(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "POSIXLY_CORRECT": "1",
        "SHELLOPTS": "errexit",
        "BASH_FUNC_read%%": "() { echo hijacked; }",
        "BASH_FUNC_builtin%%": "() { echo hijacked; }",
        "__ion_1": "stale",
    }
    world = World(tmp_path, A_THEN_B % "printf '<%s>' $a.output; env | grep -c __ion || :", environ=environ)
    assert await world.completed("a", "value").output("b") == "<value>0"


async def test_names_too_large_for_the_environment_are_variables_all_the_same(tmp_path: Path) -> None:
    text = "x y\n" * 50_000
    script = "echo ${#ARGUMENTS} ${#INPUTS_BIG}; /bin/true; cat $ARGUMENTS_FILE | wc -c; env | grep -c ^ARGUMENTS="
    world = World(
        tmp_path,
        f"inputs: {{big: {{required: true}}}}\nnodes: [{{id: x, bash: '{script} || :'}}]",
        arguments=text,
        inputs={"big": text},
    )
    assert await world.output("x") == f"{len(text)} {len(text)}\n{len(text)}\n0"


@pytest.mark.parametrize("size", [30_000_000, pytest.param(100_000_000, marks=pytest.mark.sweep)])
async def test_tens_of_megabytes_pass_through_with_little_memory(tmp_path: Path, size: int) -> None:
    """In a process of its own, whose peak is measured: produce them, keep them, hand every byte to a consumer."""
    program = textwrap.dedent(
        """
        import asyncio, re, sys
        from pathlib import Path
        from ion.core.state import Finished
        from turn_kit import World
        world = World(Path(sys.argv[1]), '''
            nodes:
              - {id: a, bash: yes 0123456789abcdef | head -c SIZE}
              - id: b
                depends_on: [a]
                bash: |
                  x=$a.output
                  echo ${#x}
                  printf %s "$x" | sha256sum
        ''')
        def peak():
            return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
        async def main():
            before = peak()
            outcome = await world.run("a")
            world.states["a"].phase, world.states["a"].progress.reply = Finished("completed", 0), outcome.reply
            print(outcome.reply.output.size, outcome.reply.output.sha256)
            print((await world.output("b")).replace("\\n", " "))
            print(peak() - before)
        asyncio.run(main())
        """
    )
    here = Path(__file__).parent
    said = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", program.replace("SIZE", str(size)), str(tmp_path)],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    produced, consumed, megabytes = said.stdout.splitlines()
    data = (b"0123456789abcdef\n" * 6_000_000)[:size]
    assert produced == f"{len(data)} {hashlib.sha256(data).hexdigest()}"
    assert consumed.split()[:2] == [str(len(data)), hashlib.sha256(data).hexdigest()]
    assert int(megabytes) < 20, f"{megabytes} MB"


# ---------------------------------------------------------------------- until_bash


@pytest.mark.parametrize(("script", "done"), [("true", True), ("exit 1", False), ("nosuchcmd", False)])
async def test_until_bash_ends_the_loop_by_its_status(tmp_path: Path, script: str, done: bool) -> None:
    assert await World(tmp_path, LOOP % script).run("l", "until_bash", iteration=1) == Judged(done)


@pytest.mark.parametrize(("script", "code"), [("sleep 60", "timeout"), ("kill -9 $$", "signal")])
async def test_until_bash_that_is_cut_off_fails(tmp_path: Path, script: str, code: str) -> None:
    outcome = await World(tmp_path, LOOP % script).run("l", "until_bash", iteration=1)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == code


async def test_until_bash_of_a_loop_without_a_limit_has_that_of_a_bash_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TURNS, "until_bash", replace(TURNS["until_bash"], timeout_ms=200))
    error = await World(tmp_path, (LOOP % "sleep 60").replace("timeout: 500", "")).error("l", "until_bash")
    assert (error.code, error.message) == ("timeout", "until_bash timed out after 200 ms")


async def test_until_bash_sees_the_iteration_and_the_environment_of_a_bash_node(tmp_path: Path) -> None:
    script = "[ $LOOP_PREV_OUTPUT = draft ] && [ $ION_IDEMPOTENCY_KEY = $WORKFLOW_ID/l/2 ] && [ -n $ARTIFACTS_DIR ]"
    world = World(tmp_path, LOOP % script)
    previous = world.context.keep("draft")
    assert await world.run("l", "until_bash", iteration=2, previous=previous) == Judged(True)
