"""Programs as sessions: what they find, what becomes of them, what their requests leave in the history."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from pgchaos.engine import lock_monitor
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.results import Record
from tests.engine.playing import Clock, Play, held, only, outcomes, said, texts
from tests.server.conftest import PACKAGES, interpreter, needs_root
from tests.working import working_in

STOCK = "-- chaos:setup\nCREATE TABLE stock (id int PRIMARY KEY, n int);\nINSERT INTO stock VALUES (1, 10), (2, 10);\n"


def stock(*sessions: str, check: str = "SELECT pass('done');", head: str = "") -> str:
    lines = "\n".join(f"-- chaos:session {session}" for session in sessions)
    return f"{head}\n{STOCK}{lines}\n-- chaos:check\n{check}\n"


def acts(records: list[Record], word: str) -> list[str]:
    return [record.statement for record in records if word in record.statement]


def test_each_request_is_a_step_with_its_parameters_and_transactions(play: Play, send: str) -> None:
    words = '"BEGIN" "SELECT n FROM stock WHERE id = 1" "UPDATE stock SET n = {{}} - 1 WHERE id = 1" "COMMIT"'
    check = """
        SELECT is(array_agg(format('%s %s %s', worker, step, tag) ORDER BY worker, step), ARRAY['1 1 BEGIN',
        '1 2 SELECT 1', '1 3 UPDATE 1', '1 4 COMMIT'], 'history') FROM chaos.history;
        SELECT is(count(*), 1::bigint, 'transactions') FROM chaos.transactions WHERE outcome = 'committed';
        SELECT is(count(*), 1::bigint, 'acknowledged') FROM chaos.acknowledged;
    """
    result = play(stock(f"shop run '{send} {words}'".replace("{{}}", "{}"), check=check))
    assert held(result) == ["history", "transactions", "acknowledged"]
    assert texts(said(result, "shop"))[2] == "UPDATE stock SET n = 10 - 1 WHERE id = 1"
    assert outcomes(result, "shop") == [(1, 1, True, "committed", "00000")]


def test_a_request_has_the_line_that_its_comment_names_and_no_other(play: Play, send: str) -> None:
    result = play(stock(f"""shop run '{send} "SELECT 1" "SELECT 2 /*file=''shop.py%3A12''*/"'"""))
    assert [(str(one.place), one.has_line) for one in (*result.acts[:1], *said(result, "shop"))] == [
        ("scenario.sql:5", False), ("scenario.sql:5", False), ("shop.py:12", True),
    ]  # fmt: skip


def test_a_program_finds_the_server_itself_and_its_variables(
    play: Play, send: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGAPPNAME", "not mine")
    monkeypatch.setenv("SHOP_COLOUR", "red")
    says = '"print:{CHAOS_SESSION} {CHAOS_WORKER} {CHAOS_ITERATION} {CHAOS_SEED} {SHOP_COLOUR} {PGDATABASE}"'
    found = "\"SELECT set_config('a.b', current_setting('application_name') || ' ' || current_database(), false)\""
    command = f'{send} {found} print:{{}} {says} "print:_ :size :worker"'.replace("'", "''")
    text = stock(f"shop x 2 repeat 2 run '{command}'", head="-- chaos:matrix size in 'a b'")
    result = play(text, seed=7, size="a b")
    assert not result.failures
    (database,) = {line.rpartition(" ")[2] for line in result.output if " red " in line}
    assert sorted(result.output) == sorted(
        line
        for worker in (1, 2)
        for iteration in (1, 2)
        for line in (
            f"shop[{worker}]: shop[{worker}] {database}",
            f"shop[{worker}]: shop {worker} {iteration} 7 red {database}",
            f"shop[{worker}]: _ a b {worker}",
        )
    )


def test_an_exit_status_that_is_not_allowed_is_a_failure(play: Play, send: str) -> None:
    result = play(stock(f"shop run '{send} \"SELECT 1\" error:broken exit:3'"))
    failure = only(result)
    assert failure.text.startswith("shop[1]: `")
    assert failure.text.endswith("` ended with exit status 3")
    assert (failure.kind, failure.names, failure.details, str(failure.place)) == (
        "error", ("exit 3",), ("broken",), "scenario.sql:5",
    )  # fmt: skip
    assert not result.output  # the failure shows all of it


def test_exit_statuses_can_be_allowed(play: Play, send: str) -> None:
    sessions = (
        f"a allow exit 3 run '{send} \"SELECT 1\" exit:3'",
        f"b run '{send} \"SELECT 1\" exit:4'\n-- chaos:allow exit 5, 4",
    )
    assert held(play(stock(*sessions))) == ["done"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-command", "shop[1] cannot run its program: there is no command `no-such-command` in PATH ("),
        ("./nothing --now", "shop[1] cannot run its program: there is no file `./nothing`, seen from the folder "),
        ("sender.py/x", "shop[1] cannot run its program: `sender.py/x` cannot be run: "),
    ],
)
def test_a_command_that_cannot_be_run_is_reported_with_its_line(play: Play, send: str, command: str, said: str) -> None:  # noqa: ARG001 it puts the file there
    failure = only(play(stock(f"shop run '{command}'")))
    assert failure.text.startswith(said)
    assert str(failure.place) == "scenario.sql:5"


def test_a_program_that_never_connects_is_a_failure(play: Play, send: str) -> None:
    failure = only(play(stock(f"shop allow exit 1 run '{send} print:hello error:broken exit:1'")))
    assert failure.text.startswith("shop[1] never connected to the database: `")
    assert failure.details[0].startswith("a program must connect by DATABASE_URL, or by PGHOST")
    assert failure.details[1:] == ("broken",)


def test_a_program_that_sends_nothing_is_reported(play: Play) -> None:
    text = 'import os, psycopg\npsycopg.connect(os.environ["DATABASE_URL"]).close()\n'
    (play.folder / "silent.py").write_text(text, encoding="utf-8")
    result = play(stock("shop run 'python silent.py'"))
    assert held(result) == ["done"]
    (remark,) = [one for one in result.remarks if "shop[1]" in one]
    assert remark.startswith("shop[1] connected and sent no statement, so that it tests nothing: `")


def test_a_mistake_that_a_program_passes_over_is_reported(play: Play, send: str) -> None:
    result = play(stock(f"""shop run 'sh -c "{send} BEGIN ''UPDATE stok SET n = 1'' || true"'"""))
    assert held(result) == ["done"]
    text = "shop[1] had an error that mostly is a mistake, which failed nothing: 42P01 in step 2: relation "
    assert any(one.startswith(text) for one in result.remarks)


def test_a_program_that_was_refused_is_a_failure_that_says_why(play: Play, send: str) -> None:
    failure = only(play(stock(f"shop run 'env DATABASE_URL=dbname=postgres {send} \"SELECT 1\"' allow exit 1")))
    assert failure.text.startswith("shop[1] never connected to the database: `")
    assert failure.details[0].startswith('a connection was refused: database "postgres" is not the one of this run, "')


def test_several_connections_of_one_program(play: Play, send: str) -> None:
    words = '"BEGIN" "UPDATE stock SET n = 0 WHERE id = 1" open:2 "UPDATE stock SET n = 5 WHERE id = 2" open:1 "COMMIT"'
    result = play(stock(f"shop run '{send} {words}'", check="SELECT is(sum(n), 5::bigint, 'both') FROM stock;"))
    assert held(result) == ["both"]
    assert sorted(outcomes(result, "shop")) == [
        (1, 1, False, "committed", "00000"),
        (1, 1, True, "committed", "00000"),
    ]


def test_what_is_left_of_a_program_ends_with_it(play: Play, send: str) -> None:
    # a process that leaves the group, and a connection that is left in a transaction
    words = '"BEGIN" "SELECT n FROM stock" "SELECT pg_backend_pid()" child:3600 "exit:0"'
    result = play(
        stock(
            f"shop run '{send} {words}'",
            check="SELECT is(count(*), 0::bigint, 'gone') FROM pg_locks WHERE relation = 'stock'::regclass;",
        )
    )
    assert held(result) == ["gone"]
    assert outcomes(result, "shop") == [(1, 1, True, "rolled back", "00000")]


def test_faults_are_delivered_at_the_requests_that_they_name(play: Play, send: str) -> None:
    update = '"UPDATE stock SET n = n - 1 WHERE id = 1"'
    fault = "-- chaos:fault terminate after on 2nd execution of 'UPDATE stock%'"
    session = f"shop allow exit 1 run '{send} \"SELECT 1\" {update} {update} {update}'\n{fault}"
    result = play(stock(session, check="SELECT is(n, 8, 'two') FROM stock WHERE id = 1;"))
    assert held(result) == ["two"]
    delivered = [record.step for record in said(result, "shop") if record.fault]
    assert delivered == ["3"]


def test_a_fault_before_a_request_keeps_it_from_the_server(play: Play, send: str) -> None:
    fault = "-- chaos:fault terminate before on 1st execution of 'update%'"
    session = f'shop allow exit 1 run \'{send} "SELECT 1" "UPDATE stock SET n = 0"\'\n{fault}'
    result = play(stock(session, check="SELECT is(sum(n), 20::bigint, 'nothing') FROM stock;"))
    assert held(result) == ["nothing"]
    assert [record.sqlstate for record in said(result, "shop")] == ["00000", "08006"]


def test_a_fault_that_no_request_reached_is_reported(play: Play, send: str) -> None:
    fault = "-- chaos:fault terminate on 3rd execution of 'SELECT%'"
    failure = only(play(stock(f'shop run \'{send} "SELECT 1" "SELECT 2"\'\n{fault}')))
    assert failure.text.endswith("could not be delivered: there were only 2 requests like 'SELECT%'")


def test_a_time_out_ends_programs_and_says_what_they_do(play: Play, send: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = LockMonitor.watch

    async def watching(self: LockMonitor, seconds: float) -> bool:
        def is_blocked() -> bool:
            return any(one.doing == "is blocked" for one in self._coordinator.stopped_sessions(str))

        monkeypatch.setattr(lock_monitor, "time", Clock(is_blocked))
        return await watch(self, seconds)

    monkeypatch.setattr(LockMonitor, "watch", watching)
    words = 'child:3600 "BEGIN" "UPDATE stock SET n = 0 WHERE id = 1" sleep:3600'
    result = play(stock(f"shop x 2 run '{send} {words}'", head="-- chaos:timeout 60s"))
    assert only(result).kind == "timeout"
    assert working_in(play.folder.resolve()) == 0
    (blocked,) = [one for one in result.stopped_sessions if one.doing == "is blocked"]
    assert {blocked.session, *blocked.waits_for} == {"shop[1]", "shop[2]"}
    assert sum(one.doing.startswith("runs ") for one in result.stopped_sessions) == 2


def test_waits_of_other_sessions_see_programs(play: Play, send: str) -> None:
    blocked = f"shop run '{send} \"UPDATE stock SET n = 0 WHERE id = 1\"'"
    sql = "sql\nBEGIN;\nUPDATE stock SET n = 1 WHERE id = 1;\n-- chaos:wait blocked shop\nSELECT 1;\nCOMMIT;"
    result = play(stock(blocked, sql))
    assert held(result) == ["done"]
    assert said(result, "shop")[0].waited_on == ("sql[1]",)


OTHER = """
import sys
from pathlib import Path
from pgchaos.engine.applications.process import CannotEnd, ProgramProcess
from pgchaos.engine.loop import Loop
from pgchaos.posix.group_guard import GroupGuard

