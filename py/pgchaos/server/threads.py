"""Threads are started here, and an error in one is never lost."""

from __future__ import annotations

import resource
import threading
import traceback

from pgchaos.server.settings import ServerError


def start(thread: threading.Thread) -> None:
    """Start a thread.

    Args:
        thread: not started yet.

    Raises:
        ServerError: the system has no room for one more.
    """
    try:
        thread.start()
    except RuntimeError as error:  # "can't start new thread"; it has no class of its own
        limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        limited = "" if limit == resource.RLIM_INFINITY else f", now {limit}"
        raise ServerError(
            f"cannot start a thread for {thread.name}, with {threading.active_count()} running: {error}: "
            f"raise the limit of processes (ulimit -u{limited}), or run less at once (--chaos-jobs, sessions `x N`)"
        ) from error


def traceback_lines(error: BaseException) -> tuple[str, ...]:
    """Write an error down, so that another thread can show where it came from.

    Args:
        error: that was caught.

    Returns:
        The lines of its traceback.
    """
    return tuple("".join(traceback.format_exception(error)).rstrip().splitlines())
