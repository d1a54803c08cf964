"""How an error becomes a failure that a user understands: its line, its cause, and what helps. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pgchaos.engine.answer import ServerError
from pgchaos.language.error_codes import condition_names
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Code
from pgchaos.results import Failure
from pgchaos.server.threads import traceback_lines

_BEGINS_A_STATEMENT = re.compile(
    r"(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|BEGIN|COMMIT|ROLLBACK|CREATE|ALTER|DROP|LOCK|SET|CALL|DO|COPY)\b",
    re.IGNORECASE,
)
_EMPTIES_SEARCH_PATH = re.compile(
    r"\bset_config\s*\(\s*'search_path'\s*,\s*''\s*,\s*(?:false|'f(?:alse)?')|\bSET\s+search_path\s*(?:=|TO)\s*''\s*\Z",
    re.I,
)
_SETS_SEARCH_PATH = re.compile(r"\bsearch_path\b|^\s*(?:RESET|DISCARD)\s+ALL\b", re.IGNORECASE)
_NOT_FOUND = frozenset({"42P01", "42883", "42704", "3F000"})
"""SQLSTATEs of a table, function or type that is not found, and of no schema to create in."""
_TRY_AGAIN = {"40001": "serialization_failure", "40P01": "deadlock_detected"}
"""Errors that come of concurrency alone."""
_HINT = "HINT: "
"""How a hint begins, as the server's own do."""
_CONNECTION_ENDED = frozenset({"08006", "57P01"})
_TO_A_ROLE = re.compile(r"\b(?:OWNER\s+TO|GRANT\b.*\bTO|REVOKE\b.*\bFROM|FOR\s+ROLE)\b", re.IGNORECASE | re.DOTALL)
_TAKES_ONE_TYPE = re.compile(r"\b(is|isnt|cmp_ok)\(")


@dataclass(frozen=True, slots=True)
class About:
    """A statement as its author knows it.

    Args:
        text: as written.
        hints: what is known to be odd about it.
        in_session: it is a session's, so that an error of it may be meant.
        unknown: whether its transaction has committed is unknown.
        emptied: the statement on the same connection that has emptied search_path, or None.
    """

    text: str = ""
    hints: tuple[str, ...] = ()
    emptied: Place | None = None
    in_session: bool = False
    unknown: bool = False


def emptied_search_path(statement: str, place: Place, before: Place | None) -> Place | None:
    """Keep note of what leaves search_path empty, as the files of pg_dump do."""
    if _empties_search_path(statement):
        return place
    return None if before is None or _SETS_SEARCH_PATH.search(statement) else before


@lru_cache(maxsize=1024)  # a session repeats its statements
def _empties_search_path(statement: str) -> bool:
    return _EMPTIES_SEARCH_PATH.search(statement) is not None


def located(error: ServerError, place: Place | None, about: About) -> tuple[Place | None, tuple[str, ...]]:
    """Find the line of an error, and what else to say of it."""
    more = list(about.hints)
    if place is not None and error.position and about.text:
        before, behind = about.text[: error.position - 1], about.text[error.position - 1 :]
        lines = before.count("\n")
        begins_line = not before.rpartition("\n")[2].strip()
        if lines and begins_line and error.sqlstate == "42601" and _BEGINS_A_STATEMENT.match(behind):
            more.append(f"is a `;` missing before it? The statement begins in line {place.line}")
        elif lines:
            more.append(f"the statement begins in line {place.line}")
        place = Place(place.path, place.line + lines)
    more += _pgtap(error)
    more += _of_a_dump(error, about)
    if about.in_session and error.sqlstate in _TRY_AGAIN:
        name = _TRY_AGAIN[error.sqlstate]
        more.append(_hint(_sent_again(name), f"`-- chaos:allow {name}` (or `expect`)"))
    return place, (*error.hint, *more)


