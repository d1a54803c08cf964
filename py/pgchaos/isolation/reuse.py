"""Decides which sessions may be set up early, and which connections the next permutation may reuse. Pure."""

from __future__ import annotations

import re

from pgchaos.isolation.model import Spec
from pgchaos.language.sql_tokens import SqlStatement, all_statements, token_at, top_statements

_MODES = frozenset(
    "isolation level read committed uncommitted repeatable serializable only write not deferrable".split()  # noqa: SIM905  # easier to read without quotes
)
_TIME = re.compile(
    r"\bnow\b|\bcurrent_(?:date|time)|\blocaltime|\btransaction_timestamp|\b(?:today|tomorrow|yesterday)\b|xact_start"
    r"|\b(?:idle_in_transaction_session|idle_session|transaction|statement)_timeout\b",
    re.IGNORECASE,
)


def set_up_together(spec: Spec) -> tuple[int, ...]:
    """Return the indexes of the sessions that may be set up together with the spec's own setup.

    Their setup only begins a transaction, or sets a parameter that only their own queries notice. Beginning a
    transaction takes no snapshot, no lock and no id, so only the clock shows when it happens. The result is empty if
    the spec may show when a transaction began.
    """
    if _TIME.search(spec.source):
        return ()
    return tuple(index for index, session in enumerate(spec.sessions) if _only_begins(session.setup or ""))


def _only_begins(setup: str) -> bool:
    statements = top_statements(setup)
    return bool(statements) and all(_begins(one) or _sets_planner(one) for one in statements)


def _begins(statement: SqlStatement) -> bool:
    tokens = statement.tokens
    if statement.verb == "begin":
        modes = tokens[2 if token_at(tokens, 1).is_word("transaction", "work") else 1 :]
    elif statement.verb == "start" and token_at(tokens, 1).is_word("transaction"):
        modes = tokens[2:]
    else:
        return False
    return all(token.is_word(*_MODES) or token.is_symbol(",") for token in modes)


def _sets_planner(statement: SqlStatement) -> bool:
    """Whether a statement sets enable_… or deadlock_timeout, which only the session's own queries notice."""
    if statement.verb != "set":
        return False
    setting = statement.tokens[2 if token_at(statement.tokens, 1).is_word("local", "session") else 1 :]
    name, equals = token_at(setting, 0), token_at(setting, 1)
    return (
        len(setting) == 3
        and (name.is_word("deadlock_timeout") or (name.kind == "word" and name.text.startswith("enable_")))
        and (equals.is_symbol("=") or equals.is_word("to"))
    )


_CHANGES_SESSION = frozenset({"listen", "load", "declare", "do", "call", "execute", "reset", "discard"})
_WORDS = re.compile(r"\bset_config\b|advisory|\bpg_temp|\btemp(?:orary)?\b|\bcurrval\b|\blastval\b", re.IGNORECASE)
_OTHERS = re.compile(r"\bpg_stat_|\bDATABASE\b|\bEXTENSION\b|\bapplication_name\b", re.IGNORECASE)
_ROUTINES = re.compile(r"\b(?:FUNCTION|PROCEDURE|EXTENSION)\b", re.IGNORECASE)


def calls_need_reset(spec: Spec) -> bool:
    """Whether any query of a spec may need a reset of its session, because of a function that it calls."""
    if _WORDS.search(spec.source):
        return True
    return _ROUTINES.search(spec.source) is not None and any(map(needs_reset, spec.queries()))


def needs_reset(sql: str) -> bool:
    """Whether a session must be reset after a query; the functions that it calls are not considered.

    True for settings, LISTEN, prepared statements, cursors and the like. Open transactions are detected otherwise.
    """
    for statement in all_statements(sql):
        second = token_at(statement.tokens, 1)
        if (
            statement.verb in _CHANGES_SESSION
            or (statement.verb == "prepare" and not second.is_word("transaction"))
            or (statement.verb == "set" and not second.is_word("local", "transaction", "constraints"))
        ):
            return True
    return False


def sees_others(source: str) -> bool:
    """Whether a spec may see other sessions of its database, or loads what cannot be unloaded."""
    return _OTHERS.search(source) is not None


def unchanged_connections(spec: Spec) -> tuple[bool, ...]:
    """Return for the control connection and each session whether its queries leave nothing that needs a reset."""
    if calls_need_reset(spec):
        return (False,) * (1 + len(spec.sessions))
    own = [(*spec.setups, spec.teardown), *((s.setup, s.teardown, *(t.sql for t in s.steps)) for s in spec.sessions)]
    return tuple(not any(query is not None and needs_reset(query) for query in queries) for queries in own)
