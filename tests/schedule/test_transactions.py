from __future__ import annotations

import pytest

from pgchaos.schedule.transactions import Ended, Told, Tracker

OUT, IN = False, True


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (Told(OUT, OUT, ["UPDATE 1"]), Ended(False, "committed", "00000")),
        (Told(OUT, OUT, [], "23505"), Ended(False, "rolled back", "23505")),
        (Told(OUT, IN, ["BEGIN"]), None),
        (Told(IN, IN, ["UPDATE 1"]), None),
        (Told(IN, OUT, ["COMMIT"], closes=True), Ended(True, "committed", "00000")),
        (Told(IN, OUT, ["ROLLBACK"], closes=True), Ended(True, "rolled back", "00000")),
        (Told(IN, OUT, [], "40001", closes=True), Ended(True, "rolled back", "40001")),
        (Told(IN, OUT, ["PREPARE TRANSACTION"], closes=True), Ended(True, "unknown", "00000")),
        (Told(OUT, OUT, ["BEGIN", "UPDATE 1", "COMMIT"], closes=True), Ended(True, "committed", "00000")),
        (Told(IN, IN, ["COMMIT"], closes=True), Ended(True, "committed", "00000")),
        (Told(IN, IN, ["ROLLBACK"]), None),
        (Told(IN, IN, ["COMMIT", "BEGIN"], closes=True, opens=True), Ended(True, "committed", "00000")),
        (Told(OUT, OUT, [], "57P01", lost=True, opens=True), Ended(True, "rolled back", "57P01")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_answer(told: Told, wanted: Ended | None) -> None:
    assert Tracker().hear(told) == wanted


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (Told(IN, OUT, [], "08006", lost=True, said=False), "rolled back"),
        (Told(IN, OUT, [], "08006", lost=True, said=False, closes=True), "unknown"),
        (Told(IN, OUT, [], "57P01", lost=True, closes=True), "unknown"),
        (Told(OUT, OUT, [], "08006", lost=True, said=False), "unknown"),
        (Told(OUT, OUT, [], "57P01", lost=True), "rolled back"),
        (Told(OUT, OUT, [], "08006", lost=True, said=False, opens=True), "rolled back"),
        (Told(OUT, OUT, [], "08006", lost=True, said=False, opens=True, closes=True), "unknown"),
    ],
)
def test_a_lost_connection(told: Told, outcome: str) -> None:
    ended = Tracker().hear(told)
    assert ended is not None
    assert ended.outcome == outcome


def test_a_failed_block_tells_the_error_that_made_it_fail() -> None:
    tracker = Tracker()
    assert tracker.hear(Told(OUT, IN, ["BEGIN"])) is None
    assert tracker.hear(Told(IN, IN, [], "23505")) is None
    assert tracker.hear(Told(IN, IN, [], "25P02")) is None
    assert tracker.hear(Told(IN, OUT, ["ROLLBACK"], closes=True)) == Ended(True, "rolled back", "23505")
    assert tracker.hear(Told(OUT, OUT, ["UPDATE 1"])) == Ended(False, "committed", "00000")


def test_an_error_that_a_savepoint_undid_is_not_the_transactions() -> None:
    tracker = Tracker()
    tracker.hear(Told(IN, IN, [], "22012"))
    tracker.hear(Told(IN, IN, ["ROLLBACK"]))
    assert tracker.hear(Told(IN, OUT, ["COMMIT"], closes=True)) == Ended(True, "committed", "00000")
