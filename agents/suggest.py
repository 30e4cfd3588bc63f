"""The closest known name, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, candidates: Iterable[str]) -> str:
    """A hint to append to an error, upper and lower case alike: ", did you mean 'x'?" or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f", did you mean {by_lower[match[0]]!r}?" if match else ""
