"""What is not alike everywhere, each with its reason. Every one is held to be still needed."""

from __future__ import annotations

from parity.temporal_world import NoSuchThing

# Programs beside this one look into the store, or a test into the folder of a run: these are held against SQLite.
NOT_IN_MEMORY: dict[str, str] = {
    "test_fact_85_of_two_processes_that_resume_at_once_one_wins": "two other programs resume the run",
    "test_a_process_of_the_run_may_not_answer_its_gates": "a node's program answers a gate",
    "test_conditions_look_only_at_what_was_recorded": "a second world finds the output that the first has written out",
}
# Chance decides what the log says: these pass everywhere, and their logs are not compared.
BY_CHANCE: dict[str, str] = {
    "test_of_many_answers_at_once_exactly_one_wins": "which one does",
    "test_of_many_answers_at_once_to_a_store_that_lasts_exactly_one_wins": "which one does",
}
# The test, what comes instead of its success, and why.
NOT_ON_TEMPORAL: dict[str, tuple[type[BaseException], str]] = {}
