"""Runs one spec: its connections, its permutations, and the removal of what it leaves behind."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.connect import ConnectionLost
from pgchaos.engine.created import KINDS, Ask, Created, Refused, Row, Thing
from pgchaos.engine.removal import UNPROVEN, how_to_remove, remove
from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.permutation_runner import PermutationRunner
from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.session_cache import SessionCache, open_connection, watching
from pgchaos.engine.specs.session_connections import SessionConnections
from pgchaos.engine.specs.settings import SpecSettings, conninfo_of
from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.engine.specs.transcript import Transcript
from pgchaos.isolation.concurrent_specs import names_database, needs, roles
from pgchaos.isolation.model import Spec
from pgchaos.server import Server
from pgchaos.server.connection_checks import settings_difference, settings_query
from pgchaos.server.databases import PREFIX
from pgchaos.server.run_id import APPLICATION
from pgchaos.server.spec_databases import CLEAN, SpecDatabase
from pgchaos.stop import Stop

_CONNECT = 30.0
"""The most seconds to connect within."""
_LEFT_WITHIN, _AGAIN = 10.0, 0.005
"""Seconds for earlier sessions to disconnect, and between queries."""
_OTHERS = (
    "SELECT count(*) FROM pg_catalog.pg_stat_activity"
    f" WHERE pg_catalog.starts_with(datname, '{PREFIX}') AND backend_type = 'client backend'"
    " AND (pg_catalog.starts_with(application_name, 'isolation/')"
    f" OR pg_catalog.starts_with(datname, '{{}}') AND NOT pg_catalog.starts_with(application_name, '{APPLICATION}'))"
)
"""Specs of concurrent runs (pytest-xdist's workers), and earlier sessions of this run."""


@dataclass(slots=True)
class SpecResult:
    """The result of a spec."""

    output: str = ""  # what isolationtester would have printed
    problems: list[str] = field(default_factory=list)  # why it fails whatever the output is, a line each
    duration: float = 0.0  # seconds, from the first connection to the last permutation
    server: str = ""  # the server in one line
    reset: bool = False  # sessions were reset between permutations
    cut: bool = False  # it was ended early, see `SpecSettings.useful`
    notes: list[str] = field(default_factory=list)  # what the output does not show, such as the blocker of a step


def run_spec(spec: Spec, server: Server, settings: SpecSettings) -> SpecResult:
    """Run a spec once.

    Args:
        spec: to run.
        server: to run on.
        settings: of the run.

    Returns:
        The result. It has the failures of the spec, which are never raised.

    Raises:
        pgchaos.server.ServerError: there is no server, or no database to work in.
    """
    result = SpecResult(server=server.banner)
    cleanup_stop = Stop()
    stop = cleanup_stop.set  # one bound method: removing the callback needs the same object
    if settings.stop is not None:
        settings.stop.add_callback(stop)
    try:
        if settings.alone:
            server.wait_until_idle()
        with server.spec_database(
            settings.load_extensions, regression_name=names_database(spec.source)
        ) as spec_database:
            try:
                with watching(server, cleanup_stop, _seconds(settings)) as watch:
                    _Run(spec, server, settings, spec_database, cleanup_stop, watch, result).execute()
            except (Interrupted, ConnectionLost) as error:
                result.problems.append(str(error))
    finally:
        if settings.stop is not None:
            settings.stop.remove_callback(stop)
        cleanup_stop.close()
    return result


class _Run:
    def __init__(
        self,
        spec: Spec,
        server: Server,
        settings: SpecSettings,
        spec_database: SpecDatabase,
        cleanup_stop: Stop,
        watch: BlockedDetector,
        result: SpecResult,
    ) -> None:
        self._spec, self._server, self._settings, self._spec_database = spec, server, settings, spec_database
        self._cleanup_stop, self._watch, self._result = cleanup_stop, watch, result
        self._created = None if server.ours else Created()
        self._waiting = Poller(cleanup_stop, None)

    def execute(self) -> None:
        if self._settings.alone:
            self._await_end_of_others()
        for need in needs(self._spec.source):
            self._watch.take_turn(need.what, shared=need.shared)
        absent = self._absent_roles()
        begun = time.monotonic()
        deadline = None if self._settings.limit is None else begun + self._settings.limit
        sandbox = self._spec_database.sandbox
        transcript = Transcript(sandbox.database, unique=not sandbox.in_place, asked=names_database(self._spec.source))
        waiting = self._waiting = Poller(self._cleanup_stop, deadline)
        session_cache = SessionCache(None if self._settings.leaks else self._spec_database.connection_cache, self._spec)
        connections = SessionConnections(self._spec, self._connect, self._name, waiting, session_cache)
        connections.created = self._created
        runner = PermutationRunner(self._spec, connections, self._watch, waiting, self._settings, transcript)
        try:
            try:
                runner.run_all()
            finally:
                self._result.duration = time.monotonic() - begun
                self._collect(runner, transcript)
                waiting.drop(self._watch.connection)
            if not runner.problems:
                control = connections.reset_control()
                self._drop(absent)
                self._spec_database.clean = self._is_clean(control)
            if self._spec_database.clean:
                connections.keep()
        finally:
            connections.close()
            if not connections.silent:
                self._drop(absent)
            elif absent or not (self._created is None or self._created.empty):
                self._result.notes.append("what the spec left behind is unknown: the server does not answer")

    def _await_end_of_others(self) -> None:
        """Wait until earlier sessions have ended: a backend outlives its connection for a moment."""
        query = _OTHERS.format(f"{PREFIX}{self._server.run.id}_")
        end = time.monotonic() + _LEFT_WITHIN
        while self._watch.ask(query) != [("0",)] and time.monotonic() < end:
            self._cleanup_stop.wait(_AGAIN)

    def _collect(self, runner: PermutationRunner, transcript: Transcript) -> None:
        self._result.output = transcript.output
        self._result.problems += runner.problems
        self._result.reset, self._result.cut = runner.reset, runner.cut
        self._result.notes += runner.notes

    def _name(self, session: str) -> str:
        return f"isolation/{self._spec.name}/{session}"

    def _connect(self, session: str) -> SpecConnection:
        conninfo = conninfo_of(
            self._spec_database.sandbox.conninfo, self._name(session), superuser=self._server.superuser
        )
        seconds = self._waiting.within(_seconds(self._settings))
        connection = open_connection(self._server, conninfo, self._cleanup_stop, seconds)
        if self._spec_database.sandbox.in_place:
            required_settings = self._spec_database.sandbox.required_settings
            ask = BlockedDetector(connection, self._cleanup_stop).ask
            (row,) = ask(settings_query(required_settings))
            if text := settings_difference(required_settings, row, connection.pid):
                connection.close()
                raise ConnectionLost(ServerError(NOT_CONNECTED, text, from_server=False))
            # the cleanup after a killed run ends the sessions that joined
            ask("SELECT chaos._join()")
            # drop our results: the spec's come after them
            connection.events.clear()
        return connection

    def _absent_roles(self) -> list[str]:
        """List the roles that the spec names and that do not exist: it may create them."""
        named = roles(self._spec.source)
        there = self._watch.ask("SELECT rolname FROM pg_catalog.pg_roles") if named else []
        return [name for name in named if (name,) not in there]

    def _drop(self, absent: list[str]) -> None:
        """Drop the roles that the spec created and left; on a server that is not ours, only with proof."""
        if not absent and (self._created is None or self._created.empty):
            return
        with self._server.connect(self._spec_database.sandbox.database) as conn:

            def ask(query: str) -> list[Row]:
                try:
                    cursor = conn.execute(query.encode())
                    return cursor.fetchall() if cursor.description else []
                except psycopg.Error as error:
                    raise Refused(str(error).strip()) from error

            new = _existing_roles(ask, absent)
            ours = new if self._created is None else self._created.still_there(ask, KINDS)
            in_place = self._spec_database.sandbox.in_place
            left = [(thing, remove(ask, thing, in_place=in_place)) for thing in ours]
            left += [(thing, f"{UNPROVEN}; {how_to_remove(thing)}") for thing in new if thing not in ours]
            self._result.notes += [f"left behind: {kind} {name}; {why}" for (kind, name), why in left if why]
        absent.clear()
        self._created = None

    def _is_clean(self, control: SpecConnection | None) -> bool:
        """Whether the spec has left its database clean, so that another one can use it."""
        if control is None:
            return False
        # a spec may break its own connection
        with suppress(Interrupted):
            return BlockedDetector(control, self._cleanup_stop).ask(CLEAN) == [("t",)]
        return False


def _seconds(settings: SpecSettings) -> float:
    """Return the seconds for a query that is immediate on a server that answers."""
    return min(_CONNECT, settings.step_timeout, _CONNECT if settings.limit is None else settings.limit)


def _existing_roles(ask: Ask, names: list[str]) -> list[Thing]:
    there = ask("SELECT rolname FROM pg_catalog.pg_roles") if names else []
    return [("role", name) for name in names if (name,) in there]
