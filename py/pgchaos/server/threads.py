"""Starts threads, and formats the errors of threads."""

from __future__ import annotations

import resource
import threading
import traceback

from pgchaos.server.settings import ServerError


def start(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        ServerError: the system's limit of threads is reached.
    """
    try:
        thread.start()
    except RuntimeError as error:  # "can't start new thread"; it has no class of its own
        raise not_started(thread.name, error) from error


def not_started(name: str, error: RuntimeError) -> ServerError:
    """Make the error of a thread that could not be started; `error` is Python's."""
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limited = "" if limit == resource.RLIM_INFINITY else f", now {limit}"
    return ServerError(
        f"cannot start a thread for {name}, with {threading.active_count()} running: {error}: "
        f"raise the limit of processes (ulimit -u{limited}), or run less at once (--chaos-jobs, sessions `x N`)"
    )


def internal_error(where: str, error: BaseException) -> str:
    """Describe a bug of pgchaos in a thread, for threads that wait for it."""
    return "\n".join((f"internal error of pgchaos {where}:", *traceback_lines(error)))


def traceback_lines(error: BaseException) -> tuple[str, ...]:
    """Return the lines of an error's traceback, so that another thread can report it."""
    return tuple("".join(traceback.format_exception(error)).rstrip().splitlines())
