"""What holds for every test: none is timed, since machines are busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ion", deadline=None)
settings.load_profile("ion")
