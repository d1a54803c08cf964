"""The time of what a run records and decides by: seconds since the epoch that no setting of the wall clock moves."""

from __future__ import annotations

import time

_BEGAN = time.time() - time.monotonic()
"""When the monotonic clock was zero, as the wall clock said when this was loaded."""


def now() -> float:
    """Tell the time.

    Returns:
        Seconds since the epoch. Two of them may be compared: they differ by what has elapsed, whatever was done to the
        wall clock meanwhile.
    """
    return _BEGAN + time.monotonic()
