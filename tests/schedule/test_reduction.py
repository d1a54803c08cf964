"""What is left out equals something that is run: held against all interleavings, for random programs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgchaos.schedule.explore import Explore
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Dependence, Footprint
from pgchaos.schedule.permutations import Frontier, preemptions
from tests.schedule.memory import Outcome, Programs, Step, dependence, remembered
from tests.schedule.world import everybody

BEGIN: Step = ("begin", "")
COMMIT: Step = ("commit", "")


def transaction(body: list[Step], begins: bool) -> list[Step]:
    return [*([BEGIN] if begins else []), *body, COMMIT]


STEPS = st.tuples(st.sampled_from(["read", "write", "try"]), st.sampled_from("xyz"))
TRANSACTIONS = st.builds(transaction, st.lists(STEPS, min_size=1, max_size=3), st.booleans())
TWO = st.lists(TRANSACTIONS, min_size=2, max_size=2)
SHORT = st.builds(transaction, st.lists(STEPS, min_size=1, max_size=2), st.just(False))
THREE = st.lists(SHORT, min_size=3, max_size=3)
TWICE = st.builds(lambda a, b, c: [a + b, c], *[st.builds(transaction, st.lists(STEPS, max_size=2), st.just(True))] * 3)
CHANCE = st.one_of(st.none(), st.integers(0, 9).map(Random))

INVERTED = [
    [BEGIN, ("write", "x"), ("write", "y"), COMMIT],
    [BEGIN, ("write", "y"), ("write", "x"), COMMIT],
]
CIRCLE = [[("write", one), ("write", other), COMMIT] for one, other in ("xy", "yz", "zx")]


def outcomes(programs: Programs, chance: Random | None, known: Dependence | None) -> Iterator[tuple[Outcome, int, int]]:
    """Run all that a frontier asks for; tell what came of it, its preemptions, and how many all with fewer have."""
    frontier, actors = Frontier(chance, known), everybody(programs)
    least = 0
    while (order := frontier.follow(actors)) is not None:
        assert least <= frontier.preemptions
        least = frontier.preemptions
        yield remembered(programs, order), preemptions(order.trace), least
        assert order.diverged_at is None
        frontier.learn(order.trace)


@settings(deadline=None)
@given(st.one_of(TWO, THREE, TWICE), CHANCE)
@example(INVERTED, None)
@example(CIRCLE, None)
def test_all_that_can_come_about_comes_about(programs: Programs, chance: Random | None) -> None:
    every = list(outcomes(programs, None, None))
    some = list(outcomes(programs, chance, dependence(programs)))
    assert {one for one, _, _ in some} == {one for one, _, _ in every}
    assert len(some) <= len(every)


@settings(deadline=None)
@given(st.one_of(TWO, THREE, TWICE), CHANCE)
@example(INVERTED, None)
@example([[("read", "y"), COMMIT], [("write", "y"), COMMIT], [("read", "x"), COMMIT]], None)
@example(
    [[("read", "x"), ("write", "x"), COMMIT], [("read", "y"), ("read", "x"), COMMIT], [("read", "x"), COMMIT]], None
)
@example(
    [
        [("read", "z"), ("try", "x"), COMMIT],
        [("read", "y"), ("write", "x"), COMMIT],
        [("read", "z"), ("read", "x"), COMMIT],
    ],
    None,
)
def test_what_has_few_preemptions_is_covered_first(programs: Programs, chance: Random | None) -> None:
    every = list(outcomes(programs, None, None))
    some = list(outcomes(programs, chance, dependence(programs)))
    for at, (_, _, level) in enumerate(some):
        with_fewer = {one for one, count, _ in every if count < level}
        assert with_fewer <= {one for one, _, _ in some[:at]}


def count(programs: Programs) -> int:
    return len(list(outcomes(programs, None, dependence(programs))))


def test_of_sessions_that_have_nothing_in_common_one_interleaving_is_run() -> None:
    assert count([[BEGIN, ("write", one), ("read", one), COMMIT] for one in "xyz"]) == 1


def test_reads_come_in_one_order_and_a_write_between_them_in_all() -> None:
    assert count([[("read", "x"), ("read", "y"), COMMIT]] * 2) == 1
    assert count([[("write", "x")], [("read", "x")]]) == 2
    # before, between and behind the two
    assert count([[("write", "x")], [("read", "x"), ("read", "x")]]) == 3


def test_begin_is_no_reason_to_run_another() -> None:
    plain = [[("read", "x"), ("write", "x"), COMMIT]] * 2
    assert count([[BEGIN, *one] for one in plain]) == count(plain) < len(list(outcomes(plain, None, None)))


def test_what_is_not_known_is_run_in_all_orders() -> None:
    programs = [[("read", "x"), ("read", "y")]] * 2
    unknown = Dependence()
    assert len(list(outcomes(programs, None, unknown))) == 6
    unknown.know({"0": [ANYTHING, NOTHING], "1": [NOTHING, NOTHING]}, {"0": 1, "1": 1})
    # the first step of one session, before, between and behind those of the other
    assert len(list(outcomes(programs, None, unknown))) == 3


def test_the_search_says_of_how_many_it_ran_some() -> None:
    programs = [[("read", "x"), ("read", "y"), COMMIT]] * 2
    actors = everybody(programs)
    for known, of in ((None, 0), (dependence(programs), 20)):
        search = Explore(actors, 30, 20, 1, known)
        while (order := search.take()) is not None:
            remembered(programs, order)
            search.learn(order)
        said = search.explored()
        assert (said.exhausted, said.of, said.runs) == (True, of, 1 if known else 20)


def test_steps_are_independent_where_neither_writes_what_the_other_touches() -> None:
    reads, writes, other = Footprint(frozenset("x")), Footprint(frozenset(), frozenset("x")), Footprint(frozenset("y"))
    assert reads.independent(reads)
    assert writes.independent(other)
    assert not writes.independent(reads)
    assert not reads.independent(writes)
    assert not writes.independent(writes)
    assert not ANYTHING.independent(NOTHING)
    assert not NOTHING.independent(ANYTHING)


def test_what_is_left_of_a_session_that_repeats_is_all_of_it() -> None:
    (actor,) = everybody([[]])
    known = Dependence()
    known.know({"0": [Footprint(frozenset("x")), Footprint(frozenset("y"))]}, {"0": 2})
    assert known.rest(actor, (1, 1), behind=True).reads == {"x", "y"}
    assert known.rest(actor, (2, 0), behind=True).reads == {"y"}
    assert known.rest(actor, (2, 1), behind=True) == NOTHING
