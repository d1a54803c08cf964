"""What helps to understand an error: the line where the server found it, and what newcomers stumble over. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.engine.answer import ServerError
from pgchaos.scenario.place import Place

_BEGINS_A_STATEMENT = re.compile(
    r"(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|BEGIN|COMMIT|ROLLBACK|CREATE|ALTER|DROP|LOCK|SET|CALL|DO|COPY)\b",
    re.IGNORECASE,
)
_TAKES_ONE_TYPE = re.compile(r"\b(is|isnt|cmp_ok)\(")


@dataclass(frozen=True, slots=True)
class About:
    """A statement as its author knows it.

    Args:
        text: as written.
        hints: what is known to be odd about it.
    """

    text: str = ""
    hints: tuple[str, ...] = ()


def located(error: ServerError, place: Place | None, about: About) -> tuple[Place | None, tuple[str, ...]]:
    """Find the line of an error, and what else to say of it.

    Args:
        error: as the server said it.
        place: of the statement.
        about: the statement.

    Returns:
        The place of what the server points to, else of the statement; and further lines.
    """
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
    return place, (*error.hint, *more)


def _pgtap(error: ServerError) -> Iterator[str]:
    found = _TAKES_ONE_TYPE.search(error.message) if error.sqlstate == "42883" else None
    if found is not None:
        yield f"pgTAP's {found[1]}() takes values of one type: write 1::bigint beside count(*), 'a'::text beside text"
