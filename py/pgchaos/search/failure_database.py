"""Failing interleavings, stored for the next run beside the values in hypothesis's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgchaos.schedule.token import Token, parse
from pgchaos.search.optional_hypothesis import no_hypothesis

if TYPE_CHECKING:
    from hypothesis.database import ExampleDatabase

_TOKENS = b"tokens"


class FailureDatabase:
    """The stored failures of one scenario.

    Args:
        key: of the scenario and its content; '' to store nothing.
    """

    def __init__(self, key: str) -> None:
        self._database = _database(key) if key else None

    def tokens(self) -> list[Token]:
        """List the stored tokens."""
        if self._database is None:
            return []
        return [parse(value.decode()) for value in sorted(self._database.fetch(_TOKENS))]

    def save(self, token: Token) -> None:
        """Store the token of a failure."""
        if self._database is not None:
            self._database.save(_TOKENS, str(token).encode())

    def delete(self, token: Token) -> None:
        """Delete a token whose run does not fail any more."""
        if self._database is not None:
            # earlier versions stored tokens without a checksum
            for text in (str(token), token.without_checksum):
                self._database.delete(_TOKENS, text.encode())


def _database(key: str) -> ExampleDatabase | None:
    if no_hypothesis():
        return None
    from pgchaos.search.given import database_of

    return database_of(key)
