"""`{name}` in a text: how SOPs, and defaults with `refers_to`, name an input. `{{x}}` and a shell's `${x}` are not
placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ion.language.patterns import pattern

PLACEHOLDER = pattern(r"(?<![{$])\{([A-Za-z_][A-Za-z0-9_-]*)\}(?!\})", re.ASCII)


def fill_placeholders(text: str, values: Mapping[str, str]) -> str:
    """`text` with the placeholders that `values` names filled in, in one pass; the others stay as they are."""
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)
