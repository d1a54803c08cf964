from __future__ import annotations

from datetime import datetime, timezone

import pytest

from pgchaos.oracle.timestamps import TIMESTAMP, TIMESTAMPTZ, Window

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc).timestamp()
WINDOW = Window(START, START + 2)
INTEGER = 23


@pytest.mark.parametrize(
    ("cell", "type_", "within"),
    [
        ("2026-03-01 12:00:01.5+00", TIMESTAMPTZ, True),
        ("2026-03-01 17:30:01+05:30", TIMESTAMPTZ, True),
        ("2026-03-01 08:30:01-03:30", TIMESTAMPTZ, True),
        ("2026-03-01 12:00:02.000001+00", TIMESTAMPTZ, False),
        ("2026-03-01 11:59:59.999999+00", TIMESTAMPTZ, False),
        ("2026-03-01 13:00:01+00", TIMESTAMPTZ, False),
        ("2026-03-01 12:00:01", TIMESTAMP, True),
        ("2026-03-01 17:45:01.25", TIMESTAMP, True),
        ("2026-03-01 03:00:00", TIMESTAMP, True),
        ("2026-03-01 12:07:01", TIMESTAMP, False),
        ("2026-02-27 12:00:01", TIMESTAMP, False),
        ("Sun Mar 01 12:00:01 2026 UTC", TIMESTAMPTZ, True),
        ("Sun 01 Mar 13:00:01.5 2026 CET", TIMESTAMPTZ, True),
        ("Sun Mar 01 12:00:01.25 2026", TIMESTAMP, True),
        ("03/01/2026 12:00:01 UTC", TIMESTAMPTZ, True),
        ("01/03/2026 15:00:01.5 +03", TIMESTAMPTZ, True),
        ("01.03.2026 12:00:01 UTC", TIMESTAMPTZ, True),
        ("Sun Mar 01 12:07:01 2026 UTC", TIMESTAMPTZ, False),
        ("Sun Feb 31 12:00:01 2026 UTC", TIMESTAMPTZ, False),
        ("Son Mrz 01 12:00:01 2026 UTC", TIMESTAMPTZ, False),
        ("02/27/2026 12:00:01 UTC", TIMESTAMPTZ, False),
        ("03.01.2026 12:00:01 UTC", TIMESTAMPTZ, False),
        ("infinity", TIMESTAMPTZ, False),
        (None, TIMESTAMPTZ, False),
        ("2026-03-01 12:00:01+00", INTEGER, False),
    ],
)
def test_a_time_within_the_run_is_one_that_the_run_made(cell: str | None, type_: int, within: bool) -> None:
    assert WINDOW.holds(cell, type_) is within


@pytest.mark.parametrize(("end", "earliest", "latest"), [(5, 0, 5), (9, 0, 9), (-3, -8, 5), (3, -2, 5)])
def test_a_clock_that_is_set_during_the_run_makes_the_window_wider(end: float, earliest: float, latest: float) -> None:
    assert Window.of(START, START + end, elapsed=5) == Window(START + earliest, START + latest)
