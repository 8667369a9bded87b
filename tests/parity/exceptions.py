"""What is not alike everywhere, each with its reason.

On Temporal each exception has to be one: a test that stands here and passes fails (xfail, strictly).
"""

from __future__ import annotations

import pytest

from parity.temporal_world import NoSuchThing

# Programs beside this one look into the store, or into what another world has written: these are held against SQLite.
NOT_IN_MEMORY = {
    "test_fact_85_of_two_processes_that_resume_at_once_one_wins": "two other programs resume the run",
    "test_a_process_of_the_run_may_not_answer_its_gates": "a node's program answers a gate",
    "test_conditions_look_only_at_what_was_recorded": "a second world finds the output that the first has written out",
}

# Chance decides what the log says: these pass everywhere, and their logs are not compared.
BY_CHANCE = {
    "test_of_many_answers_at_once_exactly_one_wins": "which one does",
    "test_of_many_answers_at_once_to_a_store_that_lasts_exactly_one_wins": "which one does",
}

_INTERRUPTED = "Ctrl-C in the driver's process: a cluster's run has none (tests/engine kills workers instead)"
# The test, what comes instead of its success, and why.
NOT_ON_TEMPORAL: dict[str, tuple[type[BaseException], str]] = {
    "test_a_cancel_of_an_interrupted_run_runs_nothing_again": (NoSuchThing, _INTERRUPTED),
    "test_a_conversation_goes_on_after_a_resume": (NoSuchThing, _INTERRUPTED),
    "test_a_retry_that_was_waited_for_is_made_by_a_resume": (NoSuchThing, _INTERRUPTED),
    "test_a_runs_timeout_stands_still_while_it_is_interrupted": (NoSuchThing, _INTERRUPTED),
    "test_after_an_interruption_a_loop_goes_on_with_that_iteration": (NoSuchThing, _INTERRUPTED),
    "test_an_answer_to_an_interrupted_run_is_kept_for_whoever_goes_on": (NoSuchThing, _INTERRUPTED),
    "test_an_interrupted_run_says_so_and_has_no_end": (NoSuchThing, _INTERRUPTED),
    "test_failed_skipped_and_interrupted_nodes_are_decided_anew": (NoSuchThing, _INTERRUPTED),
    "test_time_that_was_used_before_an_interruption_counts": (NoSuchThing, _INTERRUPTED),
    "test_an_agent_of_the_program_must_be_given_again": (pytest.fail.Exception, "the worker has it, nobody gives it"),
    "test_fact_65_without_bash_no_run_begins": (
        pytest.fail.Exception,
        "the workers need the runtimes, not whoever begins the run: the node fails there",
    ),
    "test_a_frozen_script_that_somebody_changed_is_refused": (
        pytest.fail.Exception,
        "the copy is one of the worker's, which says so when the turn begins: the node fails with the code `changed`",
    ),
    "test_fact_85_of_two_processes_that_resume_at_once_one_wins": (
        AssertionError,
        "neither drives the run: both are told that the cluster goes on with it",
    ),
}
