"""Waits until a step has ended or is known to be blocked."""

from __future__ import annotations

import time
from collections.abc import Callable

from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.spec_connection import SpecConnection
from pgchaos.isolation.blocked import is_blocked_for_good

_SOON, _LATE = 0.0005, 0.005
"""Seconds to the first query for a running step, and at most between later ones, on an idle machine."""
_LATEST = 0.01
"""Seconds to the first query at most, as in isolationtester."""
_SURE = 2
"""Query when a step has run this many times as long as before, or as a query takes."""
_TRANSIENT = 0.1
"""Seconds after which a wait for a session that runs counts as lasting; 10 ms in isolationtester."""
_PREPARED = 1.0
"""Seconds after which a query checks whether a prepared transaction blocks a step. isolationtester does not see that,
so a shorter limit than a spec's lock_timeout would change the output."""
_AFTER = 0.001
"""Seconds to wait beyond a limit, so that it has surely passed."""
_END = 1.0
"""Seconds for the query for the blockers of a step that is about to be cancelled."""


class TooLong(Exception):
    """A cancelled step did not end."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"timed out after {seconds:.0f} seconds")


class StepWaiter:
    """Waits for steps: after `limit` seconds a step is cancelled, after twice as long it is given up."""

    def __init__(self, poller: Poller, watch: BlockedDetector, limit: float) -> None:
        self._poller, self._watch, self._limit = poller, watch, limit
        self._usual: dict[str, float] = {}
        self._asked = self._answered = 0.0

    def wait(
        self,
        connection: SpecConnection,
        step: str,
        *,
        locks: bool,
        first: bool,
        on_input: Callable[[], object],
        late: Callable[[float], object],
    ) -> None:
        """Wait until the query of a connection has ended or, if that is enough, is blocked.

        Args:
            connection: of the step.
            step: its name.
            locks: it is enough that it is blocked.
            first: it was just launched.
            on_input: called when data may have come in.
            late: called once with the seconds so far, to cancel it.

        Raises:
            TooLong: it did not end although it was cancelled.
            Interrupted: stopped, or the time of the whole run is over.
        """
        began = time.monotonic()
        pause, cancelled, querying, blocked = self._pause(step), False, False, False
        due = began + pause
        if not first:
            # others have run meanwhile: the server knows the locks that they released at once
            self._poller.poll(0.0)
            due = began
        while connection.busy:
            now = time.monotonic()
            free = locks and not querying and not self._watch.connection.busy
            if querying and not self._watch.connection.busy:
                self._answered = (self._answered + now - self._asked) / 2
                if blocked := self._blocked(connection, now - began):
                    break
                querying, due, pause = False, now + pause, min(max(_LATE, pause), 2 * pause)
            elif free and now >= due:
                # polled with the others: the step may end before the query
                self._poller.add(self._watch.begin(other.pid for other in self._busy()))
                querying, self._asked = True, now
            elif now - began > 2 * self._limit:
                raise TooLong(now - began)
            elif now - began > self._limit and not cancelled:
                late(now - began)
                cancelled = True
            else:
                end = began + (2 if cancelled else 1) * self._limit + _AFTER
                self._poller.poll((min(due, end) if free else end) - now)
            on_input()
        on_input()
        if first and not blocked:
            took = time.monotonic() - began
            self._usual[step] = (self._usual.get(step, took) + took) / 2

    def _pause(self, step: str) -> float:
        """Return the seconds before the first query: none for a step of usual duration, fewer on a busy machine."""
        return min(_LATEST, max(_SOON, _SURE * self._usual.get(step, 0.0), _SURE * self._answered))

    def _busy(self) -> list[SpecConnection]:
        return [connection for connection in self._poller.busy() if connection is not self._watch.connection]

    def _blocked(self, connection: SpecConnection, since: float) -> bool:
        seen = self._watch.seen()
        # data since the query was sent: results of steps that are no longer blocked, notices of the others
        self._poller.poll(0.0)
        if not connection.busy:
            return False
        if not seen[connection.pid].blocked:
            return since > _PREPARED and self._watch.waits_for_prepared(connection.pid)
        return is_blocked_for_good(connection.pid, seen, [other.pid for other in self._busy()]) or since > _TRANSIENT

    def blockers_of(self, connection: SpecConnection) -> set[int]:
        """Return the pids of the backends that block a connection."""
        detector = self._watch.connection
        if not self._poller.until_over([detector], _END):
            return set()
        self._poller.add(self._watch.begin([connection.pid]))
        if not self._poller.until_over([detector], _END):
            return set()
        return set(self._watch.seen()[connection.pid].by)
