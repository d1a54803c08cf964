"""What one run does to let its search keep its schema, and what it can skip."""

from __future__ import annotations

from collections.abc import Collection

from pgchaos.engine.admin_connection import AdminConnection
from pgchaos.engine.check_section import Check
from pgchaos.engine.connection import Connection
from pgchaos.engine.kept_connections import KeptConnections
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.pooled_connection import IS_PRISTINE
from pgchaos.engine.reused_schema import ReusedSandbox
from pgchaos.engine.row_reset import is_true
from pgchaos.engine.section import Section
from pgchaos.server import Sandbox
from pgchaos.stop import Stop

_HOLDS_NOTHING = f"""
    SELECT ({IS_PRISTINE}) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'advisory')
"""


class ReuseInRun:
    """The interface of a run to the schema that its search may keep.

    Args:
        sandbox: of the run.
        notices: of the run.
    """

    def __init__(self, sandbox: Sandbox, notices: NoticeCollector) -> None:
        self._sandbox, self._notices = sandbox, notices
        self._schema = sandbox.reuse if isinstance(sandbox, ReusedSandbox) else None
        self.is_set_up = isinstance(sandbox, ReusedSandbox) and sandbox.is_set_up
        """The schema is as setup left it: neither setup nor its inspection is needed."""

    @property
    def connections(self) -> KeptConnections | None:
        """The connections that are kept with the schema."""
        return self._schema.connections if self._schema is not None else None

    def admin(self, stop: Stop) -> Connection | None:
        """Return the admin connection of the last run, if it is kept."""
        return self._schema.admin(stop) if self._schema is not None else None

    def learn(self, setup: Section, check: Check, admin: AdminConnection) -> None:
        """Record what setup has left, before a session begins, so that it can be restored after the run.

        Args:
            setup: that has run.
            check: that will run; pgTAP's tables of its session are kept too.
            admin: of the run.
        """
        if self._schema is None or self.is_set_up:
            return
        if self._notices.output or self._notices.evaluated or not _holds_nothing(setup.connection):
            # each run must repeat this output, or hold these locks
            self._schema.give_up()
            return
        check.learn_plan()
        self._schema.learn(admin.connection(), self._sandbox.schema)

    @property
    def no_locks(self) -> bool:
        """No session can hold an advisory lock."""
        return self.connections is not None and self.connections.no_locks

    def keep(self, admin: AdminConnection, backends: Collection[int], *, complete: bool) -> bool:
        """Keep the schema for the next run, if possible; see `ReusedSchema.end`."""
        if self._schema is None or not self._schema.end(admin.current, backends, complete=complete):
            return False
        admin.release()
        return True


def _holds_nothing(connection: Connection | None) -> bool:
    """Whether setup's session holds no locks or other state, and has sent its counters."""
    return connection is None or is_true(connection, _HOLDS_NOTHING)
