from __future__ import annotations

from pgchaos.schedule.step_points import BlockedSeen, BlockedSessions
from pgchaos.schedule.wait_rules import Actor

A1, B1 = Actor("a", 1), Actor("b", 1)
PIDS = {10: A1, 20: B1}
NO_SESSIONS: frozenset[Actor] = frozenset()


def test_one_look_is_not_enough() -> None:
    snapshots = BlockedSessions(PIDS)
    assert snapshots.add({A1: BlockedSeen(1, (20,))}) == (NO_SESSIONS, NO_SESSIONS)
    assert snapshots.add({A1: BlockedSeen(1, (20,))}) == (frozenset({A1}), frozenset({A1}))


def test_two_looks_at_two_statements_are_not_a_block() -> None:
    snapshots = BlockedSessions(PIDS)
    snapshots.add({A1: BlockedSeen(1, (20,))})
    assert snapshots.add({A1: BlockedSeen(2, (20,))}) == (NO_SESSIONS, NO_SESSIONS)


def test_two_looks_with_one_between_are_not_running() -> None:
    snapshots = BlockedSessions(PIDS)
    snapshots.add({A1: BlockedSeen(1, (20,))})
    snapshots.add({})
    assert snapshots.add({A1: BlockedSeen(1, (20,))}) == (NO_SESSIONS, NO_SESSIONS)


def test_a_stranger_and_a_prepared_transaction_block_but_are_not_of_this_scenario() -> None:
    snapshots = BlockedSessions(PIDS)
    look = {A1: BlockedSeen(1, (99,)), B1: BlockedSeen(2, (0,))}
    snapshots.add(look)
    assert snapshots.add(look) == (frozenset({A1, B1}), NO_SESSIONS)
