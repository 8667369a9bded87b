"""language.md §13: `fan_out`, as a user of the library meets it: one prompt for each changed file."""

from __future__ import annotations

import json
import threading
import time

import pytest

from conformance.kit import Agent, World, agent, codes, mend, output, statuses
from ion import AgentError, PromptRequest
from ion.core import events as e

FILES = [f"src/f{number}.py" for number in range(12)]
REVIEW = """
    nodes:
      - {{id: list, bash: "cat files"}}
      - id: review
        depends_on: [list]
        fan_out: {{lines: $list.output, as: file, max_parallel: 4, join: {join}}}
        prompt: "Review $INPUTS.file"
        output_format: {{type: object, required: [ok], properties: {{ok: {{type: boolean}}}}}}
      - {{id: report, depends_on: [review], bash: "printf '%s' $review.output"}}
"""


class Reviewer:
    """Answers for each file; `broken` ones fail. Knows how many were asked at once."""

    name = "reviewer"

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        self.broken = broken
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, request: PromptRequest) -> str:
        file = request.prompt.removeprefix("Review ")
        with self._lock:
            self.asked.append(file)
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.02)
        with self._lock:
            self._now -= 1
        if file in self.broken:
            raise AgentError("refused", f"not {file}")
        return json.dumps({"ok": True})


@pytest.fixture
def files(world: World) -> World:
    world.file("files", "\n".join(FILES))
    return world


def test_of_twelve_files_two_fail_and_the_report_has_all_in_order(files: World) -> None:
    """With `all_done` the run completes; the failed ones are told apart in the list."""
    reviewer = Reviewer(broken=(FILES[3], FILES[7]))
    run = files.run(REVIEW.format(join="all_done"), agent=reviewer)
    assert (run.status, sorted(reviewer.asked)) == ("completed", sorted(FILES))
    assert 1 < reviewer.most <= 4
    report = json.loads(run.output or "")
    assert [slot.get("ok", False) for slot in report] == [number not in (3, 7) for number in range(12)]
    assert report[3] == {
        "failed": True,
        "archon_failed": True,
        "code": "refused",
        "error": f"not {FILES[3]}",
        "status": "failed",
        "node": "review.3",
    }


def test_with_all_success_the_node_fails_once_all_have_ended(files: World) -> None:
    """The first of them is the node's error, and what depends on it is skipped."""
    reviewer = Reviewer(broken=(FILES[3], FILES[7]))
    run = files.run(REVIEW.format(join="all_success"), agent=reviewer)
    assert (run.status, len(reviewer.asked)) == ("failed", 12)
    assert (run.nodes["review"].status, run.nodes["report"].status) == ("failed", "skipped")
    assert run.nodes["review"].error is not None
    assert "review.3" in run.nodes["review"].error.message


def test_a_resume_asks_only_what_failed(files: World) -> None:
    first = files.run(REVIEW.format(join="all_success"), agent=Reviewer(broken=(FILES[3], FILES[7])))
    again = Reviewer()
    run = files.resume(first, agent=again)
    assert (run.status, sorted(again.asked)) == ("completed", [FILES[3], FILES[7]])
    assert json.loads(run.output or "") == [{"ok": True}] * 12


def test_if_one_file_changed_only_that_is_asked_again(files: World) -> None:
    """The list is made anew: an item is known by its content, keeps its number, and a new one gets a new number."""
    text = REVIEW.format(join="all_done").replace('bash: "cat files"', 'bash: "cat files", always_run: true')
    text += "      - {id: last, depends_on: [report], bash: test -e mended}\n"
    first = files.run(text, agent=Reviewer())
    assert first.status == "failed"
    changed = ["src/new.py", *FILES[:5], *FILES[6:]]
    files.file("files", "\n".join(changed))
    mend(files)
    again = Reviewer()
    run = files.resume(first, agent=again)
    assert (run.status, again.asked) == ("completed", ["src/new.py"])
    assert [event.node for event in files.log(run, e.NodeStarted) if event.node.startswith("review.")][12:] == [
        "review.12"
    ]
    assert json.loads(run.nodes["report"].output or "") == [{"ok": True}] * 12


