"""Decides what a session does after an error of a statement. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pgchaos.language.model import Session
from pgchaos.language.section_items import Allow, Code, Expect

UNKNOWN = "unknown"  # used as a SQLSTATE: COMMIT was sent and never answered


class Meaning(Enum):
    """What a session does after an error."""

    EXPECTED = "expected: the session continues, and nothing is rolled back"
    OTHER = "not the expected error: a failed assertion; its transaction ends, and the session continues"
    ALLOWED = "allowed: its transaction ends, and the session continues after it"
    RETRY = "retry: its transaction ends and is sent again"
    EXHAUSTED = "the limit of retries is reached"
    UNEXPECTED = "unexpected: the session is stopped, and so is the run"


def is_among(codes: Iterable[Code], state: str) -> bool:
    """Whether a SQLSTATE, or 'unknown', is among the codes of a directive."""
    return any(state in code.sqlstates for code in codes)


def meaning(
    state: str, unknown: bool, session: Session, retries: int, expect: Expect | None, allow: Allow | None
) -> Meaning:
    """Decide what an error means.

    Args:
        state: its SQLSTATE.
        unknown: the connection was lost after COMMIT was sent.
        session: the session of the statement.
        retries: how often its transaction has been sent again so far.
        expect: the `expect` directive before the statement, or None.
        allow: the `allow` directive before the statement, or None.

    Returns:
        The meaning. `expect` has precedence over `allow`, and both over `retry`.
    """
    if expect is not None:
        return Meaning.EXPECTED if is_among(expect.codes, state) else Meaning.OTHER
    states = (state, UNKNOWN) if unknown else (state,)
    if any(is_among(codes, s) for s in states for codes in (allow.codes if allow else (), session.allow)):
        return Meaning.ALLOWED
    if is_among(session.retry.codes, UNKNOWN if unknown else state):
        return Meaning.RETRY if retries < session.retry.limit else Meaning.EXHAUSTED
    return Meaning.UNEXPECTED
