from __future__ import annotations

import pytest

from pgchaos.tap.lines import BailOut, Comment, Line, Nested, Noise, Plan, Point, Version, classify


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("ok 1 - the seat was sold once", Point(True, 1, "the seat was sold once")),
        ("not ok 2 - sold", Point(False, 2, "sold")),
        ("ok", Point(True, None, "")),
        ("ok 3", Point(True, 3, "")),
        ("ok - no number", Point(True, None, "no number")),
        ("not ok 4 sold", Point(False, 4, "sold")),
        ("not ok 5 - sold # TODO some day", Point(False, 5, "sold", "todo", "some day")),
        ("ok 6 # SKIP no pggit", Point(True, 6, "", "skip", "no pggit")),
        ("ok 6 # SKIP", Point(True, 6, "", "skip")),
        ("ok 7 - it # todo", Point(True, 7, "it", "todo")),
        (r"ok 8 - issue \#12", Point(True, 8, "issue #12")),
        (r"ok 8 - a \# SKIP is none", Point(True, 8, "a # SKIP is none")),
        (r"ok 8 - C:\dir", Point(True, 8, r"C:\dir")),
        # as pg_prove reads it: the first bare # must begin the directive
        ("not ok 9 - issue #12 # TODO some day", Point(False, 9, "issue #12 # TODO some day")),
        ("not ok 9 - the # TODOs are none", Point(False, 9, "the # TODOs are none")),
        ("okay 1", Noise("okay 1")),
        ("NOT OK 1", Noise("NOT OK 1")),
        ("1..3", Plan(3)),
        ("1..0 # SKIP no pggit", Plan(0, "no pggit")),
        ("1..0", Plan(0, "")),
        ("1..3 # SKIP late", Noise("1..3 # SKIP late")),
        ("1..3 rows", Noise("1..3 rows")),
        ("2..3", Noise("2..3")),
        ("# Failed test 1", Comment("Failed test 1")),
        ("#         have: 1", Comment("        have: 1")),
        ("#", Comment("")),
        ("Bail out! no disk", BailOut("no disk")),
        ("    Bail out!", BailOut("")),
        ("TAP version 14", Version(14)),
        ("    ok 1 - inside", Nested("ok 1 - inside", 4)),
        ("", Noise("")),
        ("   ", Noise("   ")),
        ("(1 row)", Noise("(1 row)")),
    ],
)
def test_a_line_is_what_pg_prove_takes_it_for(line: str, meant: Line) -> None:
    assert classify(line) == meant


def test_a_number_beyond_all_measure_is_cut_and_a_plan_of_it_is_none() -> None:
    digits = "9" * 5000
    assert classify(f"ok {digits} - x") == Point(True, int("9" * 19), "x")
    assert isinstance(classify(f"1..{digits}"), Noise)
