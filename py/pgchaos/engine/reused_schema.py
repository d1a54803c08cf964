"""The schema of a search: kept between runs and restored, if it is proven that a run changed only rows.

Setup runs twice in new schemas. If both results are equal, and a run can change only rows and sequences of it, the
second schema is kept: after each run its rows are restored instead of running setup again. A run that defined
something, or was stopped, has its schema replaced by a new one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields

from psycopg import sql

from pgchaos.engine.answer import Answer
from pgchaos.engine.connection import PATIENCE, Connection, ConnectionLost
from pgchaos.engine.connection_factory import FINDS_SESSIONS
from pgchaos.engine.history_tables import RECORDED
from pgchaos.engine.kept_connections import KeptConnections
from pgchaos.engine.loop import run_sync
from pgchaos.engine.pooled_connection import LASTING, PooledConnection
from pgchaos.engine.row_reset import SEND_COUNTERS, RowReset
from pgchaos.engine.setup_contents import COUNTERS, SetupContents, is_repeatable, query_rows, read_contents
from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario, cached_on_scenario
from pgchaos.language.section_items import CHOICE, Fault, Meta, Send, Statement
from pgchaos.server import Sandbox
from pgchaos.server.outside_schemas import StateQuery
from pgchaos.server.schema_pool import SENDS_COUNTERS
from pgchaos.stop import Stop

_UNCOUNTED = re.compile(r"\b(?:vacuum|analy[sz]e|checkpoint)\b|\balter\s+system\b|\bpg_replication_", re.IGNORECASE)
"""Statements that may change the whole database or server, without a counter that shows it."""
_MAY_LOCK = re.compile(
    r"advisory|\b(?:signal|barrier)\b|execute|dblink|xml|\bts_(?:stat|rewrite)\b|(?<!:):[\"'\w]", re.IGNORECASE
)
"""Functions that take advisory locks, what runs text that a statement has composed, and variables of psql."""
_MOST_FAILED_RESETS = 3
"""Consecutive schemas that could not be restored, after which none is kept any more."""

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReusedSandbox(Sandbox):
    """A schema that may be kept."""

    reuse: ReusedSchema | None = None  # the owner of the schema
    is_set_up: bool = False  # it is as setup left it


class ReusedSchema:
    """Keeps the schema of a search.

    Args:
        scenario: of the runs.
        new_schema: provides an empty schema.
        version: of the server, as 180006.
        like: the one of another database of the same search: setup must leave the same here.
    """

    def __init__(
        self,
        scenario: Scenario,
        new_schema: Callable[[], AbstractContextManager[Sandbox]],
        version: int,
        like: ReusedSchema | None = None,
    ) -> None:
        self._new_schema, self._stack = new_schema, ExitStack()
        given_up = like is not None and like._off
        self._off: bool = version < SENDS_COUNTERS or not _may_be_kept(scenario) or given_up
        self._fills, self._no_locks = mentions(scenario, RECORDED), not _may_lock(scenario)
        self._failures, self._closing = 0, False
        self._expected: dict[Key, SetupContents] = {} if like is None else dict(like._expected)
        self._key: Key = ()
        self._sandbox: Sandbox | None = None
        self._reset: RowReset | None = None
        self._proven = self._dirty = False
        self._begun: Answer | None = None
        self._checked: RowReset | None = None
        self._last: ReusedSandbox | None = None
        self._unchanged = False
        self.connections: KeptConnections | None = None
        """The connections of the runs, while a schema is kept."""

    @contextmanager
    def open(self, variables: Mapping[str, str]) -> Iterator[Sandbox]:
        """Provide a schema to a run: the kept one, as setup left it, or an empty one.

        Args:
            variables: of the run.
        """
        self._unchanged = False
        key = tuple(sorted((name, value) for name, value in variables.items() if not name.startswith(CHOICE)))
        is_set_up = self._reset is not None and self._key == key and self._put_back()
        if not is_set_up:
            self._drop()
            self._off = self._off or not is_repeatable([value for _, value in key])
        if self._off:
            with self._new_schema() as sandbox:
                yield sandbox
            return
        if self._sandbox is None:
            self._sandbox, self._key = self._stack.enter_context(self._new_schema()), key
        self._dirty = True
        yield self._sandbox_for_run(self._sandbox, is_set_up)
        if self._dirty:
            self._drop()

    def _sandbox_for_run(self, sandbox: Sandbox, is_set_up: bool) -> ReusedSandbox:
        if self._last is None or self._last.schema != sandbox.schema or self._last.is_set_up != is_set_up:
            self._last = _reused(sandbox, self, is_set_up)
        return self._last

    def close(self) -> None:
        """Remove the kept schema, and close its connections."""
        self._closing = True
        self._drop()
        self._stack.close()

    def admin(self, stop: Stop) -> Connection | None:
        """Return the admin connection of the last run; None if it is not kept."""
        if self._reset is None:
            return None
        self._reset.connection.attach(stop, None)
        return self._reset.connection

    def learn(self, connection: Connection, schema: str) -> None:
        """Record what setup has left in a new schema, before a session begins.

        Args:
            connection: the admin connection of the run; it is kept with the schema.
            schema: the schema.
        """
        try:
            contents = read_contents(connection, schema)
            expected = self._expected.setdefault(self._key, contents)
            if contents.obstacle or expected.definitions != contents.definitions:
                self._off = True
            elif expected is not contents:
                self._reset = RowReset(connection, schema, contents)
                self._reset.copy()
                if self.connections is not None:
                    self.connections.plans_last = not contents.functions
                    self.connections.no_locks = self._no_locks
                self._off = self._reset.has_outside_sequences
        except ConnectionLost:
            self._reset, self._off = None, True

    def changed_outside(self) -> list[str] | None:
        """Name the definitions that have changed outside the schemas of runs; None if that is unknown.

        After a first comparison, every run since then was kept and so has defined nothing: only what has no counter is
        compared again.
        """
        reset, sandbox = self._reset, self._sandbox
        if reset is None or self._dirty or sandbox is None or sandbox.outside is None:
            return None
        outside = sandbox.outside
        queries = [outside.of_database] if self._checked is reset else [outside.catalogs, outside.data]
        begun, self._begun = self._begun, None
        if begun is not None and not run_sync(reset.finish(begun)):
            self._note_silence(reset)
            self._drop()
            return None
        try:
            changed = _changed(reset.connection, queries)
        except ConnectionLost:
            return None
        self._checked, self._unchanged = reset, not changed
        return changed

    @property
    def left_unchanged(self) -> bool:
        """Whether it is proven that all runs have changed nothing outside; valid after `close`."""
        return self._unchanged and self.connections is not None and not self.connections.silent

    def renew(self) -> None:
        """Drop the schema, so that setup runs for the next run."""
        self._drop()

    def give_up(self) -> None:
        """Keep no schema: setup must run each time."""
        self._off = True

    def end(self, connection: Connection | None, backends: Collection[int], *, complete: bool) -> bool:
        """Keep the schema if the run that ends has changed only rows, and start to restore them.

        Args:
            connection: the admin connection of the run.
            backends: of the run.
            complete: the run was not stopped.

        Returns:
            Whether it is kept. Then the run has changed nothing outside the schema, and no definition in it.
        """
        reset = self._reset
        if reset is None or self.connections is None:
            return False
        if not (complete and reset.connection is connection and self.connections.ready()):
            return False
        if not self.connections.backends.issuperset(one for one in backends if one != reset.connection.pid):
            # a backend has ended, and may not have sent its counters yet
            return False
        try:
            if self._fills:
                # the history was written on this connection
                query_rows(reset.connection, SEND_COUNTERS)
            reset.connection.ignore_stop()
            changes = reset.read_changes()
        except ConnectionLost:
            self._note_silence(reset)
            return False
        if not changes.same_definitions or reset.has_outside_sequences:
            self._count_failures()
            return False
        self._begun = reset.begin(changes.changed)
        self._dirty, self._failures = False, 0
        return True

    def _count_failures(self) -> None:
        self._failures += 1
        self._off = self._failures >= _MOST_FAILED_RESETS

    def _put_back(self) -> bool:
        """Wait until the rows are restored; the first time, prove that the schema is as setup left it."""
        begun, self._begun = self._begun, None
        reset = self._reset
        assert reset is not None, "of a schema that is kept"
        assert self._sandbox is not None, "as above"
        if begun is not None and not run_sync(reset.finish(begun)):
            self._note_silence(reset)
            self._count_failures()
            return False
        if not self._proven:
            try:
                contents = read_contents(reset.connection, self._sandbox.schema, put_back=True)
            except ConnectionLost:
                return False
            self._proven = contents.definitions == self._expected[self._key].definitions
            self._off = self._off or not self._proven
        return self._proven

    def _note_silence(self, reset: RowReset) -> None:
        if reset.connection.silent and self.connections is not None and self._sandbox is not None:
            self.connections.silent = True
            self._sandbox.report_silent_backend()

    def _drop(self) -> None:
        """Drop the schema."""
        reset, self._reset, self._proven = self._reset, None, False
        if self.connections is not None:
            self.connections.no_locks = False
        begun, self._begun = self._begun, None
        if reset is not None:
            if begun is not None:
                run_sync(reset.finish(begun))
                self._note_silence(reset)
            reset.connection.close()
        # the second run uses the connections of the first one too
        keep = reset is None and not (self._off or self._closing)
        if self.connections is not None and not keep:
            self.connections.close()
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None and not (self.connections is not None and self.connections.silent):
            _remove(sandbox, self.connections if keep else None)
        self._stack.close()


def _remove(sandbox: Sandbox, connections: KeptConnections | None) -> None:
    """Drop a schema now: dropped later, it would increase the counters of the catalogs during a run."""
    name = sql.Identifier(sandbox.schema).as_string(None)
    # if this fails, or waits for a lock, the schema pool drops it when it is returned
    settings = "SET LOCAL lock_timeout = '200ms'; SET LOCAL client_min_messages = 'error'"
    text = f"{settings}; DROP SCHEMA {name} CASCADE; {SEND_COUNTERS}"
    if connections is not None:
        connections.ask(text)
        return
    cache = sandbox.connection_cache
    connection = cache.take() if cache is not None else None
    if cache is None or not isinstance(connection, PooledConnection):
        return
    if run_sync(connection.is_reset()):
        connection.ask(text, deadline=time.monotonic() + PATIENCE)
    connection.assign(cache)
    connection.close()


def _changed(connection: Connection, queries: Iterable[StateQuery]) -> list[str]:
    """Name what has changed; raises ConnectionLost if the server refuses."""
    return [name for one in queries for name in one.changed(query_rows(connection, one.query))]


def _reused(sandbox: Sandbox, reuse: ReusedSchema, is_set_up: bool) -> ReusedSandbox:
    values = {one.name: getattr(sandbox, one.name) for one in fields(sandbox)}
    if sandbox.connection_cache is not None and reuse.connections is None:
        reuse.connections = KeptConnections(sandbox.connection_cache)
    return ReusedSandbox(**values, reuse=reuse, is_set_up=is_set_up)


def may_share_database(scenario: Scenario) -> bool:
    """Whether, by the scenario's text, its search can share a database with other searches."""
    return _may_be_kept(scenario) and not mentions(scenario, _UNCOUNTED)


@cached_on_scenario
def _may_lock(scenario: Scenario) -> bool:
    """Whether, by its text, a session may take an advisory lock; the SQL of programs is not in it."""
    composed = any(item.send is Send.GEXEC for item in scenario.statements())
    return scenario.runs_programs or composed or mentions(scenario, _MAY_LOCK)


@cached_on_scenario
def _may_be_kept(scenario: Scenario) -> bool:
    """Whether, by its text, a scenario's schema may be restored."""
    items = [item for part in scenario.setup for item in part.items]
    faults = any(isinstance(item, Fault) for session in scenario.sessions for item in session.items)
    texts = [item.text for item in items if isinstance(item, Statement)]
    texts += [str(part) for item in items if isinstance(item, Meta) for arg in item.args for part in arg]
    hidden = mentions(scenario, LASTING) or mentions(scenario, FINDS_SESSIONS) or mentions(scenario, COUNTERS)
    return not (scenario.teardown or scenario.extensions or faults or hidden) and is_repeatable(texts)
