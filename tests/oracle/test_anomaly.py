from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.oracle.anomaly_rules import name_anomaly
from pgchaos.oracle.difference import changed_rows, nearest
from pgchaos.oracle.evidence import UNNAMED, Anomaly, Evidence
from pgchaos.oracle.model import Outcome, State, TxnId
from pgchaos.oracle.serial_search import SerialOrders, Wanted, contexts
from pgchaos.oracle.visibility import Context, visibility_of
from pgchaos.schedule.wait_rules import Actor
from tests.oracle.toy import A, B, C, Rows, Step, Toy, Transaction, only_if, read, write


def evidence(toy: Toy, outcome: Outcome) -> Evidence:
    """Find all that a name is found by, as the engine does, by serial runs."""
    known, nobody = SerialOrders(99), frozenset[TxnId]()
    assert toy.judge(outcome, known) is None, "the interleaving is serializable"
    proof: dict[TxnId, list[Context]] = {txn.name: [] for txn in outcome.transactions}
    for before, txn in contexts(outcome, known, nobody):
        proof[txn.name].append(Context(before, txn))

    def after(order: tuple[TxnId, ...]) -> State:
        left_out = frozenset(proof) - set(order)
        return toy.serial(Wanted(left_out, tuple(actor for actor, _ in order))).state

    near = nearest(outcome, known.complete_runs(nobody))
    assert near is not None
    return Evidence(outcome.transactions, proof, after, outcome.state, changed_rows(near.state, outcome.state))


def named(toy: Toy, order: tuple[Actor, ...]) -> Anomaly:
    return name_anomaly(evidence(toy, toy.interleaved(order)))


def count(rows: Rows, own: dict[str, int]) -> str:
    own["count"] = len(rows)
    return str(len(rows))


def put(key: str, value: int) -> Step:
    return write(key, lambda own: own.get("", value))


D = Actor("d", 1)
LOOK = read("x")


ADD: Transaction = (read("x"), write("x", lambda own: own["x"] + 1))
TWO = {"x": 0, "y": 0}


def test_who_wrote_last_what_it_had_read_before_lost_the_others_update() -> None:
    found = named(Toy({A: [ADD], B: [ADD]}, {"x": 0}), (A, B, B, A))
    assert found.name == "lost update"
    assert "both wrote row (x)" in found.why


def test_a_blind_write_is_lost_too_under_who_had_read_before() -> None:
    blind: Transaction = (put("x", 7),)
    found = named(Toy({A: [ADD], B: [blind]}, {"x": 0}), (A, B, A))
    assert found.name == "lost update"
    assert found.why.startswith("a[1] and b[1] both wrote row (x); what a[1] wrote was made of what it had read before")
    assert found.why.endswith(": line 1")


@pytest.mark.parametrize(
    ("reads", "writes", "kind"),
    [
        ((LOOK, LOOK), (put("x", 5),), "non-repeatable read"),
        ((read("x"), read("y")), (put("x", 5), put("y", 5)), "read skew"),
        ((count, count), (put("z", 1),), "phantom"),
    ],
)
def test_who_saw_another_in_part_is_named_by_what_it_saw(reads: Transaction, writes: Transaction, kind: str) -> None:
    toy = Toy({A: [reads], B: [writes]}, TWO)
    outcome = toy.interleaved((A, *(B for _ in writes), A))
    found = name_anomaly(reported_alike(evidence(toy, outcome)) if reads[0] is reads[1] else evidence(toy, outcome))
    assert found.name == kind
    assert found.why == "a[1] saw what b[1] did: line 2; and did not see it: line 1"


def reported_alike(found: Evidence) -> Evidence:
    """Give the statements of a one text."""
    transactions = (
        replace(one, results=tuple(replace(result, text="the same") for result in one.results))
        if one.actor == A
        else one
        for one in found.transactions
    )
    return replace(found, transactions=tuple(transactions))


