"""How an error becomes a failure in a user's words."""

from __future__ import annotations

import functools

from pgchaos.engine.answer import ServerError
from pgchaos.engine.hints import About, located
from pgchaos.history import Failure
from pgchaos.scenario.codes import conditions
from pgchaos.scenario.items import Code
from pgchaos.scenario.place import Place
from pgchaos.server.threads import traceback_lines


@functools.lru_cache(maxsize=256)
def condition_names(sqlstate: str) -> tuple[str, ...]:
    """Tell what PL/pgSQL calls a SQLSTATE.

    Args:
        sqlstate: five characters.

    Returns:
        The condition names, none where it has none.
    """
    return tuple(name for name, states in conditions().items() if sqlstate in states)


def error_failure(
    error: ServerError, place: Place | None, who: str, about: About | None = None, by: str = ""
) -> Failure:
    """Make a failure of an unexpected error.

    Args:
        error: as the server said it.
        place: of the statement.
        who: `session[worker]`, or the name of a section.
        about: the statement, where there is one.
        by: who has cancelled it, where that is known: then the server's words come after that.
    """
    place, more = located(error, place, about or About())
    conditions = condition_names(error.sqlstate)
    text = f"{who}: ERROR {error.sqlstate}{_in_brackets(conditions)}: {error.message}"
    if by:
        more = (f"the server said: {error.message}", *more)
        text = f"{who}: {by}"
    return Failure("error", (error.sqlstate, *conditions), text, place, more, who)


def retries_failure(error: ServerError, place: Place | None, who: str, retries: int) -> Failure:
    """Make a failure of a transaction that was sent again as often as it may."""
    failure = error_failure(error, place, who)
    text = f"{failure.text} (after {retries} {'retry' if retries == 1 else 'retries'})"
    return Failure("error", failure.names, text, place, error.hint, who)


def plain_failure(text: str, place: Place | None, who: str, hint: str = "") -> Failure:
    """Make a failure of an error that psql, not the server, would have told."""
    return Failure("error", (), f"{who}: {text}", place, (hint,) if hint else (), who)


def internal_failure(error: BaseException, place: Place | None, who: str) -> Failure:
    """Make a failure of an error of ours, so that it stops the run and is told, whichever thread it came up in.

    Args:
        error: that was caught.
        place: of the statement, where there is one.
        who: `session[worker]`, or what the thread was for.
    """
    text = f"{who}: internal error of pgchaos: {error!r}"
    return Failure("error", (), text, place, traceback_lines(error), who)


def expect_failure(codes: tuple[Code, ...], error: ServerError | None, place: Place, who: str) -> Failure:
    """Make a failure of an `expect` that did not come.

    Args:
        codes: what was expected.
        error: what came instead, or None.
        place: of the statement.
        who: `session[worker]`.
    """
    wanted = " or ".join(code.name for code in codes)
    have = "no error" if error is None else f"{error.sqlstate}: {error.message}"
    names = tuple(dict.fromkeys(name for code in codes for name in (code.name, *code.sqlstates)))
    details = (f"have: {have}", f"want: {wanted}", *(error.hint if error else ()))
    return Failure("expect", names, f"{who}: the statement should fail with {wanted}", place, details, who)


def _in_brackets(conditions: tuple[str, ...]) -> str:
    return f" ({', '.join(conditions)})" if conditions else ""
