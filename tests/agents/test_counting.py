"""What a turn alone used, where the program reports what its session has used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ion
from ion.agents.counting import of_this_turn
from ion.agents.reading import Reading

from .test_recorded import reading

# By the token counts of the provider: each of these turns, and no other, cost so much.
NEW = {"denied": 0.012236, "resume2": 0.006154, "resume3": 0.006178}
OLD = {"denied": 0.016220, "resume2": 0.008155, "resume3": 0.008185}


@pytest.mark.parametrize(("version", "costs"), [("claude-2.1.332", NEW), ("claude-2.1.197", OLD)])
@pytest.mark.parametrize("listed", [True, False])
def test_each_turn_of_a_session_of_claude_costs_what_it_cost(
    version: str, costs: dict[str, float], listed: bool
) -> None:
    """The newest has a list of the turn alone; between the two there are versions that have none."""
    before: dict[str, object] | None = None
    for case, cost in costs.items():
        found = reading(f"{version}/{case}")
        if not listed and "332" in version:
            found = without_list(f"{version}/{case}")
        turn = of_this_turn(found, before, "turn")
        assert turn.usage["cost_usd"] == pytest.approx(cost, abs=1e-6)
        before = found.session_total


def without_list(case: str) -> Reading:
    from ion.agents.parsers import claude_json
    from ion.agents.reading import Printed

    from .test_recorded import RECORDED

    lines = (RECORDED / f"{case}.out").read_text().splitlines()
    last = json.loads(lines[-1])
    del last["model_usage_since_last_result"]
    return claude_json(Printed(json.dumps(last).encode()))


def test_codex_counts_the_difference_to_the_last_total_of_its_thread() -> None:
    first, second = reading("codex-0.171.0/tools"), reading("codex-0.171.0/resume2")
    assert of_this_turn(first, None, "total").usage["input_tokens"] == 3105
    assert of_this_turn(second, first.session_total, "total").usage["input_tokens"] == 4142 - 3105
    assert of_this_turn(second, {}, "total").usage == {}, "who knows what came before"


def test_a_turn_that_ended_for_its_budget_has_its_tokens() -> None:
    assert reading("claude-2.1.332/budget", 1).usage == {
        "input_tokens": 1067,
        "output_tokens": 117,
        "cached_input_tokens": 50,
        "cost_usd": pytest.approx(0.006418, abs=1e-6),
    }


def test_the_total_of_a_session_is_known_after_ion_has_died(tmp_path: Path) -> None:
    """It is in the event; the next turn may be another process's."""
    counter = tmp_path / "total"
    counter.write_text("0")
    program = (
        f"t=$(($(cat {counter}) + 100)); echo $t > {counter}; cat > /dev/null\n"
        'echo \'{"type": "thread.started", "thread_id": "t-1"}\'\n'
        'echo \'{"type": "item.completed", "item": {"type": "agent_message", "text": "ok"}}\'\n'
        'printf \'{"type": "turn.completed", "usage": {"input_tokens": %d, "output_tokens": 1}}\\n\' $t\n'
        f"[ $t != 200 ] || [ -e {tmp_path}/second ] || {{ touch {tmp_path}/second; exit 127; }}\n"
    )
    (tmp_path / "codex.sh").write_text(program)
    (tmp_path / ".ion" / "workflows").mkdir(parents=True)
    agents = f"agent: it\nagents: {{it: {{preset: codex, command: [bash, {tmp_path}/codex.sh]}}}}\n"
    (tmp_path / ".ion" / "config.yaml").write_text(agents)
    (tmp_path / ".ion" / "workflows" / "w.yaml").write_text(
        "name: w\ndescription: d\nnodes:\n  - {id: a, prompt: one}\n  - {id: b, prompt: two, depends_on: [a]}\n"
    )

    failed = ion.execute_workflow_sync("w", project=tmp_path)
    assert failed.data["nodes"]["b"]["status"] == "failed"
    run = ion.resume_workflow_sync(failed.run_id, project=tmp_path)
    assert run.status == "completed"
    # 100 for the first turn, 100 for the failed one, 100 for the last: no token twice, and none lost.
    assert run.data["usage"]["input_tokens"] == 300
    assert run.data["nodes"]["b"]["usage"]["input_tokens"] == 200
