"""Turns a free run that failed into an order of its steps, where that fails too."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.engine.search.gathering import key_of
from pgchaos.engine.search.single import Single
from pgchaos.engine.settings import Settings
from pgchaos.history import Record, RunResult
from pgchaos.scenario.model import Scenario
from pgchaos.schedule.board import Actor
from pgchaos.schedule.orders import Follow
from pgchaos.server import Server


def pinned(
    scenario: Scenario, variables: Mapping[str, str], server: Server, settings: Settings, failed: RunResult
) -> tuple[int, ...] | None:
    """Try whether the order in which a free run's steps began makes it fail again, one step at a time.

    Args:
        scenario: that was run.
        variables: of its matrix.
        server: that it ran on.
        settings: how it was run.
        failed: what it left behind.

    Returns:
        The decisions that do, by the numbers of the connections; None where it does not fail so again.
    """
    if any(session.beside for session in scenario.sessions):
        # how often it is repeated is a matter of time, so that its steps cannot be listed
        return None
    begun = _begun(failed.records)
    if len(set(begun)) < 2:
        return None
    single = Single(scenario, variables, server, settings)
    again = single.once(Follow(begun, single.actors, lenient=True))
    if single.outside:
        # it changed what the run before was judged without; the token is only a help
        return None
    same = not set(map(key_of, failed.failures)).isdisjoint(map(key_of, again.failures))
    return again.decisions if same else None


def _begun(records: list[Record]) -> list[Actor]:
    """List the connections in the order in which their steps began; a retry belongs to the step that failed."""
    seen = set()
    begun = []
    sent = [record for record in records if record.started_at is not None]
    for record in sorted(sent, key=lambda one: one.started_at or 0.0):
        step = (record.session, record.worker, record.iteration, record.step)
        if step not in seen:
            seen.add(step)
            begun.append(Actor(record.session, record.worker))
    return begun
