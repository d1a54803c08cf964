"""Which transactions a session ended, read off its answers. Pure.

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
    """A transaction that has ended.

    Args:
        block: it was a BEGIN … COMMIT block.
        outcome: unknown where the connection was lost after its end was sent.
        sqlstate: of the error that ended it, else '00000'.
    """

    block: bool
    outcome: Outcome
    sqlstate: str


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says of transactions.

    Args:
        in_block_before: a block was open when the statement was sent.
        in_block_after: one is open now.
        tags: of its statements.
        sqlstate: of its error, or None.
        lost: the connection was lost.
        said: the server itself gave that error.
        sent: the statement may have reached the server.
        closes: the statement ends a block by its text.
        opens: the statement begins a block by its text.
    """

    in_block_before: bool
    in_block_after: bool
    tags: Sequence[str] = ()
    sqlstate: str | None = None
    lost: bool = False
    said: bool = True
    sent: bool = True
    closes: bool = False
    opens: bool = False


class Tracker:
    """Follows one session; remembers what made its open block fail."""

    def __init__(self) -> None:
        self._failed: str | None = None

    def goes_on(self) -> None:
        """Take an answer without error that left a block open and did not end one: the short way of `hear`."""
        self._failed = None

    def hear(self, told: Told) -> Ended | None:
        """Take one answer.

        Args:
            told: what it says.

        Returns:
            The transaction that it ended, if any.
        """
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
    r"""Say whether COMMIT AND CHAIN, or `COMMIT \; BEGIN`, ended one block and opened the next."""
    return told.in_block_before and told.closes and not _ENDS.isdisjoint(told.tags)
