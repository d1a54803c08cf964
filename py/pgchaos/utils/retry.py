"""Retries as applications should do them: after transient errors only, with growing pauses, and a limited number."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

import psycopg
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from pgchaos.randomness import stream

_T = TypeVar("_T")

# Classes of exceptions, and SQLSTATEs: '40001', or a class of them, '08'.
RetryOn = Iterable["type[BaseException] | str"]

_LOST = "lost connection"
# Serialization failure, deadlock, lost connection.
DEFAULT_RETRY: tuple[type[BaseException] | str, ...] = ("40001", "40P01", _LOST)

# Connection exceptions, and sessions that an administrator or a crash ends (PostgreSQL's documentation, appendix A).
_GONE = ("08", "57P01", "57P02", "57P03")

_HISTORY = "__pgchaos_attempts__"
_OPTIONS = ("max_attempts", "backoff", "retry_on")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that failed."""

    number: int  # from 1
    error: BaseException
    pause: float | None  # seconds until the next attempt; None after the last


class _Plan:
    """What is retried, how often, and with which pauses; tenacity runs the loop."""

    def __init__(self, max_attempts: int = 3, backoff: float = 0.1, retry_on: RetryOn = DEFAULT_RETRY) -> None:
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
            raise ValueError(f"invalid max_attempts={max_attempts!r}: expected an integer of at least 1")
        if not backoff >= 0:
            raise ValueError(f"invalid backoff={backoff!r}: expected seconds, 0 or more")
        self._backoff = backoff
        self._retry_on = (retry_on,) if isinstance(retry_on, (str, type)) else tuple(retry_on)
        self._failed: list[Attempt] = []
        self.tenacity: dict[str, Any] = {
            "stop": stop_after_attempt(max_attempts),
            "wait": self._pause,
            "retry": retry_if_exception(self._may_succeed_later),
            "before_sleep": self._record,
            "reraise": True,
        }

    def _pause(self, state: RetryCallState) -> float:
        # half of it is random, so that sessions with a conflict do not retry at the same time
        return float(self._backoff * 2 ** (state.attempt_number - 1)) * stream().uniform(0.5, 1)

    def _may_succeed_later(self, error: BaseException) -> bool:
        # Ctrl-C and the cancellation of a task are not errors of the function
        return isinstance(error, Exception) and any(_matches(error, what) for what in self._retry_on)

    def _record(self, state: RetryCallState) -> None:
        assert state.outcome is not None, "tenacity sleeps only after an attempt"
        assert state.next_action is not None
        error = state.outcome.exception()
        assert error is not None
        self._failed.append(Attempt(state.attempt_number, error, state.next_action.sleep))

    def add_history(self, error: Exception) -> None:
        """Attach all attempts to the last error."""
        attempts = (*self._failed, Attempt(len(self._failed) + 1, error, None))
        error.__dict__[_HISTORY] = attempts
        if len(attempts) > 1:
            _add_note(error, "\n".join(_described(attempts)))


def retry_history(error: BaseException) -> tuple[Attempt, ...]:
    """List the attempts of `with_retry` before it raised an error.

    Args:
        error: raised by `with_retry`.

    Returns:
        All attempts, including the last; none for another error.
    """
    return tuple(error.__dict__.get(_HISTORY, ()))


def _matches(error: Exception, what: type[BaseException] | str) -> bool:
    if isinstance(what, type):
        return isinstance(error, what)
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if what == _LOST:
        # libpq's own errors have no SQLSTATE: the connection cannot be made, or is lost
        return state.startswith(_GONE) if state else isinstance(error, psycopg.OperationalError)
    return state is not None and state.startswith(what)


def _described(failed: tuple[Attempt, ...]) -> Iterator[str]:
    yield f"with_retry: {len(failed)} attempts failed"
    for attempt in failed:
        error = attempt.error
        state = getattr(error, "sqlstate", None)
        text = str(error).strip().partition("\n")[0]
        pause = "" if attempt.pause is None else f"; again after {attempt.pause:.3f} s"
        yield f"  {attempt.number}. {type(error).__name__}{f' ({state})' if state else ''}: {text}{pause}"


def _add_note(error: BaseException, text: str) -> None:
    # BaseException.add_note is new in 3.11; pytest and exceptiongroup read its attribute in 3.10 too
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

    All keywords but `max_attempts`, `backoff` and `retry_on` are passed to the function. A function that takes one of
    these three itself gets it where with_retry's own are given by position: `with_retry(func, 3, 0.1, backoff="func's
    own")`. A keyword that could be meant for either raises TypeError.

    Args:
        func: a coroutine function, or a plain one; each call must begin a new transaction.
        args: `max_attempts` (3); `backoff`, the seconds to wait after the first failure, doubled after each further one
            and shortened at random by up to half (0.1); then the function's arguments.
        kwargs: the function's, and `retry_on`, the errors that are retried: classes of exceptions and SQLSTATEs
            (default: serialization failure, deadlock, lost connection).

    Returns:
        What the function returned.

    Raises:
        Exception: the function's last error, with the history of all in a note and in `retry_history`.
        TypeError: a keyword could be meant for with_retry or for the function.
        ValueError: `max_attempts` is below 1, or `backoff` is negative.
    """
    plan, args, kwargs = _plan(func, args, kwargs)

    async def attempt() -> object:
        result = func(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    try:
        return await AsyncRetrying(**plan.tenacity)(attempt)
    except Exception as error:
        plan.add_history(error)
        raise


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
    """Call a plain function until it succeeds: `with_retry` for threads.

    Args:
        func: the function; each call must begin a new transaction.
        args: as of `with_retry`.
        kwargs: as of `with_retry`.

    Returns:
        What the function returned.

    Raises:
        Exception: the function's last error, with the history of all in a note and in `retry_history`.
        TypeError: a keyword could be meant for with_retry or for the function.
        ValueError: `max_attempts` is below 1, or `backoff` is negative.
    """
    plan, args, kwargs = _plan(func, args, kwargs)
    try:
        return Retrying(**plan.tenacity)(func, *args, **kwargs)
    except Exception as error:
        plan.add_history(error)
        raise


def _plan(
    func: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[_Plan, tuple[object, ...], dict[str, object]]:
    """Split the arguments of a call into with_retry's own and the function's."""
    options: dict[str, Any] = dict(zip(_OPTIONS[:2], args, strict=False))
    own_names = _named_parameters(func)
    rest = dict(kwargs)
    for name in _OPTIONS:
        if name not in rest or name in options:
            continue
        if name in own_names:
            raise TypeError(
                f"{name}={rest[name]!r} could be meant for with_retry or for {getattr(func, '__name__', func)}(): "
                "bind the function's with functools.partial"
                + ("" if name == "retry_on" else ", or pass with_retry's by position")
            )
        options[name] = rest.pop(name)
    return _Plan(**options), args[2:], rest


def _named_parameters(func: Callable[..., Any]) -> set[str]:
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):  # built-in functions have no signature
        return set()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    # functools.partial has bound these already
    bound = getattr(func, "keywords", {})
    return {one.name for one in parameters if one.kind in named and one.name not in bound}
