"""Databases with the same extensions: which are ready, how many are requested, and which to create next."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.language.plain_files import Contents


@dataclass(frozen=True, slots=True)
class Expected:
    """What the scenarios of a run will need of their server, as far as that is known before they run.

    Args:
        contents: of most databases.
        databases: that are used at most, so that no more are created in advance; None if unknown.
    """

    contents: Contents
    databases: int | None = None


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

    def needs(self, number: float) -> bool:
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


def next_to_create(queues: Collection[DatabaseQueue], expected: int | None = None) -> DatabaseQueue | None:
    """Choose the queue that needs a database; waiting requests come before databases to keep ready.

    Args:
        queues: all.
        expected: how many databases will be taken at most, so that no more are kept ready; None if unknown.
    """
    for queue in queues:
        if queue.needs(queue.waiting):
            return queue
    most = math.inf if expected is None else expected
    return next((queue for queue in queues if queue.needs(min(queue.keep_ready, most))), None)
