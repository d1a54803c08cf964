from __future__ import annotations

from pgchaos.language.header_model import When
from pgchaos.language.model import Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Barrier, Item, Signal, WaitBlocked, WaitFor
from pgchaos.schedule.wait_rules import Actor, WaitRules

HERE = Place("x.sql", 1)
A1, A2, B1 = Actor("a", 1), Actor("a", 2), Actor("b", 1)


def session(name: str, *items: Item, count: int = 1, repeat: int = 1) -> Session:
    return Session(HERE, name, items, (), count, repeat)


def meet(unless_blocked: bool = False) -> Barrier:
    return Barrier(HERE, "met", unless_blocked)


def test_a_barrier_opens_for_all_when_the_last_one_arrives() -> None:
    board = WaitRules([session("a", meet(), count=2)], {})
    board.begin_wait(A1, meet(), 1)
    assert not board.decide(A1).open
    assert board.decide(A1).missing == (A2,)
    board.begin_wait(A2, meet(), 1)
    assert board.decide(A1).open
    assert board.decide(A2).open


def test_who_passes_a_barrier_by_counts_as_arrived() -> None:
    board = WaitRules([session("a", meet()), session("b", meet())], {})
    board.begin_wait(A1, meet(), 1)
    board.arrive(B1, "met", 1)
    assert board.decide(A1).open


def test_a_session_whose_text_does_not_name_the_barrier_is_not_waited_for() -> None:
    board = WaitRules([session("a", meet()), session("b")], {})
    board.begin_wait(A1, meet(), 1)
    assert board.decide(A1).open


def test_a_barrier_of_another_matrix_value_is_not_waited_for() -> None:
    elsewhere = Barrier(HERE, "met", when=When("level", ("serializable",)))
    sessions = [session("a", meet()), session("b", elsewhere)]
    here, there = WaitRules(sessions, {"level": "read committed"}), WaitRules(sessions, {"level": "serializable"})
    for board in (here, there):
        board.begin_wait(A1, meet(), 1)
    assert here.decide(A1).open
    assert not there.decide(A1).open


def test_each_iteration_has_its_own_barrier_without_those_whose_repeat_is_over() -> None:
    board = WaitRules([session("a", meet(), repeat=2), session("b", meet())], {})
    board.begin_wait(A1, meet(), 1)
    board.begin_wait(B1, meet(), 1)
    assert board.decide(A1).open
    board.begin_wait(A1, meet(), 2)
    assert board.decide(A1).open
    both = WaitRules([session("a", meet(), count=2, repeat=2)], {})
    both.begin_wait(A1, meet(), 1)
    both.begin_wait(A2, meet(), 1)
    assert both.decide(A1).open
    both.begin_wait(A1, meet(), 2)
    assert not both.decide(A1).open


def test_an_open_barrier_stays_open_for_those_who_come_later_and_again() -> None:
    board = WaitRules([session("a", meet(unless_blocked=True)), session("b", meet())], {})
    board.begin_wait(A1, meet(unless_blocked=True), 1)
    board.update_blocked(frozenset({B1}), frozenset({B1}))
    assert board.decide(A1).open
    board.end_wait(A1)
    board.update_blocked(frozenset(), frozenset())
    board.begin_wait(B1, meet(), 1)
    assert board.decide(B1).open
    board.begin_wait(A1, meet(unless_blocked=True), 1)
    assert board.decide(A1).open


def test_unless_blocked_asks_for_a_lock_of_this_scenario() -> None:
    board = WaitRules([session("a", meet(unless_blocked=True)), session("b", meet())], {})
    board.begin_wait(A1, meet(unless_blocked=True), 1)
    board.update_blocked(frozenset({B1}), frozenset())
    assert not board.decide(A1).open
    board.update_blocked(frozenset({B1}), frozenset({B1}))
    assert board.decide(A1).open


def test_without_unless_blocked_a_blocked_session_is_waited_for() -> None:
    board = WaitRules([session("a", meet()), session("b", meet())], {})
    board.begin_wait(A1, meet(), 1)
    board.update_blocked(frozenset({B1}), frozenset({B1}))
    assert not board.decide(A1).open


def test_a_barrier_fails_at_once_when_a_session_ended_without_arriving() -> None:
    board = WaitRules([session("a", meet()), session("b", meet())], {})
    board.begin_wait(A1, meet(), 1)
    board.end(B1)
    assert board.decide(A1).never == "b[1] ended without arriving"


