"""Killed again and again, a run completes or says that it is poisoned."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from commands import URLS, Site, assert_sound

from ion.core import events as e
from ion.core.events import NodeCompleted

LOOP = """
nodes:
  - {id: first, bash: echo one}
  - id: again
    depends_on: [first]
    loop:
      prompt: again
      until_bash: 'sleep 0.02; echo x >> turns; [ "$(wc -l < turns)" -ge 25 ]'
      max_iterations: 90
  - {id: last, depends_on: [again], bash: echo "$first.output two"}
"""


@pytest.fixture(params=URLS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, URLS[request.param])


def completed(site: Site) -> list[e.Event]:
    return [event for event in site.log() if isinstance(event, NodeCompleted)]


def test_killed_ten_times_in_a_row_it_completes_or_says_that_it_is_poisoned(site: Site) -> None:
    site.write(LOOP)
    moment = random.Random(site.url)
    begun, kept = False, list[e.Event]()
    for _kill in range(10):
        arguments = ("resume", site.id) if begun else ("run", "w", "--agent", "cat", "--run-id", site.id)
        process = site.start(*arguments)
        try:
            process.communicate(timeout=moment.uniform(0.1, 0.6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        store = site.store()
        begun = bool(store.list_workflow_runs(prefix=site.id))
        store.close()
        if begun:
            now = completed(site)
            assert now[: len(kept)] == kept
            kept = now
            assert site.shown()["status"] in ("interrupted", "failed", "completed")
    status, out, _ = site.run(*(("resume", site.id) if begun else arguments), "--json")
    shown = site.shown()
    if status == 1:
        assert json.loads(out)["error"]["code"] == "poisoned"
        assert "processes died one after the other" in shown["error"]["message"]
        assert site.run("resume", site.id)[0] == 0
    else:
        assert status == 0 or (status == 5 and shown["status"] == "completed")
    assert site.shown()["output"] == "one two"
    assert_sound(site)
