"""The name of what went wrong, from who saw whose work. Pure.

An explanation is a circle of transactions of which each must come before the next in every serial order: it did not see
what the next one did, the next one saw what it did, or the next one's row is the one that stayed. All of that is found
by comparison with serial runs (sights.py, effects.py) and speaks of what was done and told in the run that is judged;
nothing is guessed from the text of statements. Where that does not tell, there is no name. The names are those of
Berenson et al., "A Critique of ANSI SQL Isolation Levels" (1995), Adya, "Weak Consistency" (1999), and Fekete et al.,
"A Read-Only Transaction Anomaly" (2004).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgchaos.oracle.difference import unit_text
from pgchaos.oracle.effects import After, Effects, Key, left
from pgchaos.oracle.model import Heard, Named, State, Unit, sortable
from pgchaos.oracle.sights import Context, Sight, sight, within, writing
from pgchaos.scenario.model import Place

UNNAMED = "not serializable"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What went wrong.

    Args:
        name: of the anomaly, or UNNAMED.
        why: the circle of who saw whom, in a sentence; '' where it is not known.
        place: of the statement that it is about; None where it is not known.
        units: the transactions of the circle.
        given: others without which these would have been told something else.
        wrote: of all these, who is said to have written.
        told: the statements by which it is known, with those whose they are.
    """

    name: str
    why: str = ""
    place: Place | None = None
    units: tuple[Named, ...] = ()
    given: tuple[Named, ...] = ()
    wrote: frozenset[Named] = frozenset()
    told: tuple[tuple[Named, Heard], ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a name is found by.

    Args:
        units: the committed transactions of the run that is judged, in the order in which they ended.
        contexts: of each, what it is told in serial runs.
        after: makes serial runs of some of them.
        state: what the run that is judged left behind.
        differs: rows that are not those of the nearest serial order.
    """

    units: Sequence[Unit]
    contexts: Mapping[Named, Sequence[Context]]
    after: After
    state: State
    differs: frozenset[Key] = frozenset()


def name(evidence: Evidence) -> Anomaly:
    """Name an anomaly.

    Args:
        evidence: on a run that has the outcome of no serial order.

    Returns:
        The explanation with the fewest transactions; of these a lost update before a transaction that saw another in
        part, before a write skew.
    """
    case = _Case(evidence)
    found = [_smallest(claim, rule, ring, case) for rule, ring, claim in _claims(case)]
    return min(found, key=lambda one: (one.name == UNNAMED, len(one.units) + len(one.given)), default=Anomaly(UNNAMED))


@dataclass(slots=True)
class _Case:
    evidence: Evidence
    effects: Effects = field(init=False)
    unknown: frozenset[Named] = field(init=False)
    _sights: dict[tuple[Named, Named, frozenset[Named] | None], Sight] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        units, contexts = self.evidence.units, self.evidence.contexts
        self.effects = Effects(units, contexts, self.evidence.after)
        self.unknown = frozenset(unit.name for unit in units if self.effects.may_write_unknown(unit))

    def sight(self, one: Unit, other: Unit, among: frozenset[Named] | None) -> Sight:
        """Tell who saw whom, in any company and in that of some alone."""
        key = one.name, other.name, among
        if key not in self._sights:
            contexts = self.evidence.contexts[one.name]
            found = sight(one, other, contexts) if self.wrote(other) else Sight()
            if among is not None:
                there = sight(one, other, within(contexts, among))
                found = Sight(
                    [heard for heard in found.unseen if heard in there.unseen],
                    [heard for heard in found.seen if heard in there.seen],
                )
            self._sights[key] = found
        return self._sights[key]

    def wrote(self, unit: Unit) -> bool:
        return any(writing(unit)) or bool(self.effects.rows(unit))

    def hides(self, ring: Sequence[Unit]) -> bool:
        """Say whether others may have had a part in what some were told, of whom it is not known what they wrote."""
        last = max(self.evidence.units.index(unit) for unit in ring)
        # what is not committed nobody sees: who ended later has none
        earlier = {unit.name for unit in self.evidence.units[:last]}
        return bool(self.unknown & earlier - {unit.name for unit in ring})

    def text(self, unit: Unit) -> str:
        return unit_text(unit, self.evidence.units)


_Among = frozenset[Named] | None
_Rule = Callable[[Sequence[Unit], _Case, _Among], "Anomaly | None"]


def _claims(case: _Case) -> Iterator[tuple[_Rule, Sequence[Unit], Anomaly]]:
    units = case.evidence.units
    pairs = list(itertools.permutations(units, 2))
    rings = [ring for ring in itertools.permutations(units, 3) if ring[0] == min(ring, key=lambda unit: unit.name)]
    turns: list[tuple[_Rule, Sequence[Sequence[Unit]]]] = [
        (_lost_update, pairs),
        (_in_part, pairs),
        (_write_skew, pairs),
        (_circle, rings),
    ]
    for rule, several in turns:
        for ring in several:
            apart = len({unit.actor for unit in ring}) == len(ring)
            if apart and not case.hides(ring):
                claim = rule(ring, case, None)
                if claim is not None:
                    yield rule, ring, claim


def _smallest(claim: Anomaly, rule: _Rule, ring: Sequence[Unit], case: _Case) -> Anomaly:
    """Find out whom else it takes; up to two are tried, then all others."""
    own = frozenset(unit.name for unit in ring)
    others = [unit for unit in case.evidence.units if unit.name not in own]
    for size in range(min(3, len(others))):
        for given in itertools.combinations(others, size):
            found = rule(ring, case, own | {unit.name for unit in given})
            if found is not None and found.name == claim.name:
                return _given(found, given, case)
    return _given(claim, others, case)


def _given(claim: Anomaly, given: Sequence[Unit], case: _Case) -> Anomaly:
    if not given:
        return claim
    texts = " and ".join(map(case.text, given))
    return replace(claim, given=tuple(unit.name for unit in given), why=f"{claim.why} (given what {texts} did)")


def _lost_update(pair: Sequence[Unit], case: _Case, among: _Among) -> Anomaly | None:
    one, other = pair
    mine = case.sight(one, other, among)
    if not mine.unseen or mine.seen:
        return None
    both = case.effects.rows(one) & case.effects.rows(other)
    differs = case.evidence.differs
    for key in sorted(both, key=lambda row: (row not in differs, row[0], sortable(row[1]))):
        found = _lost(one, other, key, case, among)
        if found is not None:
            return found
    return None


def _lost(one: Unit, other: Unit, key: Key, case: _Case, among: _Among) -> Anomaly | None:
    effects, stays = case.effects, left(case.evidence.state, key)
    mine, theirs = case.sight(one, other, among).unseen, case.sight(other, one, among).unseen
    # a row that was written stays locked until the end: who ended last of those that wrote it wrote it last
    ended = [unit for unit in case.evidence.units if key in effects.may_write(unit)]
    if ended[-1:] != [one] or stays not in (effects.leaves(one, key, among) or ()):
        return None
    # after it, as it must come, the other would have left something else
    leaves = effects.leaves(other, key, after=one)
    if leaves is None or stays in leaves:
        return None
    # what third ones wrote there may as well be what was lost, unless it was seen, or neither of the two saw the other
    third = {unit.name for unit in ended if unit not in (one, other) and not case.sight(one, unit, None).seen}
    if among is not None and not theirs and not third <= among:
        return None
    a, b = case.text(one), case.text(other)
    both, place = f"{a} and {b} both wrote {_row_text(key)}", _write_of(one, mine[0], key).place
    told = [(one.name, heard) for heard in mine]
    if effects.depends(one, other, key):
        why = f"{both}; what {a} wrote was made of what it had read before {b} wrote: {_read(mine)}"
        return _anomaly("lost update", why, place, (one, other), (one, other), told)
    if not theirs:
        why = f"{both}; what {a} wrote stayed, but it had read before {b} wrote: {_read(mine)}"
        return _anomaly(UNNAMED, why, place, (one, other), (one, other), told)
    if effects.rows(one) == effects.rows(other):
        why = f"{both}; each had read before the other wrote: {_read([*mine, *theirs])}"
        told += [(other.name, heard) for heard in theirs]
        return _anomaly("lost update", why, place, (one, other), (one, other), told)
    return None


def _write_of(unit: Unit, read: Heard, key: Key) -> Heard:
    """Choose the line to look at: of what wrote after a read, what names the table, or the last."""
    after = [heard for heard in writing(unit) if heard.number > read.number]
    table = re.compile(rf"\b{re.escape(key[0].rpartition('.')[2])}\b", re.IGNORECASE)
    named = [heard for heard in after if table.search(heard.text)]
    return next(iter([*named[-1:], *after[-1:], read]))


def _row_text(key: Key) -> str:
    name, row = key
    what = f"what the {name} gives" if name.startswith("state query") else name
    return f"{what} ({', '.join('NULL' if cell is None else cell for cell in row)})"


def _in_part(pair: Sequence[Unit], case: _Case, among: _Among) -> Anomaly | None:
    one, other = pair
    sight = case.sight(one, other, among)
    if not sight.seen or not sight.unseen:
        return None
    a, b = case.text(one), case.text(other)
    why = f"{a} saw what {b} did: {_read(sight.seen)}; and did not see it: {_read(sight.unseen)}"
    same = any(unseen.text == seen.text for unseen in sight.unseen for seen in sight.seen)
    phantom = case.effects.moves(other) and (same or _changes_number(sight, other, case.evidence.contexts[one.name]))
    kind = "phantom" if phantom else "non-repeatable read" if same else "read skew"
    told = [(one.name, heard) for heard in (*sight.seen, *sight.unseen)]
    last = max((heard for _, heard in told), key=lambda heard: heard.number)
    return _anomaly(kind, why, last.place, pair, (other,), told)


def _changes_number(sight: Sight, other: Unit, contexts: Sequence[Context]) -> bool:
    """Say whether a statement that saw the other is told another number of rows without it."""
    for heard in sight.seen:
        without = [h for c in contexts if other.name not in c.before for h in c.unit.heard if h.number == heard.number]
        if any(_size(h) != _size(heard) for h in without):
            return True
    return False


def _size(heard: Heard) -> tuple[int, ...]:
    return tuple(len(got.rows) for got in heard.results)


def _write_skew(pair: Sequence[Unit], case: _Case, among: _Among) -> Anomaly | None:
    one, other = pair
    mine, theirs = case.sight(one, other, among), case.sight(other, one, among)
    if not mine.unseen or not theirs.unseen:
        return None
    a, b = case.text(one), case.text(other)
    why = (
        f"{a} did not see what {b} did: {_read(mine.unseen)}; and {b} did not see what {a} did: {_read(theirs.unseen)}"
    )
    told = [(one.name, heard) for heard in mine.unseen] + [(other.name, heard) for heard in theirs.unseen]
    # where it is not known what they wrote, one may have written over the other
    kind = "write skew" if all(map(case.effects.known, pair)) else UNNAMED
    return _anomaly(kind, why, mine.unseen[0].place, pair, pair, told)


@dataclass(frozen=True, slots=True)
class _Edge:
    """Why one must come before another in each serial order that there could be."""

    unseen: bool
    text: str
    reader: Unit
    writer: Unit
    heard: Sequence[Heard]


def _circle(ring: Sequence[Unit], case: _Case, among: _Among) -> Anomaly | None:
    """Find a circle of three: each saw the next not, or the next saw it; at least two of the first kind."""
    steps = (_edge(ring[at], ring[(at + 1) % 3], case, among) for at in range(3))
    edges = [edge for edge in steps if edge is not None]
    unseen = sum(edge.unseen for edge in edges)
    if len(edges) < 3 or unseen < 2:
        return None
    kind = UNNAMED
    if unseen == 3:
        kind = "write skew"
    elif not all(map(case.wrote, ring)):
        kind = "read-only transaction anomaly"
    told = [(edge.reader.name, heard) for edge in edges for heard in edge.heard]
    why = "; ".join(edge.text for edge in edges)
    return _anomaly(kind, why, told[0][1].place, ring, [edge.writer for edge in edges], told)


def _edge(one: Unit, other: Unit, case: _Case, among: _Among) -> _Edge | None:
    a, b = case.text(one), case.text(other)
    mine, theirs = case.sight(one, other, among).unseen, case.sight(other, one, among).seen
    if mine:
        return _Edge(True, f"{a} did not see what {b} did: {_read(mine)}", one, other, mine)
    if theirs:
        return _Edge(False, f"{b} saw what {a} did: {_read(theirs)}", other, one, theirs)
    return None


def _anomaly(
    kind: str,
    why: str,
    place: Place,
    units: Collection[Unit],
    wrote: Collection[Unit],
    told: Sequence[tuple[Named, Heard]],
) -> Anomaly:
    names = tuple(unit.name for unit in units)
    return Anomaly(kind, why, place, names, (), frozenset(unit.name for unit in wrote), tuple(told))


def _read(heard: Sequence[Heard]) -> str:
    lines = list(dict.fromkeys(one.place.line for one in heard))
    return f"line {lines[0]}" if len(lines) == 1 else "lines " + ", ".join(map(str, lines))
