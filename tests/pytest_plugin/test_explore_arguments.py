"""What `chaos_explore` is given: what is no function, what never runs, and a check that asserts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from pgchaos.pytest_plugin.fixtures.explore_arguments import asserts_nothing, name_sessions, wrong_arguments

NUMBERS: dict[str, object] = {"runs": 5, "timeout": 60, "grace": 0.5, "seed": None}


def buy(dsn: str) -> None:
    """Do nothing."""


def setup(dsn: str) -> None:
    """Have the name of a section."""


def steps(dsn: str) -> Iterator[str]:
    """Never run."""
    yield dsn


async def later(dsn: str) -> AsyncIterator[str]:
    """Never run either."""
    yield dsn


def holds(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Assert something."""
    assert conn.execute("SELECT 1").fetchone() == (1,)


def forgets(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Forget to assert."""
    (found,) = conn.execute("SELECT count(*) FROM stock").fetchone()
    print(found == 1, [row[0] for row in conn.execute("SELECT 1").fetchall()])


def answers(conn: Any) -> bool:  # noqa: ANN401  # of psycopg
    """Answer what should be asserted."""
    return bool(conn.execute("SELECT 1").fetchone() == (1,))


def asks_the_toolkit(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Assert in SQL."""
    conn.execute("SELECT chaos.assert(true, 'it holds')")


def asks_a_function(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Have a function of the database raise."""
    conn.execute("SELECT stock_must_be_right()")


def validates(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Have a constraint checked."""
    conn.execute("ALTER TABLE stock VALIDATE CONSTRAINT positive")


def calls_another(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Have another function assert."""
    holds(conn)


def raises(conn: Any) -> None:  # noqa: ANN401  # of psycopg
    """Raise by itself."""
    if not conn.execute("SELECT 1").fetchone():
        raise LookupError


class Shop:
    """Has the check as a method, and is one; it cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]  # as of a data class that can be compared

    def check(self, conn: Any) -> None:  # noqa: ANN401  # of psycopg
        """Assert something."""
        assert conn

    def forgets(self, conn: Any) -> None:  # noqa: ANN401  # of psycopg
        """Forget to assert."""
        conn.execute("SELECT 1")

    def __call__(self, conn: Any) -> None:  # noqa: ANN401  # of psycopg
        """Forget it too."""
        conn.execute("SELECT 1")


def decorated(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """Assert around a function."""

    @wraps(function)
    def around(conn: Any) -> None:  # noqa: ANN401  # of psycopg
        function(conn)
        assert conn

    return around


@pytest.mark.parametrize("check", [forgets, answers, Shop().forgets, Shop(), partial(forgets), lambda _: None])
def test_a_check_that_asserts_nothing_is_known(check: object) -> None:
    assert asserts_nothing(check)


@pytest.mark.parametrize(
    "check",
    [
        holds,
        asks_the_toolkit,
        asks_a_function,
        validates,
        calls_another,
        raises,
        Shop().check,
        decorated(forgets),
        lambda c: holds(c),
        len,
    ],
)
def test_a_check_that_may_assert_something_is_left_alone(check: object) -> None:
    assert not asserts_nothing(check)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sessions": buy}, "`sessions` must be a list of functions, such as [buy, buy], not <function buy"),
        ({"sessions": "buy"}, "`sessions` must be a list of functions, such as [buy, buy], not 'buy'"),
        ({"sessions": []}, "`sessions` must be a list of functions, such as [buy, buy], not []"),
        ({"sessions": [buy, "buy"]}, "`sessions[1]` must be a function, not 'buy'"),
        ({"sessions": [steps]}, "`sessions[0]`, steps(), is a generator: nothing of it would run; leave out `yield`"),
        ({"sessions": [partial(later)]}, "`sessions[0]`, later(), is a generator"),
        ({"setup": 5}, "`setup` must be SQL or a function, not 5"),
        ({"setup": steps}, "`setup`, steps(), is a generator"),
        ({"setup": "SELECT 1;\n  -- chaos:xfail x"}, "`setup` must be SQL alone, and holds the directive `-- chaos:x"),
        ({"check": 5}, "`check` must be SQL or a function, not 5"),
        ({"check": steps}, "`check`, steps(), is a generator"),
        ({"check": forgets}, "`check`: forgets() asserts nothing: write `assert …` in it"),
        ({"check": None, "oracle": ""}, "nothing is asserted: give it a check or an oracle"),
        ({"runs": 0}, "`runs` must be 1 or more, not 0"),
        ({"runs": "5"}, "`runs` must be a whole number, not '5'"),
        ({"runs": True}, "`runs` must be a whole number, not True"),
        ({"seed": "x"}, "`seed` must be a whole number, not 'x'"),
        ({"timeout": 0}, "`timeout` must be a number of seconds above 0, not 0"),
        ({"grace": float("nan")}, "`grace` must be a number of seconds above 0, not nan"),
        ({"replay": 7}, "`replay` must be a token in quotes, not 7"),
    ],
)
def test_a_wrong_argument_is_reported(changed: dict[str, object], message: str) -> None:
    given = {"sessions": [buy], "setup": None, "check": holds, "oracle": None, "replay": None, **changed}
    numbers = {**NUMBERS, **{name: given.pop(name) for name in NUMBERS if name in given}}
    (found,) = wrong_arguments(**given, numbers=numbers)
    assert found.startswith(message)


def test_arguments_that_are_right_are_not_complained_of() -> None:
    assert not list(wrong_arguments([buy, setup], "SELECT 1", "SELECT pass()", None, NUMBERS, None))
    assert not list(wrong_arguments((buy,), buy, None, "serializable", {**NUMBERS, "seed": 7}, "5-5"))


def test_functions_are_sessions_by_their_names() -> None:
    shop = Shop()
    found = name_sessions([buy, setup, buy, shop, shop, lambda _: None, partial(buy, "x")])
    assert [(name, count) for name, (_, count) in found.items()] == [
        ("buy", 2),
        ("setup_", 1),
        ("Shop", 2),
        ("lambda", 1),
        ("buy_2", 1),
    ]
