"""Names in error messages: what was meant, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(name: str, candidates: Iterable[str]) -> str:
    """A hint to append to an error, upper and lower case alike: ", did you mean 'x'?" or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f", did you mean {by_lower[match[0]]!r}?" if match else ""


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        ValueError: naming the field, the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(choices)}{closest(value, choices)}")
