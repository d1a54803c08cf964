"""Which sessions stay blocked as long as no step is released."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.schedule import step_points
from pgchaos.schedule.step_points import PREPARED
from pgchaos.schedule.wait_rules import Actor

A, B, C, D = (Actor(name, 1) for name in "abcd")
STRANGER = 4711


def held(waits: Mapping[Actor, list[Actor | int]], idle: list[Actor]) -> tuple[set[Actor], set[Actor]]:
    firm, here = step_points.find_blocked(waits, idle)
    return set(firm), set(here)


def test_who_waits_for_one_that_does_nothing_is_held() -> None:
    assert held({A: [B]}, [B]) == ({A}, {A})


def test_who_waits_for_one_that_moves_is_not() -> None:
    assert held({A: [B]}, []) == (set(), set())


def test_a_queue_is_held_to_its_end() -> None:
    assert held({A: [B], B: [C], C: [D]}, [D])[0] == {A, B, C}


def test_one_of_several_is_enough_to_hold() -> None:
    # the lock is granted when all have let go
    assert held({A: [B, C]}, [C])[0] == {A}


def test_another_backend_may_release_its_lock_by_itself() -> None:
    assert held({A: [STRANGER]}, [B]) == (set(), set())
    assert held({A: [STRANGER, B]}, [B]) == ({A}, {A})


def test_a_prepared_transaction_does_not_but_is_no_session_of_the_scenario() -> None:
    assert held({A: [PREPARED]}, []) == ({A}, set())


def test_a_circle_is_for_the_server_to_resolve() -> None:
    assert held({A: [B], B: [A]}, [])[0] == set()
    assert held({A: [B], B: [A, C]}, [C])[0] == set()


def test_who_waits_for_a_circle_waits_for_the_server_too() -> None:
    assert held({A: [B, D], B: [C], C: [B, D]}, [D])[0] == set()


def test_two_ways_to_the_same_holder_are_no_circle() -> None:
    assert held({A: [B, C], B: [D], C: [D]}, [D])[0] == {A, B, C}


def test_indirect_blockers_are_found() -> None:
    waits: dict[Actor, list[Actor | int]] = {A: [B, STRANGER], B: [C], D: [A]}
    assert step_points.reached(A, waits) == {B, C}
    assert step_points.reached(C, waits) == set()
    assert step_points.reached(A, {A: [B], B: [A]}) == {A, B}
