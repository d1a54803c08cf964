"""Makes runs before the search asks for them, in a child process with a database of its own.

The search uses these runs in its own order, and discards those that it does not need. So it finds what it would find
without them, only sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

from pgchaos.engine.blocking import ThreadWork, begin_in_thread
from pgchaos.engine.reused_schema import may_share_database
from pgchaos.engine.waits import ACTIVE_LOOPS
from pgchaos.posix.forked import Forked, can_fork
from pgchaos.results import RunResult
from pgchaos.schedule.scheduler import Replay
from pgchaos.search.runs_in_child import (
    End,
    Ended,
    NeedsSchema,
    Order,
    Ran,
    Ready,
    RunsInChild,
    Schema,
    Silent,
    to_run,
)
from pgchaos.server import Sandbox, ServerError

if TYPE_CHECKING:
    from pgchaos.search.run_factory import RunFactory
    from pgchaos.server.sandbox_provider import SearchDatabase

AT_LEAST = 16
"""Runs that are still to be made: for fewer, a second database does not pay off."""
_QUEUED = 2
"""Runs that are sent to the child: the one that it makes, and the next."""
_SCHEMAS = 3
"""Schemas that the child starts with: setup runs in two, and the third is for the first run that needs a new one."""

_TO_END = 0.05
"""Seconds for the current run of the child when the search ends."""
_TO_STOP = 10.0
"""Seconds for the child to stop its run and to check what it changed; then it is killed."""
_TO_OPEN = 90.0
"""Seconds for opening the second database, if it is not needed any more: longer than that can take."""


class SpeculativeRuns:
    """Makes runs speculatively, and provides the runs of the search.

    Args:
        factory: of the search's own runs.

    Attributes:
        remarks: what the user should know, after `finish`.
    """

    def __init__(self, factory: RunFactory) -> None:
        self._factory, self._stop = factory, factory.settings.stop
        self._stack = ExitStack()
        self._opening: ThreadWork[SearchDatabase] | None = None
        self._place: SearchDatabase | None = None
        self._sandbox: Sandbox | None = None
        self._child: Forked | None = None
        self._ready = self._over = False
        self._ended: Ended | None = None
        self._status: int | None = None
        self._begun: dict[Hashable, Order] = {}  # with the orders, so that no id is reused meanwhile
        self._made: dict[Hashable, tuple[Order, RunResult]] = {}
        self._sent: dict[int, tuple[Hashable, Order]] = {}
        self._number = 0
        self.remarks: list[str] = []

    def run(self, order: Order, upcoming: Callable[[], Iterable[Order]], left: int) -> tuple[Order, RunResult]:
        """Return the next run of the search.

        Args:
            order: of its steps.
            upcoming: returns the orders that will probably be next, the first one first.
            left: runs after this one at most.

        Returns:
            The order as it was run, which may be another object, and the result, which is not counted yet.
        """
        key = _key(order)
        if not self._over and (left >= AT_LEAST or self._opening is not None):
            self._begin()
        offered = {key: order}
        if self._ready and not self._over:
            offered = {**offered, **{_key(one): one for one in upcoming()}, key: order}
        while True:
            self._receive()
            if key in self._made:
                del self._begun[key]
                return self._made.pop(key)
            free = [one for one in offered if one not in self._begun]
            if not free:
                self._await_child()
                continue
            first = offered[free[0]]
            self._begun[free[0]] = first
            self._send_orders({one: offered[one] for one in free[1:]})
            result = self._factory.make(first)
            if first is order:
                del self._begun[key]
                return order, result
            self._made[free[0]] = first, result

    def _begin(self) -> None:
        """Start to open the second database, which may take a while; start the child when it is open.

        The child starts at the second run at the earliest: the first one may fail, and finds out which steps commute.
        """
        try:
            if self._opening is None:
                scenario = self._factory.scenario
                context = self._factory.server.search_database(scenario.extensions, reuse=may_share_database(scenario))
                self._opening = begin_in_thread(lambda: self._stack.enter_context(context), "second database")
            elif self._child is None and self._opening.over.is_set():
                self._fork(self._opening.result())
        except (ServerError, OSError):
            # without a second database, thread or process the search continues alone
            self._over = True

    def _fork(self, place: SearchDatabase) -> None:
        if not place.provable:
            self._over = True
            return
        sandboxes = [self._stack.enter_context(place.schema()) for _ in range(_SCHEMAS)]
        self._place, self._sandbox = place, sandboxes[0]
        factory = self._factory
        ACTIVE_LOOPS.add(self)
        self._child = Forked(lambda channel: RunsInChild(factory, place, sandboxes, channel).work())

    def _send_orders(self, orders: dict[Hashable, Order]) -> None:
        """Send orders to the child, as many as it should have."""
        for key, order in orders.items():
            if not self._ready or self._over or len(self._sent) >= _QUEUED:
                return
            self._number += 1
            self._begun[key] = order
            self._sent[self._number] = key, order
            self._send(to_run(self._number, order))

    def _send(self, message: object) -> None:
        if self._child is not None:
            with suppress(OSError):  # it has ended, which is read next
                self._child.channel.send(message)

    def _receive(self, seconds: float = 0) -> None:
        """Handle the child's messages, after waiting at most so many seconds for the first one."""
        some = False
        while self._child is not None and not self._over and self._child.channel.poll(0 if some else seconds):
            some = True
            try:
                self._handle(self._child.channel.receive())
            except EOFError:
                self._forget_sent()

    def _await_child(self) -> None:
        """Wait for a message of the child; if the user stops, end it."""
        assert self._child is not None, "it makes the run that is waited for"
        self._child.channel.poll(None, self._stop)
        if self._stop is not None and self._stop.is_set():
            self._end()

    def _handle(self, message: object) -> None:
        match message:
            case Ready():
                self._ready = True
            case Ran(number, trace, diverged_at, result):
                key, order = self._sent.pop(number)
                order.trace.extend(trace)
                if isinstance(order, Replay):
                    order.diverged_at = diverged_at
                self._made[key] = order, result
            case NeedsSchema():
                self._send(self._schema())
            case Silent():
                assert self._sandbox is not None, "the child has it"
                self._sandbox.report_silent_backend()
            case Ended():
                self._ended = message
                self._forget_sent()

    def _schema(self) -> Schema:
        assert self._place is not None, "the child works in it"
        try:
            sandbox = self._stack.enter_context(self._place.schema())
        except ServerError as error:
            return Schema(refusal=str(error))
        return Schema(sandbox.schema, sandbox.conninfo)

    def _forget_sent(self) -> None:
        """Send nothing more to the child; the search makes the runs itself that the child has not made."""
        self._over = True
        for key, _ in self._sent.values():
            del self._begun[key]
        self._sent.clear()

    def finish(self) -> tuple[str, ...]:
        """Make no more runs; return what they have changed outside their schemas, as `RunFactory.outside`.

        Raises:
            ServerError: this cannot be found out.
        """
        self._end()
        if self._place is None or self._status is None:
            return ()
        if self._ended is None:
            how = f"signal {-self._status}" if self._status < 0 else f"status {self._status}"
            if self._child is not None and self._child.was_stopped:
                how = "a signal had stopped it, so it was killed"
            self.remarks.append(
                f"a process that made runs of this search ended before its time ({how}): its runs were made again, one"
                " after the other"
            )
            return tuple(self._place.changed())
        if self._ended.error is not None:
            raise self._ended.error
        if self._ended.unchanged and not self._ended.outside:
            self._place.keep()
        return self._ended.outside

    def _end(self) -> None:
        """End the child; let it finish its run if that ends soon."""
        if self._child is None or self._status is not None:
            return
        stopped = self._stop is not None and self._stop.is_set()
        for now, seconds in ((stopped, _TO_END), (True, _TO_STOP)):
            self._send(End(now))
            end = time.monotonic() + seconds
            while not self._over and (left := end - time.monotonic()) > 0:
                self._receive(left)
        if not self._over:
            self._child.kill()
            self._forget_sent()
        self._status = self._child.wait()

    def close(self) -> None:
        """End the child, and give its database back."""
        try:
            if self._child is not None and self._status is None:
                # the search was interrupted, perhaps within a message: read nothing more
                self._over = True
                self._send(End(now=True))
                if not self._child.channel.drain(_TO_STOP):
                    self._child.kill()
                self._status = self._child.wait()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        ACTIVE_LOOPS.discard(self)
        if self._opening is not None:
            self._opening.over.wait(_TO_OPEN)
            self._opening.over.close()
            if self._child is None:
                with suppress(ServerError):  # there is none, and none is needed
                    self._opening.result().keep()
        self._stack.close()


@contextmanager
def speculation(factory: RunFactory) -> Iterator[SpeculativeRuns | None]:
    """Make runs speculatively if no run depends on the one before; else yield None.

    Args:
        factory: of the search's own runs, in a reused schema.
    """
    scenario, settings = factory.scenario, factory.settings
    unsuitable = scenario.oracle or factory.drawn or scenario.runs_programs or scenario.poolers
    if settings.at_once < 2 or not can_fork() or settings.selfcheck or unsuitable:
        yield None
        return
    with closing(SpeculativeRuns(factory)) as runs:
        yield runs


def _key(order: Order) -> Hashable:
    """Identify an order: by its prescribed decisions, which no other has, or as an object if it is drawn at random."""
    return tuple(order.decisions) if isinstance(order, Replay) else id(order)
