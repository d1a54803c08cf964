"""Makes speculative runs in a forked child: the messages to it and from it, and its loop.

The child has a copy of the scenario and of the settings. It opens its own connections and threads, and uses schemas in
a second database.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from pgchaos.engine.reused_schema import ReusedSchema
from pgchaos.engine.run_settings import uncounted
from pgchaos.posix.forked import Channel
from pgchaos.results import RunResult
from pgchaos.schedule.explore import Pct
from pgchaos.schedule.reduction import SleepSet
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.step_points import Choice
from pgchaos.server import Sandbox, ServerError
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.settings import nothing
from pgchaos.server.threads import start, traceback_lines
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.search.run_factory import RunFactory
    from pgchaos.server.sandbox_provider import SearchDatabase

Order: TypeAlias = "Replay | Pct"

_COLD = 1
"""First runs in the second database, which take ten times as long: they are made before any order, and discarded."""


@dataclass(frozen=True, slots=True)
class ToRun:
    """A run to make."""

    number: int  # by which its result is sent back
    order: Order  # of its steps, without its sleep set: the child knows which of them commute
    sleeps: bool  # the order has a sleep set


@dataclass(frozen=True, slots=True)
class Schema:
    """A new schema to use, or the reason why there is none."""

    name: str = ""
    conninfo: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """Make no more runs; `now`: stop the current one too."""

    now: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The child can make runs."""


@dataclass(frozen=True, slots=True)
class NeedsSchema:
    """The child has used its last schema."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A backend did not answer the child."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that was made."""

    number: int
    trace: list[Choice]
    diverged_at: int | None
    result: RunResult


@dataclass(frozen=True, slots=True)
class Ended:
    """The child makes no more runs."""

    outside: tuple[str, ...] = ()  # what its runs have changed outside their schemas, as `RunFactory.outside`
    unchanged: bool = False  # it is proven that they have changed nothing
    error: Exception | None = None  # a bug of pgchaos, or the reason why `outside` is unknown


class RunsInChild:
    """Makes runs in the child.

    Args:
        factory: of the search's own runs; only its parameters are used.
        place: the second database.
        sandboxes: unused schemas in it.
        channel: to the parent.
    """

    def __init__(self, factory: RunFactory, place: SearchDatabase, sandboxes: list[Sandbox], channel: Channel) -> None:
        self._first, self._place, self._channel = factory, place, channel
        given = sandboxes[0].connection_cache
        assert given is not None, "the database has several schemas"
        cache = ConnectionCache(given.conninfo)
        self._sandboxes = [
            replace(one, connection_cache=cache, close_unused=nothing, report_silent_backend=self._note_silence)
            for one in sandboxes
        ]
        self._template = self._sandboxes[0]
        self._stop, self._ending = Stop(), False
        self._orders: SimpleQueue[ToRun | None] = SimpleQueue()
        self._schemas: SimpleQueue[Schema] = SimpleQueue()

    def work(self) -> None:
        """Make runs until the parent ends it, and send what they have changed."""
        start(threading.Thread(target=self._listen, name="pgchaos orders", daemon=True))
        try:
            ended = self._make_runs()
        except Exception as error:  # a bug of pgchaos, or the check of changes failed: the search raises it
            ended = Ended(error=_sendable(error))
        self._channel.send(ended)

    def _listen(self) -> None:
        """Read messages in a thread: also during runs; the end of the parent ends this process at once."""
        try:
            while True:
                self._handle(self._channel.receive())
        except BaseException:
            # the results have no reader any more; the parent's server or supervisor cleans up
            os._exit(1)

    def _handle(self, message: object) -> None:
        if isinstance(message, ToRun):
            self._orders.put(message)
        elif isinstance(message, Schema):
            self._schemas.put(message)
        elif isinstance(message, End):
            self._ending = True
            if message.now:
                self._stop.set()
            self._orders.put(None)
            self._schemas.put(Schema(refusal="the search has ended"))

    def _note_silence(self) -> None:
        self._channel.send(Silent())

    def _make_runs(self) -> Ended:
        first, kept = self._first, []
        settings = replace(first.settings, stop=self._stop, ran=uncounted, check_interrupt=nothing)
        settings = replace(settings, progress=lambda *_: None)
        factory = type(first)(first.scenario, first.matrix, first.server, settings)
        place = replace(self._place, schema=self._schema, keep=lambda: kept.append(True))
        with factory.reusing(place, ReusedSchema(first.scenario, self._schema, first.server.version, first.reused)):
            with suppress(ServerError):  # the search continues alone, and reports the error if it recurs
                self._make_each(factory)
            factory.check_outside()
        return Ended(factory.outside, bool(kept))

    def _make_each(self, factory: RunFactory) -> None:
        for _ in range(_COLD):
            if not factory.stopped():
                factory.run(Replay((), factory.actors))
        self._channel.send(Ready())
        while not factory.stopped() and (one := self._orders.get()) is not None and not self._ending:
            order = one.order
            if isinstance(order, Replay) and one.sleeps and self._first.dependence is not None:
                order.sleep = SleepSet(self._first.dependence)
            result = factory.run(order)
            if not self._stop.is_set():
                diverged_at = order.diverged_at if isinstance(order, Replay) else None
                self._channel.send(Ran(one.number, order.trace, diverged_at, result))

    @contextmanager
    def _schema(self) -> Iterator[Sandbox]:
        if not self._sandboxes:
            given = self._schemas.get()
            if given.refusal:
                raise ServerError(given.refusal)
            self._sandboxes.append(replace(self._template, schema=given.name, conninfo=given.conninfo))
        sandbox = self._sandboxes.pop()
        if not self._sandboxes:
            self._channel.send(NeedsSchema())
        # the parent gives it back
        yield sandbox


def to_run(number: int, order: Order) -> ToRun:
    """Make the message for a run.

    Args:
        number: of the run.
        order: of its steps.
    """
    if isinstance(order, Replay) and order.sleep is not None:
        return ToRun(number, replace(order, sleep=None), sleeps=True)
    return ToRun(number, order, sleeps=False)


def _sendable(error: Exception) -> Exception:
    """Return an error that can be pickled; for a bug with its traceback."""
    if isinstance(error, ServerError):
        return ServerError(str(error))
    return RuntimeError("\n".join(("internal error of pgchaos in a process that makes runs:", *traceback_lines(error))))
