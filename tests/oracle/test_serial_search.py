from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.oracle.model import OracleTransaction, Outcome, SerialRun
from pgchaos.oracle.serial_search import MOST_STEPS, UNDECIDED, SerialOrders, Wanted, choices, contexts, find
from pgchaos.schedule.wait_rules import Actor
from tests.oracle.toy import A, B, C, Toy, Transaction, outcome_of, read, state, write

ADD: Transaction = (read("x"), write("x", lambda own: own["x"] + 1))
LOOK: Transaction = (read("x"), read("y"))


def with_unit(outcome: Outcome, at: int, txn: OracleTransaction) -> Outcome:
    return replace(outcome, transactions=(*outcome.transactions[:at], txn, *outcome.transactions[at + 1 :]))


def test_the_likeliest_order_is_run_first_and_it_is_that_in_which_they_ended() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    assert toy.judge(toy.interleaved((B, B, A, A)), SerialOrders(9)) is not None
    assert toy.ran == [(B, A)]


def test_all_interleavings_of_two_transactions_take_two_serial_runs() -> None:
    toy, known = Toy({A: [ADD], B: [ADD]}, {"x": 0}), SerialOrders(9)
    found = [toy.judge(toy.interleaved(order), known) for order in toy.interleavings()]
    assert [run is not None for run in found] == [True, False, False, False, False, True]
    assert sorted(toy.ran) == [(A, B), (B, A)]
    assert known.runs == 2


def test_no_order_is_run_that_begins_like_one_with_other_results() -> None:
    # in any order that begins with a and then b, b's first look tells: no other one that begins so is run
    toy = Toy({A: [ADD, ADD], B: [LOOK, ADD]}, {"x": 0, "y": 0})
    outcome = outcome_of(toy.serial(Wanted(frozenset(), (B, A, A, B))))
    broken = replace(outcome, state=state({"x": 9, "y": 0}))
    toy.ran.clear()
    assert toy.judge(broken, SerialOrders(99)) is None
    assert sum(path[:2] == (A, B) for path in toy.ran) == 1
    assert len(toy.ran) == 5


STEPS = st.lists(
    st.one_of(
        st.sampled_from("xyz").map(read),
        st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz"), st.integers(0, 2)).map(
            lambda what: write(what[0], lambda own: own.get(what[1], 0) + what[2])
        ),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=60)
@given(does=st.lists(STEPS, min_size=2, max_size=3), draw=st.data())
def test_it_finds_an_order_exactly_where_one_of_all_orders_comes_to_the_same(
    does: list[Transaction], draw: st.DataObject
) -> None:
    actors = (A, B, C)[: len(does)]
    toy = Toy({actor: [steps] for actor, steps in zip(actors, does, strict=True)}, {"x": 0, "y": 1, "z": 2})
    known = SerialOrders(99)
    every = [toy.serial(Wanted(frozenset(), order)) for order in itertools.permutations(actors)]
    comes_to = [({txn.name: txn for txn in run.transactions}, run.state) for run in every]
    for _ in range(4):
        order = draw.draw(st.permutations([actor for actor, steps in zip(actors, does, strict=True) for _ in steps]))
        outcome = toy.interleaved(order)
        found = toy.judge(outcome, known)
        assert (found is not None) == (({txn.name: txn for txn in outcome.transactions}, outcome.state) in comes_to)
    assert known.runs <= len(every)


@settings(deadline=None, max_examples=40)
@given(does=st.lists(st.lists(STEPS, min_size=1, max_size=2), min_size=2, max_size=3), seed=st.randoms())
def test_every_serial_order_is_found_and_each_connection_keeps_its_own(
    does: list[list[Transaction]], seed: st.DataObject
) -> None:
    actors = (A, B, C)[: len(does)]
    toy = Toy(dict(zip(actors, does, strict=True)), {"x": 0, "y": 1, "z": 2})
    turns = [actor for actor, all_ in zip(actors, does, strict=True) for _ in all_]
    seed.shuffle(turns)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    wanted = outcome_of(toy.serial(Wanted(frozenset(), tuple(turns))))
    found = toy.judge(wanted, SerialOrders(999))
    assert found is not None
    assert found.state == wanted.state
    for actor in actors:
        mine = [u.position for u in found.transactions if u.actor == actor]
        assert mine == [(1, n * 10) for n in range(len(toy.does[actor]))]