def test_a_call_that_is_told_the_count_is_made_again_where_that_changed(files: World) -> None:
    """What is inside of it was given the count, so nothing of it can be kept."""
    files.file("files", "a\nb")
    nodes = "[{id: x, bash: 'echo ran >> runs'}, {id: y, depends_on: [x], bash: echo $INPUTS.of}]"
    files.write(f"name: one\ndescription: d\ninputs: {{of: {{}}}}\nnodes: {nodes}\n", "one")
    text = """
        nodes:
          - {id: list, bash: cat files, always_run: true}
          - {id: each, depends_on: [list], fan_out: {lines: $list.output}, workflow: one, with: {of: $ITEM_COUNT}}
          - {id: last, depends_on: [each], bash: 'printf "%s" "$each.output"; test -e mended'}
        """
    first = files.run(files.write(text, "outer"))
    assert (first.status, first.nodes["each"].output) == ("failed", '["2","2"]')
    files.file("files", "a\nb\nc")
    mend(files)
    run = files.resume(first)
    assert (run.status, run.output) == ("completed", '["3","3","3"]')
    assert len((files.project / "runs").read_text().split()) == 5


def test_no_key_serves_two_items(files: World) -> None:
    keys: dict[str, str] = {}

    def ask(request: PromptRequest) -> str:
        assert keys.setdefault(request.key, request.prompt) == request.prompt
        return '{"ok": true}'

    files.run(REVIEW.format(join="all_done"), agent=ask)
    assert len(keys) == 12


HOSTILE = ["$(touch bad)", "`touch bad`", "'; touch bad; '", '" && touch bad "', "../../up", "-rf", "a\tb", "ü 漢 🎈"]


@pytest.mark.parametrize("item", [*HOSTILE, "$list.output", "\u202e", "\x1b[2J"])
def test_an_item_is_data(world: World, item: str) -> None:
    """In bash, in a prompt and in the names of a run's files."""
    (world.project / "items.json").write_text(json.dumps([item]))
    run = world.run(
        """
        nodes:
          - {id: list, bash: cat items.json}
          - {id: each, depends_on: [list], fan_out: {items: $list.output}, bash: "printf '%s' $INPUTS.item"}
        """
    )
    assert json.loads(run.output or "") == [item]
    assert not (world.project / "bad").exists()


@pytest.mark.parametrize(
    ("items", "outputs"),
    [
        ('[{"name": "a", "tags": ["x"]}]', ['a ["x"]']),
        ("[]", []),
        ('["same", "same"]', ["0", "1"]),
    ],
)
def test_items_have_fields_and_may_be_equal_or_none(world: World, items: str, outputs: list[object]) -> None:
    (world.project / "items.json").write_text(items)
    text = "$INPUTS.item.name $INPUTS.item.tags" if "name" in items else "$ITEM_INDEX"
    run = world.run(
        f"""
        nodes:
          - {{id: list, bash: cat items.json}}
          - {{id: each, depends_on: [list], fan_out: {{items: $list.output}}, bash: "echo {text}"}}
        """
    )
    assert run.status == "completed"
    assert json.loads(run.output or "") == outputs


@pytest.mark.parametrize("printed", ["{}", "text", "", "1", '{"a": [1]}'])
def test_what_is_not_a_list_fails_the_node_before_anything_starts(world: World, printed: str) -> None:
    (world.project / "items.json").write_text(printed)
    run = world.run(
        """
        nodes:
          - {id: list, bash: cat items.json}
          - {id: each, depends_on: [list], fan_out: {items: $list.output}, bash: echo one}
        """
    )
    assert statuses(run) == {"list": "completed", "each": "failed"}
    assert not [event for event in world.log(run, e.NodeStarted) if event.node.startswith("each.")]


def test_more_items_than_max_items_fail_the_node(world: World) -> None:
    run = world.run(
        """
        nodes:
          - {id: list, bash: "printf '%s\\n' 1 2 3 4"}
          - {id: each, depends_on: [list], fan_out: {lines: $list.output, max_items: 3}, bash: echo one}
        """
    )
    assert run.nodes["each"].error is not None
    assert "max_items" in f"{run.nodes['each'].error.message} {run.nodes['each'].error.hint}"


