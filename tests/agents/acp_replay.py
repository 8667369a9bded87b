"""Plays back what a real agent said: `acp_replay.py FILE`, a recording of `acp_wire/`.

Each line is a message, of the client or of the agent. To the client's next request of a method it answers what the
agent answered in the recording, with everything that came before that answer. What was not recorded, such as a mode
that is set, is granted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    at = 0
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        if "method" not in asked or "id" not in asked:
            continue
        found = next((i for i in range(at, len(lines)) if _is_request(lines[i], asked["method"])), None)
        if found is None:
            granted: dict[str, Any] = {"configOptions": []} if asked["method"] == "session/set_config_option" else {}
            _send({"id": asked["id"], "result": granted})
            continue
        at = found + 1
        number = lines[found]["message"]["id"]
        while at < len(lines):
            said, at = lines[at], at + 1
            if said["from"] == "client":
                continue
            message = said["message"]
            if "method" not in message and message.get("id") == number:
                _send({**message, "id": asked["id"]})
                break
            _send(message)
            if "method" in message and "id" in message:  # it goes on when it has been answered
                sys.stdin.buffer.readline()


def _is_request(line: dict[str, Any], method: str) -> bool:
    return line["from"] == "client" and line["message"].get("method") == method


def _send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
