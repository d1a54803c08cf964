"""Measures how long calls take."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar, cast

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One call."""

    seconds: float
    failed: bool = False  # it raised an exception


class Measured(Protocol[_P, _R_co]):
    """A function whose calls are measured."""

    measurements: list[Measurement]  # in the order in which the calls ended

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co:
        """Call it."""


def measure_performance(func: Callable[_P, _R_co]) -> Measured[_P, _R_co]:
    """Measure each call of a function, or of a coroutine function from its start to its end.

    Each measurement is printed (pytest shows it for a failing test) and added to `measurements`, also of failing calls.

    Args:
        func: to measure.

    Returns:
        The function with `measurements`.
    """
    measurements: list[Measurement] = []
    wrapper: Any

    if inspect.iscoroutinefunction(func):

        @wraps(func)
        async def measured_async(*args: _P.args, **kwargs: _P.kwargs) -> object:
            with _measuring(func, measurements):
                return await func(*args, **kwargs)

        wrapper = measured_async
    else:

        @wraps(func)
        def measured(*args: _P.args, **kwargs: _P.kwargs) -> object:
            with _measuring(func, measurements):
                return func(*args, **kwargs)

        wrapper = measured
    wrapper.measurements = measurements
    return cast(Measured[_P, _R_co], wrapper)


@contextmanager
def _measuring(func: Callable[..., Any], measurements: list[Measurement]) -> Iterator[None]:
    start = time.perf_counter()
    failed = True
    try:
        yield
        failed = False
    finally:
        seconds = time.perf_counter() - start
        measurements.append(Measurement(seconds, failed))
        name = getattr(func, "__qualname__", repr(func)).rpartition("<locals>.")[2]
        print(f"{name} {'failed after' if failed else 'took'} {seconds:.4f}s")
