"""What may run before its turn: sessions set up early, connections reused by the next permutation. Pure."""

from __future__ import annotations

import re

from pgchaos.isolation.model import Spec

_MODE = r"(?:ISOLATION\s+LEVEL\s+\w+(?:\s+(?:READ|COMMITTED|UNCOMMITTED))?|READ\s+(?:ONLY|WRITE)|(?:NOT\s+)?DEFERRABLE)"
_BEGIN = rf"(?:BEGIN(?:\s+(?:TRANSACTION|WORK))?|START\s+TRANSACTION)(?:\s+{_MODE}(?:(?:\s*,)?\s*{_MODE})*)?"
_SET = r"SET\s+(?:LOCAL\s+|SESSION\s+)?(?:enable_\w+|deadlock_timeout)\s*(?:=|TO)\s*(?:'\w+'|\w+)"
_EARLY = re.compile(rf"\s*(?:(?:{_BEGIN}|{_SET})\s*;\s*)*(?:{_BEGIN}|{_SET})(?:\s*;)?\s*", re.IGNORECASE)
_TIME = re.compile(
    r"\bnow\b|\bcurrent_(?:date|time)|\blocaltime|\btransaction_timestamp|\b(?:today|tomorrow|yesterday)\b|xact_start"
    r"|\b(?:idle_in_transaction_session|idle_session|transaction|statement)_timeout\b",
    re.IGNORECASE,
)


def set_up_together(spec: Spec) -> tuple[int, ...]:
    """List the sessions that may be set up together, as soon as the spec's own setup begins.

    To begin a transaction takes no snapshot, no lock and no id, so that only the clock shows when it happens.

    Returns:
        The indexes of sessions whose setup only begins a transaction, or sets what only its queries notice; none where
        the spec may show when a transaction began.
    """
    if _TIME.search(spec.source):
        return ()
    setups = [session.setup for session in spec.sessions]
    return tuple(index for index, setup in enumerate(setups) if setup is not None and _EARLY.fullmatch(setup))


_STATEMENTS = re.compile(
    r"(?:\A|[;{]|\$\w*\$|\bBEGIN\b|\bTHEN\b|\bELSE\b|\bLOOP\b)\s*(?:--[^\n]*\n\s*)*"
    r"(?:SET\b(?!\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b)"
    r"|LISTEN|PREPARE\b(?!\s+TRANSACTION\b)|LOAD|DECLARE|DO|CALL|EXECUTE|RESET|DISCARD)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\bset_config\b|advisory|\bpg_temp|\btemp(?:orary)?\b|\bcurrval\b|\blastval\b", re.IGNORECASE)
_OTHERS = re.compile(r"\bpg_stat_|\bDATABASE\b|\bEXTENSION\b|\bapplication_name\b", re.IGNORECASE)
_ROUTINES = re.compile(r"\b(?:FUNCTION|PROCEDURE|EXTENSION)\b", re.IGNORECASE)


def needs_reset(sql: str | None, source: str) -> bool:
    """Whether a session must be reset after a query.

    Args:
        sql: the query, or None.
        source: the whole file, whose functions the query may call.

    Returns:
        True for settings, LISTEN, prepared statements, cursors, temporary tables, advisory locks, and for calls that
        may do such things; open transactions are known without the text.
    """
    if sql is None:
        return False
    return _anything_lasts(source) or _STATEMENTS.search(sql) is not None


def _anything_lasts(source: str) -> bool:
    """Whether a file may do such things inside a call."""
    if _WORDS.search(source):
        return True
    return _ROUTINES.search(source) is not None and _STATEMENTS.search(source) is not None


def sees_others(source: str) -> bool:
    """Whether a spec may see the other sessions of its database, or loads what cannot be unloaded."""
    return _OTHERS.search(source) is not None


def unchanged_connections(spec: Spec) -> tuple[bool, ...]:
    """List which connections of a spec are unchanged at its end, and may be reused from another one.

    Returns:
        For the control connection and for each session, whether none of its queries leaves anything in it.
    """
    own = [(*spec.setups, spec.teardown), *((s.setup, s.teardown, *(t.sql for t in s.steps)) for s in spec.sessions)]
    anywhere = _anything_lasts(spec.source)  # once: a spec has many queries
    return tuple(
        not any(query is not None and (anywhere or _STATEMENTS.search(query)) for query in queries) for queries in own
    )
