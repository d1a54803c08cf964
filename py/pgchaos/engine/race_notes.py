"""Notes on a free run that passed: whether its sessions overlapped, and whether anything made them race."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pgchaos.language.model import Scenario, Session
from pgchaos.language.section_items import STEERS, Delay
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import in_force

ADVICE = "nothing makes these sessions meet: add `-- chaos:barrier NAME`, or `-- chaos:schedule explore 200`"
_ENOUGH = 0.5
"""The share of a session's time that a repeated session should overlap."""
_SHORT = 0.1
"""Seconds; for a shorter session no share is reported, because it depends on chance."""


@dataclass(frozen=True, slots=True)
class _Span:
    """The time from the first statement of a session's connections to the end of the last, in seconds."""

    begin: float
    end: float

    def overlap(self, other: _Span) -> float:
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


def race_notes(scenario: Scenario, variables: Mapping[str, str], records: Iterable[Record]) -> list[str]:
    """Describe what may have kept the sessions of a free run from racing."""
    sent = [record for record in records if record.started_at is not None and record.ended_at is not None]
    spans = {session.name: span for session in scenario.sessions if (span := _span(session.name, sent)) is not None}
    notes = list(_too_short(scenario.sessions, spans))
    if unsteered(scenario, variables) and not any(record.waited_on for record in sent):
        apart = [session for session in scenario.sessions if _apart(session, spans)]
        if apart and len(spans) > 1:
            names = " and ".join(f"`{session.name}`" for session in apart)
            notes.append(f"{apart[0].place}: {names} ran beside no other session; {ADVICE}")
        else:
            notes.append(f"{scenario.sessions[0].place}: {ADVICE}")
    return notes


def unsteered(scenario: Scenario, variables: Mapping[str, str]) -> bool:
    """Whether only chance makes the sessions race: several run freely, once each, and wait for nothing."""
    sessions = scenario.sessions
    if scenario.schedule.kind != "free" or scenario.connections < 2:
        return False
    if any(session.repeat > 1 for session in sessions):
        return False
    items = (item for session in sessions for item in session.items)
    return not any(isinstance(item, (*STEERS, Delay)) and in_force(item, variables) for item in items)


def _span(name: str, sent: list[Record]) -> _Span | None:
    own = [(record.started_at or 0.0, record.ended_at or 0.0) for record in sent if record.session == name]
    return _Span(min(begin for begin, _ in own), max(end for _, end in own)) if own else None


def _apart(session: Session, spans: Mapping[str, _Span]) -> bool:
    own = spans.get(session.name)
    others = (span for name, span in spans.items() if name != session.name)
    return own is not None and session.count == 1 and not any(own.overlap(other) for other in others)


def _too_short(sessions: Iterable[Session], spans: Mapping[str, _Span]) -> Iterable[str]:
    """Describe sessions that were repeated as a load beside another one, and ended long before it."""
    for session in sessions:
        own = spans.get(session.name)
        if own is None or session.repeat == 1 or session.repeat_while:
            continue
        for name, other in spans.items():
            length, overlap = other.end - other.begin, own.overlap(other)
            if own.end < other.end and length >= _SHORT and overlap < _ENOUGH * length:
                yield (
                    f"{session.place}: `{session.name}` ran beside `{name}` for {overlap * 1000:.0f} of its "
                    f"{length * 1000:.0f} ms: `repeat while {name}` repeats until it has ended"
                )
