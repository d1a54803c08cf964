"""Makes a failure of an error, with its line, its cause and a remedy. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pgchaos.engine.answer import ServerError
from pgchaos.engine.missing_relations import relation_at
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
_NO_TABLE = "42P01"
_NOT_FOUND = frozenset({_NO_TABLE, "42883", "42704", "3F000"})
"""SQLSTATEs of a missing table, function or type, and of no schema to create in."""
_TRY_AGAIN = {"40001": "serialization_failure", "40P01": "deadlock_detected"}
"""Errors that only concurrency causes."""
_HINT = "HINT: "
"""The beginning of a hint, as in the server's messages."""
_CONNECTION_ENDED = frozenset({"08006", "57P01"})
_TO_A_ROLE = re.compile(r"\b(?:OWNER\s+TO|GRANT\b.*\bTO|REVOKE\b.*\bFROM|FOR\s+ROLE)\b", re.IGNORECASE | re.DOTALL)
_TAKES_ONE_TYPE = re.compile(r"\b(is|isnt|cmp_ok)\(")


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What is known of a statement, to explain its error."""

    text: str = ""  # as written
    hints: tuple[str, ...] = ()  # suspicious details of it
    emptied: Place | None = None  # the statement on the same connection that has emptied search_path
    in_session: bool = False  # it belongs to a session, so its error may be intended
    unknown: bool = False  # it is unknown whether its transaction has committed


def emptied_search_path(statement: str, place: Place, before: Place | None) -> Place | None:
    """Return the statement that has left search_path empty, as files of pg_dump do; None if it is not empty."""
    if _empties_search_path(statement):
        return place
    return None if before is None or _SETS_SEARCH_PATH.search(statement) else before


@lru_cache(maxsize=1024)  # a session repeats its statements
def _empties_search_path(statement: str) -> bool:
    return _EMPTIES_SEARCH_PATH.search(statement) is not None


def locate(error: ServerError, place: Place | None, about: StatementContext) -> tuple[Place | None, tuple[str, ...]]:
    """Find the line of an error, and further lines for its message."""
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


def _of_a_dump(error: ServerError, about: StatementContext) -> Iterator[str]:
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
    error: ServerError, place: Place | None, who: str, about: StatementContext | None = None, by: str = ""
) -> Failure:
    """Make a failure of an unexpected error; `by`: its known cause, which replaces the message."""
    about = about or StatementContext()
    place, more = locate(error, place, about)
    relation = relation_at(about.text, error.position, error.message) if error.sqlstate == _NO_TABLE else ""
    conditions = condition_names(error.sqlstate)
    text = f"{who}: ERROR {error.sqlstate}{_in_brackets(conditions)}: {error.message}"
    if by:
        # libpq's further lines are a guess, which is wrong here
        said = (
            f"the server said: {error.message}" if error.from_server else f"libpq said: {error.message.splitlines()[0]}"
        )
        more = (said, *more)
        if about.in_session and error.sqlstate in _CONNECTION_ENDED:
            more = (*more, _send_again(about, conditions[0]))
        text = f"{who}: {by}"
    return Failure("error", (error.sqlstate, *conditions), text, place, more, who, relation)


def _send_again(about: StatementContext, condition: str) -> str:
    """Describe what an application does when its connection has ended."""
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
    """Make a failure of a transaction that has used all its retries."""
    failure = error_failure(error, place, who)
    text = f"{failure.text} (after {retries} {'retry' if retries == 1 else 'retries'})"
    return Failure("error", failure.names, text, place, error.hint, who)


def plain_failure(text: str, place: Place | None, who: str, hint: str = "") -> Failure:
    """Make a failure of an error that psql, not the server, would report."""
    return Failure("error", (), f"{who}: {text}", place, (hint,) if hint else (), who)


def internal_failure(error: BaseException, place: Place | None, who: str) -> Failure:
    """Make a failure of an internal error, so that it stops the run and is reported, whatever task raised it."""
    text = f"{who}: internal error of pgchaos: {error!r}"
    return Failure("error", (), text, place, traceback_lines(error), who)


def expect_failure(codes: tuple[Code, ...], error: ServerError | None, place: Place, who: str) -> Failure:
    """Make a failure of an `expect` whose error did not occur."""
    wanted = " or ".join(code.name for code in codes)
    have = "no error" if error is None else f"{error.sqlstate}: {error.message}"
    names = tuple(dict.fromkeys(name for code in codes for name in (code.name, *code.sqlstates)))
    details = (f"have: {have}", f"want: {wanted}", *(error.hint if error else ()))
    return Failure("expect", names, f"{who}: the statement should fail with {wanted}", place, details, who)


def _in_brackets(conditions: tuple[str, ...]) -> str:
    return f" ({', '.join(conditions)})" if conditions else ""
