from __future__ import annotations

import pytest

from pgchaos.schedule.transactions import EndedTransaction, TransactionAnswer, TransactionTracker

OUT, IN = False, True


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (TransactionAnswer(OUT, OUT, ["UPDATE 1"]), EndedTransaction(False, "committed", "00000")),
        (TransactionAnswer(OUT, OUT, [], "23505"), EndedTransaction(False, "rolled back", "23505")),
        (TransactionAnswer(OUT, IN, ["BEGIN"]), None),
        (TransactionAnswer(IN, IN, ["UPDATE 1"]), None),
        (TransactionAnswer(IN, OUT, ["COMMIT"], closes=True), EndedTransaction(True, "committed", "00000")),
        (TransactionAnswer(IN, OUT, ["ROLLBACK"], closes=True), EndedTransaction(True, "rolled back", "00000")),
        (TransactionAnswer(IN, OUT, [], "40001", closes=True), EndedTransaction(True, "rolled back", "40001")),
        (TransactionAnswer(IN, OUT, ["PREPARE TRANSACTION"], closes=True), EndedTransaction(True, "unknown", "00000")),
        (
            TransactionAnswer(OUT, OUT, ["BEGIN", "UPDATE 1", "COMMIT"], closes=True),
            EndedTransaction(True, "committed", "00000"),
        ),
        (TransactionAnswer(IN, IN, ["COMMIT"], closes=True), EndedTransaction(True, "committed", "00000")),
        (TransactionAnswer(IN, IN, ["ROLLBACK"]), None),
        (
            TransactionAnswer(IN, IN, ["COMMIT", "BEGIN"], closes=True, opens=True),
            EndedTransaction(True, "committed", "00000"),
        ),
        (
            TransactionAnswer(OUT, OUT, [], "57P01", lost=True, opens=True),
            EndedTransaction(True, "rolled back", "57P01"),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_answer(told: TransactionAnswer, wanted: EndedTransaction | None) -> None:
    assert TransactionTracker().add(told) == wanted


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (TransactionAnswer(IN, OUT, [], "08006", lost=True, reported=False), "rolled back"),
        (TransactionAnswer(IN, OUT, [], "08006", lost=True, reported=False, closes=True), "unknown"),
        (TransactionAnswer(IN, OUT, [], "57P01", lost=True, closes=True), "unknown"),
        (TransactionAnswer(OUT, OUT, [], "08006", lost=True, reported=False), "unknown"),
        (TransactionAnswer(OUT, OUT, [], "57P01", lost=True), "rolled back"),
        (TransactionAnswer(OUT, OUT, [], "08006", lost=True, reported=False, opens=True), "rolled back"),
        (TransactionAnswer(OUT, OUT, [], "08006", lost=True, reported=False, opens=True, closes=True), "unknown"),
    ],
)
def test_a_lost_connection(told: TransactionAnswer, outcome: str) -> None:
    ended = TransactionTracker().add(told)
    assert ended is not None
    assert ended.outcome == outcome


def test_a_failed_block_tells_the_error_that_made_it_fail() -> None:
    tracker = TransactionTracker()
    assert tracker.add(TransactionAnswer(OUT, IN, ["BEGIN"])) is None
    assert tracker.add(TransactionAnswer(IN, IN, [], "23505")) is None
    assert tracker.add(TransactionAnswer(IN, IN, [], "25P02")) is None
    assert tracker.add(TransactionAnswer(IN, OUT, ["ROLLBACK"], closes=True)) == EndedTransaction(
        True, "rolled back", "23505"
    )
    assert tracker.add(TransactionAnswer(OUT, OUT, ["UPDATE 1"])) == EndedTransaction(False, "committed", "00000")


def test_an_error_that_a_savepoint_undid_is_not_the_transactions() -> None:
    tracker = TransactionTracker()
    tracker.add(TransactionAnswer(IN, IN, [], "22012"))
    tracker.add(TransactionAnswer(IN, IN, ["ROLLBACK"]))
    assert tracker.add(TransactionAnswer(IN, OUT, ["COMMIT"], closes=True)) == EndedTransaction(
        True, "committed", "00000"
    )
