"""Evaluates the invariants while the sessions run. Short timeouts keep it from disturbing them; misses are counted."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pgchaos import clock
from pgchaos.engine.answer import Answer, Result
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.error_messages import StatementContext, error_failure, internal_failure, plain_failure
from pgchaos.engine.interpreter import Interpreter, Quit, Rejected
from pgchaos.engine.loop import Task, begin
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.waits import LATE, Condition, sleep
from pgchaos.language.model import Invariant
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Meta, Statement
from pgchaos.results import Failure

_MISSED = ("57014", "55P03")
"""query_canceled (by statement_timeout) and lock_not_available."""
_LEAST = 1.0
"""Seconds that an evaluation may always take, even if the time of the sessions is over."""
_PATIENCE = 10.0
"""Seconds for one evaluation: statement_timeout ends it sooner if the server answers."""
_FOR_THE_LAST = 5.0
"""Seconds in which the evaluation after the sessions is retried: the server may still recover."""
_BETWEEN = 0.02
"""Seconds between two retries."""
_BOOLEAN = 16
"""OID of type boolean (pg_type.dat)."""
_NO_NAMES = ("?column?", "bool")
"""Names that the server gives an expression and a cast (before PostgreSQL 15 `false` too)."""

SETTINGS = {
    "lock_timeout": "100ms",
    "statement_timeout": "1s",
    "default_transaction_isolation": "read committed",
}
"""Settings of the monitor's connection, whatever the database's defaults are."""


@dataclass(slots=True)
class _Query:
    """One query of an invariant, and its results."""

    invariant: Invariant
    item: Statement
    sql: str  # its text with the values of its variables
    about: StatementContext  # helps to explain an error
    due: float = 0.0  # when it is evaluated next, on `time.monotonic()`
    answered: int = 0  # evaluations with an answer
    last: bool = False  # one of them was after the sessions
    broken: dict[str, Failure] = field(default_factory=dict)  # its failures by column


class InvariantMonitor:
    """Evaluates the invariants before, during and after the sessions.

    Args:
        connect: opens a connection with SETTINGS; called again if it is lost.
        invariants: of the scenario.
        started_at: when the run began, by `clock.now()`.
        context: of the run, which is stopped when a query itself is wrong.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        invariants: Sequence[Invariant],
        started_at: float,
        context: RunContext,
    ) -> None:
        self._connect, self._invariants, self._started_at = connect, invariants, started_at
        self._context, self._fail = context, context.fail
        self.evaluations = self.missed = 0
        self._connection: Connection | None = None
        self._queries: list[_Query] = []
        self._running: list[_Query] = []
        self._over = Condition()
        self._ends = False
        self._before = True
        self._finishes = False
        self.until = math.inf
        """When the time of the sessions is over, on `time.monotonic()`: no evaluation during them takes much longer."""
        self.place: Place | None = None
        """Of the query that is evaluated."""
        self._wrong = False
        self._task: Task[None] | None = None

    async def start(self, *, at_intervals: bool = True) -> None:
        """Evaluate once, then at intervals, or else only when `poll` is called.

        Raises:
            ConnectionLost: the server refused the connection.
        """
        self._connection = connection = await self._connect()
        self._queries = [query for invariant in self._invariants for query in self._read(invariant, connection)]
        self._running = [query for query in self._queries if not query.invariant.at_end]
        await self._evaluate_all(self._running)
        self._before = False
        if at_intervals and self._running:
            self._task = begin(self._observe(), self._break_off)

    def _read(self, invariant: Invariant, connection: Connection) -> Iterator[_Query]:
        """Yield its queries, without those in branches that are not taken."""
        context, place = self._context, invariant.place
        state = Interpreter(context.variables, lambda text: context.notices.say(f"invariant: {text.rstrip()}"))
        state.psql.connected(connection)
        try:
            for item in invariant.items:
                place = item.place
                if isinstance(item, Meta):
                    state.meta(item)
                elif isinstance(item, Statement) and state.branches.active():
                    context.log.evaluated.add(("invariant", place, ""))
                    yield _Query(invariant, item, "; ".join(state.texts(item)), state.about(item))
        except Rejected as wrong:
            self._stop(plain_failure(str(wrong), wrong.place or place, "invariant"))
        except Quit:
            pass  # the rest is not evaluated

    async def poll(self) -> None:
        """Evaluate once more, without intervals."""
        await self._evaluate_all(self._running)

    async def finish(self) -> None:
        """Evaluate all once more, with retries, and report those that could not be evaluated."""
        await self._end_task()
        if self._wrong:
            return
        self._finishes = True
        until = time.monotonic() + _FOR_THE_LAST
        # only the last evaluation sees the final state
        while left := [query for query in self._queries if not query.last]:
            await self._evaluate_all(left)
            if self._wrong or time.monotonic() > until:
                break
            await sleep(_BETWEEN if any(not query.last for query in left) else 0.0)
        for query in self._queries:
            if not (query.last or query.broken or self._wrong):
                when = " after the sessions" if query.answered else ""
                text = f"invariant could not be evaluated{when}: {' '.join(query.item.text.split())}"
                details = ("each evaluation ran into lock_timeout or statement_timeout, or lost its connection",)
                self._fail(Failure("invariant", (), text, query.item.place, details))

    async def close(self) -> None:
        """Stop the evaluations, and end the connection."""
        await self._end_task()
        await self._disconnect()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.end()

    async def _end_task(self) -> None:
        self._ends = True
        self._over.notify()
        if self._task is not None:
            await self._task.ends()

    async def _observe(self) -> None:
        while not (self._wrong or self._ends):
            if await self._over.wait(min(w.due for w in self._running)) is LATE:
                now = time.monotonic()
                await self._evaluate_all([w for w in self._running if w.due <= now])

    async def _evaluate_all(self, some: Sequence[_Query]) -> None:
        for query in some:
            if not self._wrong:
                await self._evaluate(query)
            query.due = time.monotonic() + query.invariant.every

    async def _evaluate(self, query: _Query) -> None:
        self.evaluations += 1
        self.place = query.item.place
        answer = await self._ask(query.sql)
        if answer is None:
            self.missed += 1
        elif answer.error is not None:
            self._stop(error_failure(answer.error, query.item.place, "invariant", query.about))
        else:
            for result in answer.results:
                self._judge(query, result)

    async def _ask(self, query: str) -> Answer | None:
        """Evaluate a query; None if it is missed: by a timeout, or because the server was taken away.

        An idle connection that was ended is noticed only by the next query, so that is retried once.
        """
        answer = await self._ask_once(query)
        if answer is not None and answer.error is not None and answer.error.lost:
            answer = await self._ask_once(query)
        if answer is None or answer.error is None:
            return answer
        missed = answer.error.sqlstate in _MISSED or answer.error.lost or answer.interrupted
        return None if missed else answer

    async def _ask_once(self, query: str) -> Answer | None:
        """Send a query on a connection that is open, as far as is known; None if none can be opened."""
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
        self._context.stop.set()

    def _break_off(self, error: BaseException) -> None:
        """Stop the run for an internal error: the invariants are not evaluated any more."""
        self._stop(internal_failure(error, self._queries[0].item.place, "invariant"))

    def _judge(self, query: _Query, result: Result) -> None:
        columns = result.columns()
        if not columns:
            text = "invariant returns no column: an invariant is a query that returns true"
            return self._stop(Failure("error", (), text, query.item.place))
        for column, kind in zip(columns, result.types(), strict=True):
            if kind != _BOOLEAN:
                text = f'invariant: column "{column}" is not boolean: an invariant is a query that returns true'
                return self._stop(Failure("error", (), text, query.item.place))
        rows = list(result.rows())
        if not rows and not query.invariant.may_be_empty:
            self._break(query, columns[0], "returned no row")
        wrong = {c: v for row in rows for c, v in zip(columns, row, strict=True) if v != "t"}
        for column, value in wrong.items():
            self._break(query, column, "is NULL" if value is None else "is false")
        query.answered += 1
        query.last = self._finishes
        return None

    def _break(self, query: _Query, column: str, how: str) -> None:
        if column in query.broken:
            return
        after = (clock.now() - self._started_at) * 1000
        seen = "false already before the sessions began" if self._before else f"first seen at {after:.1f} ms"
        name = ' (name it: SELECT … AS "what must hold")' if column in _NO_NAMES else ""
        text = f"invariant {column!r} {how}{name}"
        details = (" ".join(query.item.text.split()), seen)
        failure = Failure("invariant", (column,), text, query.item.place, details)
        query.broken[column] = failure
        self._fail(failure)
