"""Random delays and simulated failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from pgchaos.randomness import stream
from pgchaos.utils.retry import with_retry as _with_retry
from pgchaos.utils.retry import with_retry_sync as _with_retry_sync


class SimulatedConnectionFailure(psycopg.OperationalError):
    """A simulated loss of the connection; like a real one, it has no SQLSTATE."""


class ChaosInjector:
    """Simulates the faults of a network, by the seed of the run."""

    @staticmethod
    async def random_delay(min_ms: float = 0, max_ms: float = 100) -> None:
        """Let other tasks run for a random time.

        Args:
            min_ms: the shortest, in milliseconds.
            max_ms: the longest, in milliseconds.

        Raises:
            ValueError: they are not a range of delays.
        """
        await asyncio.sleep(_delay(min_ms, max_ms))

    @staticmethod
    def random_delay_sync(min_ms: float = 0, max_ms: float = 100) -> None:
        """Sleep for a random time.

        Args:
            min_ms: the shortest, in milliseconds.
            max_ms: the longest, in milliseconds.

        Raises:
            ValueError: they are not a range of delays.
        """
        time.sleep(_delay(min_ms, max_ms))

    @staticmethod
    @contextmanager
    def simulate_connection_failure(probability: float = 0.1) -> Iterator[None]:
        """Raise an error instead of entering the context, with a probability.

        Args:
            probability: of the failure, from 0 to 1.

        Raises:
            SimulatedConnectionFailure: the simulated failure.
            ValueError: it is not a probability.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"invalid probability={probability}: expected a number from 0 to 1")
        if stream().random() < probability:
            raise SimulatedConnectionFailure(f"simulated connection failure (probability {probability:g})")
        yield

    with_retry = staticmethod(_with_retry)
    with_retry_sync = staticmethod(_with_retry_sync)


def _delay(min_ms: float, max_ms: float) -> float:
    if not 0 <= min_ms <= max_ms:
        raise ValueError(f"invalid delays min_ms={min_ms}, max_ms={max_ms}: expected 0 <= min_ms <= max_ms")
    return stream().uniform(min_ms, max_ms) / 1000
