"""Trying again, as an application should: only what may come right, after a while, and not for ever."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import psycopg

from pgchaos.randomness import stream

_T = TypeVar("_T")

RetryOn = Iterable["type[BaseException] | str"]
"""Classes of exceptions, and SQLSTATEs: '40001', or a class of them, '08'."""

_LOST = "lost connection"
DEFAULT_RETRY: tuple[type[BaseException] | str, ...] = ("40001", "40P01", _LOST)
"""Serialization failure, deadlock, lost connection."""

_GONE = ("08", "57P01", "57P02", "57P03")
"""Connection exceptions, and how a session ends that somebody else ends (PostgreSQL's documentation, appendix A)."""

_HISTORY = "__pgchaos_attempts__"
_OPTIONS = ("max_attempts", "backoff", "retry_on")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that failed.

    Args:
        number: from 1.
        error: how.
        pause: until the next, in seconds; None after the last.
    """

    number: int
    error: BaseException
    pause: float | None


class _Plan:
    """How often and how patiently to try what.

    As a context it takes the error of one attempt, where another is to follow after `pause` seconds; else the error
    goes on to the caller, with the history of all written on it.
    """

    def __init__(self, max_attempts: int = 3, backoff: float = 0.1, retry_on: RetryOn = DEFAULT_RETRY) -> None:
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
            raise ValueError(f"max_attempts={max_attempts!r} is no number of attempts: at least 1 is meant")
        if not backoff >= 0:
            raise ValueError(f"backoff={backoff!r} is no time in seconds")
        self._most = max_attempts
        self._backoff = backoff
        self._retry_on = (retry_on,) if isinstance(retry_on, (str, type)) else tuple(retry_on)
        self.failed: list[Attempt] = []
        self.pause = 0.0

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # Ctrl-C and a cancelled task are no failures of the function
        if not isinstance(error, Exception):
            return False
        pause = self._pause_after(error)
        if pause is None:
            self._blame(error)
            return False
        self.pause = pause
        return True

    def _pause_after(self, error: Exception) -> float | None:
        """Note a failure, and say how long to wait, in seconds; None where it is not tried again."""
        number = len(self.failed) + 1
        again = number < self._most and any(_matches(error, what) for what in self._retry_on)
        # half of it by chance, so that those who met once do not meet again
        pause = self._backoff * 2 ** (number - 1) * stream().uniform(0.5, 1) if again else None
        self.failed.append(Attempt(number, error, pause))
        return pause

    def _blame(self, error: Exception) -> None:
        """Write the history on the last error."""
        error.__dict__[_HISTORY] = tuple(self.failed)
        if len(self.failed) > 1:
            _note(error, "\n".join(_told(self.failed)))


def retry_history(error: BaseException) -> tuple[Attempt, ...]:
    """Tell what was tried before an error was given to the caller.

    Args:
        error: raised by `with_retry`.

    Returns:
        Every attempt, the last one too; nothing for another error.
    """
    return tuple(error.__dict__.get(_HISTORY, ()))


def _matches(error: Exception, what: type[BaseException] | str) -> bool:
    if isinstance(what, type):
        return isinstance(error, what)
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if what == _LOST:
        # libpq's own errors carry none, and they tell of connections that cannot be made or are gone
        return state.startswith(_GONE) if state else isinstance(error, psycopg.OperationalError)
    return state is not None and state.startswith(what)


def _told(failed: list[Attempt]) -> Iterator[str]:
    yield f"with_retry: {len(failed)} attempts failed"
    for attempt in failed:
        error = attempt.error
        state = getattr(error, "sqlstate", None)
        text = str(error).strip().partition("\n")[0]
        pause = "" if attempt.pause is None else f"; again after {attempt.pause:.3f} s"
        yield f"  {attempt.number}. {type(error).__name__}{f' ({state})' if state else ''}: {text}{pause}"


def _note(error: BaseException, text: str) -> None:
    # BaseException.add_note came with 3.11; what it keeps is read by pytest and exceptiongroup under 3.10 too
    error.__dict__.setdefault("__notes__", []).append(text)


if TYPE_CHECKING:

    @overload
    async def with_retry(
        func: Callable[..., Awaitable[_T]],
        /,
        max_attempts: int = 3,
        backoff: float = 0.1,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...

    @overload
    async def with_retry(
        func: Callable[..., _T],
        /,
        max_attempts: int = 3,
        backoff: float = 0.1,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...

    @overload
    async def with_retry(
        func: Callable[..., Awaitable[_T]],
        max_attempts: int,
        backoff: float,
        /,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...

    @overload
    async def with_retry(
        func: Callable[..., _T],
        max_attempts: int,
        backoff: float,
        /,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...


async def with_retry(func: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
    """Call a function until it succeeds: `with_retry(func, max_attempts=3, backoff=0.1, *args, **kwargs)`.

    Every keyword that is not `max_attempts`, `backoff` or `retry_on` is the function's. So are these three where the
    function takes them too, and then `max_attempts` and `backoff` are given by position: `with_retry(func, 3, 0.1,
    backoff="func's own")`. What could mean either is refused.

    Args:
        func: a coroutine function, or a plain one. It begins a transaction anew each time it is called.
        args: `max_attempts`, how often it is called at most (3); `backoff`, how many seconds to wait after the first
            failure, twice as long after each further one, of which chance takes up to half (0.1); then the function's.
        kwargs: the function's; and `retry_on`, what to try again after: classes of exceptions and SQLSTATEs
            (serialization failure, deadlock, lost connection).

    Returns:
        What the function returned.

    Raises:
        Exception: the function's last error, with the history of all in a note and in `retry_history`.
        TypeError: a keyword could mean with_retry or the function.
        ValueError: there is to be no attempt, or a negative pause.
    """
    plan, args, kwargs = _plan(func, args, kwargs)
    while True:
        with plan:
            result = func(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result
        await asyncio.sleep(plan.pause)


if TYPE_CHECKING:

    @overload
    def with_retry_sync(
        func: Callable[..., _T],
        /,
        max_attempts: int = 3,
        backoff: float = 0.1,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...

    @overload
    def with_retry_sync(
        func: Callable[..., _T],
        max_attempts: int,
        backoff: float,
        /,
        *args: object,
        retry_on: RetryOn = DEFAULT_RETRY,
        **kwargs: object,
    ) -> _T: ...


def with_retry_sync(func: Callable[..., Any], /, *args: object, **kwargs: object) -> Any:
    """Call a plain function until it succeeds, sleeping in between: `with_retry` for threads.

    Args:
        func: the function. It begins a transaction anew each time it is called.
        args: as `with_retry` takes them.
        kwargs: as `with_retry` takes them.

    Returns:
        What the function returned.

    Raises:
        Exception: the function's last error, with the history of all in a note and in `retry_history`.
        TypeError: a keyword could mean with_retry or the function.
        ValueError: there is to be no attempt, or a negative pause.
    """
    plan, args, kwargs = _plan(func, args, kwargs)
    while True:
        with plan:
            return func(*args, **kwargs)
        time.sleep(plan.pause)


def _plan(
    func: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[_Plan, tuple[object, ...], dict[str, object]]:
    """Take with_retry's own arguments out of the call."""
    options: dict[str, Any] = dict(zip(_OPTIONS[:2], args, strict=False))
    theirs = _named_parameters(func)
    rest = dict(kwargs)
    for name in _OPTIONS:
        if name not in rest or name in options:
            continue
        if name in theirs:
            raise TypeError(
                f"{name}={rest[name]!r} could be meant for with_retry or for {getattr(func, '__name__', func)}(), as "
                "both take it: bind the function's with functools.partial"
                + ("" if name == "retry_on" else ", or give with_retry's by position")
            )
        options[name] = rest.pop(name)
    return _Plan(**options), args[2:], rest


def _named_parameters(func: Callable[..., Any]) -> set[str]:
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):  # built-in functions have none to show
        return set()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    # what partial has bound is there no more to be given
    bound = getattr(func, "keywords", {})
    return {one.name for one in parameters if one.kind in named and one.name not in bound}
