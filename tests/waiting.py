"""Waiting for a state, with a limit."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(state: Callable[[], T], what: str, limit: float = 60.0) -> T:
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
        time.sleep(0.005)  # the one place where tests wait by looking
    return seen


def stands_waiting(thread: int | None) -> bool:
    """Say whether a thread has come to where it waits on a condition.

    Args:
        thread: by its ident; None where it has not begun.
    """
    frame = sys._current_frames().get(thread or 0)
    return frame is not None and frame.f_code.co_filename == threading.__file__ and frame.f_code.co_name == "wait"


def until_sql(condition: str) -> str:
    """Write a statement that waits on the server until a state is there, with a limit of at least 60 s.

    Args:
        condition: in SQL; what pg_stat_activity shows is looked at anew each time.

    Returns:
        The statement, a DO block; it fails where the state does not come in time.
    """
    return (
        "DO $$ BEGIN FOR i IN 1..60000 LOOP PERFORM pg_stat_clear_snapshot();\n"
        f"  IF {condition} THEN RETURN; END IF;\n"
        "  PERFORM pg_sleep(0.001); END LOOP; RAISE 'it did not come'; END $$;"
    )
