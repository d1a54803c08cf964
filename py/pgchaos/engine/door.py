"""How a run comes to its connections, and where they go: a shared database keeps them for the next scenario.

DISCARD ALL brings a session back to what it began with (PostgreSQL docs, "DISCARD"): role, settings, prepared
statements, cursors, LISTEN, advisory locks, temporary tables, sequences. What it leaves is in `LASTING`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from psycopg import pq, sql

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.connecting import TOO_MANY_CONNECTIONS
from pgchaos.engine.link import Link, LinkError, link_again
from pgchaos.engine.stop import Stop
from pgchaos.engine.voice import session_conninfo
from pgchaos.server import Sandbox
from pgchaos.server.shelf import Shelf

Notice = Callable[[pq.abc.PGresult], None]
T = TypeVar("T")
K = TypeVar("K", bound="KeptLink")

LASTING = re.compile(
    r"\bset_config\b|\bset(?:\s+(?:local|session))?\s+(?:(?:\"[^\"]+\"|\w+)\s*\.|\"\w+\.)|\bsetseed\b|\bchaos\s*\.\s*seed\b"
    r"|\bset(?:\s+(?:local|session))?\s*['%$|]"
    r"|\bload\b|\bextension\b|\blanguage\s+'?(?!sql\b|plpgsql\b)\w",
    re.IGNORECASE,
)
"""What a session is not rid of before it ends: settings of one's own, whose names stay known (perhaps where a SET is
put together); the seed of random(); libraries, those of extensions too; the interpreters of languages."""

LOOKS_FOR_SESSIONS = re.compile(r"\b(?:terminate|cancel|is_blocked|wait_blocked|blocked_by|no_leaks)\b", re.IGNORECASE)
"""Functions of the toolkit that find the sessions of a run."""

_PATIENCE = 10.0
"""Seconds for what takes none on a server that answers."""
_ROOM = 2.0
"""Seconds in which backends end whose connections were closed."""
_USABLE = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

AS_NEW = """
    SELECT current_user = session_user
       AND (pg_catalog.pg_my_temp_schema() = 0
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()))
"""
"""Whether a session is as it was when it began: to be sure that it was reset, for DISCARD ALL does more than this."""


NOT_AS_NEW = ServerError(NOT_CONNECTED, "the session is not as it began", said=False)
VISITOR = "visitor"
"""What the connection of a plain file is used for."""


class KeptLink(Link):
    """A link that its end gives back to the shelf of its database, reset."""

    _lent = False
    _shelf: Shelf | None = None
    _use = ""

    def lend(self, shelf: Shelf | None, name: str) -> None:
        """Lend it to a run.

        Args:
            shelf: where it goes at its end; None to end it for good.
            name: of the session.
        """
        self._lent, self._shelf, self._use = True, shelf, _use(name)

    def dress(self, settings: Mapping[str, str], *, join: bool) -> ServerError | None:
        """Make it a session of a run.

        Args:
            settings: what the session begins with, chaos.run among them.
            join: mark it as one that belongs to the run, for the functions of the toolkit that look for sessions.

        Returns:
            Why it is not as a new one would be, and good for nothing; or None.
        """
        # SET, which is not planned, takes half the time of set_config
        says = [AS_NEW, *(_set(name, value) for name, value in settings.items())]
        if join:
            says.append("SELECT chaos._join()")
        answer = self.ask("; ".join(says), deadline=time.monotonic() + _PATIENCE)
        if answer.error is not None:
            return answer.error
        if self.disturbed or list(answer.results[0].rows()) != [("t",)]:
            return NOT_AS_NEW
        return None

    def close(self) -> None:
        """Give it back, or end it where it cannot be made as if it were new; doing so again does nothing."""
        lent, self._lent = self._lent, False
        kept = False
        try:
            kept = lent and self._shelf is not None and self.reset() and self._shelf.put(self._use, self)
        finally:
            if lent and not kept:
                self.shut()

    def shut(self) -> None:
        """End it for good."""
        super().close()

    def reset(self) -> bool:
        """Make it as if it were new, as far as DISCARD ALL does; say whether that could be done."""
        if self.disturbed or not self.alive or self.status not in _USABLE:
            return False
        self.deafen()
        self._notice = None
        if self.status != pq.TransactionStatus.IDLE:
            self.ask("ROLLBACK", deadline=time.monotonic() + _PATIENCE)
        answer = self.ask("DISCARD ALL", deadline=time.monotonic() + _PATIENCE)
        self.notifications()
        return answer.error is None and not self.disturbed and self.status == pq.TransactionStatus.IDLE


@lru_cache(maxsize=1024)
def _set(name: str, value: str) -> str:
    # in a list such as search_path each element would be quoted by itself
    if name == "search_path":
        return f"SET search_path = {value}"
    return f"SET {name} = {sql.Literal(value).as_string(None)}"


@dataclass(frozen=True, slots=True)
class Door:
    """Opens the connections of one run.

    Args:
        sandbox: of the run.
        keep: false where the scenario does what lasts as long as a session: then no other shall have it.
        join: the scenario looks for its sessions by functions of the toolkit.
    """

    sandbox: Sandbox
    keep: bool = True
    join: bool = False

    def open(
        self,
        name: str,
        stop: Stop,
        settings: Mapping[str, str] = MappingProxyType({}),
        notice: Notice | None = None,
        *,
        again: bool = False,
        patience: float | None = None,
    ) -> Link:
        """Open a connection; its `close` ends it, or gives it back.

        Args:
            name: for application_name.
            stop: whoever waits on it is woken by this.
            settings: what the session begins with, `chaos.worker` and the like.
            notice: called with each notice of the server.
            again: wait for a server that is recovering from a crash just now.
            patience: seconds to wait for a free slot; None for as long as backends take that are ending.

        Raises:
            LinkError: the server could not be reached or refused.
        """
        return self._with_room(stop, lambda: self._open(name, stop, settings, notice, again), patience)

    def visitor(self, kind: type[K], stop: Stop, notice: Notice) -> tuple[K, bool]:
        """Open the connection of a plain file, to a database that keeps connections.

        Args:
            kind: of link.
            stop: whoever waits on it is woken by this.
            notice: called with each notice of the server.

        Returns:
            It, and whether it is a kept one; `shut` ends it.

        Raises:
            LinkError: the server could not be reached or refused.
        """
        return self._with_room(stop, lambda: self._take(VISITOR, stop, notice, True, kind))

    def _with_room(self, stop: Stop, opened: Callable[[], T], patience: float | None = None) -> T:
        until = time.monotonic() + (_ROOM if patience is None else patience)
        while True:
            try:
                return opened()
            except LinkError as refused:  # noqa: PERF203  # it tries again after the refusal
                if refused.error.sqlstate != TOO_MANY_CONNECTIONS or time.monotonic() > until:
                    raise
                # what waits for the next scenario in a shared database makes room for this one; and a backend of the
                # scenario before may outlive its connection for a moment
                self.sandbox.spare()
                if stop.wait(0.01):
                    raise

    def _open(self, name: str, stop: Stop, settings: Mapping[str, str], notice: Notice | None, again: bool) -> Link:
        if not self.sandbox.shared:
            conninfo = session_conninfo(self.sandbox.conninfo, name, settings)
            return link_again(conninfo, stop, notice) if again else Link(conninfo, stop, notice)
        kept = True
        while kept and not stop.is_set():
            link, kept = self._take(name, stop, notice, again, KeptLink)
            try:
                refusal = link.dress({**self.sandbox.settings, "application_name": name, **settings}, join=self.join)
            except BaseException:
                link.shut()
                raise
            if refusal is None:
                link.lend(self.sandbox.shelf if self.keep else None, name)
                return link
            link.shut()
            if not kept and not stop.is_set():
                raise LinkError(refusal)
        raise LinkError(ServerError(NOT_CONNECTED, "the run was stopped", said=False))

    def _take(self, name: str, stop: Stop, notice: Notice | None, again: bool, kind: type[K]) -> tuple[K, bool]:
        """Take a kept connection, or make one; say whether it was kept."""
        assert self.sandbox.shelf is not None, "of a database that keeps connections"
        kept = self.sandbox.shelf.take(_use(name))
        if isinstance(kept, kind):
            kept.attend(stop, notice)
            return kept, True
        conninfo = self.sandbox.shelf.conninfo
        new = link_again(conninfo, stop, notice, kind=kind) if again else kind(conninfo, stop, notice)
        return new, False


def _use(name: str) -> str:
    return "session" if "[" in name else name
