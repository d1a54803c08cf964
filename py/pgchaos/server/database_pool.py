"""Databases made ahead of use and dropped behind it, by a thread or two."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

import psycopg

from pgchaos.server.answering import Answering
from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.database_queue import CreateJob, DatabaseQueue, DropJob, next_to_create
from pgchaos.server.settings import ServerError
from pgchaos.server.threads import start, traceback_lines

_TAKE_LIMIT = 60.0
_PILE = 8
"""Used databases that may wait for their end while new ones are asked for."""
_SOON = 0.02
"""Seconds in which a database that is lent is likely to come back unchanged: about what it takes to make one."""


def _nothing() -> None:
    pass


class DatabasePool:
    """Clones of templates, one template for each set of extensions.

    Args:
        maker: makes them; from now on only the pool's thread uses it. Where several are waited for, a second thread
            helps: making one is mostly waiting, for checkpoints and the disk.
        ahead: clones that are kept ready for each set that was asked for.
        answering: of the server.
        before: called by the thread before it makes the first database; what it raises is told to those who wait.
    """

    def __init__(
        self, maker: DatabaseFactory, ahead: int, answering: Answering, before: Callable[[], None] = _nothing
    ) -> None:
        self._maker, self._before, self._answering = maker, before, answering
        self._ahead = ahead
        self._changed = threading.Condition()
        self._stocks: dict[tuple[str, ...], DatabaseQueue] = {}
        self._used: deque[str] = deque()
        self._broken = self._dead = ""
        self._closing = False
        self._drop_all = False
        self._running: list[CreateJob | DropJob] = []
        self._thread = threading.Thread(target=self._work, name="pgchaos databases", daemon=True)
        self._helper = threading.Thread(target=self._help, name="pgchaos more databases", daemon=True)

    def _stock(self, extensions: tuple[str, ...]) -> DatabaseQueue:
        return self._stocks.setdefault(extensions, DatabaseQueue(extensions))

    def expect(self, extensions: tuple[str, ...]) -> None:
        """Begin to make databases before the first is asked for.

        Args:
            extensions: of the template.
        """
        with self._changed:
            self._stock(extensions).spares = self._ahead
            self._start()
            self._changed.notify_all()

    def take(self, extensions: tuple[str, ...], limit: float = _TAKE_LIMIT, ahead: int | None = None) -> str:
        """Take a fresh database.

        Args:
            extensions: what it must have.
            limit: seconds to wait.
            ahead: how many others to make before they are asked for; None for as many as usual.

        Returns:
            Its name.

        Raises:
            ServerError: none can be made; the message says why.
        """
        with self._changed:
            stock = self._stock(extensions)
            stock.spares = self._ahead if ahead is None else min(ahead, self._ahead)
            return self._taken(stock, limit, self._look)

    def _taken(self, stock: DatabaseQueue, limit: float, look: Callable[[DatabaseQueue], str]) -> str:
        self._answering.demand()
        end = time.monotonic() + limit
        self._start()
        stock.waiting += 1
        self._changed.notify_all()
        try:
            while not (name := look(stock)):
                if time.monotonic() > end:
                    raise ServerError(f"no database was made within {limit:g} s")
                self._answering.wait_on(self._changed, end - time.monotonic())
        finally:
            stock.waiting -= 1
            self._changed.notify_all()
        return name

    def take_again(self, extensions: tuple[str, ...], limit: float = _TAKE_LIMIT) -> str:
        """Take a database that `keep` brought back, or a fresh one; none are made ahead for those who ask so."""
        with self._changed:
            stock, soon = self._stock(extensions), time.monotonic() + _SOON
            while stock.out and not stock.unchanged and time.monotonic() < soon:
                self._changed.wait(soon - time.monotonic())
            name = self._look_again(stock) or self._taken(stock, limit, self._look_again)
            stock.out += 1
            return name

    def _look_again(self, stock: DatabaseQueue) -> str:
        if stock.unchanged and not self._closing:
            return stock.unchanged.pop()
        if name := self._look(stock):
            stock.spares = max(0, stock.spares - 1)
        return name

    def keep(self, extensions: tuple[str, ...], name: str) -> None:
        """Have a database lent again: it is as it was made.

        Args:
            extensions: that it has.
            name: taken by `take_again`.
        """
        with self._changed:
            stock = self._stock(extensions)
            stock.out -= 1
            stock.unchanged.append(name)
            self._changed.notify_all()

    def explains(self, transactions: Collection[int]) -> bool:
        """Say whether transactions only made and dropped databases, here.

        Args:
            transactions: by their ids, all of them committed.
        """
        with self._changed:
            # what is being done just now may have been committed already, and is told of when it is done
            running = set(self._running)
            self._changed.wait_for(
                lambda: self._maker.ledger.explains(transactions) or self._closing or running.isdisjoint(self._running),
                5.0,
            )
            return self._maker.ledger.explains(transactions)

    def spoil(self, extensions: tuple[str, ...], name: str) -> None:
        """Have a database dropped that is not as it was made; others may fare alike, and make some ahead.

        Args:
            extensions: that it has.
            name: taken by `take_again`.
        """
        with self._changed:
            stock = self._stock(extensions)
            stock.out -= 1
            stock.spares = self._ahead
        self.give_back(name)

    def _look(self, stock: DatabaseQueue) -> str:
        if self._closing:
            raise ServerError("the server is being closed")
        if self._dead:
            raise ServerError(self._dead)
        if stock.refused:
            raise ServerError(stock.refused)
        if self._broken:
            reason, self._broken = self._broken, ""
            raise ServerError(reason)
        return stock.ready.popleft() if stock.ready else ""

    def give_back(self, name: str) -> None:
        """Have a database dropped, some time soon.

        Args:
            name: taken here.
        """
        with self._changed:
            self._used.append(name)
            self._changed.notify_all()

    def rest(self, limit: float) -> None:
        """Wait until no database is being made or dropped, nor is to be.

        Args:
            limit: seconds to wait.
        """
        with self._changed:
            if self._thread.is_alive():
                self._changed.wait_for(lambda: self._closing or not (self._running or self._next()), limit)

    def end(self, drop: bool) -> None:
        """Make no more databases; `close` waits for what is being done.

        Args:
            drop: drop all that were made; else they go with their server.
        """
        with self._changed:
            if not self._closing:
                self._closing, self._drop_all = True, drop
                self._changed.notify_all()

    def close(self, drop: bool, limit: float = 30.0) -> list[str]:
        """Stop making databases.

        Args:
            drop: as for `end`.
            limit: seconds to wait for that, as long as the server answers.

        Returns:
            The names of those that may still be there.
        """
        self.end(drop)
        if self._thread.is_alive():
            self._answering.join(self._thread, limit)
        return sorted(self._maker.ledger.made.copy())

    def _start(self) -> None:
        if self._thread.ident is None and not self._closing:
            start(self._thread)

    def _get_help(self, stock: DatabaseQueue) -> None:
        if stock.is_slow() and self._helper.ident is None and not self._closing:
            # where there is no room for one more thread, the first goes on alone
            with contextlib.suppress(ServerError):
                start(self._helper)

    def _work(self) -> None:
        try:
            self._work_on()
        except Exception as error:  # a bug of ours: those who wait must hear of it
            self._break(error)
            raise

    def _work_on(self) -> None:
        try:
            while (job := self._wait()) is not None:
                self._do(job, self._maker)
            if self._helper.ident is not None:
                self._helper.join()
            if self._drop_all:
                self._maker.drop_all()
        finally:
            self._maker.close()

    def _help(self) -> None:
        maker = self._maker.another()
        try:
            # where there is no room for one more connection, it goes on without help
            with contextlib.suppress(psycopg.Error):
                maker.open()
            while maker.alive() and (job := self._wait()) is not None:
                self._do(job, maker)
        except Exception as error:  # as above
            self._break(error)
            raise
        finally:
            maker.close()

    def _wait(self) -> CreateJob | DropJob | None:
        with self._changed:
            while not self._closing and (job := self._next()) is None:
                self._changed.wait()
            if self._closing or job is None:
                return None
            self._running.append(job)
            if isinstance(job, DropJob):
                self._used.popleft()
            else:
                job.stock.making += 1
                self._get_help(job.stock)
            return job

    def _done(self, job: CreateJob | DropJob) -> None:
        with self._changed:
            self._running.remove(job)
            if isinstance(job, CreateJob):
                job.stock.making -= 1
            self._changed.notify_all()

    def _next(self) -> CreateJob | DropJob | None:
        """Choose: who waits is served first, then what is ahead, then what is behind, unless that piles up."""
        # one at a time: see Ledger.note_among
        dropping = any(isinstance(job, DropJob) for job in self._running)
        drop = DropJob(self._used[0]) if self._used and not dropping else None
        if self._broken or self._dead:
            return None  # until somebody has been told
        if len(self._used) > _PILE and drop is not None:
            return drop
        stock = next_to_create(self._stocks.values())
        return drop if stock is None else CreateJob(stock)

    def _do(self, job: CreateJob | DropJob, maker: DatabaseFactory) -> None:
        try:
            self._try(job, maker)
        finally:
            self._done(job)

    def _try(self, job: CreateJob | DropJob, maker: DatabaseFactory) -> None:
        try:
            try:
                self._perform(job, maker)
            except (psycopg.OperationalError, psycopg.errors.InvalidCatalogName):
                maker.check()
                # once more: the server may only have been restarted, or somebody dropped the template
                self._perform(job, maker)
        except ServerError as error:
            assert isinstance(job, CreateJob)
            with self._changed:
                job.stock.refused = str(error)
                self._changed.notify_all()
        except Exception as error:  # whatever it is, those who wait must hear of it
            self._fail(job, error, maker)

    def _perform(self, job: CreateJob | DropJob, maker: DatabaseFactory) -> None:
        if isinstance(job, DropJob):
            maker.drop(job.name)
            return
        stock = job.stock
        if not stock.template:
            self._before()
            template = maker.template(stock.extensions)
            with self._changed:
                stock.template = template
        try:
            name = maker.clone(stock.template)
        except psycopg.errors.InvalidCatalogName:
            # somebody dropped the template: another is made
            with self._changed:
                stock.template = ""
            raise
        with self._changed:
            stock.ready.append(name)
            self._changed.notify_all()

    def _fail(self, job: CreateJob | DropJob, error: Exception, maker: DatabaseFactory) -> None:
        """A database that cannot be dropped now is tried again when all is closed; all else must be told."""
        if not isinstance(error, psycopg.Error):
            self._break(error)
            return
        if isinstance(job, DropJob) and maker.alive():
            return
        with self._changed:
            self._broken = f"the server can make no database: {str(error).strip()}"
            self._changed.notify_all()

    def _break(self, error: Exception) -> None:
        """Make no more databases: an error of ours came up in a thread of the pool."""
        with self._changed:
            self._dead = "\n".join(("internal error of pgchaos where databases are made:", *traceback_lines(error)))
            self._changed.notify_all()
