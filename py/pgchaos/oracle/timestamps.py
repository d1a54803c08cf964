"""Recognizes timestamps within a run, which are values of now() or the like. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

TIMESTAMP, TIMESTAMPTZ = 1114, 1184  # the OIDs of the two types (pg_type.dat)

NOW = "(a time of the run)"  # replaces such a value in comparisons and messages

_TIME = r"(?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,6}))?"
_ZONE = r"(?: \S+)?"  # an abbreviation, which does not say the offset
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STYLES = tuple(
    map(
        re.compile,
        (
            rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d) {_TIME}"
            r"(?:(?P<sign>[+-])(?P<hours>\d\d)(?::(?P<minutes>\d\d))?)?",
            rf"(?P<month>\d\d)/(?P<day>\d\d)/(?P<year>\d{{4}}) {_TIME}{_ZONE}",
            rf"(?P<day>\d\d)/(?P<month>\d\d)/(?P<year>\d{{4}}) {_TIME}{_ZONE}",
            rf"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{{4}}) {_TIME}{_ZONE}",
            rf"\w{{3}} (?P<month>\w{{3}}) (?P<day>\d\d) {_TIME} (?P<year>\d{{4}}){_ZONE}",
            rf"\w{{3}} (?P<day>\d\d) (?P<month>\w{{3}}) {_TIME} (?P<year>\d{{4}}){_ZONE}",
        ),
    )
)
"""How DateStyle ISO, SQL, German and Postgres write a timestamp; SQL and Postgres with DMY too."""
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
        """Whether a value is a timestamp within the run; one without an offset from UTC may be of any zone.

        Args:
            cell: the value as text, in any DateStyle.
            type_: the OID of its type.
        """
        if cell is None or type_ not in (TIMESTAMP, TIMESTAMPTZ):
            return False
        return any(self._holds(found, type_) for style in _STYLES if (found := style.fullmatch(cell)))

    def _holds(self, found: re.Match[str], type_: int) -> bool:
        parts = found.groupdict()
        seconds = _seconds(parts)
        if seconds is None:
            return False
        if type_ == TIMESTAMPTZ and parts.get("sign"):
            return self.start <= seconds <= self.end
        beyond = (seconds - self.start) % _QUARTER
        near = abs(seconds - self.start) <= _FARTHEST + _QUARTER
        return near and beyond <= self.end - self.start


def _seconds(parts: dict[str, str]) -> float | None:
    """Return the seconds since the epoch, by UTC if there is no offset; None if there is no such day."""
    month = parts["month"]
    hour, minute, second = map(int, parts["time"].split(":"))
    try:
        moment = datetime(
            int(parts["year"]),
            _MONTHS.index(month) + 1 if month in _MONTHS else int(month),
            int(parts["day"]),
            hour,
            minute,
            second,
            int((parts["fraction"] or "0").ljust(6, "0")),
            tzinfo=timezone.utc,
        )
    except ValueError:
        return None
    if sign := parts.get("sign"):
        offset = timedelta(hours=int(parts["hours"]), minutes=int(parts["minutes"] or 0))
        moment += offset if sign == "-" else -offset
    return moment.timestamp()
