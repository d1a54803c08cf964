"""A commit or a session that a fault holds is released in every case."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import pytest

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.faults.commit_probe import CommitProbe
from pgchaos.engine.faults.commits import CommitHold, release_commits
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.loop import Loop, begin, run_sync
from pgchaos.engine.session_log import SessionLog
from pgchaos.language.fault_kinds import disks_of
from pgchaos.language.reader import read
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import WaitRules
from pgchaos.server import PrivateServer
from pgchaos.server.settings import NoDisk
from pgchaos.stop import Stop
from tests.engine.playing import Play, only

T = TypeVar("T")

SET = "ALTER SYSTEM SET synchronous_standby_names = 'pgchaos_nobody'"
"""As it stands where the server went down before it took the setting back."""


@pytest.fixture
def fault_connection(play: Play, stop: Stop) -> Iterator[FaultConnection]:
    with play.server.own_server_sandbox((), {}, {}) as sandbox:
        made = FaultConnection(ConnectionFactory(sandbox, keep=False, join=False), stop, set())
        yield made
        run_sync(made.close())


def run(work: Coroutine[Any, Any, T]) -> T:
    return Loop().run(work)


def server_control(fault_connection: FaultConnection) -> PrivateServer:
    assert fault_connection.server_control is not None
    return fault_connection.server_control


async def standbys(fault_connection: FaultConnection) -> list[object]:
    """What the settings of the server say, and what is in force."""
    rows = await fault_connection.ask("SELECT setting FROM pg_file_settings WHERE name = 'synchronous_standby_names'")
    assert rows is not None
    return [row[0] for row in rows]


def test_the_name_is_taken_back_again_when_commits_are_let_go(fault_connection: FaultConnection, stop: Stop) -> None:
    async def holds() -> None:
        hold = CommitHold(fault_connection, stop)
        assert await hold.hold()
        assert not await standbys(fault_connection)
        await fault_connection.ask(SET)
        assert await standbys(fault_connection) == ["pgchaos_nobody"]
        await hold.release()
        assert (await standbys(fault_connection), fault_connection.standby_set, fault_connection.holding.held) == (
            [],
            False,
            False,
        )

    run(holds())


def test_the_name_is_taken_back_of_a_server_that_was_down_meanwhile(
    fault_connection: FaultConnection, stop: Stop
) -> None:
    async def holds() -> None:
        hold = CommitHold(fault_connection, stop)
        assert await hold.hold()
        await fault_connection.ask(SET)
        server_control(fault_connection).stop("immediate")
        await hold.release()
        assert (fault_connection.standby_set, fault_connection.holding.held) == (True, False)
        server_control(fault_connection).start()
        assert await standbys(fault_connection) == ["pgchaos_nobody"]
        assert await release_commits(fault_connection)
        assert not await standbys(fault_connection)

    run(holds())


def test_a_commit_that_nobody_lets_go_is_not_waited_for(fault_connection: FaultConnection, stop: Stop) -> None:
    probe = CommitProbe(fault_connection, stop)

    async def ends() -> None:
        await fault_connection.ask(SET)
        await fault_connection.ask("SELECT pg_reload_conf()")
        until = time.monotonic() + 60
        while not await probe.waits():
            assert time.monotonic() < until, "no commit waits for a standby"
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        assert await fault_connection.ask(waiting)
        ending = begin(probe.end())
        assert await ending.ends(30)
        assert await fault_connection.ask(waiting) == []

    run(ends())


SPOILT = """
    -- chaos:sandbox server
    -- chaos:setup
    CREATE TABLE t (id int);
    CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir postgresql.auto.conf.tmp';
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER spoil AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION spoil();
    -- chaos:session a allow 57P01 08006
    BEGIN;
    INSERT INTO t VALUES (1);
    -- chaos:fault terminate during
    COMMIT;
    -- chaos:check
    SELECT pass('checked');
    -- chaos:teardown
    INSERT INTO t VALUES (2);
"""


def test_settings_that_cannot_be_put_back_fail_the_run_and_nothing_else(play: Play) -> None:
    result = play(SPOILT)
    failure = only(result)
    assert failure.kind == "error"
    assert failure.text.startswith("the server could not be brought back after the faults: could not open file")
    assert [record.fault for record in result.records if record.step == "3"] == ["terminate"]
    # commits wait for nobody all the same: that of teardown would be stopped after 120 s, and be another failure
    assert result.duration < 60


def test_a_server_that_refuses_to_hold_commits_is_reported_as_a_fault(play: Play) -> None:
    result = play(
        """
        -- chaos:sandbox server
        -- chaos:requires server >= 17
        -- chaos:server allow_alter_system = off
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        -- chaos:fault kill during
        INSERT INTO t VALUES (1);
        -- chaos:check
        SELECT pass('checked');
        """
    )
    if result.skipped:
        pytest.skip(result.skipped)
    failure = only(result)
    assert (failure.kind, failure.place and failure.place.line) == ("fault", 8)
    assert "could not be delivered: commits cannot be held: ALTER SYSTEM is not allowed" in failure.text


def test_who_waits_for_the_server_is_let_go_by_a_stop(play: Play, stop: Stop) -> None:
    path = play.folder / "scenario.sql"
    path.write_text(
        "-- chaos:sandbox server\n-- chaos:session a\n-- chaos:fault fill wal during\nSELECT 1;\n"
        "-- chaos:check\nSELECT pass('checked');\n"
    )
    scenario = read(path)
    (fault,) = (item for item in scenario.sessions[0].items if isinstance(item, Fault))
    with ExitStack() as stack:
        try:
            sandbox = stack.enter_context(play.server.own_server_sandbox((), {}, disks_of(scenario)))
        except NoDisk as missing:
            pytest.skip(str(missing))
        factory, cleanup_stop = ConnectionFactory(sandbox, keep=False, join=False), stack.enter_context(closing(Stop()))
        coordinator = Coordinator(WaitRules(scenario.sessions, {}), stop, SessionLog())
        injector = FaultInjector(scenario, {}, factory, coordinator, stop, cleanup_stop, set())
        stack.callback(lambda: run(injector.close()))

        async def is_let_go() -> None:
            # until there is room again, which nobody makes here
            await injector.carry_out(fault, ())
            waiting = begin(injector.outage.await_server())
            assert not await waiting.ends(0.1)
            stop.set()
            assert await waiting.ends(30)
            await injector.outage.restore()

        run(is_let_go())
