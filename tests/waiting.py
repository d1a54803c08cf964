"""Waiting for a state, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(state: Callable[[], T], what: str, limit: float = 60.0) -> T:
    """Poll until a state is reached.

    Args:
        state: returns something true when it is reached.
        what: the state in words, for the failure.
        limit: seconds to wait.

    Returns:
        What `state` returned.

    Raises:
        AssertionError: it was not reached in time.
    """
    end = time.monotonic() + limit
    while not (seen := state()):
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        time.sleep(0.005)  # the one place where tests poll
    return seen


def until_sql(condition: str) -> str:
    """Write a DO block that waits until a condition in SQL is true, for at least 60 s, and fails where it is not."""
    return (
        "DO $$ BEGIN FOR i IN 1..60000 LOOP PERFORM pg_stat_clear_snapshot();\n"
        f"  IF {condition} THEN RETURN; END IF;\n"
        "  PERFORM pg_sleep(0.001); END LOOP; RAISE 'it did not come'; END $$;"
    )
