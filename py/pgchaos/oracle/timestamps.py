"""Recognizes timestamps within a run, which are values of now() or the like. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

TIMESTAMP, TIMESTAMPTZ = 1114, 1184  # the OIDs of the two types (pg_type.dat)

NOW = "(a time of the run)"  # replaces such a value in comparisons and messages

_ISO = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:([+-])(\d\d)(?::(\d\d))?)?")
_QUARTER = 900.0  # seconds; the offsets of all time zones are multiples of a quarter of an hour
_FARTHEST = 14 * 3600.0  # the greatest offset of a time zone from UTC, in seconds


@dataclass(frozen=True, slots=True)
class Window:
    """The interval of a run, by the server's clock."""

    start: float  # seconds since the epoch
    end: float

    @classmethod
    def of(cls, start: float, end: float, elapsed: float) -> Window:
        """Return the window of a run during which the server's clock may have been set back.

        Args:
            start: the server's clock at the beginning.
            end: the server's clock at the end.
            elapsed: the least duration of the run in seconds, by a monotonic clock.

        Returns:
            From the earliest to the latest possible time of the server's clock in the run.
        """
        return cls(min(start, end - elapsed), max(end, start + elapsed))

    def holds(self, cell: str | None, type_: int) -> bool:
        """Whether a value is a timestamp within the run; one without a time zone may be of any zone.

        Args:
            cell: the value as text, with DateStyle ISO.
            type_: the OID of its type.
        """
        if cell is None or type_ not in (TIMESTAMP, TIMESTAMPTZ):
            return False
        found = _ISO.fullmatch(cell)
        if found is None:
            return False
        seconds = _seconds(found)
        if type_ == TIMESTAMPTZ:
            return self.start <= seconds <= self.end
        beyond = (seconds - self.start) % _QUARTER
        near = abs(seconds - self.start) <= _FARTHEST + _QUARTER
        return near and beyond <= self.end - self.start


def _seconds(found: re.Match[str]) -> float:
    moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
    if found[2]:
        moment += timedelta(microseconds=int(found[2].ljust(6, "0")))
    if found[3]:
        offset = timedelta(hours=int(found[4]), minutes=int(found[5] or 0))
        moment += offset if found[3] == "-" else -offset
    return moment.timestamp()