def test_who_could_not_serialize_is_in_no_order() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    a, b = outcome_of(toy.serial(Wanted(frozenset(), (A, B)))).transactions
    outcome = Outcome((a, replace(b, fate="out")), state({"x": 1}))
    assert list(choices(outcome)) == [frozenset({b.name})]
    found = toy.judge(outcome, SerialOrders(9))
    assert found is not None
    assert found.path == (A,)


def test_a_transaction_of_unknown_outcome_is_tried_both_ways_with_any_results() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    a, b = outcome_of(toy.serial(Wanted(frozenset(), (A, B)))).transactions
    unknown = replace(b, fate="other", failed=True, results=())
    done, undone = (Outcome((a, unknown), state({"x": x})) for x in (2, 1))
    assert list(choices(done)) == [frozenset({b.name}), frozenset()]
    assert toy.judge(done, SerialOrders(9)) is not None
    assert toy.judge(undone, SerialOrders(9)) is not None
    assert toy.judge(Outcome((a, unknown), state({"x": 3})), SerialOrders(9)) is None


def test_what_its_author_rolled_back_is_tried_with_first() -> None:
    toy = Toy({A: [ADD]}, {"x": 0})
    (a,) = outcome_of(toy.serial(Wanted(frozenset(), (A,)))).transactions
    assert list(choices(Outcome((replace(a, fate="other"),), {}))) == [frozenset(), frozenset({a.name})]


def test_the_same_results_in_another_place_are_not_the_same() -> None:
    toy = Toy({A: [ADD]}, {"x": 0})
    outcome = outcome_of(toy.serial(Wanted(frozenset(), (A,))))
    elsewhere = with_unit(outcome, 0, replace(outcome.transactions[0], position=(2, 0)))
    assert toy.judge(elsewhere, SerialOrders(9)) is None
    rolled_back = SerialOrders(9)
    rolled_back.learn(
        Wanted(frozenset(), (A,)),
        SerialRun((A,), (replace(outcome.transactions[0], fate="other"),), outcome.state),
    )
    assert find(outcome, rolled_back) is None


def test_an_order_that_cannot_be_run_is_none() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    outcome = toy.interleaved((A, A, B, B))
    known = SerialOrders(9)
    first = find(outcome, known)
    assert isinstance(first, Wanted)
    known.learn(first, SerialRun((A,), (replace(outcome.transactions[0], fate="out"),), {}, "it waits for a lock"))
    second = find(outcome, known)
    assert isinstance(second, Wanted)
    assert second.prefix == (B,)
    known.learn(second, toy.serial(second))
    assert find(outcome, known) is None


def test_nothing_is_asked_for_behind_a_turn_that_cannot_end() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    b, a = outcome_of(toy.serial(Wanted(frozenset(), (B, A)))).transactions
    outcome = Outcome((replace(b, fate="other", failed=True), a), state({"x": 9}))
    known, runs = SerialOrders(9), 0
    while isinstance(found := find(outcome, known), Wanted):
        runs += 1
        assert runs < 5, "it asks again and again"
        stuck = not found.left_out and found.prefix[0] == B
        known.learn(found, SerialRun((B,), (b,), {}, "it waits for a lock") if stuck else toy.serial(found))
    assert found is None


def test_a_serial_run_that_continues_or_ends_early_is_not_the_same() -> None:
    toy = Toy({A: [ADD, ADD]}, {"x": 0})
    complete = outcome_of(toy.serial(Wanted(frozenset(), (A, A))))
    assert toy.judge(Outcome(complete.transactions[:1], state({"x": 1})), SerialOrders(9)) is None
    known = SerialOrders(9)
    known.learn(Wanted(frozenset(), (A,)), SerialRun((A,), complete.transactions[:1], state({"x": 1})))
    assert find(complete, known) is None


