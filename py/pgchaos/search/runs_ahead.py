"""Makes runs of a search before it asks for them: in a thread and a database of their own, beside its own runs.

The search alone decides. It takes its runs in its own order, and those that it does not come to are dropped: what it
finds is what it would find without this, only sooner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from pgchaos.engine.reused_schema import ReusedSchema, may_share_database
from pgchaos.engine.run_settings import uncounted
from pgchaos.results import RunResult
from pgchaos.schedule.explore import Pct
from pgchaos.schedule.scheduler import Replay
from pgchaos.server import ServerError
from pgchaos.server.threads import start
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.search.run_factory import RunFactory

Order: TypeAlias = "Replay | Pct"

AT_LEAST = 16
"""Runs that are still to come: for fewer, a second database is not worth it."""
_AFTER = 1
"""Runs of the search itself before."""
_COLD = 2
"""First runs in the second database, which take ten times as long: nobody waits for these, and they are dropped."""

_TO_END = 0.05
"""Seconds for the run that is being made when the search ends."""


class RunsAhead:
    """Makes runs ahead.

    Args:
        factory: of the search's own runs.
    """

    def __init__(self, factory: RunFactory) -> None:
        self._factory = factory
        self._stop = Stop()
        self._end = self._stop.set
        if factory.settings.stop is not None:
            factory.settings.stop.call(self._end)
        self._changed = threading.Condition()
        self._offered: dict[Hashable, Order] = {}
        self._begun: dict[Hashable, Order] = {}  # with the orders, so that the id of none is used again meanwhile
        self._made: dict[Hashable, tuple[Order, RunResult]] = {}
        self._asked = 0
        self._closing = False
        self._error: Exception | None = None
        self._outside: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._work, name="pgchaos runs ahead", daemon=True)

    def run(self, order: Order, upcoming: Callable[[], Iterable[Order]], left: int) -> tuple[Order, RunResult]:
        """Give the next run of the search.

        Args:
            order: of its steps.
            upcoming: gives the orders that will probably be next, the first of them first.
            left: runs after this one, at most.

        Returns:
            The order as it went, which may be another object, and the result, which is not counted yet.
        """
        key, self._asked = _key(order), self._asked + 1
        if self._asked > _AFTER and (left >= AT_LEAST or self._thread.ident is not None):
            self._offer(key, order, upcoming())
        while (claimed := self._claim(key, order)) is not None:
            result = self._factory.make(claimed)
            if claimed is order:
                with self._changed:
                    self._forget(key)
                return order, result
            self._note(claimed, result)
        with self._changed:
            self._forget(key)
            return self._made.pop(key)

    def _forget(self, key: Hashable) -> None:
        """Forget an order that the search has taken: it never comes again."""
        self._begun.pop(key, None)
        self._offered.pop(key, None)

    def _offer(self, key: Hashable, order: Order, upcoming: Iterable[Order]) -> None:
        with self._changed:
            if self._error is not None:
                raise self._error
            self._offered = {_key(one): one for one in upcoming}
            self._offered = {key: order, **self._offered}
            self._changed.notify_all()
        if self._thread.ident is None:
            try:
                start(self._thread)
            except ServerError:
                # no thread is to be had: the search goes on alone
                self._offered.clear()

    def _claim(self, key: Hashable, order: Order) -> Order | None:
        """Say what the search is to run now: its next run, another while that is made, or nothing as it was made."""
        with self._changed:
            while True:
                if key in self._made:
                    return None
                if key not in self._begun:
                    self._begun[key] = order
                    return order
                other = self._free()
                if other is not None:
                    return other
                self._changed.wait()

    def _free(self) -> Order | None:
        """Take the first of those that are offered and that nobody has begun."""
        for key, order in self._offered.items():
            if key not in self._begun:
                self._begun[key] = order
                return order
        return None

    def _note(self, order: Order, result: RunResult) -> None:
        with self._changed:
            self._made[_key(order)] = order, result
            self._changed.notify_all()

    def finish(self) -> tuple[str, ...]:
        """Make no more runs; tell what they have changed outside their schemas, as `RunFactory.outside`."""
        self._join()
        if self._error is not None:
            raise self._error
        return self._outside

    def _join(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            # nobody will ask for what is being made now; where it is stopped more has to be looked at
            self._thread.join(_TO_END)
            self._stop.set()
            self._thread.join()

    def close(self) -> None:
        """End the thread, and drop its database."""
        self._join()
        if self._factory.settings.stop is not None:
            self._factory.settings.stop.call_no_more(self._end)
        self._stop.close()

    # in the thread

    def _work(self) -> None:
        begun: list[Order] = []
        try:
            self._make_runs(begun)
        except Exception as error:  # a bug of ours, or nobody knows what these runs have changed: the search raises it
            self._error = error
        finally:
            with self._changed:
                # what was begun and not made is the search's own again
                for key in {_key(order) for order in begun} - self._made.keys():
                    self._begun.pop(key, None)
                self._changed.notify_all()

    def _make_runs(self, begun: list[Order]) -> None:
        first = self._factory
        settings = replace(first.settings, stop=self._stop, ran=uncounted, progress=lambda *_: None)
        factory = type(first)(first.scenario, first.matrix, first.server, settings)
        again = may_share_database(first.scenario)
        with ExitStack() as stack:
            try:
                place = stack.enter_context(first.server.search_database(first.scenario.extensions, again=again))
            except ServerError:
                return  # there is no second database: the search goes on alone
            if not place.provable:
                return
            with factory.keeping(place, ReusedSchema(first.scenario, place.schema, first.server.version)):
                with suppress(ServerError):  # from here on the search goes on alone, and meets that too where it lasts
                    self._make_each(factory, begun)
                factory.check_outside()
                self._outside = factory.outside

    def _make_each(self, factory: RunFactory, begun: list[Order]) -> None:
        for _ in range(_COLD):
            if not factory.stopped():
                factory.once(Replay((), factory.actors))
        while not factory.stopped() and (order := self._next()) is not None:
            begun.append(order)
            result = factory.once(order)
            if not self._stop.is_set():
                self._note(order, result)

    def _next(self) -> Order | None:
        with self._changed:
            while not self._closing:
                order = self._free()
                if order is not None:
                    return order
                self._changed.wait()
            return None


@contextmanager
def made_ahead(factory: RunFactory) -> Iterator[RunsAhead | None]:
    """Have runs made ahead, where a run needs nothing of the one before; else give None.

    Args:
        factory: of the search's own runs, in a schema that is kept.
    """
    scenario, settings = factory.scenario, factory.settings
    told_by_text = not (scenario.runs_programs or scenario.poolers)
    if settings.at_once < 2 or settings.selfcheck or scenario.oracle or factory.drawn or not told_by_text:
        yield None
        return
    with closing(RunsAhead(factory)) as ahead:
        yield ahead


def _key(order: Order) -> Hashable:
    """Tell an order from others: by its first decisions, which no other has, or as one of those drawn at random."""
    return tuple(order.decisions) if isinstance(order, Replay) else id(order)
