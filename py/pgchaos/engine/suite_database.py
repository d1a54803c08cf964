"""The one database of plain pgTAP files that build on each other: what a file commits is there for the next."""

from __future__ import annotations

from collections.abc import Sequence

from pgchaos.engine import leaks
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.created import Created, Thing
from pgchaos.engine.loop import alone
from pgchaos.server import Sandbox
from pgchaos.stop import Stop

_LIMIT = 5.0
"""Seconds to connect in."""


class SuiteDatabase:
    """A database that several files use, one after the other; what they leave on the server goes after the last."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.created = None if sandbox.ours else Created()
        self.files = 0
        """How many have run so far."""
        self._before: Sequence[Thing] = ()
        self._sources: list[str] = []

    def took(self, source: str, before: Sequence[Thing]) -> None:
        """Take note of a file that has run, with what `leaks.SHARED` said before."""
        if not self.files:
            self._before = before
        self.files += 1
        self._sources.append(source)

    def clean_up(self) -> list[str]:
        """Remove what the files left on the whole server, such as roles; return what could not be removed, and why."""
        if not self.files:
            return []
        whose = leaks.Whose("\n".join(self._sources), self.created, before=self._before)
        stop = Stop()
        try:
            connection = alone(Connection.open(self.sandbox.conninfo, stop, seconds=_LIMIT))
            # one that is late is late for all that is asked
            connection.ends_when_late = True
            try:
                return leaks.left(leaks.remove_new(connection, whose))
            finally:
                connection.close()
        except ConnectionLost as refused:
            return [f"what the files left on the server was not removed: {refused.error.message}"]
        finally:
            stop.close()
