"""A thread whose end is known for sure, also to who was interrupted while waiting for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pgchaos.server import threads


class Worker:
    """A thread that says itself when it has ended.

    Up to Python 3.12 a `Thread.join` that Ctrl-C interrupts takes the thread for ended (bpo-45274), and what it uses
    would be closed under it.

    Args:
        work: what it does.
        name: of the thread.
        broke: called in the thread with what the work raised: an error of ours. None: `error` is looked at.

    Attributes:
        error: what the work raised, or None.
    """

    def __init__(
        self, work: Callable[[], None], name: str, broke: Callable[[BaseException], None] | None = None
    ) -> None:
        self._work, self._broke = work, broke
        self.error: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._do, name=name, daemon=True)
        self._begun = False

    def _do(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.error = error
            if self._broke is not None:
                self._broke(error)
        finally:
            self._over.set()

    def start(self) -> None:
        """Begin.

        Raises:
            ServerError: the system has no room for one more thread.
        """
        threads.start(self._thread)
        self._begun = True

    @property
    def alive(self) -> bool:
        """Whether it has begun and not ended."""
        return self._begun and not self._over.is_set()

    def ends(self, within: float | None = None) -> bool:
        """Wait for its end.

        Args:
            within: seconds; None for as long as it takes.

        Returns:
            False where it has not ended by then.
        """
        return not self._begun or self._over.wait(within)

    def check(self) -> None:
        """Raise here what the work raised there, if anything; its traceback is kept."""
        if self.error is not None:
            raise self.error