def test_an_impossible_prefix_is_not_requested_twice() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    ghost = Actor("ghost", 1)
    a, b = outcome_of(toy.serial(Wanted(frozenset(), (A, B)))).transactions
    outcome = Outcome((replace(a, actor=ghost), b), state({"x": 2}))
    known = SerialOrders(9)
    while isinstance(found := find(outcome, known), Wanted):
        without = Wanted(found.left_out, tuple(one for one in found.prefix if one != ghost))
        known.learn(found, toy.serial(without))
    assert found is None
    assert known.runs <= 2


def test_no_transactions_are_compared_by_what_is_left() -> None:
    toy = Toy({}, {"x": 0})
    assert toy.judge(Outcome((), state({"x": 0})), SerialOrders(9)) is not None
    assert toy.judge(Outcome((), state({"x": 1})), SerialOrders(9)) is None


def test_contexts_are_the_prefixes_with_the_same_results() -> None:
    toy, known = Toy({A: [ADD], B: [ADD], C: [LOOK]}, {"x": 0, "y": 0}), SerialOrders(99)
    outcome = toy.interleaved((A, B, A, B, C, C))
    assert toy.judge(outcome, known) is None
    found = {(*(actor for actor, _ in before), txn.actor) for before, txn in contexts(outcome, known, frozenset())}
    # after a, b is told what it was not, and nothing is asked of what comes then; c is told so by nobody, or by one
    alone = {(A,), (B,), (C,)}
    assert found == {*alone, (A, B), (B, A), (A, C), (B, C), (A, C, B), (B, C, A)}
    reported = {txn.results for before, txn in contexts(outcome, known, frozenset()) if txn.actor == C and not before}
    assert len(reported) == 1


def test_each_connection_keeps_its_order_in_contexts() -> None:
    toy, known = Toy({A: [LOOK], B: [LOOK, LOOK]}, {"x": 0, "y": 0}), SerialOrders(99)
    complete = outcome_of(toy.serial(Wanted(frozenset(), (B, A, B))))
    assert toy.judge(replace(complete, state=state({"x": 9, "y": 0})), known) is None
    found = [(before, txn.name) for before, txn in contexts(complete, known, frozenset())]
    for before, name in found:
        mine = [position for actor, position in (*before, name) if actor == B]
        assert mine == [(1, 0), (1, 10)][: len(mine)]
    assert len(found) == len(set(found)) == 8


def test_thousands_of_transactions_are_gone_through() -> None:
    # more than Python's calls can be nested
    toy, known = Toy({A: [LOOK] * 1500, B: [LOOK] * 1500}, {"x": 0, "y": 0}), SerialOrders(9)
    outcome = outcome_of(toy.serial(Wanted(frozenset(), (A, B) * 1500)))
    assert toy.judge(outcome, known) is not None
    assert known.runs == 1


def test_a_search_among_too_many_orders_is_not_decided() -> None:
    # of transactions that only look each order is told the same, and none of them leaves what was found
    toy, known = Toy({A: [LOOK] * 2, B: [LOOK] * 2}, {"x": 0, "y": 0}), SerialOrders(9)
    outcome = replace(outcome_of(toy.serial(Wanted(frozenset(), (A, B, A, B)))), state=state({"x": 9, "y": 0}))
    assert toy.judge(outcome, known) is None
    known.steps = MOST_STEPS
    assert find(outcome, known) is UNDECIDED


def test_too_many_transactions_that_may_have_committed_are_not_decided() -> None:
    # two to the power of forty ways to leave them out; what is left out never ran
    transactions = tuple(OracleTransaction(A, (1, number), "other") for number in range(40))
    outcome, known = Outcome(transactions, state({"x": 9})), SerialOrders(99_999)
    known.steps = MOST_STEPS * 9 // 10
    while isinstance(found := find(outcome, known), Wanted):
        known.learn(found, SerialRun((A,), (OracleTransaction(A, (1, 0), "out"),), {}, "it stopped"))
    assert found is UNDECIDED
    assert known.runs < 9_999
