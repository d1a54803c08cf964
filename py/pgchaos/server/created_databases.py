"""What the makers of a run have made together, and by which transactions."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection


class CreatedDatabases:
    """Shared by the makers of a run. Safe to use from several threads.

    Attributes:
        made: names of databases that may be there.
        numbers: for their names.
    """

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._own: set[int] = set()
        self._among: list[set[int]] = []

    def note(self, transaction: int) -> None:
        """Note a transaction that made a database, or did something to one."""
        with self._lock:
            self._own.add(transaction)

    def note_among(self, transactions: Collection[int]) -> None:
        """Note the one transaction that dropped a database, whose id cannot be asked for."""
        with self._lock:
            self._among.append(set(transactions))

    def explains(self, transactions: Collection[int]) -> bool:
        """Say whether transactions are all known to be of the makers.

        Args:
            transactions: by their ids, all of them committed.
        """
        with self._lock:
            if not self._own.issuperset(transactions):
                self._resolve()
            return self._own.issuperset(transactions)

    def _resolve(self) -> None:
        for among in self._among:
            among -= self._own
        found = [among for among in self._among if len(among) == 1]
        self._own.update(*found)
        self._among = [among for among in self._among if among and among not in found]
