"""The name of what went wrong, from who saw whose work. Pure.

An explanation is a circle of transactions of which each must come before the next in every serial order: it did not see
what the next one did, the next one saw what it did, or the next one's row is the one that stayed. All of that is found
by comparison with serial runs (sights.py, effects.py) and speaks of what was done and told in the run that is judged;
nothing is guessed from the text of statements. Where that does not tell, there is no name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pgchaos.oracle.anomaly import UNNAMED, Anomaly
from pgchaos.oracle.dependency_cycles import circle, in_part, write_skew
from pgchaos.oracle.evidence import Among, Case, Evidence
from pgchaos.oracle.lost_updates import lost_update
from pgchaos.oracle.model import OracleTransaction

_Rule = Callable[[Sequence[OracleTransaction], Case, Among], "Anomaly | None"]


def name(evidence: Evidence) -> Anomaly:
    """Name an anomaly.

    Args:
        evidence: on a run that has the outcome of no serial order.

    Returns:
        The explanation with the fewest transactions; of these a lost update before a transaction that saw another in
        part, before a write skew.
    """
    case = Case(evidence)
    found = [_smallest(claim, rule, ring, case) for rule, ring, claim in _claims(case)]
    return min(found, key=lambda one: (one.name == UNNAMED, len(one.units) + len(one.given)), default=Anomaly(UNNAMED))


def _claims(case: Case) -> Iterator[tuple[_Rule, Sequence[OracleTransaction], Anomaly]]:
    units = case.evidence.units
    pairs = list(itertools.permutations(units, 2))
    rings = [ring for ring in itertools.permutations(units, 3) if ring[0] == min(ring, key=lambda unit: unit.name)]
    turns: list[tuple[_Rule, Sequence[Sequence[OracleTransaction]]]] = [
        (lost_update, pairs),
        (in_part, pairs),
        (write_skew, pairs),
        (circle, rings),
    ]
    for rule, several in turns:
        for ring in several:
            apart = len({unit.actor for unit in ring}) == len(ring)
            if apart and not case.hides(ring):
                claim = rule(ring, case, None)
                if claim is not None:
                    yield rule, ring, claim


def _smallest(claim: Anomaly, rule: _Rule, ring: Sequence[OracleTransaction], case: Case) -> Anomaly:
    """Find out whom else it takes; up to two are tried, then all others."""
    own = frozenset(unit.name for unit in ring)
    others = [unit for unit in case.evidence.units if unit.name not in own]
    silent = case.silent(ring)
    for size in range(min(3, len(others))):
        for given in itertools.combinations(others, size):
            if not silent <= {unit.name for unit in given}:
                continue
            found = rule(ring, case, own | {unit.name for unit in given})
            if found is not None and found.name == claim.name:
                return _given(found, given, case)
    return _given(claim, others, case)


def _given(claim: Anomaly, given: Sequence[OracleTransaction], case: Case) -> Anomaly:
    if not given:
        return claim
    texts = " and ".join(map(case.text, given))
    return replace(claim, given=tuple(unit.name for unit in given), why=f"{claim.why} (given what {texts} did)")
