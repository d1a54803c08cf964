"""Formats output byte by byte as isolationtester does: its lines, and PQprint with header, align and fieldSep `|`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgchaos.isolation.model import Permutation, Spec, Step
from pgchaos.server_text import encoded

_NUMERIC = frozenset("0123456789.Ee -")
_DIGITS = frozenset("0123456789")


def head(spec: Spec) -> Iterator[str]:
    """Yield the lines before the first permutation."""
    for name in spec.unused():
        yield f"unused step name: {name}"
    yield f"Parsed test spec with {len(spec.sessions)} sessions"


def starting(permutation: Permutation) -> str:
    """Format the lines that begin a permutation."""
    return "\nstarting permutation: " + " ".join(entry.step.name for entry in permutation)


def launched(step: Step, waiting: bool) -> str:
    """Format the line of a step that is complete, or found waiting, after its launch."""
    return f"step {step.name}: {step.sql}" + (" <waiting ...>" if waiting else "")


def completed(step: Step) -> str:
    """Format the line of a step that was reported as waiting, and is complete."""
    return f"step {step.name}: <... completed>"


def notification(session: str, channel: str, payload: str, sender: str) -> str:
    """Format the line of a notification."""
    return f'{session}: NOTIFY "{channel}" with payload "{payload}" from {sender}'


def table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    """Format a result as PQprint does, with an empty line at the end; '' for one without columns."""
    if not columns:
        return ""
    cells = [[value or "" for value in row] for row in rows]
    widths = [max([len(encoded(name)), *(len(encoded(row[i])) for row in cells)]) for i, name in enumerate(columns)]
    left = [any(_is_text(row[i]) for row in cells) for i in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        return "|".join(map(_padded, texts, widths, left))

    border = "+".join("-" * width for width in widths)
    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([line(columns), border, *map(line, cells), count, ""])


def _is_text(value: str) -> bool:
    """Whether a value makes its column a text column, as PQprint's do_field guesses."""
    if not value:
        return False
    return value[0] in "Ee" or value[-1] not in _DIGITS or not _NUMERIC.issuperset(value)


def _padded(text: str, width: int, left: bool) -> str:
    blanks = " " * (width - len(encoded(text)))
    return text + blanks if left else blanks + text
