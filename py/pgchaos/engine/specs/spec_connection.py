"""A connection of a spec: one of several that one thread drives in one poll loop.

What the server sends is kept in order, notices between results, until it is the connection's turn to be reported.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import run_sync
from pgchaos.isolation.model import decoded
from pgchaos.stop import Stop

Event: TypeAlias = "str | pq.abc.PGresult"
"""A notice, as libpq words it, or a result."""


class Interrupted(Exception):
    """The run is stopped, or its time is over: the message says which."""


class SpecConnection(Connection):
    """A connection that is pumped by who polls several."""

    no_data = b"a spec has no data for COPY FROM STDIN"

    def __init__(
        self, pg: pq.abc.PGconn, stop: Stop | None, notice: Callable[[pq.abc.PGresult], None] | None = None
    ) -> None:
        super().__init__(pg, stop, notice)
        self.events: deque[Event] = deque()
        self.copied: list[str] = []
        """What COPY TO STDOUT sent since the last query."""
        self._query = ""
        self._tags: list[str] = []
        self._failed = self._fatal = self._is_lookup = False

    def fileno(self) -> int:
        """Return the socket to poll; it changes never, and is -1 when the connection is gone."""
        try:
            return self._pg.socket
        except OperationalError:
            return -1

    @property
    def idle(self) -> bool:
        """Say whether it has nothing to do, and no transaction is open."""
        return not self.busy and self._pg.transaction_status == pq.TransactionStatus.IDLE

    def send(self, query: str, copy: str | None = None) -> None:
        """See Connection."""
        if not self._is_lookup:
            self.copied.clear()
            self._query, self._tags, self._failed = query, [], False
        super().send(query, copy)

    def pump(self) -> None:
        """Take what has come in; the socket was found ready. A connection that is gone is not busy any more."""
        if self._is_lookup:
            super().pump()
            return
        if self._fatal:
            # the server closes after FATAL: libpq finds the end, and words it as it does for isolationtester
            self._take_all()
            return
        try:
            super().pump()
        except OperationalError:
            self._take_all()
            return
        if not self.busy and self.created is not None:
            self.created.note_dropped(self._query)
            if not self._failed:
                self._look_up_created()

    def _look_up_created(self) -> None:
        """Ask something of the engine's own, between two queries of the spec; it takes no time to speak of."""
        assert self.created is not None, "asked before"
        self._is_lookup = True
        try:
            run_sync(self.created.add(self._query, self._tags, self._look_up))
        finally:
            self._is_lookup = False

    def _note(self, raw: pq.abc.PGresult, status: int) -> None:
        if self._is_lookup:
            super()._note(raw, status)
            return
        self.events.append(raw)
        if status == pq.ExecStatus.FATAL_ERROR:
            self._failed = True
            self._fatal = raw.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in (b"FATAL", b"PANIC")
        elif self.created is not None:
            self._tags.append((raw.command_status or b"").decode())

    def _copied(self, line: bytes) -> None:
        self.copied.append(decoded(line))

    def _on_notice(self, raw: pq.abc.PGresult) -> None:
        self.events.append(decoded(raw.error_message))

    def _take_all(self) -> None:
        while (raw := self._pg.get_result()) is not None:
            self.events.append(raw)
        self.busy = self._unsent = False

    def received(self) -> list[tuple[str, str, int]]:
        """Take the notifications that have come in: channel, payload and the sender's pid of each."""
        return [(decoded(note.relname), decoded(note.extra), note.be_pid) for note in self._notifies()]

    def try_cancel(self) -> bool:
        """Ask the server to cancel what runs here; no error when it cannot be asked."""
        return run_sync(self.cancel())

    @property
    def quiet(self) -> bool:
        """Say whether nothing has come in that was not asked for: not even the end of the connection."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)

    def drop(self, *, cancels: bool = True) -> bool:
        """End the connection, and what still runs on it.

        Args:
            cancels: false where that has been tried.

        Returns:
            False where the server does not answer.
        """
        # a backend notices the end of its client only when it next reads
        answers = not (cancels and self.busy and self.alive) or self.try_cancel()
        self._pg.finish()
        self.busy = False
        return answers

    def shut(self, patience: float) -> None:  # noqa: ARG002 nothing was begun
        """End it for good: it was kept for somebody who does not need it any more."""
        self.drop()
