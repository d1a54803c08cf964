"""Makes a failing interleaving easier to read: fewer context switches. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, combinations_with_replacement, groupby, permutations

from pgchaos.schedule.permutations import switches
from pgchaos.schedule.wait_rules import Actor

Taken = tuple[Actor, ...]
_MOST_SWAPPED = 4  # up to so many connections, they are swapped in every way
_MOST_INTERRUPTED = 3  # up to so many connections, all single interruptions are tried


def weight(taken: Sequence[Actor], actors: Sequence[Actor]) -> tuple[int, int, tuple[int, ...]]:
    """Return a sort key of how hard an interleaving is to read: context switches, length, deviation from file order."""
    return switches(taken), len(taken), tuple(actors.index(actor) for actor in taken)


def simpler_orders(taken: Taken, actors: Sequence[Actor]) -> Iterator[Taken]:
    """Yield interleavings that are easier to read than a failing one, and may fail too, the easiest first.

    In these, two parts of a connection are joined, a part is moved or interrupted later, connections are swapped, or
    only one connection is interrupted, once.
    """
    now = weight(taken, actors)
    found = {one for one in _changed(taken) if weight(one, actors) < now}
    yield from sorted(found, key=lambda one: weight(one, actors))


def _changed(taken: Taken) -> Iterator[Taken]:
    yield from _exchanged(taken)
    yield from _with_one_interruption(taken)
    parts = [tuple(part) for _, part in groupby(taken)]
    for at, part in enumerate(parts):
        for other in range(at + 1, len(parts)):
            between = parts[at + 1 : other]
            if parts[other][0] == part[0]:
                yield _joined(parts[:at], [part, parts[other]], between, parts[other + 1 :])
                yield _joined(parts[:at], between, [part, parts[other]], parts[other + 1 :])
            # moving a part may remove a switch on both sides
            yield _joined(parts[:at], [parts[other]], [part], between, parts[other + 1 :])
            yield _joined(parts[:at], between, [parts[other]], [part], parts[other + 1 :])
        yield from _later(parts, at)


def _later(parts: Sequence[Taken], at: int) -> Iterator[Taken]:
    """Interrupt a part some steps later."""
    part = parts[at]
    later = next((index for index in range(at + 1, len(parts)) if parts[index][0] == part[0]), None)
    if later is not None:
        rest = parts[later]
        for more in range(1, len(rest)):
            longer, shorter = part + rest[:more], rest[more:]
            yield _joined(parts[:at], [longer], parts[at + 1 : later], [shorter], parts[later + 1 :])


def _with_one_interruption(taken: Taken) -> Iterator[Taken]:
    """Interrupt one connection once, by some of the others; the rest come before or after."""
    counts = Counter(taken)
    if len(counts) > _MOST_INTERRUPTED:
        return
    for one in counts:
        others = [actor for actor in counts if actor != one]
        for order in permutations(others):
            blocks = [(actor,) * counts[actor] for actor in order]
            for first, last in combinations_with_replacement(range(len(blocks) + 1), 2):
                for length in range(1, counts[one] + 1):
                    begun, rest = (one,) * length, (one,) * (counts[one] - length)
                    yield _joined(blocks[:first], [begun], blocks[first:last], [rest], blocks[last:])


def _exchanged(taken: Taken) -> Iterator[Taken]:
    """Swap connections: in every way if they are few, else in pairs."""
    involved = list(dict.fromkeys(taken))
    some = permutations(involved) if len(involved) <= _MOST_SWAPPED else _pairs(involved)
    for others in some:
        places = dict(zip(involved, others, strict=True))
        yield tuple(places[actor] for actor in taken)


def _pairs(involved: Sequence[Actor]) -> Iterator[tuple[Actor, ...]]:
    for one, other in combinations(involved, 2):
        yield tuple(other if actor == one else one if actor == other else actor for actor in involved)


def _joined(*some: Sequence[Taken]) -> Taken:
    return tuple(actor for parts in some for part in parts for actor in part)