def test_two_who_did_not_see_each_other_and_wrote_apart_are_write_skew() -> None:
    one: Transaction = (read("x"), read("y"), write("x", lambda own: own["y"] - 1))
    other: Transaction = (read("x"), read("y"), write("y", lambda own: own["x"] - 1))
    found = named(Toy({A: [one], B: [other]}, TWO), (A, A, B, B, A, B))
    assert found.name == "write skew"
    assert found.why == ("a[1] did not see what b[1] did: line 2; and b[1] did not see what a[1] did: line 1")


def cycle(reads: str, writes: str) -> Transaction:
    return (read(reads), write(writes, lambda own: own[reads] + 1))


def test_a_circle_of_three_in_which_nobody_saw_the_next_is_write_skew() -> None:
    toy = Toy({A: [cycle("x", "y")], B: [cycle("y", "z")], C: [cycle("z", "x")]}, {"x": 0, "y": 0, "z": 0})
    found = named(toy, (A, B, C, A, B, C))
    assert found.name == "write skew"
    assert found.why.count("did not see") == 3


def test_a_circle_that_only_who_reads_closes_is_the_read_only_anomaly() -> None:
    withdraws: Transaction = (read("y"), write("x", lambda own: own["y"] - 10))
    deposits: Transaction = (put("y", 20),)
    reports: Transaction = (read("x"), read("y"))
    found = named(Toy({A: [withdraws], B: [deposits], C: [reports]}, TWO), (A, B, C, C, A))
    assert found.name == "read-only transaction anomaly"


def test_results_of_no_serial_order_say_nothing_about_visibility() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    found = evidence(toy, toy.interleaved((A, B, B, A)))
    one = next(txn for txn in found.transactions if txn.actor == A)
    other = next(txn for txn in found.transactions if txn.actor == B)
    torn = replace(one, results=(replace(one.results[0], sqlstate="XX000"), *one.results[1:]))
    seen = visibility_of(torn, other, found.contexts[one.name])
    assert (seen.seen, seen.unseen) == ([], [])
    assert name_anomaly(replace(found, transactions=(torn, other))) == Anomaly(UNNAMED)


def test_nothing_known_is_not_serializable() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    found = evidence(toy, toy.interleaved((A, B, B, A)))
    unknown: dict[TxnId, list[Context]] = {one.name: [] for one in found.transactions}
    assert name_anomaly(replace(found, contexts=unknown)) == Anomaly(UNNAMED)
    # who saw whom is known, but not whether they wrote the same
    blind = name_anomaly(replace(found, after=lambda _: None))
    assert blind.name == UNNAMED
    assert blind.why.count("did not see") == 2


def test_all_interleavings_of_two_adders_that_are_not_serial_are_lost_updates() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    wrong = [order for order in toy.interleavings() if toy.judge(toy.interleaved(order), SerialOrders(9)) is None]
    assert len(wrong) == 4
    assert {named(toy, order).name for order in wrong} == {"lost update"}


def test_a_statement_that_is_not_reached_in_another_order_is_no_look() -> None:
    toy = Toy({A: [ADD], B: [ADD]}, {"x": 0})
    found = evidence(toy, toy.interleaved((A, B, B, A)))
    one = next(txn for txn in found.transactions if txn.actor == A)
    other = next(txn for txn in found.transactions if txn.actor == B)
    extra = replace(one.results[1], number=99)
    longer = replace(one, results=(*one.results, extra))
    reached = [
        Context(
            c.before, c.transaction if c.before else replace(c.transaction, results=(*c.transaction.results, extra))
        )
        for c in found.contexts[one.name]
    ]
    assert [result.number for result in visibility_of(longer, other, reached).unseen] == [0]


def add(key: str) -> Step:
    """Write a row from what it holds, of which nothing is told."""

    def step(rows: Rows, _: dict[str, int]) -> str:
        rows[key] = rows.get(key, 0) + 1
        return "UPDATE 1"

    return step


