"""How fast Ion is, against the floor and against peers, all in one run: `uv run python -m bench`.

The machine under a benchmark changes from minute to minute, so nothing here is compared with a number from another
day: each work is done by every contender in turn, round after round, and what counts is the ratio within a round.
"""
