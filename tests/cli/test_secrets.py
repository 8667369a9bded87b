"""Secrets: needed to begin, handed to every process, masked in all that is printed or exported, stored exactly."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from .kit import Ion, Project, Result

TOKEN = 'hunter2-"quoted"-and-long'
LEAK = """
name: leak
description: Prints a secret in each way that there is.
secrets: [TOKEN]
returns: say
nodes:
  - id: say
    bash: printf 'token=%s\\n' "$TOKEN"; echo "noise $TOKEN" >&2
  - id: large
    bash: for i in {1..20000}; do echo "$i $TOKEN"; done
  - {id: each, when: "$INPUTS.item != 'x'", fan_out: {lines: $say.output}, bash: 'printf "%s" "$INPUTS.item"'}
  - id: fail
    when: $INPUTS.mode == 'fail'
    bash: |
      printf '%s' "$TOKEN"; printf '%1990s %s\\n' x "$TOKEN" >&2; exit 3
  - id: gate
    depends_on: [say]
    when: $INPUTS.mode == 'gate'
    approval: {message: Shall $say.output go out?}
inputs: {mode: {default: plain}}
"""


@dataclass(frozen=True)
class Here(Project):
    """A project whose commands run in this process: each begins with no mask of the one before."""

    call: Ion

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        assert not stdin
        return self.call(*arguments, **environment)


@pytest.fixture
def project(project: Project, ion: Ion) -> Project:
    return Here(project.folder, ion)


@pytest.fixture
def run(project: Project) -> Project:
    project.write("leak", LEAK)
    return project


def leaks(result: Result) -> bool:
    """Whether the secret, or an end of it that is long enough to matter, can be read."""
    return any(part in text for part in ("hunter2", "and-long") for text in (result.out, result.err))


def masked(project: Project, *arguments: str) -> Result:
    """A command of a process that has the secret; what it says may never show it."""
    result = project.run(*arguments, TOKEN=TOKEN)
    assert not leaks(result), (arguments, result)
    return result


def test_a_secret_that_is_not_set_keeps_the_run_from_beginning(run: Project) -> None:
    for environment in ({}, {"TOKEN": ""}):
        result = run.run("run", "leak", **environment)
        assert result.status == 2
        assert "the secret TOKEN of the workflow 'leak' is not set" in result.err
    assert run.run("runs", "--json").json() == []


def test_the_output_of_a_run_is_masked_and_what_is_stored_is_exact(run: Project) -> None:
    result = masked(run, "run", "leak", "--run-id", "mine")
    assert (result.status, result.out) == (0, "token=***\n")
    without = run.run("show", "mine", "--json")
    assert without.json()["output"] == f"token={TOKEN}"


def test_nothing_that_ion_records_itself_holds_the_value(run: Project) -> None:
    """The frozen workflow has the name, the failure's message has stars; only outputs, and items of them, are exact."""
    masked(run, "run", "leak", "--run-id", "mine", "--input", "mode=fail")
    exported = run.run("export", "mine").out.splitlines()
    exact = ('"node_completed"', '"scope_opened"', '"chunk"')
    outputs = [line for line in exported if any(kind in line for kind in exact)]
    assert "hunter2" in "".join(outputs)
    others = "".join(line for line in exported if line not in outputs)
    assert "TOKEN" in others
    assert "hunter2" not in others


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the run `mine`, whose gate waits."""
    project = Project(tmp_path_factory.mktemp("waiting"))
    project.write("leak", LEAK)
    started = masked(project, "run", "leak", "--run-id", "mine", "--input", "mode=gate")
    assert started.status == 3
    assert "Shall token=*** go out?" in started.err
    return project


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["show", "mine"], "leak"),
        (["show", "mine", "--json"], "***"),
        (["show", "mine", "say"], "say"),
        (["show", "mine", "say", "--json"], "token=***"),
        (["show", "mine", "gate"], "***"),
        (["events", "mine"], "***"),
        (["logs", "mine"], "token=***\n"),
        (["logs", "mine", "say"], "noise ***"),
        (["logs", "mine", "--json"], "noise ***"),
        (["logs", "mine", "large", "--follow"], "20000 ***"),
        (["export", "mine"], "token=***"),
        (["approve", "mine", "--no-resume", "--json"], "***"),
        (["reject", "mine", "--reason", TOKEN], "***"),
        (["resume", "mine"], "***"),
        (["watch", "mine"], ""),
    ],
)
def test_every_command_masks(waiting: Project, tmp_path: Path, command: list[str], shown: str) -> None:
    shutil.copytree(waiting.folder, tmp_path / "copy")
    result = masked(Project(tmp_path / "copy"), *command)
    assert shown in result.out + result.err


@pytest.mark.parametrize("flags", [[], ["--json"], ["--events"], ["--quiet"]])
def test_a_failure_is_masked_while_it_runs_and_later(run: Project, flags: list[str]) -> None:
    """The last of stderr begins in the middle of the secret."""
    result = masked(run, "run", "leak", "--run-id", "mine", "--input", "mode=fail", *flags)
    assert result.status == 1
    assert "***" in result.out + result.err
    assert "***" in masked(run, "show", "mine", "fail").out


def test_the_settings_name_secrets_too_and_do_not_demand_them(run: Project) -> None:
    run.write("plain", "name: plain\ndescription: x\nnodes:\n  - {id: a, bash: 'echo \"${OTHER:-none} $TOKEN\"'}\n")
    (run.folder / ".ion" / "config.yaml").write_text("secrets: [TOKEN, OTHER]\n")
    result = masked(run, "run", "plain")
    assert (result.status, result.out) == (0, "none ***\n")


def test_an_export_with_masked_outputs_can_be_taken_in(run: Project, tmp_path: Path) -> None:
    masked(run, "run", "leak", "--run-id", "mine")
    masked(run, "export", "mine", "--output", "mine.ion")
    assert "hunter2" not in (run.folder / "mine.ion").read_text()
    store = f"--store=sqlite:{tmp_path}/other.db"
    assert run.run("import", "mine.ion", store).status == 0
    nodes = run.run("show", "mine", "--json", store).json()["nodes"]
    assert nodes["say"]["output"] == "token=***"
    large = Path(nodes["large"]["output_file"]).read_text().splitlines()
    assert (len(large), large[0], large[-1]) == (20000, "1 ***", "20000 ***")
    assert nodes["each"]["output"] == '["token=***"]'


def test_a_resume_needs_the_secret_and_a_cancel_does_not(run: Project) -> None:
    masked(run, "run", "leak", "--run-id", "mine", "--input", "mode=gate")
    refused = run.run("approve", "mine", "--json")
    assert (refused.status, json.loads(refused.out)["error"]["code"]) == (2, "missing-secret")
    assert run.run("cancel", "mine").status == 0
    assert run.run("show", "mine", "--json").json()["status"] == "cancelled"


def test_masks_take_nothing_from_short_values(run: Project) -> None:
    result = run.run("run", "leak", TOKEN="abc")
    assert result.out == "token=abc\n"


LONG = """
name: long
description: Asks with a secret behind a text of some length.
secrets: [TOKEN]
nodes:
  - {id: say, bash: echo "$TOKEN"}
  - {id: gate, depends_on: [say], approval: {message: "BEFORE $say.output"}}
