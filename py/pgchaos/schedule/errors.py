"""What an error of a statement means for its session. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pgchaos.language.model import Session
from pgchaos.language.section_items import Allow, Code, Expect

UNKNOWN = "unknown"  # as a code: COMMIT was sent and never answered


class Meaning(Enum):
    """What a session does after an error."""

    EXPECTED = "expected: go on, nothing is rolled back"
    OTHER = "not the error that was expected: a failed assertion; its transaction ends, and the session goes on"
    ALLOWED = "allowed: its transaction ends, and the session goes on after it"
    RETRY = "retry: its transaction ends and is sent again"
    EXHAUSTED = "it was retried often enough"
    UNEXPECTED = "unexpected: the session is stopped, and the run with it"


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
        session: of the statement.
        retries: how often its transaction was sent again already.
        expect: the directive before the statement.
        allow: likewise.

    Returns:
        The meaning: `expect` before `allow`, and both before `retry`.
    """
    if expect is not None:
        return Meaning.EXPECTED if is_among(expect.codes, state) else Meaning.OTHER
    states = (state, UNKNOWN) if unknown else (state,)
    if any(is_among(codes, s) for s in states for codes in (allow.codes if allow else (), session.allow)):
        return Meaning.ALLOWED
    if is_among(session.retry.codes, UNKNOWN if unknown else state):
        return Meaning.RETRY if retries < session.retry.limit else Meaning.EXHAUSTED
    return Meaning.UNEXPECTED
