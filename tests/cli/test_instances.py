"""What is inside of nodes, wherever a run is shown: folded and counted, found by its address, said once."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import ion as library
from ion.api.result import run_result
from ion.cli.context import CliContext
from ion.cli.live import Head, Live, Tree
from ion.cli.plain import Plain
from ion.cli.terminal import Screen
from ion.core import events as e
from ion.core.fold import apply
from ion.core.state import RunState
from ion.core.tallies import Tally
from ion.views.rows import folded
from ion.views.words import counted
from processes import until
from work import lines_run

from .kit import Ion, Project

NEST = """
name: nest
description: Two levels, of which one item of the inner one fails as long as there is no file `fixed`
nodes:
  - {id: list, bash: 'echo "[1,2]"'}
  - id: nest
    depends_on: [list]
    fan_out: {items: $list.output, as: n}
    group:
      nodes:
        - {id: a, bash: 'echo a $INPUTS.n'}
        - id: b
          depends_on: [a]
          fan_out: {items: ["x", "y/z"], as: s}
          bash: '[ -e fixed ] || [ $INPUTS.n$INPUTS.s != 1y/z ] || { echo no >&2; exit 3; }; echo $INPUTS.s'
  - {id: after, depends_on: [nest], bash: 'echo done'}
"""
LOOP = """
name: loop
description: d
nodes:
  - id: lg
    loop_group:
      until: DONE
      max_iterations: 4
      nodes:
        - {id: n, bash: 'echo $LOOP_ITERATION'}
        - {id: m, depends_on: [n], bash: 'if [ $LOOP_ITERATION = 3 ]; then echo "<promise>DONE</promise>"; fi; echo m'}
"""
GATES = """
name: gates
description: d
nodes:
  - id: each
    fan_out: {items: ["eu", "us"], as: where}
    group:
      nodes:
        - {id: build, bash: 'echo $INPUTS.where'}
        - {id: ok, depends_on: [build], approval: {message: 'Ship to $INPUTS.where?'}}
        - {id: ship, depends_on: [ok], bash: 'echo shipped'}
"""
FAN = """
name: fan
description: d
nodes:
  - {id: list, bash: 'seq 1 120'}
  - id: review
    depends_on: [list]
    fan_out: {lines: $list.output, as: n, max_parallel: all, join: all_done}
    bash: '[ $(($INPUTS.n % 4)) != 0 ] || exit 4; echo ok $INPUTS.n'
