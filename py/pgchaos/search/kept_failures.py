"""Interleavings that failed, kept for the next run beside the values that hypothesis keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgchaos.schedule.token import Token, parse
from pgchaos.search.optional_hypothesis import no_hypothesis

if TYPE_CHECKING:
    from hypothesis.database import ExampleDatabase

_TOKENS = b"tokens"


class Kept:
    """What was kept of one scenario.

    Args:
        key: of the scenario and its content; '' to keep nothing.
    """

    def __init__(self, key: str) -> None:
        self._database = _database(key) if key else None

    def all(self) -> list[Token]:
        """Tell what failed before."""
        if self._database is None:
            return []
        return [parse(value.decode()) for value in sorted(self._database.fetch(_TOKENS))]

    def keep(self, token: Token) -> None:
        """Keep what replays a failure."""
        if self._database is not None:
            self._database.save(_TOKENS, str(token).encode())

    def forget(self, token: Token) -> None:
        """Keep it no more: it does not fail any longer."""
        if self._database is not None:
            # it may have been kept before tokens had a checksum
            for text in (str(token), token.without_checksum):
                self._database.delete(_TOKENS, text.encode())


def _database(key: str) -> ExampleDatabase | None:
    if no_hypothesis():
        # who has not installed it keeps nothing
        return None
    from pgchaos.search.given import database_of

    return database_of(key)
