"""The source of random numbers: one stream for each test, and one for each task of a test.

--chaos-seed and the test's id determine its stream. So a test can be replayed alone, in any order, on any worker.
Each concurrent task has its own stream, split off when the task is submitted, so the numbers do not depend on the order
in which threads and tasks run.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _TestStream(random.Random):
    """The stream of the current test. Hypothesis seeds it again for each example."""

    _salt = ""
    _registered = False

    def begin(self, salt: str) -> None:
        """Start the stream of a test; `salt` identifies the run and the test."""
        self._salt = salt
        self.seed("test")
        hypothesis = sys.modules.get("hypothesis")
        if hypothesis is not None and not self._registered:
            # otherwise a repeated example draws other numbers, and hypothesis reports the test as flaky
            hypothesis.register_random(self)
            self._registered = True

    def seed(self, a: object = None, version: int = 2) -> None:
        """Restart the stream; the numbers differ for each run and test."""
        super().seed(f"{self._salt}/{a}", version)


_TEST = _TestStream()  # one for the process, because threads that a test starts draw from it too
_TASK: ContextVar[random.Random | None] = ContextVar("pgchaos_stream", default=None)

begin = _TEST.begin


def stream() -> random.Random:
    """Return the stream of this task, or of the test. It is the same for the same seed, test and task."""
    return _TASK.get() or _TEST


def branch() -> random.Random:
    """Return a new stream for a concurrent task, seeded by a number from the current stream."""
    return random.Random(stream().getrandbits(64))


@contextmanager
def drawing_from(source: random.Random) -> Iterator[None]:
    """Use a stream in this thread or task, within the context."""
    token = _TASK.set(source)
    try:
        yield
    finally:
        _TASK.reset(token)


@contextmanager
def seeded(seed: int | str) -> Iterator[None]:
    """Use a new stream with this seed in this thread or task, within the context."""
    with drawing_from(random.Random(seed)):
        yield
