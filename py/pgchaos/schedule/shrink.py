"""Makes an interleaving that fails easier to read: the fewest context switches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby

from pgchaos.schedule.board import Actor
from pgchaos.schedule.permutations import switches

Taken = tuple[Actor, ...]


def weight(taken: Sequence[Actor], actors: Sequence[Actor]) -> tuple[int, int, tuple[int, ...]]:
    """Say how hard an interleaving is to read.

    Args:
        taken: who went on at each decision.
        actors: all connections in order of the file.

    Returns:
        Its context switches, its length, and its order, for comparison: of two that are as hard in all else, the one
        that begins with what stands first in the file is easier.
    """
    return switches(taken), len(taken), tuple(actors.index(actor) for actor in taken)


def easier(taken: Taken, actors: Sequence[Actor]) -> Iterator[Taken]:
    """Give interleavings that would be easier to read, if they fail too: the easiest first.

    Args:
        taken: one that fails.
        actors: all connections in order of the file.

    Yields:
        Those made of it by joining two parts of one connection, or by letting one that was interrupted go on; and
        those in which two connections change places.
    """
    now = weight(taken, actors)
    found = {one for one in _changed(taken) if weight(one, actors) < now}
    yield from sorted(found, key=lambda one: weight(one, actors))


def _changed(taken: Taken) -> Iterator[Taken]:
    yield from _exchanged(taken)
    parts = [tuple(part) for _, part in groupby(taken)]
    for at, part in enumerate(parts):
        for other in range(at + 1, len(parts)):
            between = parts[at + 1 : other]
            if parts[other][0] == part[0]:
                yield _joined(parts[:at], [part, parts[other]], between, parts[other + 1 :])
                yield _joined(parts[:at], between, [part, parts[other]], parts[other + 1 :])
            # a part at another place may spare a switch on both sides
            yield _joined(parts[:at], [parts[other]], [part], between, parts[other + 1 :])
            yield _joined(parts[:at], between, [parts[other]], [part], parts[other + 1 :])
        for length in range(1, len(part)):
            later = [index for index in range(at + 1, len(parts)) if parts[index][0] == part[0]]
            if later:
                # what comes after the interruption takes some of it along
                rest = [part[length:] + parts[later[0]]]
                yield _joined(parts[:at], [part[:length]], parts[at + 1 : later[0]], rest, parts[later[0] + 1 :])


def _exchanged(taken: Taken) -> Iterator[Taken]:
    for one, other in combinations(dict.fromkeys(taken), 2):
        exchange = {one: other, other: one}
        yield tuple(exchange.get(actor, actor) for actor in taken)


def _joined(*some: Sequence[Taken]) -> Taken:
    return tuple(actor for parts in some for part in parts for actor in part)
