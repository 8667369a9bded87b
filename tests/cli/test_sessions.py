"""Whose session a prompt continues is shown before and after it ran, also where only the graph's shape says so."""

from __future__ import annotations

import pytest

from .kit import Ion, Project

ALONE = """
name: alone
description: Two prompts in a row
nodes:
  - {id: plan, prompt: plan it}
  - {id: do, depends_on: [plan], prompt: do it}
"""
BESIDE = ALONE + "  - {id: lint, depends_on: [plan], bash: 'true'}\n"


@pytest.mark.parametrize(("text", "continues"), [(ALONE, True), (BESIDE, False)], ids=["alone", "a node beside it"])
def test_graph_and_show_say_whose_session_continues(ion: Ion, project: Project, text: str, continues: bool) -> None:
    project.write("alone", text)
    assert ("do continues the session of plan" in ion("graph", "alone").out) is continues
    ion("run", "alone", "--agent", "cat", "--run-id", "r1", "--quiet")
    assert ("the session of plan" in ion("show", "r1", "do").out) is continues
    assert ('"continues": "plan"' in ion("graph", "alone", "--json").out) is continues