"""


@pytest.mark.parametrize("before", [56, 62, 68, 221, 227, 233])
def test_a_text_that_is_cut_within_a_secret_keeps_no_part_of_it(run: Project, before: int) -> None:
    """Lines of progress are cut at 240 columns, questions of gates at the width of the screen."""
    run.write("long", LONG.replace("BEFORE", "x" * before))
    result = masked(run, "run", "long", "--run-id", "mine")
    assert (result.status, "xxx" in result.err) == (3, True)
    assert "hunt" not in result.err + masked(run, "show", "mine").out


CONDITIONS = """
name: conditions
description: Conditions, and a missing field, whose messages hold a secret.
secrets: [TOKEN]
nodes:
  - {id: say, bash: printf '%s' "$TOKEN"}
  - {id: long, bash: printf '%050d%s' 0 "$TOKEN"}
  - {id: skipped, depends_on: [say], when: $say.output == 'x', bash: 'true'}
  - {id: skipped_long, depends_on: [long], when: $long.output == 'x', bash: 'true'}
  - {id: failed, depends_on: [say], when: $say.output > 1, bash: 'true'}
  - {id: failed_long, depends_on: [long], when: $long.output > 1, bash: 'true'}
  - {id: field, depends_on: [say], when: $say.output.x == 'y', bash: 'true'}
  - {id: render, depends_on: [say], bash: echo $say.output.x}
  - {id: gate, depends_on: [say], approval: {message: Is it $say.output?}}
