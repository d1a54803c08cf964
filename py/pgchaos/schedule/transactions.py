"""The transactions that a session ended, read from its answers. Pure.

The unit is a BEGIN … COMMIT block, or a statement outside one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["committed", "rolled back", "unknown"]
_ENDS = frozenset({"COMMIT", "ROLLBACK", "PREPARE TRANSACTION"})


@dataclass(frozen=True, slots=True)
class Ended:
    """A transaction that has ended."""

    block: bool  # BEGIN … COMMIT
    outcome: Outcome  # unknown where the connection was lost after its end was sent
    sqlstate: str  # of the error that ended it, else '00000'


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says about transactions."""

    in_block_before: bool  # a block was open when the statement was sent
    in_block_after: bool  # one is open now
    tags: Sequence[str] = ()  # of its statements
    sqlstate: str | None = None  # of its error, or None
    lost: bool = False  # the connection was lost
    said: bool = True  # the server itself reported that error
    sent: bool = True  # the statement may have reached the server
    closes: bool = False  # by its text, the statement ends a block
    opens: bool = False  # by its text, the statement begins a block


class Tracker:
    """Follows the transactions of one session."""

    def __init__(self) -> None:
        self._failed: str | None = None

    def goes_on(self) -> None:
        """Take an answer without error that leaves a block open and ended none: a short form of `hear`."""
        self._failed = None

    def hear(self, told: Told) -> Ended | None:
        """Take an answer; return the transaction that it ended, or None."""
        if told.sqlstate is not None and self._failed is None:
            self._failed = told.sqlstate
        if told.in_block_after and not _chained(told):
            if told.sqlstate is None:
                # in a failed block only ROLLBACK TO SAVEPOINT succeeds: what failed is undone
                self._failed = None
            return None
        ended = Ended(self._is_block(told), self._outcome(told), self._failed or "00000")
        self._failed = None
        return ended

    def _is_block(self, told: Told) -> bool:
        return told.in_block_before or told.opens or "BEGIN" in told.tags or "START TRANSACTION" in told.tags

    def _outcome(self, told: Told) -> Outcome:
        if told.lost and not told.sent:
            return "rolled back"
        if told.lost:
            # outside a block the statement is its own commit: only the server's word says that it was not done
            unknown = told.closes or not (told.in_block_before or told.opens or told.said)
            return "unknown" if unknown else "rolled back"
        if told.sqlstate is not None or "ROLLBACK" in told.tags:
            return "rolled back"
        # prepared is neither committed nor rolled back
        return "unknown" if "PREPARE TRANSACTION" in told.tags else "committed"


def _chained(told: Told) -> bool:
    r"""Whether COMMIT AND CHAIN, or `COMMIT \; BEGIN`, ended one block and opened the next."""
    return told.in_block_before and told.closes and not _ENDS.isdisjoint(told.tags)
