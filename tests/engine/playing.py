"""Runs a scenario from its text, and reads its result."""

from __future__ import annotations

import textwrap
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pgchaos.engine import lock_monitor, other_backends, step_scheduler, stepped_coordinator
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.step_scheduler import StepScheduler
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.language.reader import read
from pgchaos.results import Failure, Permutations, Record, RunResult
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.waiting import until

CHECKED = """
-- chaos:check
SELECT pass('checked');
"""
"""The check of a scenario that only has to run to its end; see `held`."""

_FAR = 3600.0
"""Seconds, longer than any time-out in these tests."""


@dataclass(frozen=True, slots=True)
class Play:
    """Runs scenarios on a server."""

    server: Server
    folder: Path

    def __call__(self, text: str, seed: int = 1, timeout: float = 120.0, **variables: str) -> RunResult:
        """Run a scenario.

        Args:
            text: of its file; indentation that all lines share is removed.
            seed: of everything random.
            timeout: seconds for each part, if the text sets none.
            variables: the values of its matrix.
        """
        path = self.folder / "scenario.sql"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return run(read(path, "scenario.sql"), variables, self.server, RunSettings(seed, timeout))


def held(result: RunResult) -> list[str]:
    """Return the names of the assertions that passed; the run must have no failure."""
    assert not result.failures, result.failures
    return [assertion.name for assertion in result.assertions if assertion.ok]


def only(result: RunResult) -> Failure:
    """Return the only failure of a run."""
    assert len(result.failures) == 1, result.failures
    return result.failures[0]


def line(failure: Failure) -> int:
    """Return the line of a failure."""
    assert failure.place is not None, failure
    return failure.place.line


def interleavings(result: RunResult) -> Permutations:
    """Return what a search counted."""
    assert result.permutations is not None, result.failures
    return result.permutations


def chosen(result: RunResult) -> str:
    """Return the statement at which a fault `at any step` was delivered."""
    (step,) = result.values.values()
    return step


def said(result: RunResult, session: str, worker: int = 1) -> list[Record]:
    """Return the records of one connection in order."""
    return [r for r in result.records if (r.session, r.worker) == (session, worker)]


def outcomes(result: RunResult, session: str) -> list[tuple[int, int, bool, str, str | None]]:
    """Return the transactions of a session: worker, attempt, block, outcome, sqlstate."""
    return [(t.worker, t.attempt, t.block, t.outcome, t.sqlstate) for t in result.transactions if t.session == session]


def texts(records: list[Record]) -> list[str]:
    """Return their statements."""
    return [record.statement for record in records]


class Clock:
    """A clock that passes the time limit of the sessions when a state is reached, and not before."""

    def __init__(self, state: Callable[[], bool]) -> None:
        self._state, self._over = state, 0.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self._over = self._over or (_FAR if self._state() else 0.0)
        return time.monotonic() + self._over

    def time(self) -> float:
        """Return the time since the epoch."""
        return time.time()


def over_once(monkeypatch: pytest.MonkeyPatch, state: Callable[[dict[str, str]], bool]) -> None:
    """Let the time limit of the sessions pass as soon as they are in a state.

    Args:
        monkeypatch: of the test.
        state: called with what each session does, by its name; '' before it is connected.
    """
    watch, conduct, await_change = LockMonitor.watch, StepScheduler.run, SteppedCoordinator._await_change

    def clock(coordinator: Coordinator) -> Clock:
        def is_reached() -> bool:
            stopped = coordinator.stopped_sessions(other_backends.pid_text)
            return state(defaultdict(str, {one.session: one.doing for one in stopped}))

        return Clock(is_reached)

    async def watching(self: LockMonitor, seconds: float) -> bool:
        monkeypatch.setattr(lock_monitor, "time", clock(self._coordinator))
        return await watch(self, seconds)

    async def conducting(self: StepScheduler, seconds: float) -> bool:
        one = clock(self._coordinator)
        monkeypatch.setattr(step_scheduler, "time", one)
        monkeypatch.setattr(stepped_coordinator, "time", one)
        return await conduct(self, seconds)

    async def awaiting(self: SteppedCoordinator, until: float) -> None:
        # a wait for a change takes as long as by the real clock
        await await_change(self, until - _FAR if until > time.monotonic() + _FAR / 2 else until)

    monkeypatch.setattr(SteppedCoordinator, "_await_change", awaiting)
    monkeypatch.setattr(LockMonitor, "watch", watching)
    monkeypatch.setattr(StepScheduler, "run", conducting)


@contextmanager
def stranger(server: Server, key: int) -> Iterator[None]:
    """Connect to a scenario's database from outside once its session named ready sleeps, take a lock and wake it."""

    def waiting() -> str | None:
        with server.connect() as conn:
            row = conn.execute(
                "SELECT datname FROM pg_stat_activity WHERE application_name = 'ready[1]' AND wait_event = 'PgSleep'"
            ).fetchone()
        return None if row is None else str(row[0])

    over = threading.Event()

    def hold() -> None:
        database = until(waiting, "a session named ready sleeps")
        with psycopg.connect(server.conninfo(database), application_name="a stranger", autocommit=True) as conn:
            conn.execute("SELECT pg_advisory_lock(%s)", [key])
            conn.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'ready[1]' AND wait_event = 'PgSleep'"
            )
            over.wait(300)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