def _pgtap(error: ServerError) -> Iterator[str]:
    found = _TAKES_ONE_TYPE.search(error.message) if error.sqlstate == "42883" else None
    if found is not None:
        yield f"pgTAP's {found[1]}() takes values of one type: write 1::bigint beside count(*), 'a'::text beside text"


def _of_a_dump(error: ServerError, about: About) -> Iterator[str]:
    is_role = error.sqlstate == "42704" and _TO_A_ROLE.search(about.text)
    if about.emptied is not None and error.sqlstate in _NOT_FOUND and not is_role:
        yield (
            f"search_path is empty since {about.emptied} (pg_dump writes it so): write `RESET search_path;` behind the "
            "file, or name the schema"
        )
    if is_role:
        yield (
            "the role is not on this server: dump by `pg_dump --no-owner --no-privileges`, or write CREATE ROLE before "
            "the file (and `-- chaos:leaves role REASON` in the header: it is dropped in the end)"
        )


def error_failure(
    error: ServerError, place: Place | None, who: str, about: About | None = None, by: str = ""
) -> Failure:
    """Make a failure of an unexpected error."""
    place, more = located(error, place, about or About())
    conditions = condition_names(error.sqlstate)
    text = f"{who}: ERROR {error.sqlstate}{_in_brackets(conditions)}: {error.message}"
    if by:
        # what libpq adds in further lines is a guess, and here a wrong one
        heard = f"the server said: {error.message}" if error.said else f"libpq said: {error.message.splitlines()[0]}"
        more = (heard, *more)
        if about is not None and about.in_session and error.sqlstate in _CONNECTION_ENDED:
            more = (*more, _send_again(about, conditions[0]))
        text = f"{who}: {by}"
    return Failure("error", (error.sqlstate, *conditions), text, place, more, who)


def _send_again(about: About, condition: str) -> str:
    """Say what an application does whose connection has ended."""
    if about.unknown:
        again = "it may have committed, so it may be done twice: `retry unknown` in the `session` line sends it again"
    else:
        again = _sent_again(condition)
    return _hint(again, f"`-- chaos:allow {condition}`")


def _sent_again(condition: str) -> str:
    return f"an application sends the transaction again: `retry {condition}` in the `session` line does so"


def _hint(again: str, allowed: str) -> str:
    return f"{_HINT}{again}; where the error is meant, write {allowed} above the statement"


def retries_failure(error: ServerError, place: Place | None, who: str, retries: int) -> Failure:
    """Make a failure of a transaction that was sent again as often as it may."""
    failure = error_failure(error, place, who)
    text = f"{failure.text} (after {retries} {'retry' if retries == 1 else 'retries'})"
    return Failure("error", failure.names, text, place, error.hint, who)


def plain_failure(text: str, place: Place | None, who: str, hint: str = "") -> Failure:
    """Make a failure of an error that psql, not the server, would have told."""
    return Failure("error", (), f"{who}: {text}", place, (hint,) if hint else (), who)


def internal_failure(error: BaseException, place: Place | None, who: str) -> Failure:
    """Make a failure of an error of ours, so that it stops the run and is told, whichever task it came up in."""
    text = f"{who}: internal error of pgchaos: {error!r}"
    return Failure("error", (), text, place, traceback_lines(error), who)


def expect_failure(codes: tuple[Code, ...], error: ServerError | None, place: Place, who: str) -> Failure:
    """Make a failure of an `expect` that did not come."""
    wanted = " or ".join(code.name for code in codes)
    have = "no error" if error is None else f"{error.sqlstate}: {error.message}"
    names = tuple(dict.fromkeys(name for code in codes for name in (code.name, *code.sqlstates)))
    details = (f"have: {have}", f"want: {wanted}", *(error.hint if error else ()))
    return Failure("expect", names, f"{who}: the statement should fail with {wanted}", place, details, who)


def _in_brackets(conditions: tuple[str, ...]) -> str:
    return f" ({', '.join(conditions)})" if conditions else ""
