"""Parses durations: a number with its unit, such as `5ms`, `30s` or `2min`."""

from __future__ import annotations

import re

LONGEST = 86_400.0  # one day, in seconds
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|min|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float | None:
    """Return a duration in seconds; None if the text is not a number with its unit."""
    found = _DURATION.fullmatch(text)
    return None if found is None else float(found[1]) * _UNITS[found[2]]
