"""Keeps the answer of the server from a session, so that a fault of the network can strike just there."""

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
    """Keeps the answer to a statement back, where the server has given it and the session has not heard it.

    Args:
        find: gives the network of the connection on which the statement is sent, or raises TargetGone.
        stop: of the sessions.
    """

    def __init__(self, find: Callable[[], Link], stop: Stop) -> None:
        self._find, self._stop = find, stop
        self._link: Link | None = None

    def arm(self) -> None:
        """Keep back the answer to what is sent next; nothing happens where the connection has ended.

        Whoever sends finds that out, and so does who waits for the answer.
        """
        if self._link is None:
            with suppress(TargetGone):
                self._link = self._find()
                self._link.hold()

    @property
    def answered(self) -> bool:
        """Whether the answer is there."""
        return self._link is not None and self._link.answered

    async def wait(self, over: Callable[[], bool], *, for_answer: bool = True) -> None:
        """Wait for the answer.

        Args:
            over: says whether the statement is over in another way.
            for_answer: false to wait only until the statement is sent.

        Raises:
            TargetGone: it is.
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
                await self._link.await_news(_POLL_INTERVAL, self._stop)

    def release(self) -> None:
        """Let the answer go, where the connection still stands."""
        if self._link is not None:
            self._link.release()
