"""The source of random numbers: one stream per test, and one per task of a test.

A test's stream follows from --chaos-seed and the test's id: it replays alone, in any order, on any worker. Concurrent
tasks draw from streams of their own, split off in the order of submission, so that the order in which threads and
tasks run changes nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _TestStream(random.Random):
    """The stream of the test that runs; hypothesis seeds it anew for each example."""

    _salt = ""
    _registered = False

    def begin(self, salt: str) -> None:
        """Begin the stream of a test; the salt is of the run and the test."""
        self._salt = salt
        self.seed("test")
        hypothesis = sys.modules.get("hypothesis")
        if hypothesis is not None and not self._registered:
            # else a repeated example would draw other numbers, and hypothesis would call the test flaky
            hypothesis.register_random(self)
            self._registered = True

    def seed(self, a: object = None, version: int = 2) -> None:
        """Begin again, at a point of its own for each run and test."""
        super().seed(f"{self._salt}/{a}", version)


_TEST = _TestStream()  # threads that a test starts draw from it too, so that it is the process's
_TASK: ContextVar[random.Random | None] = ContextVar("pgchaos_stream", default=None)

begin = _TEST.begin


def stream() -> random.Random:
    """Return the stream of this task, else of the test: the same for the same seed, test and task."""
    return _TASK.get() or _TEST


def branch() -> random.Random:
    """Split off a stream for a concurrent task, seeded by a draw from this one."""
    return random.Random(stream().getrandbits(64))


@contextmanager
def drawing_from(source: random.Random) -> Iterator[None]:
    """Draw from a stream within the context, in this thread or task."""
    token = _TASK.set(source)
    try:
        yield
    finally:
        _TASK.reset(token)


@contextmanager
def seeded(seed: int | str) -> Iterator[None]:
    """Draw from a seed of its own within the context, in this thread or task."""
    with drawing_from(random.Random(seed)):
        yield
