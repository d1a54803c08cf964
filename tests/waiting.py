"""Waiting for a state, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(state: Callable[[], T], what: str, limit: float = 15.0) -> T:
    """Look again and again until a state is there.

    Args:
        state: true as soon as it is.
        what: the state in words, for the failure.
        limit: seconds to wait.

    Returns:
        What `state` returned.

    Raises:
        AssertionError: it did not come in time.
    """
    end = time.monotonic() + limit
    while not (seen := state()):
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        time.sleep(0.005)
    return seen
