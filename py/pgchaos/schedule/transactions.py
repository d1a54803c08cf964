"""Derives from the server's answers the transactions that a session ended. Pure.

A transaction is a BEGIN … COMMIT block, or a statement outside one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pgchaos.results import Record, Transaction, TransactionOutcome

_ENDS = frozenset({"COMMIT", "ROLLBACK", "PREPARE TRANSACTION"})


class EndedTransaction(NamedTuple):
    """A transaction that has ended. A tuple, because creating a frozen dataclass takes longer and there are many."""

    block: bool  # BEGIN … COMMIT
    outcome: TransactionOutcome  # unknown if the connection was lost after its end was sent
    sqlstate: str  # of the error that ended it, else '00000'


def transaction_row(ended: EndedTransaction, record: Record) -> Transaction:
    """Return the row of chaos.transactions for a transaction that ended with this statement."""
    return Transaction(
        record.session,
        record.worker,
        record.iteration,
        record.attempt,
        ended.block,
        ended.outcome,
        ended.sqlstate,
        record.step,
        record.ended_at,
    )


class TransactionAnswer(NamedTuple):
    """The parts of an answer that concern transactions."""

    in_block_before: bool  # a block was open when the statement was sent
    in_block_after: bool  # a block is open now
    tags: Sequence[str] = ()  # the command tags of its statements
    sqlstate: str | None = None  # of its error, or None
    lost: bool = False  # the connection was lost
    reported: bool = True  # the server itself reported that error
    sent: bool = True  # the statement may have reached the server
    closes: bool = False  # by its text, the statement ends a block
    opens: bool = False  # by its text, the statement begins a block


class TransactionTracker:
    """Tracks the transactions of one session."""

    def __init__(self) -> None:
        self._failed: str | None = None

    def continue_block(self) -> None:
        """Process an answer without error that leaves a block open and ended none: a short form of `add`."""
        self._failed = None

    def add(self, answer: TransactionAnswer) -> EndedTransaction | None:
        """Process an answer; return the transaction that it ended, or None."""
        if answer.sqlstate is not None and self._failed is None:
            self._failed = answer.sqlstate
        if answer.in_block_after and not _is_chained(answer):
            if answer.sqlstate is None:
                # in a failed block only ROLLBACK TO SAVEPOINT succeeds, which undoes the failure
                self._failed = None
            return None
        ended = EndedTransaction(self._is_block(answer), self._outcome(answer), self._failed or "00000")
        self._failed = None
        return ended

    def _is_block(self, answer: TransactionAnswer) -> bool:
        return answer.in_block_before or answer.opens or "BEGIN" in answer.tags or "START TRANSACTION" in answer.tags

    def _outcome(self, answer: TransactionAnswer) -> TransactionOutcome:
        if answer.lost and not answer.sent:
            return "rolled back"
        if answer.lost:
            # outside a block the statement itself commits: only an error of the server proves that it did not
            unknown = answer.closes or not (answer.in_block_before or answer.opens or answer.reported)
            return "unknown" if unknown else "rolled back"
        if answer.sqlstate is not None or "ROLLBACK" in answer.tags:
            return "rolled back"
        # prepared is neither committed nor rolled back
        return "unknown" if "PREPARE TRANSACTION" in answer.tags else "committed"


def _is_chained(answer: TransactionAnswer) -> bool:
    r"""Whether COMMIT AND CHAIN, or `COMMIT \; BEGIN`, ended one block and opened the next."""
    return answer.in_block_before and answer.closes and not _ENDS.isdisjoint(answer.tags)
