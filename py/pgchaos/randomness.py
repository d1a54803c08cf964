"""Where chance comes from: one stream of numbers for each test, and one for each task of a test.

A test's stream follows from --chaos-seed and the test's id, so that it replays alone, in any order and on any worker.
What runs at once draws from streams of its own, split off in the order of submission: the order in which threads and
tasks happen to run changes nothing.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _Root(random.Random):
    """The stream of the test that runs; hypothesis seeds it anew for each example."""

    salt = ""

    def seed(self, a: object = None, version: int = 2) -> None:
        """Begin again, at a place that the run and the test have to themselves."""
        super().seed(f"{self.salt}/{a}", version)


_root = _Root()
_own: ContextVar[random.Random | None] = ContextVar("pgchaos_stream", default=None)
_known_to_hypothesis = False


def begin(salt: str) -> None:
    """Begin the stream of a test.

    Args:
        salt: of the run and the test.
    """
    global _known_to_hypothesis
    _root.salt = salt
    _root.seed("test")
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None and not _known_to_hypothesis:
        # else an example would see other numbers when it is run again, and hypothesis call the test flaky
        hypothesis.register_random(_root)
        _known_to_hypothesis = True


def stream() -> random.Random:
    """Give the stream of the task, or of the test.

    Returns:
        The stream to draw from; it is the same for the same seed, test and place among the tasks.
    """
    return _own.get() or _root


def branch() -> random.Random:
    """Split off a stream for something that will run beside this.

    Returns:
        A stream of its own, seeded by a draw from this one.
    """
    return random.Random(stream().getrandbits(64))


@contextmanager
def drawing_from(source: random.Random) -> Iterator[None]:
    """Draw from a stream for as long as the context lasts, in this thread or task.

    Args:
        source: the stream.
    """
    token = _own.set(source)
    try:
        yield
    finally:
        _own.reset(token)


@contextmanager
def seeded(seed: int | str) -> Iterator[None]:
    """Draw from a seed of your own for as long as the context lasts, in this thread or task.

    Args:
        seed: any.
    """
    with drawing_from(random.Random(seed)):
        yield
