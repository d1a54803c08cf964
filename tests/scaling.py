"""How much longer something takes when what it is given is eight times as large."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_TRIES = 12
"""Pairs that are measured at most: what else the machine does makes some of them longer, and none shorter."""

TIMES = 8
MOST = 20
"""Linear work takes 8 times as long and n log n some 10 times, quadratic work 64 times."""


def times_longer(make: Callable[[int], T], work: Callable[[T], object], size: int) -> float:
    """Compare the processor time of work on something with that on something eight times as large.

    Args:
        make: makes what is worked on, of a size.
        work: what is measured.
        size: of the smaller one.

    Returns:
        The smallest of some ratios, for a busy machine only adds to them.
    """
    small, large = make(size), make(size * TIMES)
    ratios: list[float] = []
    # the collector goes through what the work made, not through what all tests before it left in this process
    gc.freeze()
    try:
        while len(ratios) < _TRIES and (not ratios or min(ratios) >= MOST):
            base = min(_seconds(work, small) for _ in range(3))
            ratios.append(_seconds(work, large) / max(base, 1e-4))
    finally:
        gc.unfreeze()
    return min(ratios)


def _seconds(work: Callable[[T], object], what: T) -> float:
    gc.collect()
    began = time.process_time()
    work(what)
    return time.process_time() - began
