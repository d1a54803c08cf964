from __future__ import annotations

from pgchaos.isolation.transcript import table


def test_numbers_stand_right_and_texts_left() -> None:
    printed = table(["n", "text", "mixed"], [["1", "a", "1"], ["-10.5", "bc", "x"]])
    assert printed == "    n|text|mixed\n-----+----+-----\n    1|a   |1    \n-10.5|bc  |x    \n(2 rows)\n"


def test_nothing_at_all_says_nothing_of_its_column() -> None:
    assert table(["null", "e"], [[None, ""]]) == "null|e\n----+-\n    | \n(1 row)\n"


def test_what_pqprint_takes_for_a_number() -> None:
    # a date or a time of digits is one; what begins with E or ends in no digit is none
    for value in ("2024-01-02", "1E5", "1 2", "-", "E5", "1-", "1e", "5"):
        left = table(["a_long_column"], [[value]]).split("\n")[2].startswith(value)
        assert left == (value in ("-", "E5", "1-", "1e")), value


def test_widths_are_counted_in_bytes() -> None:
    assert table(["é"], [["a"], ["äö"]]) == "é  \n----\na   \näö\n(2 rows)\n"


def test_a_result_without_columns_is_nothing() -> None:
    assert table([], [[], []]) == ""