"""


@pytest.fixture
def ran(ion: Ion, project: Project) -> Ion:
    for name, text in (("nest", NEST), ("loop", LOOP), ("gates", GATES)):
        project.write(name, text)
    assert ion("run", "nest", "--run-id", "nest", "--quiet").status == 1
    assert ion("run", "loop", "--run-id", "loop", "--quiet").status == 0
    assert ion("run", "gates", "--run-id", "gates", "--quiet").status == 3
    return ion


@pytest.fixture
def fanned(ion: Ion, project: Project) -> Ion:
    project.write("fan", FAN)
    assert ion("run", "fan", "--run-id", "fan", "--quiet").status == 0
    return ion


def told(text: str) -> list[str]:
    """The lines without their bars, times and runs of blanks."""
    return [re.sub(r"\s+", " ", re.sub(r"▐?█*|\b\d+\.\ds", "", line)).strip() for line in text.splitlines()]


# ------------------------------------------------------------------ JSON and the library


def test_json_has_the_files_nodes_and_what_is_inside_of_them(ran: Ion) -> None:
    nodes = ran("show", "nest", "--json").json("run")["nodes"]
    assert list(nodes) == ["list", "nest", "after"]
    assert "instances" not in nodes["list"]
    nest = nodes["nest"]
    assert nest["counts"] == {
        "completed": 1, "failed": 1, "skipped": 0, "cancelled": 0, "running": 0, "waiting": 0, "pending": 0, "total": 2,
    }  # fmt: skip
    assert [(one["address"], one["item"], one["status"]) for one in nest["instances"]] == [
        ("nest.0", 1, "failed"),
        ("nest.1", 2, "completed"),
    ]
    inner = nest["instances"][0]["instances"][1]["instances"]
    assert [(one["address"], one["item"], one["status"], one["output"]) for one in inner] == [
        ("nest.0.b.0", "x", "completed", "x"),
        ("nest.0.b.1", "y/z", "failed", None),
    ]
    assert inner[1]["error"]["code"] == "exit-status"
    assert nest["attempts"] == 0
    assert ran("show", "nest", "nest", "--json").json("node")["instances"] == nest["instances"]
    assert ran("show", "nest", "nest[0].b", "--json").json("node")["instances"] == inner
    assert ran("show", "nest", "nest.0.b.1", "--json").json("node")["item"] == "y/z"


def test_json_has_the_first_hundred_or_all(fanned: Ion) -> None:
    review = fanned("show", "fan", "--json").json("run")["nodes"]["review"]
    assert (len(review["instances"]), review["instances_left"]) == (100, 20)
    assert (review["counts"]["failed"], review["counts"]["total"]) == (30, 120)
    whole = fanned("show", "fan", "--json", "--instances").json("run")["nodes"]["review"]
    assert [one["item"] for one in whole["instances"]] == [str(number) for number in range(1, 121)]
    assert "instances_left" not in whole
    assert len(fanned("show", "fan", "review", "--json", "--instances").json("node")["instances"]) == 120


def test_the_library_finds_instances(ran: Ion, project: Project) -> None:
    result = library.get_run("nest", project=project.folder)
    assert list(result.nodes) == ["list", "nest", "after"]
    assert result.nodes["nest"].instances[1].item == 2
    assert result.nodes["nest"].counts["total"] == 2
    found = result.node("nest[0].b[1]")
    assert (found.id, found.status, found.item) == ("nest.0.b.1", "failed", "y/z")
    assert found.error is not None
    assert found.error.exit_status == 3
    assert result.nodes["list"].instances == ()
    with pytest.raises(library.errors.NotFoundError, match=r"no node 'nest\.0\.c'") as raised:
        result.node("nest.0.c")
    assert raised.value.hint == "did you mean 'nest.0.a'?"
    rounds = library.get_run("loop", project=project.folder).nodes["lg"]
    assert [one.id for one in rounds.instances] == [f"lg.{n}.{name}" for n in (1, 2, 3) for name in "nm"]
    assert rounds.counts["total"] == 2


# ------------------------------------------------------------------ ion show


def test_show_folds_and_counts(ran: Ion) -> None:
    lines = told(ran("show", "nest").out)
    assert lines[3:9] == [
        "list ✓",
        "nest ✗ 1 of 2 · 1 failed",
        "nest.0 ✗ 1 1 of 2 · 1 failed",
        "nest.0.b ✗ 1 of 2 · 1 failed",
        "nest.0.b.1 ✗ y/z exit 3",
        "after – nest failed",
    ]
    assert "✗ nest failed after : nest.0.b.1 exited with 3" in lines
    assert "logs ion logs nest nest.0.b.1" in lines
    assert "why ion show nest nest.0.b.1" in lines
    assert "continue ion resume nest (4 completed nodes are kept)" in lines
    assert any(line.startswith("fix ion rerun nest --from nest --edited") for line in lines)
    indents = [len(line) - len(line.lstrip()) for line in ran("show", "nest").out.splitlines()[3:9]]
    assert indents == [0, 0, 2, 4, 6, 0]


def test_show_opens_what_waits(ran: Ion) -> None:
    lines = told(ran("show", "gates").out)
    assert lines[3:8] == [
        "each ⏸ 0 of 2 · 2 waiting",
        "each.0 ⏸ eu 1 of 3 · 1 waiting",
        "each.0.ok ⏸ gate: Ship to eu?",
        "each.1 ⏸ us 1 of 3 · 1 waiting",
        "each.1.ok ⏸ gate: Ship to us?",
    ]
    assert "lg ✓ 3 iterations" in told(ran("show", "loop").out)


def test_many_items_take_few_lines(fanned: Ion) -> None:
    lines = told(fanned("show", "fan").out)
    assert "review ✓ 90 of 120 · 30 failed" in lines
    opened = [line for line in lines if line.startswith("review.")]
    assert len(opened) == 18
    assert opened[0] == "review.3 ✗ 4 exit 4, allowed"
    assert "… 12 more: ion show fan review" in lines
    assert len([line for line in told(fanned("show", "fan", "--instances").out) if line.startswith("review.")]) == 120


def test_show_node_is_a_table_of_what_is_inside(fanned: Ion, ran: Ion) -> None:
    lines = told(fanned("show", "fan", "review").out)
    table = lines[lines.index("") + 1 :]
    assert table[0] == "✗ 3 4 exit 4, allowed"
    assert len(table) == 19
    assert table[-1] == "… 102 more: ion show fan review --instances"
    assert told(fanned("show", "fan", "review", "--instances").out)[-1] == "✗ 119 120 exit 4, allowed"
    assert told(fanned("show", "fan", "review", "--instances").out)[-2] == "✓ 118 119 ok 119"
    rounds = told(ran("show", "loop", "lg").out)[-6:]
    assert rounds == ["✓ 1.n 1", "✓ 1.m m", "✓ 2.n 2", "✓ 2.m m", "✓ 3.n 3", "✓ 3.m <promise>DONE</promise> m"]


def test_an_iteration_is_shown_alone(ran: Ion) -> None:
    lines = told(ran("show", "loop", "lg.2").out)
    assert lines == ["lg.2 iteration 2 of 3", "", "✓ 2.n 2", "✓ 2.m m"]
    shown = ran("show", "loop", "lg[2]", "--json").json("node")
    assert (shown["node"], shown["iteration"]) == ("lg", 2)
    assert [one["address"] for one in shown["instances"]] == ["lg.2.n", "lg.2.m"]
    assert {one["node"] for one in ran("logs", "loop", "lg.2", "--json").json("logs")} == {"lg.2.n", "lg.2.m"}
    events = [json.loads(line) for line in ran("events", "loop", "--node", "lg.2").out.splitlines()]
    assert {one["node"] for one in events} == {"lg.2.n", "lg.2.m"}
    for address in ("lg.4", "lg.0", "nest.1.9"):
        assert ran("show", "loop", address).status == 2


def test_show_an_instance(ran: Ion) -> None:
    shown = ran("show", "nest", "nest[0].b[1]").out
    assert shown.startswith("nest.0.b.1   failed   exit 3 after ")
    assert "  waited for   nest.0.a (completed " in shown
    assert "nest/nest.0.b.1  (ION_IDEMPOTENCY_KEY)" in shown
    assert '$INPUTS.n  "1"' in shown
    assert '$INPUTS.s  "y/z"' in shown
    assert "  waited for   lg.2.n (completed" in ran("show", "loop", "lg.2.m").out
    assert "  waits for    each.0.ok (waiting)" in ran("show", "gates", "each.0.ship").out
    assert "ion approve gates each.1.ok" in ran("show", "gates", "each.1.ok").out
    composite = ran("show", "nest", "nest").out
    assert "ION_IDEMPOTENCY_KEY" not in composite
    assert "attempt" not in composite
    assert composite.count("items failed)") == 1
    assert "'nest.0.b.1' failed" in composite


def test_an_address_that_is_not_there(ran: Ion) -> None:
    for command in (("show",), ("logs",), ("output",)):
        done = ran(*command, "gates", "each.0.shp")
        assert done.status == 2
        assert "did you mean 'each.0.ship'?" in done.err
    assert "its nodes: list, nest, after" in ran("show", "nest", "qqqqqq").err
    assert "inside of 'nest': nest.0, nest.1" in ran("logs", "nest", "nest.17.b.4").err


def test_hostile_items_are_shown_as_text(ion: Ion, project: Project) -> None:
    items = json.dumps(["\x1b[31mred\n$(touch pwned)", {"a": ["long " * 40]}, None])
    project.write(
        "evil", f"name: evil\ndescription: d\nnodes:\n  - {{id: f, fan_out: {{items: {items}}}, bash: 'exit 1'}}\n"
    )
    ion("run", "evil", "--run-id", "evil", "--quiet")
    shown = ion("show", "evil").out + ion("show", "evil", "f").out + ion("run", "evil", "--plain").err
    assert "\x1b" not in shown
    assert "\\x1b[31mred $(touch pwned)" in shown
    assert all(len(line) <= 80 for line in ion("show", "evil").out.splitlines())


# ------------------------------------------------------------------ logs, events, outputs


def test_logs_and_events_of_a_node_are_also_of_what_is_inside(ran: Ion) -> None:
    def logged(*where: str) -> set[str]:
        return {one["node"] for one in ran("logs", "nest", *where, "--json").json("logs")}

    assert logged("nest.0.b.1") == {"nest.0.b.1"}
    assert logged("nest[0]") == {"nest.0.a", "nest.0.b.0", "nest.0.b.1"}
    assert logged("nest") == {"nest.0.a", "nest.0.b.0", "nest.0.b.1", "nest.1.a", "nest.1.b.0", "nest.1.b.1"}
    assert ran("logs", "nest", "nest.0.b.1").out == "no\n"
    events = [json.loads(line) for line in ran("events", "nest", "--node", "nest[0].b").out.splitlines()]
    assert {event["node"] for event in events} == {"nest.0.b", "nest.0.b.0", "nest.0.b.1"}
    assert ran("events", "nest", "--node", "nest.7").status == 2
    assert ran("output", "nest", "nest[1].b").out == '["x","y/z"]\n'
    assert ran("output", "nest", "nest.1.b.1").out == "y/z\n"


def test_rerun_from_an_address_as_people_write_it(ran: Ion, project: Project) -> None:
    (project.folder / "fixed").touch()
    assert ran("rerun", "nest", "--from", "nest[0].b[1]", "--run-id", "again", "--quiet").status == 0
    assert "rerun of nest from nest.0.b.1" in ran("show", "again").out


def test_what_a_dead_process_left_behind(ion: Ion, project: Project) -> None:
    fan = "{id: f, fan_out: {items: [1, 2], max_parallel: 1}, bash: 'touch began; until [ -e go ]; do sleep 0.1; done'}"
    project.write("cut", f"name: cut\ndescription: d\nnodes:\n  - {fan}\n")
    process = project.start("run", "cut", "--run-id", "cut", "--quiet")
    until((project.folder / "began").exists)
    process.kill()
    process.wait()
    (project.folder / "go").touch()
    assert told(ion("show", "cut").out)[3:5] == ["f ✗ 0 of 2 · 1 cut off", "f.0 ✗ 1 cut off"]


# ------------------------------------------------------------------ while it runs


def test_plain_lines_say_each_thing_once(ion: Ion, project: Project) -> None:
    project.write("nest", NEST)
    lines = told(ion("run", "nest", "--plain", "--run-id", "r").err)
    assert not [line for line in lines if re.search(r"expand|collect|attempt 2", line)]
    said = [re.sub(r"^\d\d:\d\d\.\d ", "", line) for line in lines]
    assert "start nest 2 items" in said
    assert "FAIL nest.0.b.1 exit 3 · ion logs r nest.0.b.1" in said
    assert "FAIL nest 'nest.0.b.1' failed" in said
    assert [line for line in lines if line.startswith("|")] == ["| no"]
    assert "run failed 2 of 3 failed or skipped · ion resume r" in said
    assert "✗ nest failed after : nest.0.b.1 exited with 3" in lines
    assert "continue ion resume r (4 completed nodes are kept)" in lines
    (project.folder / "fixed").touch()
    again = ion("resume", "r", "--plain").err
    assert "continues; 1 of 3 are completed" in again
    assert re.search(r"done   nest +\d\.\ds · 2 of 2\n", again)


def test_plain_says_the_end_of_each_of_many_items(ion: Ion, project: Project) -> None:
    project.write("fan", FAN)
    lines = [re.sub(r"^\d\d:\d\d\.\d ", "", line) for line in told(ion("run", "fan", "--plain").err)]
    ends = [line for line in lines if line.startswith(("done review.", "FAIL review."))]
    assert len(ends) == 120
    assert [line for line in lines if line.startswith("start")] == ["start list", "start review 120 items"]
    assert "done review · 90 of 120 · 30 failed" in [re.sub(r"review \S*s? ?·", "review ·", line) for line in lines]


def test_plain_writes_an_address_whole(ion: Ion, project: Project) -> None:
    inside = "group: {nodes: [{id: a-rather-long-name, bash: 'true'}]}"
    project.write("long", f"name: long\ndescription: d\nnodes:\n  - {{id: f, fan_out: {{items: [1]}}, {inside}}}\n")
    assert re.search(r"done   f\.0\.a-rather-long-name  \d", ion("run", "long", "--plain").err)


def test_plain_names_some_of_many_that_are_waited_for(ion: Ion, project: Project) -> None:
    items, gate = json.dumps([*range(30)]), "group: {nodes: [{id: ok, approval: {message: Go?}}]}"
    project.write(
        "ask",
        f"name: ask\ndescription: d\nnodes:\n  - {{id: f, fan_out: {{items: {items}, max_parallel: all}}, {gate}}}\n",
    )
    said = ion("run", "ask", "--plain").err
    assert re.search(r"paused +waits for f\.0\.ok, .*, f\.9\.ok and 20 more\n", said)


def recorded(project: Project, run: str) -> list[e.Recorded]:
    return list(library.get_events(run, project=project.folder))


def frames(project: Project, run: str, height: int = 24) -> list[list[str]]:
    """What the live tree shows after each event of a run."""
    screen = Screen(io.StringIO(), True, False, 100)
    screen.encodable = lambda text: text  # type: ignore[method-assign]
    live = Live(screen, None, CliContext())  # type: ignore[arg-type]
    opened = library.get_run(run, project=project.folder)
    live.begin(workflow_of(project, run), None)
    state, shown = RunState(), []
    for one in recorded(project, run):
        apply(state, one.event)
        live.event(run, one, state)
        tree = Tree(screen, lambda _: "").lines(Head(opened.workflow, run, 0), live._shown(height), 0, height, set())
        shown.append(["".join(part[1] if isinstance(part, tuple) else part for part in line) for line in tree])
        if state.status == "running":
            anew = Tally(state)
            assert {owner: live._tally.counts[owner] for owner in state.scopes} == anew.counts, one
            assert [*live._tally.unfolded("nest", 50)] == [*anew.unfolded("nest", 50)], one
    return shown


def workflow_of(project: Project, run: str) -> Any:
    return library.parse_workflow((project.folder / ".ion" / "workflows" / f"{run}.yaml").read_text())


@pytest.mark.parametrize("run", ["nest", "loop", "gates"])
def test_the_live_tree_is_kept_up_to_date_event_by_event(ran: Ion, project: Project, run: str) -> None:
    """The counts that each event changes are those of the whole state counted anew: also of a run that is resumed."""
    if run == "nest":
        (project.folder / "fixed").touch()
        assert ran("resume", "nest", "--quiet").status == 0
    for frame in frames(project, run):
        assert len(frame) < 24


def test_the_live_tree_folds_and_counts(ran: Ion, project: Project) -> None:
    last = told("\n".join(frames(project, "gates")[-1]))
    assert last[1:] == [
        "⏸ each 0 of 2 · 2 waiting",
        "⏸ each.0 eu · 1 of 3 · 1 waiting",
        "⏸ each.0.ok ion approve gates each.0.ok · gate: Ship to eu?",
        "⏸ each.1 us · 1 of 3 · 1 waiting",
        "⏸ each.1.ok ion approve gates each.1.ok · gate: Ship to us?",
    ]
    failed = told("\n".join(frames(project, "nest")[-1]))
    assert failed[0].startswith("nest nest 3/3 nodes")
    assert failed[2:6] == [
        "✗ nest 1 of 2 · 1 failed",
        "✗ nest.0 1 · 1 of 2 · 1 failed",
        "✗ nest.0.b 1 of 2 · 1 failed",
        "✗ nest.0.b.1 y/z · exit 3",
    ]


def test_a_large_fan_takes_as_many_rows_as_a_small_one(fanned: Ion, project: Project) -> None:
    shown = frames(project, "fan", 60)
    assert max(map(len, shown)) <= 24
    assert any("120" in line and "running" in line for frame in shown for line in frame)


def test_what_is_counted() -> None:
    counts = dict.fromkeys(("completed", "failed", "skipped", "cancelled", "running", "waiting", "pending"), 0)
    assert counted({**counts, "completed": 97, "failed": 2, "running": 1}) == "97 of 100 · 2 failed · 1 running"
    assert counted(counts) == "0 of 0"


# ------------------------------------------------------------------ many

MANY = library.parse_workflow("""
name: many
description: d
nodes:
  - id: f
    fan_out: {items: $INPUTS.list, max_items: 10000, max_parallel: all}
    group: {nodes: [{id: a, bash: x}, {id: b, depends_on: [a], bash: x}]}
