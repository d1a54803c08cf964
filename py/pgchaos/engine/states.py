"""The SQLSTATE of a refused connection, in whatever language the server speaks.

libpq has no function that gives it, but puts it into its message where that is to be verbose (PostgreSQL docs,
"PQsetErrorVerbosity"). psycopg does not offer that function; the library is loaded already, and is asked for it.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from psycopg import pq

_DEFAULT, _VERBOSE = 1, 2
_STATED = re.compile(r"(?<=:  )([0-9A-Z]{5}): ")
"""Between severity and message (pqBuildErrorMessage3 in fe-protocol3.c)."""
_LOCATION = re.compile(r"\n[^\n]*:  [^\n]*\.c:\d+$", re.MULTILINE)
"""The line that names the server's source, its label in the server's language."""


@contextmanager
def telling_states(pg: pq.abc.PGconn) -> Iterator[None]:
    """Have a connection's messages hold their SQLSTATEs while it is being made.

    Args:
        pg: the connection.
    """
    set_verbosity = _verbosity()
    if set_verbosity is None:
        yield
        return
    pointer: int | None = pg.pgconn_ptr  # type: ignore[attr-defined]  # of both builds, though not of the protocol
    set_verbosity(pointer, _VERBOSE)
    yield
    set_verbosity(pointer, _DEFAULT)


def state_of(message: str) -> tuple[str | None, str]:
    """Take the SQLSTATE out of a message.

    Args:
        message: of a connection that was refused under `telling_states`.

    Returns:
        The last state in it, or None; and the message as it is without.
    """
    found = _STATED.findall(message)
    if found:
        return found[-1], _LOCATION.sub("", _STATED.sub("", message))
    english = next((state for part, state in _REFUSALS.items() if part in message), None)
    return english, message


@lru_cache(maxsize=1)
def _verbosity() -> Callable[[int | None, int], int] | None:
    """Find the function of the libpq that psycopg uses; None where it cannot be had."""
    module = sys.modules[pq.PGconn.__module__]
    try:
        library = getattr(module, "pq", None) if pq.__impl__ == "python" else ctypes.CDLL(module.__file__)
        assert library is not None
        function: Callable[[int | None, int], int] = library.PQsetErrorVerbosity
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]  # type: ignore[attr-defined]  # of ctypes' own kind
    except (OSError, AttributeError, AssertionError, TypeError):  # a build that hides it
        return None
    return function


_REFUSALS = {
    "sorry, too many clients already": "53300",
    "remaining connection slots are reserved": "53300",
    "too many connections for": "53300",
    "the database system is starting up": "57P03",
    "the database system is shutting down": "57P03",
    "the database system is in recovery mode": "57P03",
    "the database system is not yet accepting connections": "57P03",
    "the database system is not accepting connections": "57P03",
    "is not permitted to log in": "28000",
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
}
"""Refusals by postmaster.c, postinit.c and auth.c, for where only their English can be read."""
