"""Looks at the invariants while the sessions run. Disturbs nobody: short time-outs, and a look missed is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.engine.answer import Result
from pgchaos.engine.link import Link
from pgchaos.engine.wording import error_failure
from pgchaos.history import Failure, RunResult
from pgchaos.scenario.model import Invariant, Statement
from pgchaos.scenario.psql import render

_MISSED = ("57014", "55P03")
"""query_canceled (by statement_timeout) and lock_not_available."""
_BOOLEAN = 16
"""The OID of type boolean (pg_type.dat)."""

TIMEOUTS = {"lock_timeout": "100ms", "statement_timeout": "1s", "application_name": "invariant"}


@dataclass(slots=True)
class _Watched:
    """One query of an invariant, and what became of it."""

    invariant: Invariant
    item: Statement
    due: float = 0.0
    held: int = 0
    broken: dict[str, Failure] = field(default_factory=dict)


class Observer:
    """Looks before, during and after the sessions.

    Args:
        link: a connection of its own, with TIMEOUTS set.
        invariants: of the scenario.
        variables: of the matrix.
        result: counts looks.
        fail: takes a failure; the run goes on.
        broke: called when a query itself is wrong: the run stops.
    """

    def __init__(
        self,
        link: Link,
        invariants: Sequence[Invariant],
        variables: Mapping[str, str],
        result: RunResult,
        fail: Callable[[Failure], None],
        broke: Callable[[], None],
    ) -> None:
        self.link, self._variables, self._result = link, variables, result
        self._fail, self._broke = fail, broke
        self._watched = [
            _Watched(invariant, item)
            for invariant in invariants
            for item in invariant.items
            if isinstance(item, Statement)
        ]
        self._over = threading.Event()
        self._began = time.time()
        self._wrong = False
        self._thread = threading.Thread(target=self._observe, name="pgchaos observer", daemon=True)

    def start(self) -> None:
        """Look once, then at intervals."""
        self._began = time.time()
        self._look_at([w for w in self._watched if not w.invariant.at_end])
        if any(not w.invariant.at_end for w in self._watched):
            self._thread.start()

    def finish(self) -> None:
        """Look at everything once more; say so where something could never be looked at."""
        self.close()
        if self._wrong or not self.link.alive:
            return
        self._look_at(self._watched)
        for watched in self._watched:
            if not watched.held and not watched.broken and not self._wrong:
                text = f"invariant could not be looked at: {' '.join(watched.item.text.split())}"
                details = ("every look ran into lock_timeout or statement_timeout",)
                self._fail(Failure("invariant", (), text, watched.item.place, details))

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _observe(self) -> None:
        running = [w for w in self._watched if not w.invariant.at_end]
        while not self._wrong and not self._over.wait(self._until(running)) and self.link.alive:
            now = time.monotonic()
            self._look_at([w for w in running if w.due <= now])

    def _until(self, running: Sequence[_Watched]) -> float:
        return max(0.0, min(w.due for w in running) - time.monotonic())

    def _look_at(self, some: Sequence[_Watched]) -> None:
        for watched in some:
            if not self._wrong:
                self._look(watched)
            watched.due = time.monotonic() + watched.invariant.every

    def _look(self, watched: _Watched) -> None:
        answer = self.link.ask(render(watched.item.parts, self._variables))
        self._result.looks += 1
        if answer.error is None:
            for result in answer.results:
                self._judge(watched, result)
        elif answer.error.sqlstate in _MISSED or answer.interrupted:
            self._result.missed += 1
        elif not answer.error.lost:
            self._stop(error_failure(answer.error, watched.item.place, "invariant"))

    def _stop(self, failure: Failure) -> None:
        self._wrong = True
        self._fail(failure)
        self._broke()

    def _judge(self, watched: _Watched, result: Result) -> None:
        columns = result.columns()
        for column, kind in zip(columns, result.types(), strict=True):
            if kind != _BOOLEAN:
                text = f'invariant: column "{column}" is not boolean: an invariant is a query that returns true'
                return self._stop(Failure("error", (), text, watched.item.place))
        rows = list(result.rows())
        if not rows and not watched.invariant.may_be_empty:
            self._break(watched, columns[0] if columns else "invariant", "returned no row")
        wrong = {c: v for row in rows for c, v in zip(columns, row, strict=True) if v != "t"}
        for column, value in wrong.items():
            self._break(watched, column, "is NULL" if value is None else "is false")
        watched.held += 1
        return None

    def _break(self, watched: _Watched, column: str, how: str) -> None:
        if column in watched.broken:
            return
        after = (time.time() - self._began) * 1000
        text = f"invariant {column!r} {how}"
        details = (" ".join(watched.item.text.split()), f"first seen {after:.0f} ms after the sessions began")
        failure = Failure("invariant", (column,), text, watched.item.place, details)
        watched.broken[column] = failure
        self._fail(failure)
