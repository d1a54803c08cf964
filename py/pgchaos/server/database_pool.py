"""Databases that one or two threads create in advance, and drop after use."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

import psycopg

from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.database_queue import CreateJob, DatabaseQueue, DropJob, next_to_create
from pgchaos.server.health import ServerHealth
from pgchaos.server.settings import ServerError, nothing
from pgchaos.server.threads import internal_error, start

_TAKE_LIMIT = 60.0
_EXPLAIN_LIMIT = 5.0
_MOST_USED = 8  # used databases that may wait to be dropped while new ones are needed
_REUSE_WAIT = 0.02  # seconds to wait for a database that may be given back unchanged: creating one takes about as long


class DatabasePool:
    """Clones of templates, one template for each set of extensions. Thread-safe.

    Args:
        factory: creates and drops them; only the pool's thread uses it from now on. A second thread with its own
            factory helps while several requests wait: creating a database mostly waits for checkpoints and the disk.
        keep_ready: clones to keep ready for each set of extensions.
        health: of the server.
        before: called by the thread before it creates the first database; `take` raises its error.
    """

    def __init__(
        self, factory: DatabaseFactory, keep_ready: int, health: ServerHealth, before: Callable[[], None] = nothing
    ) -> None:
        self._factory, self._before, self._health = factory, before, health
        self._keep_ready = keep_ready
        self._changed = threading.Condition()
        self._queues: dict[tuple[str, ...], DatabaseQueue] = {}
        self._used: deque[str] = deque()
        self._error = ""  # of the server: reported once, then tried again
        self._internal_error = ""  # of pgchaos: final
        self._closing = False
        self._drop_all = False
        self._expected: int | None = None  # databases that will be taken at most; None if unknown
        self._running: list[CreateJob | DropJob] = []
        self._thread = threading.Thread(target=self._work, name="pgchaos databases", daemon=True)
        self._helper = threading.Thread(target=self._help, name="pgchaos more databases", daemon=True)

    def _queue(self, extensions: tuple[str, ...]) -> DatabaseQueue:
        return self._queues.setdefault(extensions, DatabaseQueue(extensions))

    def expect(self, extensions: tuple[str, ...], databases: int | None = None) -> None:
        """Start to create databases before the first is taken; `databases`: so many are taken at most, if known."""
        with self._changed:
            self._expected = databases
            self._queue(extensions).keep_ready = self._keep_ready
            self._start()
            self._changed.notify_all()

    def take(self, extensions: tuple[str, ...], *, keep_ready: int | None = None) -> str:
        """Take a new database, and return its name; `keep_ready`: others to keep ready, None for the pool's number.

        Raises:
            ServerError: none can be created; the message gives the reason.
        """
        with self._changed:
            queue = self._queue(extensions)
            queue.keep_ready = self._keep_ready if keep_ready is None else min(keep_ready, self._keep_ready)
            return self._wait_for(queue, self._pop_new)

    def _wait_for(self, queue: DatabaseQueue, pop: Callable[[DatabaseQueue], str]) -> str:
        self._health.require_answer()
        end = time.monotonic() + _TAKE_LIMIT
        self._start()
        queue.waiting += 1
        self._changed.notify_all()
        try:
            while not (name := pop(queue)):
                if time.monotonic() > end:
                    raise ServerError(f"no database was created within {_TAKE_LIMIT:g} s")
                self._health.wait_on(self._changed, end - time.monotonic())
        finally:
            queue.waiting -= 1
            self._changed.notify_all()
        return name

    def take_reusable(self, extensions: tuple[str, ...]) -> str:
        """Take a database that was given back unchanged, or a new one; none are created in advance for this."""
        with self._changed:
            queue, end = self._queue(extensions), time.monotonic() + _REUSE_WAIT
            while queue.in_use and not queue.unchanged and time.monotonic() < end:
                self._changed.wait(end - time.monotonic())
            name = self._pop_unchanged(queue) or self._wait_for(queue, self._pop_unchanged)
            queue.in_use += 1
            return name

    def _pop_unchanged(self, queue: DatabaseQueue) -> str:
        if queue.unchanged and not self._closing:
            return queue.unchanged.pop()
        if name := self._pop_new(queue):
            queue.keep_ready = max(0, queue.keep_ready - 1)
        return name

    def _pop_new(self, queue: DatabaseQueue) -> str:
        if self._closing:
            raise ServerError("the server is being closed")
        if self._internal_error:
            raise ServerError(self._internal_error)
        if queue.refused:
            raise ServerError(queue.refused)
        if self._error:
            reason, self._error = self._error, ""
            raise ServerError(reason)
        if not queue.ready:
            return ""
        if self._expected:
            self._expected -= 1
        return queue.ready.popleft()

    def give_back(self, name: str) -> None:
        """Queue a database to be dropped."""
        with self._changed:
            self._used.append(name)
            self._changed.notify_all()

    def give_back_unchanged(self, extensions: tuple[str, ...], name: str) -> None:
        """Give back a database from `take_reusable` that is as it was created: it can be taken again."""
        with self._changed:
            queue = self._queue(extensions)
            queue.in_use -= 1
            queue.unchanged.append(name)
            self._changed.notify_all()

    def give_back_changed(self, extensions: tuple[str, ...], name: str) -> None:
        """Give back a database from `take_reusable` that was changed: it is dropped, and others are kept ready."""
        with self._changed:
            queue = self._queue(extensions)
            queue.in_use -= 1
            queue.keep_ready = self._keep_ready
        self.give_back(name)

    def explains(self, transactions: Collection[int]) -> bool:
        """Return whether all of these committed transactions created or dropped databases of the pool."""
        with self._changed:
            # a running job may have committed already; it is recorded when it ends
            running = set(self._running)
            self._changed.wait_for(
                lambda: (
                    self._factory.created.explains(transactions) or self._closing or running.isdisjoint(self._running)
                ),
                _EXPLAIN_LIMIT,
            )
            return self._factory.created.explains(transactions)

    def wait_until_idle(self, limit: float) -> None:
        """Wait at most `limit` seconds until there is no database to create or to drop."""
        with self._changed:
            if self._thread.is_alive():
                self._changed.wait_for(lambda: self._closing or not (self._running or self._next()), limit)

    def end(self, drop: bool) -> None:
        """Create no more databases, and drop all of them if `drop`; `close` waits for it."""
        with self._changed:
            if not self._closing:
                self._closing, self._drop_all = True, drop
                self._changed.notify_all()

    def close(self, drop: bool, limit: float = 30.0) -> list[str]:
        """Create no more databases, drop all of them if `drop`, and return the names of those that may remain.

        Waits at most `limit` seconds, and only as long as the server answers.
        """
        self.end(drop)
        if self._thread.is_alive():
            self._health.join(self._thread, limit)
        return sorted(self._factory.created.names.copy())

    def _start(self) -> None:
        if self._thread.ident is None and not self._closing:
            start(self._thread)

    def _start_helper(self, queue: DatabaseQueue) -> None:
        if queue.needs_helper() and self._helper.ident is None and not self._closing:
            # without a second thread the first one continues alone
            with contextlib.suppress(ServerError):
                start(self._helper)

    def _work(self) -> None:
        try:
            self._run_jobs()
        except Exception as error:  # a bug of pgchaos: reported to waiting threads
            self._fail_internally(error)
            raise

    def _run_jobs(self) -> None:
        try:
            while (job := self._wait()) is not None:
                self._do(job, self._factory)
            if self._helper.ident is not None:
                self._helper.join()
            if self._drop_all:
                self._factory.drop_all()
        finally:
            self._factory.close()

    def _help(self) -> None:
        factory = self._factory.copy()
        try:
            # if the server has no connection for it, the first thread continues alone
            with contextlib.suppress(psycopg.Error):
                factory.open()
            while factory.connected() and (job := self._wait()) is not None:
                self._do(job, factory)
        except Exception as error:  # as above
            self._fail_internally(error)
            raise
        finally:
            factory.close()

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
                job.queue.creating += 1
                self._start_helper(job.queue)
            return job

    def _done(self, job: CreateJob | DropJob) -> None:
        with self._changed:
            self._running.remove(job)
            if isinstance(job, CreateJob):
                job.queue.creating -= 1
            self._changed.notify_all()

    def _next(self) -> CreateJob | DropJob | None:
        """Choose a job: create requested databases, then ready ones, then drop; drop first if too many wait."""
        # one drop at a time: CreatedDatabases.record_one_of could not tell two apart
        dropping = any(isinstance(job, DropJob) for job in self._running)
        drop = DropJob(self._used[0]) if self._used and not dropping else None
        if self._error or self._internal_error:
            return None  # until the error is reported
        if len(self._used) > _MOST_USED and drop is not None:
            return drop
        queue = next_to_create(self._queues.values(), self._expected)
        return drop if queue is None else CreateJob(queue)

    def _do(self, job: CreateJob | DropJob, factory: DatabaseFactory) -> None:
        try:
            self._try(job, factory)
        finally:
            self._done(job)

    def _try(self, job: CreateJob | DropJob, factory: DatabaseFactory) -> None:
        try:
            try:
                self._perform(job, factory)
            except (psycopg.OperationalError, psycopg.errors.InvalidCatalogName):
                factory.check()
                # retry: the server may have been restarted, or another session dropped the template
                self._perform(job, factory)
        except ServerError as error:
            assert isinstance(job, CreateJob)
            with self._changed:
                job.queue.refused = str(error)
                self._changed.notify_all()
        except Exception as error:  # any error must be reported to waiting threads
            self._fail(job, error, factory)

    def _perform(self, job: CreateJob | DropJob, factory: DatabaseFactory) -> None:
        if isinstance(job, DropJob):
            factory.drop(job.name)
            return
        queue = job.queue
        if not queue.template:
            self._before()
            template = factory.template(queue.extensions)
            with self._changed:
                queue.template = template
        try:
            name = factory.clone(queue.template)
        except psycopg.errors.InvalidCatalogName:
            # another session dropped the template: create another one
            with self._changed:
                queue.template = ""
            raise
        with self._changed:
            queue.ready.append(name)
            self._changed.notify_all()

    def _fail(self, job: CreateJob | DropJob, error: Exception, factory: DatabaseFactory) -> None:
        if not isinstance(error, psycopg.Error):
            self._fail_internally(error)
            return
        if isinstance(job, DropJob) and factory.connected():
            return  # it is dropped again when the pool is closed
        with self._changed:
            self._error = f"the server cannot create a database: {str(error).strip()}"
            self._changed.notify_all()

    def _fail_internally(self, error: Exception) -> None:
        with self._changed:
            self._internal_error = internal_error("in the database pool", error)
            self._changed.notify_all()
