"""A project folder and a store of each kind for each test."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import emptied_database

import ion
from ion.stores.base import WorkflowStore

# A share of the tests, for each commit and connection there costs more: runs, blobs, requests, cancel, a lease raced.
ON_POSTGRES = (
    "test_a_chain_hands_its_values_on",
    "test_without_an_agent_prompts_wait_and_an_answer_goes_on",
    "test_resume_keeps_what_completed_and_its_exact_output",
    "test_cancel_ends_a_running_process_group_and_skips_the_rest",
    "test_interrupting_the_driver_ends_its_processes_and_leaves_the_run_resumable",
    "test_nobody_answers_in_time_then_somebody_does",
    "test_of_two_resumers_one_owns_the_run_and_the_other_is_told",
)

# What waits for real seconds, and whose subject is the driver's clock: one store shows it.
ON_SQLITE_ALONE = (
    "test_time_stands_still_while_a_person_decides",
    "test_the_runs_timeout_ends_it",
    "test_a_composite_that_takes_too_long_is_stopped_with_all_its_processes",
    "test_two_mirrored_chains_take_the_longest_path_and_not_the_sum_of_layers",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".ion" / "workflows").mkdir(parents=True)
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store" in metafunc.fixturenames:
        urls, name = ["memory:", "sqlite:.ion/ion.db", "file:.ion/store"], metafunc.function.__name__
        if name in ON_SQLITE_ALONE:
            urls = ["sqlite:.ion/ion.db"]
        metafunc.parametrize("store", [*urls, "postgresql:"] if name in ON_POSTGRES else urls, indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest, project: Path) -> Iterator[WorkflowStore]:
    url = emptied_database(project) if request.param == "postgresql:" else request.param
    opened = ion.create_store(url, project=project)
    yield opened
    opened.close()


@pytest.fixture
def write(project: Path) -> Callable[..., Path]:
    """Write a workflow file into the project; gives its path."""

    def _write(text: str, name: str = "w") -> Path:
        place = project / ".ion" / "workflows" / f"{name}.yaml"
        place.write_text(f"name: {name}\ndescription: test\n" + textwrap.dedent(text))
        return place

    return _write
