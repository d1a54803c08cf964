"""Holds the server's answer to a session back, so that a network fault can be delivered between the two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pgchaos.engine.coordinator import Halted
from pgchaos.engine.faults.actions import OVER, TargetGone
from pgchaos.engine.proxy.link import Link
from pgchaos.engine.waits import sleep
from pgchaos.stop import Stop

_POLL_INTERVAL = 0.001


class AnswerHold:
    """Holds the answer to one statement back: the server has sent it, the session has not received it.

    Args:
        find: returns the link of the connection that sends the statement, or raises TargetGone.
        stop: of the sessions.
    """

    def __init__(self, find: Callable[[], Link], stop: Stop) -> None:
        self._find, self._stop = find, stop
        self._link: Link | None = None

    def arm(self) -> None:
        """Hold the answer to the next request; do nothing if the connection has ended, as others will find that."""
        if self._link is None:
            with suppress(TargetGone):  # it has ended
                self._link = self._find()
                self._link.hold()

    @property
    def answered(self) -> bool:
        """Whether the answer has come."""
        return self._link is not None and self._link.answered

    async def wait(self, over: Callable[[], bool], *, for_answer: bool = True) -> None:
        """Wait for the answer.

        Args:
            over: whether the statement has ended in another way.
            for_answer: false to wait only until the statement is sent.

        Raises:
            TargetGone: it has.
            Halted: the run was stopped.
        """
        while not (self.answered if for_answer else self._link is not None):
            if self._stop.is_set():
                raise Halted
            if over():
                raise TargetGone(OVER)
            if self._link is None:
                await sleep(_POLL_INTERVAL, self._stop)
            else:
                await self._link.wait_for_change(_POLL_INTERVAL, self._stop)

    def release(self) -> None:
        """Pass the answer on, if the connection is still open."""
        if self._link is not None:
            self._link.release()
