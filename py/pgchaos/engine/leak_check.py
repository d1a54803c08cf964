"""Finds and removes what a run leaves behind, by comparison with what was there before."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pgchaos.engine import leaks
from pgchaos.engine.admin_connection import AdminConnection
from pgchaos.engine.created import Created, Thing
from pgchaos.engine.database_objects import DatabaseObjects
from pgchaos.engine.leak_messages import judge
from pgchaos.engine.leaked_settings import left_settings, may_set, read_settings
from pgchaos.engine.leaks import Leak
from pgchaos.language.header_model import Leave
from pgchaos.language.model import Scenario
from pgchaos.results import Findings
from pgchaos.server import Sandbox


class LeakCheck:
    """The leak check of one run; `created` is None on a server of ours."""

    def __init__(
        self, scenario: Scenario, sandbox: Sandbox, admin: AdminConnection, created: Created | None, pids: set[int]
    ) -> None:
        self._scenario, self._sandbox, self._admin = scenario, sandbox, admin
        self._created, self._pids = created, pids
        self.shared: list[Thing] = []
        """What was there before, outside the database."""
        self._here: list[Thing] = []
        self._objects = DatabaseObjects(sandbox.objects)
        self._settings: list[Thing] | None = None
        self._found: list[Leak] = []
        self._notes: list[str] = []

    def begin(self) -> None:
        """Record what is there before the run."""
        if self._sandbox.shared:
            return
        queries = [leaks.SHARED, *([leaks.QUALIFIED_NAMES, leaks.LEFT] if self._sandbox.in_place else [])]
        found = self._admin.ask(lambda connection: leaks.rows_of_each(connection, *queries))
        self.shared, self._here = found[0], found[-1] if self._sandbox.in_place else []
        if may_set(self._scenario):
            self._settings = self._admin.ask(read_settings)
        if self._sandbox.in_place:
            self._admin.ask(self._objects.read)

    def add(self, found: Iterable[Leak]) -> None:
        """Add leaks found elsewhere."""
        self._found += found

    def find_locks(self, sessions: dict[int, str]) -> None:
        """Find the advisory locks that sessions still hold."""
        self._found += self._admin.ask(lambda connection: leaks.advisory_locks(connection, sessions))

    def find_in_schema(self) -> None:
        """Find what is left in the run's schema of a shared database."""
        self._found += self._admin.ask(leaks.in_schema)

    def remove(self, shared: Collection[Thing] | None = None) -> None:
        """Remove what the run created, and record what had to be left; `shared` was there before."""
        before = self.shared if shared is None else shared
        in_place, keeps = self._sandbox.in_place, self._scenario.plain and self._sandbox.in_place
        ownership = leaks.Ownership(self._scenario.source, self._created, in_place, before, self._here, keeps)
        if keeps:
            stays = self._admin.ask(lambda connection: leaks.on_server(connection, ownership))
            self._notes += leaks.leak_notes(stays, "on the server")
        self._found += self._admin.ask(lambda connection: leaks.remove_new(connection, ownership))
        if self._settings is not None:
            settings, ours = self._settings, self._created is None
            self._found += self._admin.ask(
                lambda connection: left_settings(connection, settings, self._scenario, ours=ours)
            )

    def find_objects(self) -> None:
        """Find the new objects in a user's database."""
        new = self._admin.ask(self._objects.new)
        if self._scenario.plain:
            self._notes += leaks.leak_notes(new, f"in database {self._sandbox.database}")
        else:
            self._found += new

    def find_sessions(self) -> None:
        """Find connections to the database that the run did not open itself."""
        self._found += self._admin.ask(lambda connection: leaks.sessions(connection, self._pids))

    def judge(self, leaves: Iterable[Leave], *, complete: bool) -> Findings:
        """Return the leaks as failures and notes.

        Args:
            leaves: what the scenario declares to leave behind.
            complete: the run was not stopped; otherwise leaks are only notes.
        """
        failures = judge(self._found, leaves, self._scenario) if complete else []
        texts = {failure.text for failure in failures}
        return Findings(failures, [*self._notes, *(text for text in leaks.left(self._found) if text not in texts)])
