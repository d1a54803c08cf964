"""Runs a function as another account, in a child process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

_LIMIT = 60  # seconds
_MAX_ERROR = 2000  # bytes


def run_as(account: Mapping[str, Any], work: Callable[[], None], wait: Callable[[int], None] | None = None) -> str:
    """Call a function in a child process that belongs to an account. For a process with one thread.

    Args:
        account: as subprocess.Popen takes it; empty for the user of this process.
        work: called with the rights of the account and the open files of this process. It must not import
            anything: the account may not be able to read Python's library.
        wait: waits until a file can be read, if given; what it raises ends the child process.

    Returns:
        The error, or ''.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _work(account, work, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as pipe:
            if wait is not None:
                wait(reader)
            text = pipe.read(_MAX_ERROR)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return text or (f"the process that did it ended with {code}" if code else "")


def _work(account: Mapping[str, Any], work: Callable[[], None], writer: int) -> None:
    code = 1
    try:
        signal.alarm(_LIMIT)  # its default action ends this process
        os.chdir("/")
        os.umask(0o077)
        if account:
            os.setgroups(account["extra_groups"])
            os.setgid(account["group"])
            os.setuid(account["user"])
        work()
        code = 0
    except BaseException as error:
        os.write(writer, f"{type(error).__name__}: {error}".encode(errors="replace")[:_MAX_ERROR])
    finally:
        os._exit(code)
