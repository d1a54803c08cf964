"""The clock of a run: seconds since the epoch, unaffected by changes of the wall clock."""

from __future__ import annotations

import time

_BEGAN = time.time() - time.monotonic()  # the wall clock's time at the zero of the monotonic clock


def now() -> float:
    """Return seconds since the epoch; differences are elapsed time, whatever happens to the wall clock."""
    return _BEGAN + time.monotonic()
