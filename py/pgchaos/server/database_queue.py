"""Databases with the same extensions: which are ready, how many are requested, and which to create next."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class DatabaseQueue:
    """The databases with one set of extensions."""

    extensions: tuple[str, ...]
    template: str = ""  # '' until it is created
    refused: str = ""  # why the server cannot create any
    ready: deque[str] = field(default_factory=deque)  # created and not taken
    unchanged: list[str] = field(default_factory=list)  # given back as they were created
    waiting: int = 0  # requests that wait
    keep_ready: int = 0  # how many to keep ready beyond these
    creating: int = 0
    in_use: int = 0  # taken ones that may be given back unchanged

    def needs(self, number: int) -> bool:
        """Return whether another one must be created to have `number` ready."""
        if self.refused or (self.creating and not self.template):
            return False  # the template is created first, and once
        return len(self.ready) + self.creating < number

    def needs_helper(self) -> bool:
        """Return whether a second thread would shorten the waits."""
        return bool(self.template) and self.waiting - len(self.ready) > 1


@dataclass(frozen=True, slots=True, eq=False)
class CreateJob:
    """Create one database."""

    queue: DatabaseQueue


@dataclass(frozen=True, slots=True, eq=False)
class DropJob:
    """Drop one database."""

    name: str


def next_to_create(queues: Collection[DatabaseQueue]) -> DatabaseQueue | None:
    """Choose the queue that needs a database; waiting requests come before databases to keep ready."""
    for queue in queues:
        if queue.needs(queue.waiting):
            return queue
    return next((queue for queue in queues if queue.needs(queue.keep_ready)), None)
