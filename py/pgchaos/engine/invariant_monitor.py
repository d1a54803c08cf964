"""Looks at the invariants while the sessions run. Disturbs nobody: short time-outs, and a look missed is counted."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos import clock
from pgchaos.engine.answer import Answer, Result
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.error_messages import error_failure, internal_failure, plain_failure
from pgchaos.engine.loop import Task, begin
from pgchaos.engine.waits import LATE, News, sleep
from pgchaos.language.model import Invariant
from pgchaos.language.section_items import Statement
from pgchaos.language.substitution import TooLong, find_misread, render
from pgchaos.results import Failure

_MISSED = ("57014", "55P03")
"""query_canceled (by statement_timeout) and lock_not_available."""
_LEAST = 1.0
"""Seconds that a look may take at least, also where the time of the sessions is over."""
_PATIENCE = 10.0
"""Seconds for one look: statement_timeout ends it sooner where the server answers."""
_FOR_THE_LAST = 5.0
"""Seconds in which the look after the sessions is tried again: the server may still recover."""
_BETWEEN = 0.02
"""Seconds between two of these."""
_BOOLEAN = 16
"""The OID of type boolean (pg_type.dat)."""
_NO_NAMES = ("?column?", "bool")
"""How the server calls an expression, and a cast (before PostgreSQL 15 `false` too)."""

SETTINGS = {
    "lock_timeout": "100ms",
    "statement_timeout": "1s",
    "default_transaction_isolation": "read committed",
}
"""What an observer's connection is opened with, whatever the database's own defaults are."""


@dataclass(slots=True)
class _Watched:
    """One query of an invariant, and what became of it.

    Args:
        invariant: it belongs to.
        item: the query.
        due: when it is looked at next.
        held: looks that were answered.
        last: so was one after the sessions.
        broken: its failures by column.
    """

    invariant: Invariant
    item: Statement
    due: float = 0.0
    held: int = 0
    last: bool = False
    broken: dict[str, Failure] = field(default_factory=dict)


class InvariantMonitor:
    """Looks before, during and after the sessions.

    Args:
        connect: opens a connection with SETTINGS; again where it was lost.
        invariants: of the scenario.
        variables: of the matrix.
        started_at: when the run began, by `clock.now()`.
        fail: takes a failure; the run goes on.
        broke: called when a query itself is wrong: the run stops.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        invariants: Sequence[Invariant],
        variables: Mapping[str, str],
        started_at: float,
        fail: Callable[[Failure], None],
        broke: Callable[[], None],
    ) -> None:
        self._connect, self._variables, self._started_at = connect, variables, started_at
        self.evaluations = self.missed = 0
        self._connection: Connection | None = None
        self._fail, self._broke = fail, broke
        self._watched = [
            _Watched(invariant, item)
            for invariant in invariants
            for item in invariant.items
            if isinstance(item, Statement)
        ]
        self._running = [watched for watched in self._watched if not watched.invariant.at_end]
        self._over = News()
        self._ends = False
        self._before = True
        self._finishes = False
        self.until = math.inf
        """When the time of the sessions is over, on `time.monotonic()`: no look during them lasts much longer."""
        self._wrong = False
        self._task: Task[None] | None = None

    async def start(self, *, at_intervals: bool = True) -> None:
        """Look once, then at intervals, or else only when `poll` is called.

        Raises:
            ConnectionLost: the server refused the connection.
        """
        self._connection = await self._connect()
        await self._evaluate_all(self._running)
        self._before = False
        if at_intervals and self._running:
            self._task = begin(self._observe(), self._break_off)

    async def poll(self) -> None:
        """Look once more, where nobody does so at intervals."""
        await self._evaluate_all(self._running)

    async def finish(self) -> None:
        """Look at everything once more, again where that is missed; say so where it could not be looked at."""
        await self._stand_down()
        if self._wrong:
            return
        self._finishes = True
        until = time.monotonic() + _FOR_THE_LAST
        # what the last look would have seen, no other has
        while left := [watched for watched in self._watched if not watched.last]:
            await self._evaluate_all(left)
            if self._wrong or time.monotonic() > until:
                break
            await sleep(_BETWEEN if any(not watched.last for watched in left) else 0.0)
        for watched in self._watched:
            if not (watched.last or watched.broken or self._wrong):
                when = " after the sessions" if watched.held else ""
                text = f"invariant could not be looked at{when}: {' '.join(watched.item.text.split())}"
                details = ("every look ran into lock_timeout or statement_timeout, or lost its connection",)
                self._fail(Failure("invariant", (), text, watched.item.place, details))

    async def close(self) -> None:
        """Look no more, and end the connection."""
        await self._stand_down()
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.end()

    async def _stand_down(self) -> None:
        self._ends = True
        self._over.notify()
        if self._task is not None:
            await self._task.ends()

    async def _observe(self) -> None:
        while not (self._wrong or self._ends):
            if await self._over.wait(min(w.due for w in self._running)) is LATE:
                now = time.monotonic()
                await self._evaluate_all([w for w in self._running if w.due <= now])

    async def _evaluate_all(self, some: Sequence[_Watched]) -> None:
        for watched in some:
            if not self._wrong:
                await self._evaluate(watched)
            watched.due = time.monotonic() + watched.invariant.every

    async def _evaluate(self, watched: _Watched) -> None:
        try:
            if (found := find_misread(watched.item.parts, self._variables)) is not None:
                return self._stop(plain_failure(found.text, found.place(watched.item.place), "invariant"))
            query = render(watched.item.parts, self._variables)
        except TooLong as error:
            return self._stop(plain_failure(str(error), watched.item.place, "invariant"))
        self.evaluations += 1
        answer = await self._ask(query)
        if answer is None:
            self.missed += 1
        elif answer.error is not None:
            self._stop(error_failure(answer.error, watched.item.place, "invariant"))
        else:
            for result in answer.results:
                self._judge(watched, result)
        return None

    async def _ask(self, query: str) -> Answer | None:
        """Ask; None where this look is missed: by a time-out, or because somebody took the server away.

        A connection that was ended while nobody asked is known only by asking: so a lost one is asked anew once.
        """
        answer = await self._ask_once(query)
        if answer is not None and answer.error is not None and answer.error.lost:
            answer = await self._ask_once(query)
        if answer is None or answer.error is None:
            return answer
        missed = answer.error.sqlstate in _MISSED or answer.error.lost or answer.interrupted
        return None if missed else answer

    async def _ask_once(self, query: str) -> Answer | None:
        """Ask on a connection that stands, as far as is known; None where none is to be had."""
        try:
            if self._connection is None or not self._connection.alive:
                await self._disconnect()
                self._connection = await self._connect()
        except ConnectionLost:
            return None
        now = time.monotonic()
        until = math.inf if self._finishes else max(now + _LEAST, self.until)
        return await self._connection.execute(query, deadline=min(self._connection.within(_PATIENCE), until))

    def _stop(self, failure: Failure) -> None:
        self._wrong = True
        self._fail(failure)
        self._broke()

    def _break_off(self, error: BaseException) -> None:
        """Stop the run for an error of ours: nobody looks at the invariants any more."""
        self._stop(internal_failure(error, self._watched[0].item.place, "invariant"))

    def _judge(self, watched: _Watched, result: Result) -> None:
        columns = result.columns()
        if not columns:
            text = "invariant returns no column: an invariant is a query that returns true"
            return self._stop(Failure("error", (), text, watched.item.place))
        for column, kind in zip(columns, result.types(), strict=True):
            if kind != _BOOLEAN:
                text = f'invariant: column "{column}" is not boolean: an invariant is a query that returns true'
                return self._stop(Failure("error", (), text, watched.item.place))
        rows = list(result.rows())
        if not rows and not watched.invariant.may_be_empty:
            self._break(watched, columns[0], "returned no row")
        wrong = {c: v for row in rows for c, v in zip(columns, row, strict=True) if v != "t"}
        for column, value in wrong.items():
            self._break(watched, column, "is NULL" if value is None else "is false")
        watched.held += 1
        watched.last = self._finishes
        return None

    def _break(self, watched: _Watched, column: str, how: str) -> None:
        if column in watched.broken:
            return
        after = (clock.now() - self._started_at) * 1000
        seen = "false already before the sessions began" if self._before else f"first seen at {after:.1f} ms"
        name = ' (name it: SELECT … AS "what must hold")' if column in _NO_NAMES else ""
        text = f"invariant {column!r} {how}{name}"
        details = (" ".join(watched.item.text.split()), seen)
        failure = Failure("invariant", (column,), text, watched.item.place, details)
        watched.broken[column] = failure
        self._fail(failure)
