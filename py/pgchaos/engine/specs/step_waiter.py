"""Waits until a step is over or known to be blocked."""

from __future__ import annotations

import time
from collections.abc import Callable

from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.spec_connection import SpecConnection
from pgchaos.isolation.blocked import is_blocked_for_good

_SOON, _LATE = 0.0005, 0.005
"""Seconds to the first look at a step that runs, and at most between later ones, on a machine that is not busy."""
_LATEST = 0.01
"""Seconds to the first look at most: isolationtester's."""
_SURE = 2
"""A step that runs as many times as long as it did before, or as a look, is worth a look."""
_TRANSIENT = 0.1
"""Seconds after which a wait for a session that runs itself is taken for lasting; isolationtester takes 10 ms."""
_PREPARED = 1.0
"""Seconds after which somebody is asked whether it is a prepared transaction that a step waits for: isolationtester
does not see that, so nothing shorter than a lock_timeout may change its output."""
_AFTER = 0.001
"""Seconds after a limit at which it is sure to have passed."""
_END = 1.0
"""Seconds for the look at whom a step waits for that is about to be cancelled."""


class TooLong(Exception):
    """A step did not end although it was cancelled: after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"timed out after {seconds:.0f} seconds")


class StepWaiter:
    """Waits for steps: after `limit` seconds one is to be cancelled, after twice as long it is given up."""

    def __init__(self, waiting: Poller, watch: BlockedDetector, limit: float) -> None:
        self._waiting, self._watch, self._limit = waiting, watch, limit
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
        """Wait until what runs on a connection is over or, where that is enough, blocked.

        Args:
            connection: of the step.
            step: its name.
            locks: be content where it is blocked.
            first: it was launched just now.
            on_input: called when something may have come in.
            late: called with the seconds that it took up to now, once, when it is to be cancelled.

        Raises:
            TooLong: it did not end although it was cancelled.
            Interrupted: stopped, or the time of the whole run is over.
        """
        began = time.monotonic()
        pause, cancelled, looking, blocked = self._pause(step), False, False, False
        due = began + pause
        if not first:
            # others have gone on meanwhile: what they let go, the server knows at once
            self._waiting.poll(0.0)
            due = began
        while connection.busy:
            now = time.monotonic()
            free = locks and not looking and not self._watch.connection.busy
            if looking and not self._watch.connection.busy:
                self._answered = (self._answered + now - self._asked) / 2
                if blocked := self._blocked(connection, now - began):
                    break
                looking, due, pause = False, now + pause, min(max(_LATE, pause), 2 * pause)
            elif free and now >= due:
                # not waited for alone: the step may be over before
                self._waiting.add(self._watch.begin(other.pid for other in self._busy()))
                looking, self._asked = True, now
            elif now - began > 2 * self._limit:
                raise TooLong(now - began)
            elif now - began > self._limit and not cancelled:
                late(now - began)
                cancelled = True
            else:
                end = began + (2 if cancelled else 1) * self._limit + _AFTER
                self._waiting.poll((min(due, end) if free else end) - now)
            on_input()
        on_input()
        if first and not blocked:
            took = time.monotonic() - began
            self._usual[step] = (self._usual.get(step, took) + took) / 2

    def _pause(self, step: str) -> float:
        """Say how long to leave a step alone: nobody asks of one that goes as usual, nor more of a busy machine."""
        return min(_LATEST, max(_SOON, _SURE * self._usual.get(step, 0.0), _SURE * self._answered))

    def _busy(self) -> list[SpecConnection]:
        return [connection for connection in self._waiting.busy() if connection is not self._watch.connection]

    def _blocked(self, connection: SpecConnection, since: float) -> bool:
        seen = self._watch.seen()
        # what came in since the look was sent: results of those who are not blocked any more, notices of the others
        self._waiting.poll(0.0)
        if not connection.busy:
            return False
        if not seen[connection.pid].blocked:
            return since > _PREPARED and self._watch.waits_for_prepared(connection.pid)
        return is_blocked_for_good(connection.pid, seen, [other.pid for other in self._busy()]) or since > _TRANSIENT

    def blockers_of(self, connection: SpecConnection) -> set[int]:
        """Tell whom what runs on a connection waits for: backends by their pids."""
        detector = self._watch.connection
        if not self._waiting.until_over([detector], _END):
            return set()
        self._waiting.add(self._watch.begin([connection.pid]))
        if not self._waiting.until_over([detector], _END):
            return set()
        return set(self._watch.seen()[connection.pid].by)