def test_lines_are_as_they_are(world: World) -> None:
    """Cut at line feeds alone; empty ones are left out."""
    lines = ["  led", "a\u2028b\x85c", "\td\x0be\x0c\t", "f"]
    world.file("list", "\n".join([lines[0], "", lines[1], lines[2] + "\r", lines[3] + "\r"]) + "\n")
    run = world.run(
        """
        nodes:
          - {id: list, bash: cat list}
          - {id: each, depends_on: [list], fan_out: {lines: $list.output}, bash: 'printf "[%s]" "$INPUTS.item"'}
        """
    )
    assert json.loads(run.output or "") == [f"[{line}]" for line in lines]


def test_an_include_may_have_an_id_of_the_caller(world: World) -> None:
    """Each text reads the node of its own file."""
    world.write(
        """
        name: child
        description: a block
        inputs: {x: {}}
        nodes:
          - {id: k, bash: 'echo "inner $INPUTS.x"'}
          - {id: end, depends_on: [k], group: {nodes: [{id: i, bash: 'echo "<$k.output>"'}]}}
        """,
        "child",
    )
    caller = world.write(
        """
        nodes:
          - {id: k, bash: "echo '[1, 2]'"}
          - {id: i, depends_on: [k], fan_out: {items: $k.output, as: x}, include: child}
          - {id: z, depends_on: [i], bash: 'echo "$k.output $i.output"'}
        """
    )
    assert world.run(caller).output == '[1, 2] ["<inner 1>","<inner 2>"]'


def test_a_condition_is_of_each_item(world: World) -> None:
    """One that names the item; a skipped one is null in the list."""
    run = world.run(
        """
        nodes:
          - {id: each, fan_out: {items: [1, 2, 3]}, when: $INPUTS.item != '2', bash: echo $INPUTS.item}
        """
    )
    assert json.loads(run.output or "") == ["1", None, "3"]


def test_a_gate_in_each_item_is_answered_by_address(world: World) -> None:
    text = """
        nodes:
          - id: each
            fan_out: {items: [eu, us], as: region}
            group:
              returns: ship
              nodes:
                - {id: ask, approval: {message: "Ship to $INPUTS.region?"}}
                - {id: ship, depends_on: [ask], bash: echo shipped to $INPUTS.region}
        """
    run = world.run(text)
    assert (run.status, [one.node for one in run.waiting]) == ("paused", ["each.0.ask", "each.1.ask"])
    run = world.approve(run, "each.1.ask")
    assert (run.status, [one.node for one in run.waiting]) == ("paused", ["each.0.ask"])
    run = world.approve(run, "each.0.ask")
    assert (run.status, json.loads(run.output or "")) == ("completed", ["shipped to eu", "shipped to us"])


@pytest.mark.parametrize(
    ("node", "code"),
    [
        ("{id: a, fan_out: {items: [1]}, approval: {message: ok}}", None),
        ("{id: a, fan_out: {items: [1], lines: x}, bash: echo}", "bad-fan-out"),
        ("{id: a, fan_out: {as: x}, bash: echo}", "bad-fan-out"),
    ],
)
def test_what_cannot_be_fanned_out_is_an_error_of_the_file(node: str, code: str | None) -> None:
    found = codes(f"nodes:\n  - {node}\n")
    assert found if code is None else code in found


def test_an_agent_that_is_killed_is_asked_only_for_what_is_left(files: World) -> None:
    """Cut off while the seventh file is asked for: the six before it are not asked again."""
    text = REVIEW.format(join="all_done").replace("max_parallel: 4", "max_parallel: 1")
    answering = Agent(prepared={f"review.{number}": ['{"ok": true}'] for number in range(6)})
    cut = files.interrupt(text, at="review.6", agent=answering)
    again = Reviewer()
    run = files.resume(cut, agent=again)
    assert (run.status, again.asked) == ("completed", FILES[6:])
    assert output(run, "report") == json.dumps([{"ok": True}] * 12, separators=(",", ":"))


def test_the_idempotency_key_is_the_address(world: World) -> None:
    answering = agent(each="x")
    run = world.run(
        """
        nodes:
          - {id: each, fan_out: {items: [1, 2]}, bash: echo $ION_IDEMPOTENCY_KEY}
        """,
        agent=answering,
    )
    assert json.loads(run.output or "") == [f"{run.run_id}/each.0", f"{run.run_id}/each.1"]