def reached(key: str, read: str, value: int) -> Step:
    """Write a row only where another was read to hold a value."""
    return only_if(lambda own: own.get(read, 0) == value, put(key, 7 + value))


def test_what_another_may_have_lost_as_well_is_reported_with_it() -> None:
    # only c's end is known: it wrote over a, and what it left is by chance what it leaves without both
    toy = Toy({A: [(put("y", 0),)], B: [(add("x"), add("y"))], C: [(read("y"), read("x"), add("y"))]}, {"x": 0, "y": 1})
    outcome, _ = toy.committed((C, C, A, B, B, C)) or pytest.fail("nobody waits")
    found = name_anomaly(evidence(toy, outcome))
    assert {actor for actor, _ in (*found.transactions, *found.given)} == {A, B, C}


def test_who_wrote_between_two_may_be_why_one_did_not_see_the_other() -> None:
    # b loses what a wrote, and writes what was there before: c reads that, and so does not see a
    more = write("x", lambda own: own.get("x", 0) + 1)
    less = write("x", lambda own: own.get("x", 0))
    toy = Toy({A: [(read("x"), read("x"), more)], B: [(read("x"), less)], C: [(read("x"), add("x"))]}, {"x": 0})
    outcome, _ = toy.committed((A, A, B, A, B, C, C)) or pytest.fail("nobody waits")
    found = name_anomaly(evidence(toy, outcome))
    assert {actor for actor, _ in (*found.transactions, *found.given)} >= {A, B}


KEYS = st.sampled_from("xyz")
STEPS = st.lists(
    st.one_of(
        KEYS.map(read),
        st.builds(lambda key, of, more: write(key, lambda own: own.get(of, 0) + more), KEYS, KEYS, st.integers(-1, 2)),
        st.builds(reached, KEYS, KEYS, st.integers(0, 2)),
        KEYS.map(add),
    ),
    min_size=1,
    max_size=4,
)


# the same examples each time: of some thousands at random there is one in which a third transaction is left out of the
# explanation, whose write another then made look as if it had not been
@settings(deadline=None, max_examples=300, derandomize=True)
@given(does=st.lists(STEPS, min_size=2, max_size=4), turns=st.randoms(use_true_random=False))
def test_an_explanation_speaks_of_what_was_done_and_those_it_names_are_not_serializable_alone(
    does: list[Transaction], turns: random.Random
) -> None:
    toy = Toy({actor: [steps] for actor, steps in zip((A, B, C, D), does, strict=False)}, {"x": 0, "y": 1, "z": 2})
    known = SerialOrders(99)
    for _ in range(6):
        ran = toy.committed(
            turns.sample(steps := [actor for actor, (one,) in toy.does.items() for _ in one], len(steps))
        )
        if ran is not None and toy.judge(ran[0], known) is None:
            is_true(toy, *ran)


def is_true(toy: Toy, outcome: Outcome, went: list[Actor]) -> None:
    """Hold an explanation against the run, and against the same run of those that it names alone."""
    found = name_anomaly(evidence(toy, outcome))
    transactions = {txn.name: txn for txn in outcome.transactions}
    assert all(
        any(got.tag == "UPDATE 1" for h in transactions[one].results for got in h.outputs) for one in found.wrote
    )
    assert all(any(result is one for one in transactions[whose].results) for whose, result in found.proof)
    assert all(not got.tag.startswith("UPDATE") for _, result in found.proof for got in result.outputs)
    assert bool(found.why) == bool(found.transactions) == bool(found.proof)
    if found.transactions:
        alone = {actor for actor, _ in (*found.transactions, *found.given)}
        few = Toy({actor: does for actor, does in toy.does.items() if actor in alone}, toy.rows)
        same = few.committed([actor for actor in went if actor in alone])
        assert same is not None
        assert few.judge(same[0], SerialOrders(99)) is None, found
