"""A statement of at most one assertion is told from its text without cutting it into tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.language.assertions import FunctionNames, calls_in, is_at_most_one_call
from pgchaos.language.sql_tokens import tokenize

NAMES = FunctionNames(own=frozenset(), unqualified=frozenset({"assert"}))
NAMED = ["ok", "IS", '"ok"', 'U&"ok"', "pgtap.", "chaos.assert", "plan", "x", "$", "1", "é", "€", "_", ":a"]
BETWEEN = ["(", "(true)", ")", " ", "\n", "\t", "\f", "-- c\n", "/*c*/", "/**/", "/", "-", ",", ";"]
QUOTES = ["'", "''", '"', "$$", "$q$", "E'"]
PIECES = st.sampled_from([*NAMED, *BETWEEN, *QUOTES])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_second_call_is_overlooked(text: str) -> None:
    calls = len(calls_in(tokenize(text), frozenset(), NAMES))
    assert calls <= 1 or not is_at_most_one_call(text), text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ok(true, 'one is ok')",
        "SELECT is(count(*), 1::bigint) FROM t WHERE a IN (1, 2)",
        "SELECT isnt_empty('SELECT ok, is FROM t')",
        "SELECT * FROM finish()",
    ],
)
def test_what_most_statements_are_is_known(text: str) -> None:
    assert is_at_most_one_call(text)


def test_a_comment_may_be_before_the_parenthesis() -> None:
    assert not is_at_most_one_call('SELECT ok /* a */ (true), "is" -- b\n (1, 1)')