async def main():
    guard = GroupGuard()
    command = [sys.argv[1], "--reuid", "0", "--regid", "0", "--clear-groups", "sh", "-c", "echo in; exec sleep 60"]
    program = await ProgramProcess.start(command, Path("/"), {"PATH": "/usr/bin:/bin"}, guard)
    while not program.output:
        await sleep(0.01)
    try:
        await program.finish()
    except CannotEnd as why:
        print(program.pid, why, flush=True)
    guard.close()

from pgchaos.engine.waits import sleep
Loop().run(main())
"""


@needs_root
def test_a_program_that_has_become_another_user_s_is_not_waited_for() -> None:
    found = shutil.which("setpriv")
    if found is None:
        pytest.skip("there is no setpriv (util-linux)")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            pytest.skip("/var/tmp is mounted with nosuid")
        Path(folder).chmod(0o755)
        becomes_root = shutil.copy(found, folder)
        Path(becomes_root).chmod(0o4755)
        done = subprocess.run(
            [interpreter("nobody"), "-c", OTHER, becomes_root],
            env={**os.environ, **PACKAGES},
            cwd="/",
            user="nobody",
            group=pwd.getpwnam("nobody").pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    pid, _, why = done.stdout.strip().partition(" ")
    assert pid, done.stderr
    os.kill(int(pid), signal.SIGKILL)
    assert why == f"process {pid} runs as another user, so only root can kill it"