def test_wait_blocked_waits_for_all_connections_or_for_the_one() -> None:
    every, second = WaitBlocked(HERE, "a"), WaitBlocked(HERE, "a", 2)
    board = WaitRules([session("a", count=2), session("b", every, second)], {})
    board.begin_wait(B1, every, 1)
    board.update_blocked(frozenset({A2}), frozenset())
    assert board.decide(B1).missing == (A1,)
    board.begin_wait(B1, second, 1)
    board.update_blocked(frozenset({A2}), frozenset())
    assert board.decide(B1).open
    board.begin_wait(B1, every, 1)
    board.update_blocked(frozenset({A1, A2}), frozenset())
    assert board.decide(B1).open


def test_wait_blocked_fails_at_once_when_the_session_ended() -> None:
    wait = WaitBlocked(HERE, "a")
    board = WaitRules([session("a"), session("b", wait)], {})
    board.begin_wait(B1, wait, 1)
    board.end(A1)
    assert board.decide(B1).never == "a[1] ended without being blocked"


def test_a_signal_stays_given() -> None:
    wait = WaitFor(HERE, "go")
    board = WaitRules([session("a", Signal(HERE, "go")), session("b", wait)], {})
    board.begin_wait(B1, wait, 1)
    assert not board.decide(B1).open
    board.send_signal("go")
    board.end(A1)
    assert board.decide(B1).open


def test_a_signal_that_its_giver_skipped_never_comes() -> None:
    wait = WaitFor(HERE, "go")
    board = WaitRules([session("a", Signal(HERE, "go")), session("b", wait)], {})
    board.begin_wait(B1, wait, 1)
    board.end(A1)
    assert board.decide(B1).never == "a[1] ended without giving the signal"


def test_sessions_that_wait_for_one_another_are_found() -> None:
    go, meeting = WaitFor(HERE, "go"), meet()
    board = WaitRules([session("a", meeting, Signal(HERE, "go")), session("b", go, meeting)], {})
    board.begin_wait(A1, meeting, 1)
    assert not board.decide(A1).never
    board.begin_wait(B1, go, 1)
    assert board.decide(B1).never == "every session waits for another: a[1] at barrier met, b[1] at wait for go"


def test_a_blocked_session_may_still_come() -> None:
    board = WaitRules([session("a", meet()), session("b", meet())], {})
    board.begin_wait(A1, meet(), 1)
    assert board.decide(A1).never == ""


def test_looks_are_needed_only_while_somebody_waits_for_a_block() -> None:
    board = WaitRules([session("a", meet(unless_blocked=True)), session("b", meet())], {})
    assert not board.needs_snapshots()
    board.begin_wait(A1, meet(unless_blocked=True), 1)
    assert board.needs_snapshots()
    board.end_wait(A1)
    assert not board.needs_snapshots()


def test_who_was_blocked_before_the_wait_began_does_not_open_it() -> None:
    wait = WaitBlocked(HERE, "a")
    board = WaitRules([session("a"), session("b", wait)], {})
    board.update_blocked(frozenset({A1}), frozenset({A1}))
    board.begin_wait(B1, wait, 1)
    assert not board.decide(B1).open
    assert board.update_blocked(frozenset({A1}), frozenset({A1}))
    assert board.decide(B1).open


def test_a_wait_stays_open_when_the_block_is_over_before_anybody_asks() -> None:
    for wait in (WaitBlocked(HERE, "a"), meet(unless_blocked=True)):
        board = WaitRules([session("a", meet()), session("b", wait)], {})
        board.begin_wait(B1, wait, 1)
        board.update_blocked(frozenset({A1}), frozenset({A1}))
        assert not board.needs_snapshots()
        board.update_blocked(frozenset(), frozenset())
        assert board.decide(B1).open


def test_an_open_wait_for_a_lock_keeps_the_others_from_giving_up() -> None:
    wait = WaitBlocked(HERE, "a")
    board = WaitRules([session("a", meet()), session("b", wait, meet())], {})
    board.begin_wait(B1, wait, 1)
    board.update_blocked(frozenset({A1}), frozenset({A1}))
    board.begin_wait(A1, meet(), 1)
    assert board.decide(A1).never == ""
