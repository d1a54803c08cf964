"""When a lock wait began and ended, from snapshots of the server."""

from __future__ import annotations

import itertools

import pytest

from pgchaos import clock
from pgchaos.engine.session_states import SessionStates
from pgchaos.language.problems import Place
from pgchaos.results import Record
from pgchaos.schedule.wait_rules import Actor

BLOCKED: dict[int, tuple[int, ...]] = {2: (1,)}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> SessionStates:
    """A holder and a waiter, whose statement began at 0; each look at the server is a second later."""
    ticks = itertools.count(1)
    monkeypatch.setattr(clock, "now", lambda: float(next(ticks)))
    found = SessionStates()
    for pid, name in ((1, "holder"), (2, "waiter")):
        found.join(Actor(name, 1), pid)
        found.begin(Actor(name, 1), Record(name, 1, 1, 1, "1", Place("a.sql", 1), "SELECT 1", started_at=0.0), 0.0)
    return found


def looks(states: SessionStates, *seen: bool) -> Record:
    """Look at the server, the waiter being blocked or not."""
    waiter = states[Actor("waiter", 1)]
    assert waiter.record is not None
    for blocked in seen:
        states.take({2: waiter.ticket}, BLOCKED if blocked else {})
    return waiter.record


def test_a_wait_lasts_until_it_is_seen_no_more(states: SessionStates) -> None:
    # its holder's COMMIT lies between the last look that saw it and the first that did not
    record = looks(states, False, True, True, False, False)
    assert (record.waited_on, record.waited_from, record.waited_until) == (("holder[1]",), 1.0, 4.0)


def test_a_wait_that_was_seen_to_the_last_ends_with_its_statement(states: SessionStates) -> None:
    record = looks(states, False, True)
    states.finish(Actor("waiter", 1), 9.0)
    assert (record.waited_from, record.waited_until) == (1.0, 9.0)


def test_a_statement_that_never_waited_has_no_wait(states: SessionStates) -> None:
    record = looks(states, False, False)
    assert (record.waited_on, record.waited_until) == ((), None)
