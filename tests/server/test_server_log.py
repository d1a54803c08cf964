"""Which lines of a server's log are about one database, and which are attempts to connect meanwhile."""

from __future__ import annotations

from pgchaos.server.server_log import join_refusals, lines_about

LOG = """\
2026-11-30 00:20:49.1 UTC [7] / LOG:  ready
2026-11-30 00:20:49.2 UTC [8] mine/client[3] ERROR:  canceling statement
2026-11-30 00:20:49.2 UTC [8] mine/client[3] STATEMENT:  INSERT
\tINTO invoice VALUES (1)
2026-11-30 00:20:49.3 UTC [9] mine_2/client[1] ERROR:  another's
\tmine/ of another
2026-11-30 00:20:49.4 UTC [8] mine/check LOG:  last
"""


def test_lines_and_those_that_continue_them() -> None:
    assert [line.rpartition("  ")[2] for line in lines_about("mine", LOG)] == [
        "canceling statement",
        "INSERT",
        "\tINTO invoice VALUES (1)",
        "last",
    ]
    assert lines_about("nowhere", LOG) == []
    assert lines_about("mine", "") == []


CRASH = """\
2026-11-30 05:01:17.1 UTC [1] / LOG:  client backend (PID 9) was terminated by signal 9: Killed
2026-11-30 05:01:17.2 UTC [2] own/[unknown] FATAL:  the database system is in recovery mode
2026-11-30 05:01:17.3 UTC [3] / LOG:  redo starts at 0/2000170
2026-11-30 05:01:17.4 UTC [4] own/[unknown] FATAL:  the database system is not yet accepting connections
2026-11-30 05:01:17.4 UTC [4] own/[unknown] DETAIL:  Consistent recovery state has not been yet reached.
2026-11-30 05:01:17.5 UTC [5] other/[unknown] FATAL:  the database system is starting up
2026-11-30 05:01:17.6 UTC [6] own/[unknown] FATAL:  the database system is starting up
2026-11-30 05:01:17.7 UTC [1] / LOG:  database system is ready to accept connections
2026-11-30 05:01:17.7 UTC [9] own/[unknown] FATAL:  the database system is not yet accepting connections
2026-11-30 05:01:17.8 UTC [4] own/shop[1] ERROR:  division by zero
2026-11-30 05:01:17.8 UTC [8] own/shop[1] DETAIL:  of an error
2026-11-30 05:01:17.9 UTC [1] / LOG:  received fast shutdown request
2026-11-30 05:01:17.9 UTC [7] own/[unknown] FATAL:  the database system is shutting down
"""


def test_attempts_to_connect_while_the_server_recovers_are_one_line() -> None:
    found = [line.rpartition("  ")[2] for line in join_refusals("own", CRASH.splitlines())]
    assert found == [
        "client backend (PID 9) was terminated by signal 9: Killed",
        "the database system is in recovery mode (4 times)",
        "redo starts at 0/2000170",
        "the database system is starting up",
        "database system is ready to accept connections",
        "division by zero",
        "of an error",
        "received fast shutdown request",
        "the database system is shutting down",
    ]
    assert len(join_refusals("nowhere", CRASH.splitlines())) == 13
