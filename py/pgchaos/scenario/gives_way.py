"""Statements that do something else where another session holds a lock: no serial order has that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.scenario.inner_sql import statements
from pgchaos.scenario.items import Statement
from pgchaos.scenario.model import Scenario, Section, Session
from pgchaos.scenario.pieces import NOTHING, Piece


@dataclass(frozen=True, slots=True)
class GivesWay:
    """Where a scenario gives way to who holds a lock.

    Args:
        line: of the file.
        what: SKIP LOCKED, NOWAIT, lock_timeout or the function that tries.
    """

    line: int
    what: str


def gives_way(scenario: Scenario) -> list[GivesWay]:
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
                for piece, what in _of_text(item.text):
                    found.add(GivesWay(item.place.line + piece.line, what))
    return sorted(found, key=lambda one: (one.line, one.what))


def _of_text(text: str) -> Iterator[tuple[Piece, str]]:
    for plain in statements(text):
        for piece, after in zip(plain.pieces, (*plain.pieces[1:], NOTHING), strict=False):
            if piece.says("skip") and after.says("locked"):
                yield piece, "SKIP LOCKED"
            elif piece.says("nowait"):
                yield piece, "NOWAIT"
            elif piece.identifier and piece.text == "lock_timeout":
                yield piece, "lock_timeout"
            elif piece.identifier and piece.text.startswith("pg_try_advisory_"):
                yield piece, f"{piece.text}()"


def advice(found: list[GivesWay]) -> tuple[str, ...]:
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
