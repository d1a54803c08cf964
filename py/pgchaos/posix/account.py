"""Does work as another account, in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

_LIMIT = 60  # seconds
_MOST = 2000  # characters of an error


def run_as(account: Mapping[str, Any], work: Callable[[], None]) -> str:
    """Call a function in a child process that belongs to an account. For a process with one thread.

    Args:
        account: as subprocess.Popen takes it; empty for the user of this process.
        work: what to do; it has the rights of the account, and the open files of this process. It must not import
            anything: the account may not be able to read Python's library.

    Returns:
        The error, or ''.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _work(account, work, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read(_MOST)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return text or (f"the process that did it ended with {code}" if code else "")


def _work(account: Mapping[str, Any], work: Callable[[], None], writing: int) -> None:
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
        os.write(writing, f"{type(error).__name__}: {error}".encode(errors="replace")[:_MOST])
    finally:
        os._exit(code)
