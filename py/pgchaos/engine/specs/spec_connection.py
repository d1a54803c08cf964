"""A connection of a spec, one of several in one poll loop.

It keeps notices and results in order, until the step is reported.
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
from pgchaos.server_text import decoded
from pgchaos.stop import Stop

Event: TypeAlias = "str | pq.abc.PGresult"
"""A notice, as libpq formats it, or a result."""


class Interrupted(Exception):
    """The run is stopped, or its time is over; the message has the reason."""


class SpecConnection(Connection):
    """A connection that a Poller pumps."""

    no_data = b"a spec has no data for COPY FROM STDIN"

    def __init__(
        self, pg: pq.abc.PGconn, stop: Stop | None, notice: Callable[[pq.abc.PGresult], None] | None = None
    ) -> None:
        super().__init__(pg, stop, notice)
        self.events: deque[Event] = deque()
        self.copied: list[str] = []
        """The data of COPY TO STDOUT since the last query."""
        self._query = ""
        self._tags: list[str] = []
        self._failed = self._fatal = self._is_lookup = False

    def fileno(self) -> int:
        """Return the socket to poll, which never changes; -1 if the connection is lost."""
        try:
            return self._pg.socket
        except OperationalError:
            return -1

    @property
    def idle(self) -> bool:
        """Whether no query runs and no transaction is open."""
        return not self.busy and self._pg.transaction_status == pq.TransactionStatus.IDLE

    def send(self, query: str, copy: str | None = None) -> None:
        """See Connection."""
        if not self._is_lookup:
            self.copied.clear()
            self._query, self._tags, self._failed = query, [], False
        super().send(query, copy)

    def pump(self) -> None:
        """Process the received data, when the socket is ready. A lost connection is no longer busy."""
        if self._is_lookup:
            super().pump()
            return
        if self._fatal:
            # the server closes after FATAL: let libpq report the end, in the same words as to isolationtester
            self._read_rest()
            return
        try:
            super().pump()
        except OperationalError:
            self._read_rest()
            return
        if not self.busy and self.created is not None:
            self.created.note_dropped(self._query)
            if not self._failed:
                self._look_up_created()

    def _look_up_created(self) -> None:
        """Look up created objects between two queries of the spec, which takes little time."""
        assert self.created is not None, "see pump"
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

    def _read_rest(self) -> None:
        while (raw := self._pg.get_result()) is not None:
            self.events.append(raw)
        self.busy = self._unsent = False

    def received(self) -> list[tuple[str, str, int]]:
        """Return the received notifications: channel, payload and sender's pid of each."""
        return [(decoded(note.relname), decoded(note.extra), note.be_pid) for note in self._notifies()]

    def try_cancel(self) -> bool:
        """Call `cancel` without a loop."""
        return run_sync(self.cancel())

    @property
    def quiet(self) -> bool:
        """Whether no unexpected data has come in, not even the end of the connection."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)

    def drop(self, *, cancels: bool = True) -> bool:
        """End the connection, and cancel its query.

        Args:
            cancels: False if that was tried already.

        Returns:
            False if the server does not answer.
        """
        # a backend notices the end of its client only when it next reads
        answers = not (cancels and self.busy and self.alive) or self.try_cancel()
        self._pg.finish()
        self.busy = False
        return answers

    def shut(self, patience: float) -> None:  # noqa: ARG002 there is no reset to wait for
        """Close it, when its cache is closed."""
        self.drop()
