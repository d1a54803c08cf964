"""What went wrong: the name of an anomaly, and how it is told. Pure.

The names are those of Berenson et al., "A Critique of ANSI SQL Isolation Levels" (1995), Adya, "Weak Consistency"
(1999), and Fekete et al., "A Read-Only Transaction Anomaly" (2004).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pgchaos.language.problems import Place
from pgchaos.oracle.model import Named, OracleTransaction, StatementResult

UNNAMED = "not serializable"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What went wrong.

    Args:
        name: of the anomaly, or UNNAMED.
        why: the circle of who saw whom, in a sentence; '' where it is not known.
        place: of the statement that it is about; None where it is not known.
        units: the transactions of the circle.
        given: others without which these would have been told something else.
        wrote: of all these, who is said to have written.
        told: the statements by which it is known, with those whose they are.
    """

    name: str
    why: str = ""
    place: Place | None = None
    units: tuple[Named, ...] = ()
    given: tuple[Named, ...] = ()
    wrote: frozenset[Named] = frozenset()
    told: tuple[tuple[Named, StatementResult], ...] = ()


def anomaly(
    kind: str,
    why: str,
    place: Place,
    units: Collection[OracleTransaction],
    wrote: Collection[OracleTransaction],
    told: Sequence[tuple[Named, StatementResult]],
) -> Anomaly:
    """Put an anomaly together.

    Args:
        kind: its name, or UNNAMED.
        why: who saw whom, in a sentence.
        place: of the statement that it is about.
        units: the transactions of the circle.
        wrote: of these, who is said to have written.
        told: the statements by which it is known, with those whose they are.

    Returns:
        It, with nobody given.
    """
    names = tuple(unit.name for unit in units)
    return Anomaly(kind, why, place, names, (), frozenset(unit.name for unit in wrote), tuple(told))


def lines_of(heard: Sequence[StatementResult]) -> str:
    """Say in which lines statements stand: `line 3`, or `lines 3, 7`."""
    lines = list(dict.fromkeys(one.place.line for one in heard))
    return f"line {lines[0]}" if len(lines) == 1 else "lines " + ", ".join(map(str, lines))
