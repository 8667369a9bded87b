"""What is a valid name, wherever it comes from: a workflow file, the command line, an imported file, a database that
others can write to, a cluster. One rule for each kind of name.

A name can become a file name, so these rules also keep a run's files in its own folder.
"""

from __future__ import annotations

import re

# The names that texts and environments have inside of a fan_out alone (language.md §13), and all that one turn has and
# another has not, beside the node's id and key.
ITEM_NAMES = ("ITEM_INDEX", "ITEM_COUNT")
NAMES_OF_A_TURN = (
    "LOOP_ITERATION",
    "LOOP_OUTPUT",
    "LOOP_PREV_OUTPUT",
    "LOOP_USER_INPUT",
    "REJECTION_REASON",
    "REWORK",
    *ITEM_NAMES,
)
RESERVED_NODE_IDS = ("INPUTS", "LOOP_PREV", "RUN")
RUN_ID_RULE = "up to 64 of a-z 0-9 _ -, beginning with a letter or digit, and not 'last'"
# The last moment that a calendar of four digits knows: 9999-12-31, in ms since the epoch.
LATEST_MS = 253_402_300_799_999
# As patterns that stand for a whole text.
_ID = "[A-Za-z_][A-Za-z0-9_-]*"
NODE_ID = rf"^(?!({'|'.join(RESERVED_NODE_IDS)})\Z){_ID}\Z"
# What runs is an instance of a node: an item of a fan-out, an iteration, a node inside of one (language.md §13).
ADDRESS = rf"^(?!({'|'.join(RESERVED_NODE_IDS)})\Z){_ID}(\.(0|[1-9][0-9]{{0,8}}|{_ID}))*\Z"
# What a signal is called.
SIGNAL = r"^[A-Za-z0-9._-]{1,200}\Z"
SHA256 = r"^[0-9a-f]{64}\Z"
_NODE_ID = re.compile(NODE_ID)
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_SIGNAL = re.compile(SIGNAL)
_SHA256 = re.compile(SHA256)
_BRACKETS = re.compile(r"\[([0-9]+)\]")
_LONGEST_FILE_NAME = 255


def is_node_id(name: object) -> bool:
    """Whether this is a valid node id (language.md §3)."""
    return isinstance(name, str) and _NODE_ID.match(name) is not None


def as_address(name: str) -> str:
    """An address as a person may write it, `review[2].lint`, as it is: `review.2.lint`."""
    return _BRACKETS.sub(r".\1", name)


def is_within(address: str, other: str) -> bool:
    """Whether this is the address of the other instance, or of one inside of it."""
    return address == other or address.startswith(f"{other}.")


def is_run_id(name: object) -> bool:
    """Whether this is a valid run id: every command can then name it, and `last` stays the newest."""
    return isinstance(name, str) and _RUN_ID.fullmatch(name) is not None and name != "last"


def is_signal_name(name: object) -> bool:
    """Whether a signal can be called so."""
    return isinstance(name, str) and _SIGNAL.match(name) is not None


def is_file_name(name: object) -> bool:
    """Whether this is the name of a file in a folder, not a path to another one."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    return len(name.encode("utf-8", "surrogatepass")) <= _LONGEST_FILE_NAME


def is_relative_path(path: object) -> bool:
    """Whether this leads to a file below a folder, part by part, and never out of it."""
    return isinstance(path, str) and all(map(is_file_name, path.split("/")))


def is_sha256(text: object) -> bool:
    """Whether this is a hash as Ion writes it."""
    return isinstance(text, str) and _SHA256.match(text) is not None


def is_moment(value: object) -> bool:
    """Whether this is a time in ms since the epoch that a calendar can show."""
    return type(value) is int and 0 <= value <= LATEST_MS
