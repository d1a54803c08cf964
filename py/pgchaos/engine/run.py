"""One run: setup, sessions, check, teardown in any case, leak checks; each part returns its findings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from pgchaos.engine import history_tables
from pgchaos.engine.admin_connection import NAME, AdminConnection
from pgchaos.engine.amcheck import corruptions
from pgchaos.engine.changed_outside import changed_outside
from pgchaos.engine.check_section import Check
from pgchaos.engine.clean_database_proof import CleanDatabaseProof
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import FINDS_SESSIONS, ConnectionFactory
from pgchaos.engine.created import Created
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.leak_check import LeakCheck
from pgchaos.engine.loop import run_sync
from pgchaos.engine.notices import NoticeCollector, session_settings
from pgchaos.engine.pooled_connection import LASTING
from pgchaos.engine.quiesce import await_end_of_others
from pgchaos.engine.race_notes import race_notes
from pgchaos.engine.reuse_in_run import ReuseInRun
from pgchaos.engine.run_parts import RunParts
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.section import Done, OnLine, Section
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.text_search import mentions
from pgchaos.language.header_model import applies
from pgchaos.language.model import Scenario
from pgchaos.language.model import Section as Part
from pgchaos.language.section_items import CHOICE, Item, Statement
from pgchaos.results import CheckResult, Failure, Findings
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.wait_rules import in_force
from pgchaos.server import Sandbox
from pgchaos.server.databases import siblings
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.oracle_states import OracleStates
    from pgchaos.engine.transaction_log import TransactionLog


_LEAST, _AFTER_TEARDOWN = 1.0, 1.0
"""Seconds that a teardown always has, even if a backend is silent, and seconds for what follows it."""


class DatabaseInspector(Protocol):
    """Inspects the database before and after setup."""

    def before(self, connection: Connection) -> None:
        """Inspect it before setup."""
        ...

    def after(self, connection: Connection) -> None:
        """Inspect what setup has created."""
        ...


class Run:
    """One run in a sandbox. `run_once` makes it, and documents the arguments."""

    def __init__(
        self,
        scenario: Scenario,
        variables: Mapping[str, str],
        sandbox: Sandbox,
        settings: RunSettings,
        started_at: float,
        order: Scheduler | None,
        transaction_log: TransactionLog | None,
        inspector: DatabaseInspector | None,
    ) -> None:
        self._order, self._transaction_log, self._inspector = order, transaction_log, inspector
        self._scenario, self._sandbox, self._values = scenario, sandbox, variables
        self._variables = {name: value for name, value in variables.items() if not name.startswith(CHOICE)}
        self._settings, self._started_at = settings, started_at
        lasting, joins = mentions(scenario, LASTING), mentions(scenario, FINDS_SESSIONS)
        if sandbox.outside is not None and sandbox.outside.keeps_session_state:
            lasting = True
        self._suite = settings.suite
        # in a shared database `created` is not needed to remove objects
        needless = sandbox.ours or sandbox.shared
        created = None if needless else self._suite.created if self._suite else Created()
        self._share = share = settings.share(scenario.timeout)
        self._notices, self._log = NoticeCollector(), SessionLog(keeps_rows=settings.for_files)
        self._reuse = ReuseInRun(sandbox, self._notices)
        kept = self._reuse.connections
        self._factory = ConnectionFactory(sandbox, not lasting, joins, created, share, kept)
        self._parts = RunParts(self._notices)
        self._began = time.monotonic()
        self._cleanup_stop = Stop()
        # one bound method: removing the callback needs the same object
        self._set_cleanup_stop = self._cleanup_stop.set
        if settings.stop is not None:
            settings.stop.add_callback(self._set_cleanup_stop)
        self._pids: set[int] = set()
        common = self._factory, self._cleanup_stop, self._pids, self._log.records
        self._admin = AdminConnection(*common, self._reuse.admin(self._cleanup_stop))
        self._leaks = LeakCheck(scenario, sandbox, self._admin, created, self._pids)
        self._states = self._oracle_states(transaction_log) if transaction_log is not None else None

    def _oracle_states(self, transaction_log: TransactionLog) -> OracleStates:
        # imported here: files without an oracle do not need it
        from pgchaos.engine.oracle_states import OracleStates

        return OracleStates(transaction_log, self._scenario, self._sandbox, self._variables, self._admin)

    def execute(self) -> RunParts:
        """Execute it; failures of the scenario are returned, never raised."""
        try:
            if self._scenario.plain and self._sandbox.connection_cache is not None:
                self._prove_clean()
            else:
                self._run_all()
        except ConnectionLost as refused:
            self._parts.lost = error_failure(refused.error, None, "before setup and after the sessions")
        finally:
            self._parts.silent = self._factory.silent
            self._admin.close()
            self._factory.close()
            if self._settings.stop is not None:
                # the stop of a search outlives its thousands of runs
                self._settings.stop.remove_callback(self._set_cleanup_stop)
            self._cleanup_stop.close()
        return self._parts

    def _section(self, who: str, on_line: OnLine | None = None, done: Done | None = None) -> Section:
        seed, plain = self._settings.seed, self._scenario.plain
        common = self._factory, who, self._cleanup_stop, self._notices, self._pids, self._variables, seed
        return Section(*common, on_line, done, plain=plain)

    def _check(self) -> Check:
        return Check(
            lambda on_line, done: self._section("check", on_line, done),
            self._scenario,
            self._items(self._scenario.checks),
            share=self._share,
            evaluated=lambda: self._notices.evaluated | self._log.evaluated,
        )

    def _run_all(self) -> None:
        if self._scenario.alone:
            await_end_of_others(self._admin.connection(), siblings(self._sandbox.database), self._cleanup_stop)
        self._leaks.begin()
        if self._states is not None:
            self._states.begin()
        if self._inspector is not None and not self._reuse.is_set_up:
            self._inspector.before(self._admin.connection())
        setup = self._section("setup")
        if self._sandbox.shared and not self._reuse.is_set_up:
            self._configure_connections_ahead(setup)
        if self._scenario.checks and not self._scenario.plain:
            self._parts.check = CheckResult(state="skipped")
        complete = False
        try:
            complete = self._run_until_teardown(setup)
        finally:
            try:
                self._tear_down(setup)
            finally:
                self._parts.assertions = self._notices.assertions()
                self._find_leaks(complete=complete)
        self._parts.complete = complete
        if self._order is None and complete and not any(self._parts.failures()):
            self._parts.remarks += race_notes(self._scenario, self._variables, self._log.records)
        if complete and self._sandbox.in_place:
            self._leaks.find_objects()
        elif complete and not self._sandbox.shared:
            self._leaks.find_sessions()
        leaves = [w for w in self._scenario.leaves if applies(w.when, self._variables)]
        self._parts.leaks = self._leaks.judge(leaves, complete=complete)

    def _run_until_teardown(self, setup: Section) -> bool:
        """Run what precedes teardown; return whether it ran to its end."""
        self._parts.setup = self._set_up(setup) if not self._reuse.is_set_up else None
        if self._parts.setup is not None:
            return False
        if self._inspector is not None and not self._reuse.is_set_up:
            self._inspector.after(self._admin.connection())
        if self._states is not None:
            self._states.read_before_sessions()
        complete = self._run_alone() if self._scenario.plain else self._run_sessions(setup)
        self._parts.corruption = self._find_corruption()
        return complete

    def _find_leaks(self, *, complete: bool) -> None:
        if self._suite is not None:
            # the next file may build on it
            self._suite.add_file(self._scenario.source, self._leaks.shared)
        elif not self._sandbox.shared:
            self._leaks.remove()
        elif not self._reuse.keep(self._admin, self._pids, complete=complete):
            self._leaks.find_in_schema()
            self._parts.outside = self._admin.ask(
                lambda connection: changed_outside(connection, self._scenario, self._sandbox)
            )

    def _find_corruption(self) -> Findings:
        """Check before teardown, which drops the tables; after a failure too, as corruption may be its cause."""
        if self._scenario.plain:
            return Findings()
        asked = self._settings.amcheck
        return Findings(*corruptions(self._admin.connection(), self._scenario, self._sandbox, asked=asked))

    def _configure_connections_ahead(self, setup: Section) -> None:
        """Start to configure the connections of a shared database, in the order of their use."""
        if self._items(self._scenario.setup):
            setup.configure_ahead()
        self._factory.configure_ahead(NAME)
        for session, worker in actors(self._scenario.sessions):
            self._factory.configure_ahead(
                f"{session}[{worker}]", session_settings(session, worker, self._settings.seed)
            )
        if self._items(self._scenario.checks):
            self._section("check").configure_ahead()

    def _prove_clean(self) -> None:
        """Run a plain file on one connection; look for leaks unless it is proven that there are none."""
        check = self._check()
        proof = CleanDatabaseProof(self._factory, self._cleanup_stop, check.section.notice)
        check.section.adopt(proof.connection)
        unchanged = complete = False
        try:
            complete = self._run_check(check)
            unchanged = complete and proof.unchanged()
        finally:
            proof.end(unchanged)
            self._parts.assertions = self._notices.assertions()
            if not unchanged:
                self._leaks.remove(proof.shared)
                if complete:
                    self._leaks.find_sessions()
                self._parts.leaks = self._leaks.judge((), complete=complete)

    def _run_alone(self) -> bool:
        """Run the statements of a plain file, which has no sessions; return whether they ran to their end."""
        check = self._check()
        try:
            return not check.items or self._run_check(check)
        finally:
            check.close()

    def _run_check(self, check: Check) -> bool:
        try:
            return check.run()
        finally:
            self._parts.check = check.result

    def _set_up(self, setup: Section) -> Failure | None:
        failure = self._run_section(setup, self._items(self._scenario.setup), self._share)
        if failure is None and self._settings.python.setup is not None:
            failure = self._settings.python.setup(self._sandbox.conninfo)
        if failure is None and setup.in_block:
            # no session would see its changes, and its locks would block them
            text = "setup left a transaction open: COMMIT is missing"
            return Failure("error", (), text, setup.place, session="setup")
        return failure

    def _run_section(self, section: Section, items: list[Item], seconds: float) -> Failure | None:
        failure = section.run(items, seconds)
        if failure is None and section.did_nothing and any(isinstance(item, Statement) for item in items):
            text = f"{section.who} sent no statement: all are in \\if branches that were not taken, or below a \\quit"
            self._parts.remarks.append(f"{items[0].place}: {text}")
        return failure

    def _items(self, parts: tuple[Part, ...]) -> list[Item]:
        return [item for part in parts for item in part.items if in_force(item, self._variables)]

    def _run_sessions(self, setup: Section) -> bool:
        """Run the sessions and the check; return whether both ran to their end."""
        # imported here: files without sessions do not need it
        from pgchaos.engine.concurrent_run import ConcurrentRun

        sessions = ConcurrentRun(
            scenario=self._scenario,
            variables=self._variables,
            values=self._values,
            factory=self._factory,
            seed=self._settings.seed,
            notices=self._notices,
            pids=self._pids,
            log=self._log,
            started_at=self._started_at,
            cleanup_stop=self._cleanup_stop,
            connect=self._admin.connected,
            order=self._order,
            transaction_log=self._transaction_log,
        )
        check = self._check()
        try:
            if self._sandbox.shared:
                # only in a shared database, where sessions may see connections of others anyway
                check.begin()
                self._reuse.learn(setup, check, self._admin)
            if self._scenario.sessions or self._scenario.invariants:
                sessions.run(self._share)
            run_sync(self._admin.wait_for_crash())
            if self._states is not None:
                self._states.read_after_sessions(cut_short=sessions.stopped)
            if sessions.stopped:
                return False
            sessions.take_notifications()
            self._parts.history = self._fill_history()
            done = self._parts.history is None and (not check.items or self._run_check(check))
            if done and self._settings.python.check is not None:
                failure = self._settings.python.check(self._sandbox.conninfo)
                self._parts.check.failures += [failure] if failure is not None else []
            self._leaks.add(sessions.open_transactions())
            if not self._reuse.no_locks:
                self._leaks.find_locks(sessions.pids())
            return done
        finally:
            sessions.close()
            check.close()
            self._parts.sessions = sessions.result()

    def _fill_history(self) -> Failure | None:
        # it is unknown what a check in Python reads
        if self._settings.python.check is None and not mentions(self._scenario, history_tables.RECORDED):
            return None
        return history_tables.fill(self._admin.connection(), self._log)

    def _tear_down(self, setup: Section) -> None:
        setup.who = "teardown"
        setup.verify_before_use()
        seconds = self._share
        if self._factory.silent:
            # it may wait for a silent backend in vain: limit the whole run to twice its time
            elapsed = time.monotonic() - self._began
            seconds = min(seconds, max(_LEAST, 2 * self._share - elapsed - _AFTER_TEARDOWN))
        try:
            if setup.in_block:
                setup.ask("ROLLBACK", None, seconds)
            self._parts.teardown = self._run_section(setup, self._items(self._scenario.teardown), seconds)
        finally:
            setup.close()
