"""Which lines of a server's log are about one database."""

from __future__ import annotations

from pgchaos.server.server_log import lines_about

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
