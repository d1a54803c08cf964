from __future__ import annotations

import pytest

from pgchaos.engine.answer import ServerError
from pgchaos.engine.error_messages import StatementContext, locate
from pgchaos.language.problems import Place

HERE = Place("x.sql", 10)


def test_an_error_is_reported_at_the_line_that_the_server_points_to() -> None:
    text = "SELECT 1,\n  2,\n  oops"
    error = ServerError("42703", 'column "oops" does not exist', position=text.index("oops") + 1)
    assert locate(error, HERE, StatementContext(text)) == (Place("x.sql", 12), ("the statement begins in line 10",))


def test_a_statement_that_runs_into_the_next_one_lacks_a_semicolon() -> None:
    text = "BEGIN\nWITH a AS (SELECT 1) SELECT 2"
    error = ServerError("42601", 'syntax error at or near "WITH"', position=text.index("WITH") + 1)
    place, more = locate(error, HERE, StatementContext(text))
    assert (place, more) == (
        Place("x.sql", 11),
        ("is a `;` missing before it? The statement begins in line 10",),
    )


def test_an_error_in_the_first_line_says_no_more() -> None:
    error = ServerError("42601", 'syntax error at or near "SELCT"', position=1)
    assert locate(error, HERE, StatementContext("SELCT 1")) == (HERE, ())


def test_the_servers_own_hints_come_first() -> None:
    error = ServerError("42601", "x", hint=("HINT: do so",))
    assert locate(error, HERE, StatementContext("x", ("the variable y is not set",)))[1] == (
        "HINT: do so",
        "the variable y is not set",
    )


def test_pgtap_wants_values_of_one_type() -> None:
    error = ServerError("42883", "function is(bigint, integer, unknown) does not exist", position=8)
    assert "1::bigint" in locate(error, HERE, StatementContext("SELECT is(count(*), 1, 'x')"))[1][0]
    other = ServerError("42883", "function f(bigint) does not exist")
    assert locate(other, HERE, StatementContext("SELECT f(1)"))[1] == ()


@pytest.mark.parametrize(("code", "name"), [("40001", "serialization_failure"), ("40P01", "deadlock_detected")])
def test_what_concurrency_alone_brings_says_how_to_continue(code: str, name: str) -> None:
    _, (hint,) = locate(ServerError(code, "x"), HERE, StatementContext("UPDATE t", in_session=True))
    assert hint.startswith("HINT: an application sends the transaction again: ")
    assert f"`retry {name}` in the `session` line" in hint
    assert f"`-- chaos:allow {name}`" in hint
    assert locate(ServerError(code, "x"), HERE, StatementContext("UPDATE t"))[1] == ()


def test_without_a_place_there_is_none() -> None:
    assert locate(ServerError("08001", "refused", position=3), None, StatementContext()) == (None, ())