"""


def test_no_message_of_a_condition_or_a_gate_is_recorded_with_a_secret(run: Project) -> None:
    run.write("conditions", CONDITIONS)
    assert masked(run, "run", "conditions", "--run-id", "mine").status == 3
    events = [json.loads(line) for line in run.run("events", "mine").out.splitlines()]
    said = {
        one.get("node"): one for one in events if one["type"] in ("node_skipped", "node_failed", "approval_requested")
    }
    assert {"skipped", "skipped_long", "failed", "failed_long", "field", "render", "gate"} == said.keys()
    assert "(was '***')" in said["skipped"]["detail"]
    assert "***" in said["failed"]["error"]["message"]
    assert said["gate"]["message"] == "Is it ***?"
    for event in said.values():
        assert "hunt" not in json.dumps(event), event


@pytest.mark.parametrize(
    ("user", "query"),
    [("ME:S3cretPw@", ""), ("ME:S3%63ret%50w@", ""), ("ME@", "&password=S3cretPw")],
    ids=["plain", "escaped", "parameter"],
)
def test_the_password_of_the_store_is_never_shown(project: Project, tmp_path: Path, user: str, query: str) -> None:
    from postgres_server import emptied_database

    address = emptied_database(tmp_path).partition("://")[2]
    login, _, rest = address.partition("@")
    name = login.partition(":")[0]
    store = f"postgresql://{user.replace('ME', name)}{rest}{query}"
    project.write("it", "name: it\ndescription: d\nnodes:\n  - {id: g, approval: {message: Go?}}\n")
    started = project.run("run", "it", "--run-id", "mine", "--store", store)
    assert (started.status, f"--store 'postgresql://{name}@" in started.err) == (3, True)
    others = (
        ["show", "mine"],
        ["runs"],
        ["doctor"],
        ["doctor", "--json"],
        ["approve", "mine", "--no-resume"],
        ["show", "x"],
    )
    failing = [store.replace("postgresql", "postgre"), f"{store}&nonsense=1", f"{store}&sslmode=never"]
    results = [
        started,
        *(project.run(*words, "--store", store) for words in others),
        *(project.run("runs", f"--store={wrong}") for wrong in failing),
        project.run("runs", ION_STORE=failing[0]),
        project.run("runs", store),
    ]
    for result in results:
        assert not any(part in result.out + result.err for part in ("S3", "retPw", "ret%50w")), result


@pytest.mark.parametrize("words", [("--engine", "%s"), ("--engine=%s",), ("--store=%s",)], ids=range(3))
def test_the_password_in_what_is_almost_a_url_is_not_shown(project: Project, words: tuple[str, ...]) -> None:
    project.write("it", "name: it\ndescription: d\nnodes: [{id: a, bash: 'true'}]\n")
    for url in ("POSTGRESQL://u:S3cretPw@h/db", " temporal://u:S3cretPw@h:1"):
        refused = project.run("run", "it", *(word.replace("%s", url) for word in words))
        assert (refused.status, "S3cretPw" in refused.out + refused.err) == (2, False), refused


@pytest.mark.parametrize("line", ["stroe: %s", "store: %s: [", "store: ['%s']"])
def test_the_line_of_a_settings_file_is_shown_without_the_password_in_it(project: Project, line: str) -> None:
    (project.folder / ".ion" / "config.yaml").write_text(line % "postgresql://u:S3cretPw@h/db" + "\n")
    refused = project.run("runs")
    assert refused.status == 2
    assert "postgresql://u:***@h/db" in refused.err
    assert "S3cretPw" not in refused.err
