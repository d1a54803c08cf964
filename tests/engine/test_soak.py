"""The soak, short: the same rounds whatever the machine, with each kind of fault among them."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import soak
from tests.soak.rounds import KINDS, made

SEED = 5
ROUNDS = 12


@pytest.mark.slow  # a round has a fault, and the recovery from it
def test_nothing_is_lost_and_nothing_left() -> None:
    assert soak(ROUNDS, SEED) == []


def test_a_seed_makes_the_same_rounds_again() -> None:
    assert [made(number, SEED) for number in range(1, 9)] == [made(number, SEED) for number in range(1, 9)]
    assert {made(number, SEED).kind for number in range(1, 200)} == set(KINDS)
