"""Statements whose result depends on other sessions' locks (SKIP LOCKED, NOWAIT), which no serial order has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.language.model import Scenario, statements_in
from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken, all_statements


@dataclass(frozen=True, slots=True, order=True)
class SkipsLocked:
    """A line of the file with SKIP LOCKED, NOWAIT, lock_timeout or a function that tries a lock."""

    line: int
    what: str


def skips_locked(scenario: Scenario) -> list[SkipsLocked]:
    """Return what avoids waiting for a lock in sessions and in setup's functions: each once, in order of line."""
    statements = statements_in((*scenario.setup, *scenario.sessions))
    return sorted(
        {SkipsLocked(item.place.line + token.line, what) for item in statements for token, what in _find(item.text)}
    )


def _find(text: str) -> Iterator[tuple[SqlToken, str]]:
    for statement in all_statements(text):
        for token, after in zip(statement.tokens, (*statement.tokens[1:], NO_TOKEN), strict=False):
            if token.is_word("skip") and after.is_word("locked"):
                yield token, "SKIP LOCKED"
            elif token.is_word("nowait"):
                yield token, "NOWAIT"
            elif token.is_identifier and token.text == "lock_timeout":
                yield token, "lock_timeout"
            elif token.is_identifier and token.text.startswith("pg_try_advisory_"):
                yield token, f"{token.text}()"


def advice(found: list[SkipsLocked]) -> tuple[str, ...]:
    """Return lines of advice about the possible cause of a difference from every serial order; () without a find."""
    if not found:
        return ()
    lines: dict[str, list[str]] = {}
    for one in found:
        lines.setdefault(one.what, []).append(str(one.line))
    where = "; ".join(f"{what} in line{'s' * (len(at) > 1)} {', '.join(at)}" for what, at in lines.items())
    return (
        f"this scenario does not wait for locks: {where}. In a serial order no other transaction holds a lock, so no"
        " serial order gives the result of a statement that met one.",
        "If this is intended, the oracle cannot judge it: say what must hold by an invariant or a check",
    )
