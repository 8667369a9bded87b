"""Who asks, and from where: part of the events of starts, answers and requests."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any


def who(via: str) -> dict[str, Any]:
    """User, host, pid of this process, and `via`: `cli`, `library` or `mcp`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return {"user": user, "host": socket.gethostname(), "pid": os.getpid(), "via": via}