inputs: {list: {required: true}}
""")


def events_of_many(items: int) -> list[e.Event]:
    """A fan-out of groups, all under way at once; every tenth fails."""
    found: list[e.Event] = [e.WorkflowStarted(0, "many", "d", (("f", "group"),))]
    keys = tuple(map(str, range(items)))
    listed = e.Content(json.dumps([*range(items)]))
    found.append(e.ScopeOpened(0, "f", items=listed, keys=keys, numbers=tuple(range(items))))
    found += [e.ScopeOpened(0, f"f.{n}", nodes=(("a", "bash"), ("b", "bash"))) for n in range(items)]
    for name in "ab":
        found += [e.NodeStarted(0, f"f.{n}.{name}", "bash") for n in range(items)]
        for n in range(items):
            failure = e.Failure("exit-status", "bash failed [exit 1]", exit_status=1)
            failed = name == "b" and n % 10 == 0
            address, reply = f"f.{n}.{name}", e.Reply(e.Content("ok"))
            found.append(e.NodeFailed(0, address, failure) if failed else e.NodeCompleted(0, address, reply))
    return found


@pytest.mark.parametrize("view", ["live", "plain", "show"])
def test_the_work_for_many_items_grows_with_their_number_and_no_faster(view: str, tmp_path: Path) -> None:
    work = []
    for items in (20, 100, 400):  # what a process does once is in the first
        events = events_of_many(items)
        screen = Screen(io.StringIO())
        live = Live(screen, None, None)  # type: ignore[arg-type]
        live.begin(MANY, None)
        observer = live if view == "live" else Plain(screen, None)
        state = RunState()

        def watch(events: list[e.Event] = events, observer: Any = observer, state: RunState = state) -> None:
            for number, event in enumerate(events, 1):
                apply(state, event)
                observer.event("r", e.Recorded(number, event), state)

        def show(state: RunState = state, folder: Path = tmp_path) -> None:
            with library.create_store("memory:") as store:
                result = run_result("r", state, status="running", now=0, store=store, files=folder)
            assert len(folded(result, MANY, 18)) == 20

        if view == "show":
            watch()
        work.append(lines_run(show if view == "show" else watch))
        if view == "live":
            assert len(live._shown(24)) == 20
    assert work[2] <= 1.5 * 4 * work[1]
