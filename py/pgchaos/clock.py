"""The clock of a run: seconds since the epoch. Changes of the wall clock do not affect it."""

from __future__ import annotations

import time

_ZERO = time.time() - time.monotonic()  # the wall-clock time when the monotonic clock was 0


def now() -> float:
    """Return seconds since the epoch. The difference of two values is elapsed time."""
    return _ZERO + time.monotonic()
