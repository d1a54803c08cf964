"""An error of ours in any thread of a run fails the scenario, soon, and with its traceback."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

import pgchaos
from pgchaos.engine import cancel
from pgchaos.engine.faults import commit_probe
from pgchaos.engine.faults.timing import Timing
from pgchaos.engine.invariant_monitor import InvariantMonitor
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.engine.loop import run_sync
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.session_runner import SessionRunner
from pgchaos.engine.step_scheduler import StepScheduler
from pgchaos.results import RunResult
from pgchaos.server import Server, ServerError, ServerSettings, open_server
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.database_pool import DatabasePool
from pgchaos.server.external_cleanup import Lease
from pgchaos.server.prepared import PreparedData
from pgchaos.server.schema_pool import SharedDatabase
from tests.engine.playing import Play, only
from tests.waiting import until

# the planted error ends the thread; that the run reports it is what is tested
_RAISES_IN_THREAD = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class PlantedError(Exception):
    pass


def planted(*_: object, **__: object) -> NoReturn:
    raise PlantedError


async def planted_task(*_: object) -> None:
    raise PlantedError


def check_reported(result: RunResult, who: str) -> None:
    failure = only(result)
    assert failure.text == f"{who}: internal error of pgchaos: PlantedError()"
    assert failure.details[0] == "Traceback (most recent call last):"
    assert "in planted" in "\n".join(failure.details)


SLEEPS = """
    -- chaos:setup
    CREATE TABLE t (id int);
    -- chaos:session one
    INSERT INTO t VALUES (1);
    {fault}
    SELECT pg_sleep(600);
    -- chaos:check
    SELECT pass('never');
"""


TWO = """
    -- chaos:session one
    SELECT 1;
    -- chaos:session other
    SELECT 1;
    -- chaos:check
    SELECT pass('never');
"""


def test_in_a_session(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionRunner, "_statement", planted_task)
    check_reported(play(SLEEPS.format(fault="")), "one[1]")


def test_in_the_task_of_a_fault(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "await_time", planted)
    check_reported(play(SLEEPS.format(fault="-- chaos:fault terminate during")), "fault of one[1]")


def test_in_a_fault_before_a_statement(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "await_time", planted)
    check_reported(play(SLEEPS.format(fault="-- chaos:fault terminate before")), "one[1]")


def test_in_the_task_that_commits_to_see_commits_held(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_probe, "_commit", planted_task)
    result = play(
        """
        -- chaos:sandbox server
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session one
        BEGIN;
        INSERT INTO t VALUES (1);
        -- chaos:fault kill during
        COMMIT;
        -- chaos:check
        SELECT pass('never');
        """
    )
    check_reported(result, "one[1]")


def test_in_the_task_of_an_observer(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InvariantMonitor, "_observe", planted_task)
    text = SLEEPS.format(fault="").replace(
        "-- chaos:session", "-- chaos:invariant\n    SELECT true AS x;\n    -- chaos:session", 1
    )
    check_reported(play(text), "invariant")


def test_in_what_takes_notices_of_a_session(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoticeCollector, "receive", planted)
    text = SLEEPS.format(fault="DO $$ BEGIN RAISE NOTICE 'x'; END $$;")
    check_reported(play(text), "one[1]")


@pytest.mark.parametrize(
    ("place", "name", "schedule"), [(LockMonitor, "poll", ""), (StepScheduler, "run", "-- chaos:schedule all")]
)
def test_where_sessions_are_watched_it_is_raised(
    play: Play, monkeypatch: pytest.MonkeyPatch, place: type, name: str, schedule: str
) -> None:
    monkeypatch.setattr(place, name, planted)
    with pytest.raises(PlantedError):
        play(f"    {schedule}{TWO}")


def test_in_what_takes_notices_of_a_section_it_is_raised(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoticeCollector, "receive", planted)
    with pytest.raises(PlantedError):
        play("-- chaos:setup\nDO $$ BEGIN RAISE NOTICE 'x'; END $$;\n-- chaos:check\nSELECT pass('never');")


@pytest.fixture
def own() -> Server:
    return open_server(ServerSettings())


@_RAISES_IN_THREAD
@pytest.mark.parametrize(
    ("place", "name"), [(DatabaseFactory, "clone"), (DatabasePool, "_next"), (DatabasePool, "_done")]
)
def test_where_databases_are_made(own: Server, monkeypatch: pytest.MonkeyPatch, place: type, name: str) -> None:
    with own:
        monkeypatch.setattr(place, name, planted)
        for _ in range(2):  # the second does not wait for a thread that is gone
            with (
                pytest.raises(ServerError, match=r"(?s)internal error of pgchaos.*Traceback.*in planted"),
                own.sandbox(),
            ):
                pass
        monkeypatch.undo()


@_RAISES_IN_THREAD
def test_where_schemas_are_made(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with own:
        monkeypatch.setattr(SharedDatabase, "_perform", planted)
        for _ in range(2):
            with (
                pytest.raises(ServerError, match=r"(?s)internal error of pgchaos.*Traceback.*in planted"),
                own.sandbox(schema=True),
            ):
                pass


@_RAISES_IN_THREAD
def test_where_a_lease_is_renewed(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseFactory, "renew", planted)
    with own:
        lease = Lease(own._pool._factory.copy(), every=0.001)
        lease.begin()
        until(lambda: not lease._thread.is_alive(), "the thread has ended")
        with pytest.raises(ServerError, match=r"(?s)internal error of pgchaos.*Traceback.*in planted"):
            lease.begin()


@_RAISES_IN_THREAD
def test_where_the_next_server_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreparedData, "begin", planted)
    with closing(ClusterFactory(None, None)) as clusters:
        for _ in range(2):
            with clusters.sandbox():
                pass
        with (
            pytest.raises(ServerError, match=r"(?s)internal error of pgchaos.*Traceback.*in planted"),
            clusters.sandbox(),
        ):
            pass


def test_where_an_old_libpq_cancels(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg.pq, "version", lambda: 160000)
    with psycopg.connect(own.administrative()) as conn:
        assert run_sync(cancel.cancel(conn.pgconn))
        monkeypatch.setattr(cancel, "_cancel_blocking", planted)
        with pytest.raises(PlantedError):
            run_sync(cancel.cancel(conn.pgconn))


def test_no_thread_is_started_that_would_lose_an_error() -> None:
    """Threads are made where an error in them is kept; a new place needs a look, and a test above."""
    kept = {
        f"server/{name}.py"
        for name in ("health", "cluster", "database_pool", "external_cleanup", "schema_pool", "supervisor_client")
    }
    root = Path(pgchaos.__file__).parent
    made = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\bThread\(|_thread\.start|to_thread\(|run_in_executor\(", path.read_text(encoding="utf-8"))
    }
    # tests/search/test_speculative_runs.py tests the second; pytest reports the third, and no result depends on it
    assert made == kept | {"engine/blocking.py", "search/runs_in_child.py", "runner/progress.py"}


def test_a_thread_that_cannot_be_started_is_reported(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    def refuse(start: Callable[..., object]) -> None:
        monkeypatch.setattr("threading.Thread.start", start)

    play("-- chaos:sandbox server\n-- chaos:check\nSELECT pass('the server has its threads');")
    refuse(full)
    failure = only(play(f"-- chaos:sandbox server\n{SLEEPS.format(fault='-- chaos:fault crash before')}"))
    assert "could not be delivered: cannot start a thread for pgchaos fault, with " in failure.text
    assert "ulimit -u" in failure.text
