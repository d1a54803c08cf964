"""The shared database of plain pgTAP files that build on each other: each sees what earlier ones have committed."""

from __future__ import annotations

from collections.abc import Sequence

from pgchaos.engine import leaks
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.created import Created, Thing
from pgchaos.engine.loop import run_sync
from pgchaos.server import Sandbox
from pgchaos.stop import Stop

_LIMIT = 5.0
"""Seconds to connect within."""


class SuiteDatabase:
    """A database that several files use in turn; what they leave on the server is removed after the last."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.created = None if sandbox.ours else Created()
        self.files = 0
        """The number of files that have run."""
        self._before: Sequence[Thing] = ()
        self._sources: list[str] = []

    def add_file(self, source: str, before: Sequence[Thing]) -> None:
        """Record a file that has run, with the result of `leaks.SHARED` before it."""
        if not self.files:
            self._before = before
        self.files += 1
        self._sources.append(source)

    def clean_up(self) -> list[str]:
        """Remove what the files left on the whole server, such as roles; return what could not be removed, and why."""
        if not self.files:
            return []
        ownership = leaks.Ownership("\n".join(self._sources), self.created, before=self._before)
        stop = Stop()
        try:
            connection = run_sync(Connection.open(self.sandbox.conninfo, stop, seconds=_LIMIT))
            # do not wait for a server that is late
            connection.ends_when_late = True
            try:
                return leaks.left(leaks.remove_new(connection, ownership))
            finally:
                connection.close()
        except ConnectionLost as refused:
            return [f"what the files left on the server was not removed: {refused.error.message}"]
        finally:
            stop.close()
