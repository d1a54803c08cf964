"""Statements that do something else where another session holds a lock (SKIP LOCKED, NOWAIT): no serial order does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.language.model import Scenario, Section, Session
from pgchaos.language.section_items import Statement
from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken, all_statements


@dataclass(frozen=True, slots=True)
class SkipsLocked:
    """Where a scenario gives way to who holds a lock.

    Args:
        line: of the file.
        what: SKIP LOCKED, NOWAIT, lock_timeout or the function that tries.
    """

    line: int
    what: str


def skips_locked(scenario: Scenario) -> list[SkipsLocked]:
    """Find what gives way to who holds a lock, in sessions and in functions that setup makes.

    Args:
        scenario: as read, a mutant in it.

    Returns:
        It, in order of line, each once.
    """
    found = set()
    parts: tuple[Section | Session, ...] = (*scenario.setup, *scenario.sessions)
    for part in parts:
        for item in part.items:
            if isinstance(item, Statement):
                for token, what in _of_text(item.text):
                    found.add(SkipsLocked(item.place.line + token.line, what))
    return sorted(found, key=lambda one: (one.line, one.what))


def _of_text(text: str) -> Iterator[tuple[SqlToken, str]]:
    for parsed in all_statements(text):
        for token, after in zip(parsed.tokens, (*parsed.tokens[1:], NO_TOKEN), strict=False):
            if token.is_word("skip") and after.is_word("locked"):
                yield token, "SKIP LOCKED"
            elif token.is_word("nowait"):
                yield token, "NOWAIT"
            elif token.is_identifier and token.text == "lock_timeout":
                yield token, "lock_timeout"
            elif token.is_identifier and token.text.startswith("pg_try_advisory_"):
                yield token, f"{token.text}()"


def advice(found: list[SkipsLocked]) -> tuple[str, ...]:
    """Say what a difference from every serial order may be due to.

    Args:
        found: what gives way.

    Returns:
        Lines of text; none where nothing does.
    """
    if not found:
        return ()
    lines: dict[str, list[str]] = {}
    for one in found:
        lines.setdefault(one.what, []).append(str(one.line))
    where = "; ".join(f"{what} in line{'s' * (len(at) > 1)} {', '.join(at)}" for what, at in lines.items())
    return (
        f"this scenario gives way to who holds a lock: {where}. One transaction after the other, nobody holds a"
        " lock, so no serial order does what a session does that gives way.",
        "Where that is meant and right, the oracle cannot judge it: say what must hold by an invariant or a check",
    )
