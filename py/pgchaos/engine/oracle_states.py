"""Reads the contents of the tables before and after the sessions of a run, for an oracle."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos import clock
from pgchaos.engine.admin_connection import AdminConnection
from pgchaos.engine.table_catalog import Catalog
from pgchaos.engine.transaction_log import Changed, TransactionLog
from pgchaos.language.model import Scenario
from pgchaos.oracle.model import State
from pgchaos.results import Failure
from pgchaos.server import Sandbox


class OracleStates:
    """Adds the states of one run to its transaction log."""

    def __init__(
        self,
        log: TransactionLog,
        scenario: Scenario,
        sandbox: Sandbox,
        variables: Mapping[str, str],
        admin: AdminConnection,
    ) -> None:
        self._log, self._sections, self._sandbox = log, scenario.state, sandbox
        self._variables, self._admin = variables, admin

    def begin(self) -> None:
        """Record when the run begins, by the server's clock and ours."""
        self._log.server_start, self._log.start = self._catalog().clock(), clock.now()

    def read_before_sessions(self) -> None:
        """Read the state before the sessions, if the log needs it."""
        if self._log.reads_state:
            self._log.before = self._whole_state()

    def read_after_sessions(self, *, cut_short: bool) -> None:
        """Read the state after the sessions, before the check can change it; `cut_short`: they were stopped."""
        log = self._log
        log.cut_short = cut_short
        if self._sandbox.in_place and not self._sections:
            text = "oracle: in place a `state` section must say what is compared: the tables there are not ours alone"
            log.failure = Failure("error", (), text)
            return
        read = self._catalog().read(log.server_start, clock.now() - log.start, self._sections)
        if isinstance(read, Failure):
            log.failure = read
            return
        log.close(*read)
        after = self._whole_state() if log.before is not None else None
        if log.before is not None and after is not None:
            compared, tables = (one != other for one, other in zip(log.before, after, strict=True))
            log.changed = Changed(compared, tables)

    def _whole_state(self) -> tuple[State, State] | None:
        """Read what the oracle compares, and all tables; None if that fails, or the tables are not ours alone."""
        if self._sandbox.in_place:
            return None
        start, elapsed = self._log.server_start, clock.now() - self._log.start
        compared = self._catalog().read(start, elapsed, self._sections)
        tables = self._catalog().read(start, elapsed, ()) if self._sections else compared
        if isinstance(compared, Failure) or isinstance(tables, Failure):
            return None
        return compared[1], tables[1]

    def _catalog(self) -> Catalog:
        short_timeout = self._log.cut_short
        return Catalog(self._admin.connection(), self._sandbox.schema, self._variables, short_timeout=short_timeout)
