"""The order of a run: setup, sessions, check, teardown always, leak checks; what it left is in its result."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from pgchaos import clock
from pgchaos.engine import history_tables, leaks
from pgchaos.engine.admin_connection import NAME, AdminConnection
from pgchaos.engine.amcheck import corruptions
from pgchaos.engine.changed_outside import changed_outside
from pgchaos.engine.check_section import Check
from pgchaos.engine.clean_database_proof import CleanDatabaseProof
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import FINDS_SESSIONS, ConnectionFactory
from pgchaos.engine.created import Created, Thing
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.leaked_settings import SETTINGS, left_settings, may_set
from pgchaos.engine.loop import alone
from pgchaos.engine.meeting_notes import meeting_notes
from pgchaos.engine.notices import NoticeCollector, session_settings
from pgchaos.engine.pooled_connection import LASTING
from pgchaos.engine.quiesce import await_end_of_others
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.section import Done, OnLine, Section
from pgchaos.engine.text_search import mentions
from pgchaos.language.header_model import Leave, applies
from pgchaos.language.model import Scenario
from pgchaos.language.model import Section as Part
from pgchaos.language.section_items import CHOICE, Item
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.wait_rules import in_force
from pgchaos.server import Sandbox
from pgchaos.server.databases import siblings
from pgchaos.stop import Stop
from pgchaos.tap import failure_of

if TYPE_CHECKING:
    from pgchaos.engine.table_catalog import Catalog
    from pgchaos.engine.transaction_log import TransactionLog
    from pgchaos.oracle.model import State


_RECORDED = re.compile(r"\b(?:history|transactions|acknowledged|notifications)\b", re.IGNORECASE)


_LEAST, _AFTER_TEARDOWN = 1.0, 1.0
"""Seconds for a teardown at least where a backend is silent, and for what comes after it."""


class DatabaseInspector(Protocol):
    """Looks at the database before and after setup."""

    def before(self, connection: Connection) -> None:
        """Look at it as it is before."""
        ...

    def after(self, connection: Connection) -> None:
        """Look at what setup has made of it."""
        ...


class Run:
    """One run in the place that it was lent.

    Args:
        scenario: what to run.
        variables: the values of its matrix and choices.
        sandbox: the place.
        settings: how.
        result: takes all that it brings.
        order: of the steps; None to let the sessions go freely.
        ledger: takes what an oracle needs to know; None where there is none.
        inspector: looks at the database before and after setup.
    """

    def __init__(
        self,
        scenario: Scenario,
        variables: Mapping[str, str],
        sandbox: Sandbox,
        settings: RunSettings,
        result: RunResult,
        order: Scheduler | None,
        ledger: TransactionLog | None,
        inspector: DatabaseInspector | None,
    ) -> None:
        self._order, self._ledger, self._inspector = order, ledger, inspector
        self._scenario, self._sandbox, self._values = scenario, sandbox, variables
        self._variables = {name: value for name, value in variables.items() if not name.startswith(CHOICE)}
        self._settings, self._result = settings, result
        lasting, joins = mentions(scenario, LASTING), mentions(scenario, FINDS_SESSIONS)
        if sandbox.outside is not None and sandbox.outside.lasts:
            lasting = True
        self._suite = settings.suite
        self._created = None if sandbox.ours else self._suite.created if self._suite else Created()
        self._share = settings.share(scenario.timeout)
        created, share = self._created, self._share
        self._factory = ConnectionFactory(sandbox, keep=not lasting, join=joins, created=created, limit=share)
        self._notices = NoticeCollector(result)
        self._began = time.monotonic()
        self._cleanup_stop = Stop()
        # one bound method, to be found again when it is taken back
        self._set_cleanup_stop = self._cleanup_stop.set
        if settings.stop is not None:
            settings.stop.call(self._set_cleanup_stop)
        self._pids: set[int] = set()
        self._admin = AdminConnection(self._factory, self._cleanup_stop, self._pids, result.records)

    def go(self) -> None:
        """Make it; failures of the scenario are in the result, never raised."""
        try:
            if self._scenario.plain and self._sandbox.connection_cache is not None:
                self._prove_clean()
            else:
                self._all()
        except ConnectionLost as refused:
            self._fail(error_failure(refused.error, None, "before setup and after the sessions"))
        finally:
            self._result.silent = self._factory.silent
            self._admin.close()
            self._factory.close()
            if self._settings.stop is not None:
                # a search makes thousands of runs, and its stop outlives them all
                self._settings.stop.call_no_more(self._set_cleanup_stop)
            self._cleanup_stop.close()

    def _fail(self, failure: Failure | None) -> bool:
        if failure is not None:
            self._result.failures.append(failure)
        return failure is not None

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
            evaluated=lambda: self._result.evaluated,
        )

    def _all(self) -> None:
        if self._scenario.alone:
            await_end_of_others(self._admin.connection(), siblings(self._sandbox.database), self._cleanup_stop)
        alone = not self._sandbox.shared
        shared = self._rows(leaks.SHARED) if alone else []
        here = self._rows(leaks.LEFT) if self._sandbox.in_place else []
        settings = self._rows(SETTINGS) if alone and may_set(self._scenario) else None
        objects = self._rows(leaks.OBJECTS) if self._sandbox.in_place else []
        if self._ledger is not None:
            self._ledger.start, self._ledger.began = self._catalog().clock(), clock.now()
        if self._inspector is not None:
            self._inspector.before(self._admin.connection())
        setup = self._section("setup")
        if not alone:
            self._order_connections(setup)
        found: list[leaks.Leak] = []
        complete = False
        if self._scenario.checks and not self._scenario.plain:
            self._result.check = "skipped"
        try:
            if self._set_up(setup):
                if self._inspector is not None:
                    self._inspector.after(self._admin.connection())
                self._read_state_before_sessions()
                complete = self._play(found)
                self._look_for_corruption()
        finally:
            try:
                self._tear_down(setup)
            finally:
                self._take_assertions()
                if self._suite is not None:
                    # the next file may build on it
                    self._suite.took(self._scenario.source, shared)
                elif alone:
                    found += self._remove_leaks(shared, here)
                    if settings is not None:
                        found += self._leaked_settings(settings)
                else:
                    found += self._admin.ask(leaks.in_schema)
                    self._result.outside = self._admin.ask(
                        lambda connection: changed_outside(connection, self._scenario, self._sandbox)
                    )
        self._result.complete = complete
        if self._order is None and complete and not self._result.failures:
            self._result.remarks += meeting_notes(self._scenario, self._variables, self._result.records)
        if complete:
            if self._sandbox.in_place:
                new = self._admin.ask(lambda connection: leaks.objects(connection, objects))
                if self._scenario.plain:
                    self._result.notes += leaks.leak_notes(new, self._sandbox.database)
                else:
                    found += new
            elif alone:
                found += self._admin.ask(lambda connection: leaks.sessions(connection, self._pids))
        leaves = [w for w in self._scenario.leaves if applies(w.when, self._variables)]
        self._judge_leaks(found, leaves, complete=complete)

    def _rows(self, query: str) -> list[Thing]:
        return self._admin.ask(lambda connection: leaks.rows(connection, query))

    def _remove_leaks(self, before: Collection[Thing], here: Collection[Thing] = ()) -> list[leaks.Leak]:
        """Remove what is the scenario's, and note what had to be left."""
        whose = leaks.Whose(self._scenario.source, self._created, self._sandbox.in_place, before, here)
        found = self._admin.ask(lambda connection: leaks.in_database(connection, whose))
        found += self._admin.ask(lambda connection: leaks.shared(connection, whose))
        return found

    def _leaked_settings(self, before: Collection[Thing]) -> list[leaks.Leak]:
        ours = self._created is None
        return self._admin.ask(lambda connection: left_settings(connection, before, self._scenario, ours=ours))

    def _judge_leaks(self, found: list[leaks.Leak], leaves: Iterable[Leave], *, complete: bool) -> None:
        failures = leaks.judge(found, leaves) if complete else []
        self._result.failures += failures
        texts = {failure.text for failure in failures}
        self._result.notes += [text for text in leaks.left(found) if text not in texts]

    def _look_for_corruption(self) -> None:
        """Look before teardown, which takes away what there is to see; after a failure too: it may be the cause."""
        if not self._scenario.plain:
            asked = self._settings.amcheck
            failures, notes = corruptions(self._admin.connection(), self._scenario, self._sandbox, asked=asked)
            self._result.failures += failures
            self._result.notes += notes

    def _order_connections(self, setup: Section) -> None:
        """Have the connections of a shared database made ready side by side, in the order in which they are used."""
        if self._items(self._scenario.setup):
            setup.order()
        self._factory.order(NAME)
        for session, worker in actors(self._scenario.sessions):
            self._factory.order(f"{session}[{worker}]", session_settings(session, worker, self._settings.seed))
        if self._items(self._scenario.checks):
            self._section("check").order()

    def _prove_clean(self) -> None:
        """Run a plain file, on one connection, and look for leaks only where it is not proven that there are none."""
        check = self._check()
        proof = CleanDatabaseProof(self._factory, self._cleanup_stop, check.section.notice)
        check.section.adopt(proof.connection)
        unchanged = complete = False
        try:
            complete = self._run_check(check)
            unchanged = complete and proof.unchanged()
        finally:
            proof.end(unchanged)
            self._take_assertions()
            if not unchanged:
                self._judge_proof(proof, complete)

    def _run_check(self, check: Check) -> bool:
        try:
            return check.run()
        finally:
            self._result.add_check(check.result)

    def _judge_proof(self, proof: CleanDatabaseProof, complete: bool) -> None:
        found = self._remove_leaks(proof.shared)
        if complete:
            found += self._admin.ask(lambda connection: leaks.sessions(connection, self._pids))
        self._judge_leaks(found, (), complete=complete)

    def _set_up(self, setup: Section) -> bool:
        if self._fail(setup.run(self._items(self._scenario.setup), self._share)):
            return False
        if setup.in_block:
            # its work would be seen by nobody, and its locks would hold up everybody
            text = "setup left a transaction open: COMMIT is missing"
            return not self._fail(Failure("error", (), text, setup.place, session="setup"))
        return True

    def _items(self, parts: tuple[Part, ...]) -> list[Item]:
        return [item for part in parts for item in part.items if in_force(item, self._variables)]

    def _play(self, found: list[leaks.Leak]) -> bool:
        """Play the sessions and check; say whether all of it was done."""
        # files without sessions, and without an oracle, do not wait until these are loaded
        from pgchaos.engine.concurrent_run import ConcurrentRun

        show = ConcurrentRun(
            scenario=self._scenario,
            variables=self._variables,
            values=self._values,
            factory=self._factory,
            seed=self._settings.seed,
            notices=self._notices,
            pids=self._pids,
            result=self._result,
            cleanup_stop=self._cleanup_stop,
            connect=self._admin.connected,
            order=self._order,
            transaction_log=self._ledger,
        )
        check = self._check()
        try:
            if self._sandbox.shared:
                # others are about in this database anyway, so that the sessions may meet it
                check.begin()
            if self._scenario.sessions or self._scenario.invariants:
                show.play(self._share)
            alone(self._admin.settle())
            if self._ledger is not None:
                self._ledger.cut_short = show.stopped
            self._close_ledger()
            if show.stopped:
                return False
            show.take_notifications()
            done = self._fill() and (not check.items or self._run_check(check))
            found += show.open_transactions()
            found += self._admin.ask(lambda connection: leaks.advisory_locks(connection, show.pids()))
            return done
        finally:
            show.close()
            check.close()

    def _close_ledger(self) -> None:
        """Read what the sessions left behind, before a check can change it."""
        if self._ledger is None:
            return
        if self._sandbox.in_place and not self._scenario.state:
            text = "oracle: in place a `state` section must say what is compared: the tables there are not ours alone"
            self._ledger.failure = Failure("error", (), text)
            return
        elapsed = clock.now() - self._ledger.began
        read = self._catalog().read(self._ledger.start, elapsed, self._scenario.state)
        if isinstance(read, Failure):
            self._ledger.failure = read
        else:
            self._ledger.close(*read)
            self._note_changes(self._ledger)

    def _read_state_before_sessions(self) -> None:
        if self._ledger is not None and self._ledger.reads_state:
            self._ledger.before = self._whole_state()

    def _whole_state(self) -> tuple[State, State] | None:
        """Read what the oracle compares, and all tables; None where that cannot be read yet, or is not ours alone."""
        assert self._ledger is not None, "of a run with an oracle"
        if self._sandbox.in_place:
            return None
        start, elapsed, sections = self._ledger.start, clock.now() - self._ledger.began, self._scenario.state
        compared = self._catalog().read(start, elapsed, sections)
        tables = self._catalog().read(start, elapsed, ()) if sections else compared
        if isinstance(compared, Failure) or isinstance(tables, Failure):
            return None
        return compared[1], tables[1]

    def _note_changes(self, ledger: TransactionLog) -> None:
        """Note what the sessions have changed, where that was asked for."""
        from pgchaos.engine.transaction_log import Changed

        after = self._whole_state() if ledger.before is not None else None
        if ledger.before is not None and after is not None:
            compared, tables = (one != other for one, other in zip(ledger.before, after, strict=True))
            ledger.changed = Changed(compared, tables)

    def _catalog(self) -> Catalog:
        from pgchaos.engine.table_catalog import Catalog

        hurried = self._ledger is not None and self._ledger.cut_short
        return Catalog(self._admin.connection(), self._sandbox.schema, self._variables, hurried=hurried)

    def _take_assertions(self) -> None:
        for assertion in self._notices.assertions():
            self._result.assertions.append(assertion)
            self._fail(failure_of(assertion))

    def _fill(self) -> bool:
        # a plain file has no sessions, and mostly no toolkit either
        if not self._scenario.plain and mentions(self._scenario, _RECORDED):
            return not self._fail(history_tables.fill(self._admin.connection(), self._result))
        return True

    def _tear_down(self, setup: Section) -> None:
        setup.who = "teardown"
        setup.verify_before_use()
        seconds = self._share
        if self._factory.silent:
            # behind a backend that answers nothing it may wait in vain: the whole takes no more than twice the time
            elapsed = time.monotonic() - self._began
            seconds = min(seconds, max(_LEAST, 2 * self._share - elapsed - _AFTER_TEARDOWN))
        try:
            if setup.in_block:
                setup.ask("ROLLBACK", None, seconds)
            self._fail(setup.run(self._items(self._scenario.teardown), seconds))
        finally:
            setup.close()
