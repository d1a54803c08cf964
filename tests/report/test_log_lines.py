"""Of a server's log, what is not of every start is shown, folded to the width of the terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from pgchaos.report.formatting import PLAIN
from pgchaos.report.text import log_lines

DAY = "2026-11-30"
START = [
    f"{DAY} 01:20:03.281 UTC [24384] / LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu",
    f'{DAY} 01:20:03.281 UTC [24384] / LOG:  listening on Unix socket "/tmp/.s.PGSQL.5432"',
]
FIRST = [
    *START,
    f"{DAY} 01:20:03.357 UTC [24391] / LOG:  database system was shut down at 2026-11-30 00:22:30 UTC",
    f"{DAY} 01:20:03.361 UTC [24384] / LOG:  database system is ready to accept connections",
]
RECOVERY = [
    *START,
    f"{DAY} 01:20:03.810 UTC [24420] / LOG:  database system was not properly shut down; automatic recovery",
    f"{DAY} 01:20:03.818 UTC [24418] / LOG:  checkpoint complete: wrote 35 buffers (0.9%)",
    f"{DAY} 01:20:03.835 UTC [24413] / LOG:  database system is ready to accept connections",
]
ERROR = f"{DAY} 01:20:03.400 UTC [24401] shop/shop[1] ERROR:  deadlock detected"


def test_only_what_happened_is_left() -> None:
    assert log_lines([*FIRST, ERROR, *RECOVERY], 200, PLAIN) == [
        "01:20:03.400 [24401] shop/shop[1] ERROR: deadlock detected",
        "01:20:03.810 [24420] LOG: database system was not properly shut down; automatic recovery",
        "01:20:03.835 [24413] LOG: database system is ready to accept connections",
    ]
    assert log_lines(FIRST, 200, PLAIN) == []


@pytest.mark.parametrize("width", [40, 76])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = f"{DAY} 01:20:03.400 UTC [24401] shop/shop[1] STATEMENT:  SELECT {'一二三四 ' * 100}"
    lines = log_lines([*RECOVERY, long], width, PLAIN)
    assert [cell_len(line) <= width for line in lines] == [True] * len(lines)
    assert " ".join(line.strip() for line in lines).startswith(
        "01:20:03.810 [24420] LOG: database system was not properly shut down; automatic recovery 01:20:03.835"
    )
    assert sum("STATEMENT" in line or line.startswith("    一") for line in lines) <= 3
    assert lines[-1].endswith("...")


def test_at_most_twenty_messages_are_shown_and_the_routine_ones_do_not_count() -> None:
    errors = [f"{ERROR} of {number}" for number in range(25)]
    lines = log_lines([*errors, *START * 20], 200, PLAIN)
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(5, 25)]


def test_other_lines_stay_as_they_are() -> None:
    assert log_lines(["\tcontinued", "FATAL:  could not open a file"], 80, PLAIN) == [
        "continued",
        "FATAL: could not open a file",
    ]
