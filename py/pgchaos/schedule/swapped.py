"""Two steps of a run that change places, where that should make no difference: to check that it makes none. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pgchaos.schedule.footprint import Dependence, Footprint
from pgchaos.schedule.gates import Choice


def commuting(trace: Sequence[Choice], dependence: Dependence, chance: random.Random) -> int | None:
    """Choose two neighbouring steps that a search takes for independent.

    Args:
        trace: the decisions of a run.
        dependence: of the steps.
        chance: chooses, where there are several.

    Returns:
        The number of the first of the two, from 0; None where there are none. Steps while somebody waits do not count:
        who waits orders them.
    """
    if not dependence.known:
        return None
    found = [at for at in range(len(trace) - 1) if _commute(trace, at, dependence)]
    return chance.choice(found) if found else None


def _commute(trace: Sequence[Choice], at: int, dependence: Dependence) -> bool:
    one, other = trace[at], trace[at + 1]
    if one.taken == other.taken or other.taken not in one.ready or any(it.waiting for it in trace[at : at + 3]):
        return False
    return _touched(one, dependence).independent(_touched(other, dependence))


def _touched(choice: Choice, dependence: Dependence) -> Footprint:
    return dependence.of(choice.taken, choice.positions[choice.ready.index(choice.taken)])
