"""Which session continues next: by the file's list, or by earlier decisions."""

from __future__ import annotations

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Session
from pgchaos.language.problems import Place
from pgchaos.schedule.scheduler import Blocked, ListedOrder, Replay
from pgchaos.schedule.step_points import Choice, StepPoint
from pgchaos.schedule.wait_rules import Actor

A, B = Actor("a", 1), Actor("b", 1)
SESSIONS = [Session(Place("x.sql", 1), name, (), ("1", "2", "3"), repeat=2) for name in "ab"]


def gate(actor: Actor, ordinal: int, iteration: int = 1) -> StepPoint:
    return StepPoint(actor, str(ordinal + 1), iteration, ordinal)


def gates(*some: StepPoint) -> dict[Actor, StepPoint]:
    return {one.actor: one for one in some}


def listed(*steps: str) -> ListedOrder:
    names = [step.partition("#") for step in steps]
    return ListedOrder([StepName(n[0], 1, n[2:], int(i or 1)) for n, _, i in names], SESSIONS)


def test_listed_steps_go_in_their_order() -> None:
    order = listed("a.1", "b.1", "a.2")
    assert order.next(gates(gate(A, 0), gate(B, 0)), ()) == gate(A, 0)
    assert order.next(gates(gate(A, 1), gate(B, 0)), ()) == gate(B, 0)
    assert order.next(gates(gate(A, 1), gate(B, 1)), ()) == gate(A, 1)


def test_a_listed_step_whose_session_still_waits_is_due() -> None:
    order = listed("a.1", "a.2")
    assert order.next(gates(gate(A, 0)), ()) == gate(A, 0)
    due = Blocked(StepName("a", 1, "2"))
    assert order.next(gates(gate(B, 0)), ()) == due
    # it is asked again, for the wait may end
    assert order.next(gates(gate(A, 1), gate(B, 0)), ()) == gate(A, 1)


def test_listed_steps_that_do_nothing_are_gone_past() -> None:
    order = listed("a.1", "a.2", "a.3", "a.1#2", "b.1")
    assert order.next(gates(gate(A, 2), gate(B, 0)), ()) == gate(A, 2)
    # it has ended before its second iteration
    assert order.next(gates(gate(B, 0)), {A}) == gate(B, 0)


def test_a_step_of_a_later_iteration_is_another() -> None:
    order = listed("a.1", "a.2", "a.1#2")
    assert order.next(gates(gate(A, 0, iteration=2)), ()) == gate(A, 0, iteration=2)


def test_the_end_of_the_list_is_nobody() -> None:
    assert listed("a.1").next(gates(gate(B, 0)), {A}) is None


def test_decisions_are_followed_then_nobody_is_interrupted() -> None:
    order = Replay([B], (A, B))
    everybody = gates(gate(A, 0), gate(B, 0))
    assert [order.next(everybody, ()), order.next(everybody, ())] == [gate(B, 0), gate(B, 0)]
    assert order.next(gates(gate(A, 0)), {B}) == gate(A, 0)
    assert [(one.ready, one.taken, one.waiting) for one in order.trace] == [
        ((A, B), B, False),
        ((A, B), B, False),
        ((A,), A, False),
    ]
    assert order.trace[0] == Choice((A, B), B, ((1, 0), (1, 0)))
    assert order.diverged_at is None
    assert order.next({}, {A, B}) is None


def test_after_the_decisions_the_first_in_the_file_begins() -> None:
    assert Replay([], (A, B)).next(gates(gate(B, 0), gate(A, 0)), ()) == gate(A, 0)


def test_a_decision_that_cannot_be_kept_is_reported() -> None:
    order = Replay([A, B, B], (A, B))
    only_b = gates(gate(B, 0))
    assert order.next(only_b, ()) == gate(B, 0)
    assert order.diverged_at == 0
    assert order.next(gates(gate(A, 0), gate(B, 0)), ()) == gate(B, 0)
    assert order.diverged_at == 0


def test_a_lenient_one_leaves_such_decisions_out() -> None:
    order = Replay([A, A, B], (A, B), lenient=True)
    assert order.next(gates(gate(B, 0)), ()) == gate(B, 0)
    assert order.next(gates(gate(A, 0), gate(B, 1)), ()) == gate(B, 1)
