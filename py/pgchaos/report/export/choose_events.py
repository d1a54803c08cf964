"""Chooses the events and connections of a long run that explain most, for a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from pgchaos.report.export.timeline_data import Data
from pgchaos.report.important_rows import last_of_each, neighbours

_MOST_EVENTS, _MOST_LANES = 40, 6
_LAST = 2  # events at the end of a connection
_NEAR = 3  # events before and after an important one


class Chosen(NamedTuple):
    """What is shown."""

    lanes: Sequence[Data]
    events: Sequence[Data]  # with the indexes of the shown lanes
    transactions: Sequence[tuple[int, int, int]]  # lane, and the rows of the first and the last event
    gaps: Sequence[tuple[int, int]]  # row, and the number of hidden events before it
    hidden_lanes: int = 0


def choose(timeline: Data) -> Chosen:
    """Choose events and lanes of a timeline in the form of --chaos-json."""
    events, lanes = timeline["events"], timeline["lanes"]
    kept = _lanes(events, len(lanes))
    numbers = {lane: number for number, lane in enumerate(kept)}
    among = [number for number, event in enumerate(events) if event["lane"] in numbers]
    shown = sorted(_numbers(events, among))
    rows = {number: row for row, number in enumerate(shown)}
    return Chosen(
        [lanes[lane] for lane in kept],
        [_renumbered(events[number], numbers) for number in shown],
        list(_transactions(timeline.get("transactions", ()), numbers, shown)),
        list(_gaps(among, rows)),
        len(lanes) - len(kept),
    )


def explains(event: Data) -> int | None:
    """Rank how much an event explains, 0 is the most; None if it explains nothing by itself."""
    if event.get("failures") or event.get("mark") in ("error", "no answer"):
        return 0
    if event.get("fault") or event["kind"] == "fault":
        return 0
    if "wait" in event:
        return 1
    return 2 if event.get("mark") else None


def _lanes(events: Sequence[Data], count: int) -> list[int]:
    if count <= _MOST_LANES:
        return list(range(count))
    weights: Counter[int] = Counter()
    for event in events:
        rank = explains(event)
        if rank is not None:
            weights[event["lane"]] += 10 - rank
            # a holder of a lock explains as much as a waiter
            weights.update(dict.fromkeys(event.get("wait", {}).get("lanes", ()), 10 - rank))
    return sorted(sorted(range(count), key=lambda lane: -weights[lane])[:_MOST_LANES])


def _numbers(events: Sequence[Data], among: Sequence[int]) -> set[int]:
    if len(among) <= _MOST_EVENTS:
        return set(among)
    ranks = ((explains(events[number]), at) for at, number in enumerate(among))
    important = [-at for _, at in sorted((rank, -at) for rank, at in ranks if rank is not None)]
    ends = last_of_each([events[number]["lane"] for number in among], _LAST)
    near = neighbours(important, len(among), _NEAR)
    # finally the beginning, if a run has no other important events
    ordered = dict.fromkeys((*important, *ends, *near, *range(len(among))))
    return {among[at] for at in islice(ordered, _MOST_EVENTS)}


def _renumbered(event: Data, lanes: dict[int, int]) -> Data:
    event = {**event, "lane": lanes[event["lane"]]}
    if "wait" in event:
        kept = [lanes[lane] for lane in event["wait"].get("lanes", ()) if lane in lanes]
        event["wait"] = {**event["wait"], "lanes": kept}
    return event


def _transactions(
    transactions: Sequence[Data], lanes: dict[int, int], shown: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    for one in transactions:
        inside = [row for row, number in enumerate(shown) if one["first"] <= number <= one["last"]]
        if one["lane"] in lanes and inside:
            yield lanes[one["lane"]], inside[0], inside[-1]


def _gaps(among: Sequence[int], rows: dict[int, int]) -> Iterator[tuple[int, int]]:
    row = left_out = 0
    for number in among:
        if number not in rows:
            left_out += 1
            continue
        row = rows[number]
        if left_out:
            yield row, left_out
        left_out = 0
    if left_out:
        yield row + 1, left_out
