"""Speculative runs: with them a search finds the same as without them, in the same order."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.posix.forked import Channel, Forked
from pgchaos.posix.processes import look_up
from pgchaos.results import RunResult
from pgchaos.runner.runner import processors, runs_at_once
from pgchaos.schedule.scheduler import Replay
from pgchaos.search import runs_in_child, strategy
from pgchaos.search.run_factory import RunFactory
from pgchaos.search.runs_in_child import _COLD, Ran, RunsInChild
from pgchaos.search.speculative_runs import AT_LEAST, SpeculativeRuns
from pgchaos.server import Sandbox, Server, ServerError
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.stop import Stop
from tests.often import often
from tests.waiting import until

_ALL = """\
-- Two add to one row
-- chaos:schedule {schedule}
-- chaos:setup
CREATE TABLE t (v int);
INSERT INTO t VALUES (0);
-- chaos:session a
SELECT v AS was FROM t \\gset
UPDATE t SET v = :was + 1;
{a}SELECT v FROM t;
-- chaos:session b
SELECT v AS was FROM t \\gset
UPDATE t SET v = :was + 1;
{b}SELECT v FROM t;
-- chaos:check
SELECT {check} FROM t;
"""
_APART = """\
-- Steps that touch different tables
-- chaos:schedule explore 60
-- chaos:setup
CREATE TABLE t (v int);
CREATE TABLE u (v int);
INSERT INTO t VALUES (0);
INSERT INTO u VALUES (0);
-- chaos:session a
UPDATE t SET v = v + 1;
UPDATE u SET v = v + 1;
SELECT v FROM t;
-- chaos:session b
UPDATE u SET v = v + 1;
UPDATE t SET v = v + 1;
SELECT v FROM u;
-- chaos:session c
SELECT v FROM t;
SELECT v FROM u;
-- chaos:check
SELECT is(v, 2, 'both have added') FROM t;
"""
_MORE = "SELECT v + 1 FROM t;\n"
_PASSES, _FAILS = "cmp_ok(v, '>', 0, 'added')", "is(v, 2, 'both were added')"
_SOME = _ALL.format(schedule="all up to 12", check=_PASSES, a=_MORE, b=_MORE)
_HERE = os.getpid()
_LIMIT = 60.0
_FEW = 4
"""Runs that are still to be made for a child to start, instead of AT_LEAST: the searches here are short."""


@dataclass
class Search:
    """What a search returned, and the children that made runs."""

    runs: list[object] = field(default_factory=list)
    result: object = None
    remarks: list[str] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    ahead: int = 0
    """Runs that a child has sent."""


Searched = Callable[..., Search]


def _is_child() -> bool:
    """Return whether this is the child."""
    return os.getpid() != _HERE


def _without_times(result: RunResult) -> object:
    """Return the parts of a result that do not depend on time."""
    order = [(one.session, one.worker, one.step, one.waited_on) for one in result.order]
    sent = [(one.session, one.statement, one.tag, one.rows, tuple(one.notes)) for one in result.records]
    failed = [(one.kind, one.text, one.details) for one in result.failures]
    return order, sent, failed, [(one.name, one.ok, one.count) for one in result.assertions], result.decisions


@pytest.fixture
def searched(private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searched:
    """Search a scenario with one or two runs at once."""

    def search(
        text: str,
        at_once: int,
        stop: Stop | None = None,
        each: Callable[[], None] = lambda: None,
        at_least: int = _FEW,
    ) -> Search:
        path = tmp_path / "scenario.sql"
        path.write_text(text, encoding="utf-8")
        found = Search()
        begin, take = SpeculativeRuns._begin, SpeculativeRuns._handle

        def ready(ahead: SpeculativeRuns) -> None:
            """Wait for the child, which is late on a busy machine."""
            begin(ahead)
            if ahead._child is None:
                assert ahead._opening is None or ahead._opening.over.wait(_LIMIT)
            elif ahead._child.pid not in found.children:
                found.children.append(ahead._child.pid)
                while not (ahead._ready or ahead._over):
                    ahead._receive(_LIMIT)

        def counted(ahead: SpeculativeRuns, message: object) -> None:
            found.ahead += isinstance(message, Ran)
            take(ahead, message)

        def ran(result: RunResult, _: int) -> None:
            found.runs.append(_without_times(result))
            each()

        with monkeypatch.context() as patch:
            patch.setattr(SpeculativeRuns, "_begin", ready)
            patch.setattr(SpeculativeRuns, "_handle", counted)
            patch.setattr("pgchaos.search.speculative_runs.AT_LEAST", at_least)
            settings = RunSettings(1, 60.0, ran=ran, at_once=at_once, stop=stop)
            try:
                result = strategy.run(read(path, "scenario.sql"), {}, private_server, settings)
            finally:
                assert not any(map(look_up, found.children)), "they have ended with the search"
        found.result, found.remarks = (_without_times(result), result.permutations, result.explored), result.remarks
        return found

    return search


@pytest.fixture(scope="module")
def alone(private_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """What the search of `_SOME` returns without a child."""
    path = tmp_path_factory.mktemp("alone") / "scenario.sql"
    path.write_text(_SOME, encoding="utf-8")
    found = Search()
    settings = RunSettings(1, 60.0, ran=lambda result, _: found.runs.append(_without_times(result)))
    result = strategy.run(read(path, "scenario.sql"), {}, private_server, settings)
    found.result = _without_times(result), result.permutations, result.explored
    return found


@pytest.mark.parametrize(
    ("schedule", "check"),
    [("all up to 16", _PASSES), ("all up to 16", _FAILS), ("explore 16", _PASSES), ("explore 30", _FAILS)],
)
def test_a_search_finds_the_same_in_the_same_order(searched: Searched, schedule: str, check: str) -> None:
    text = _ALL.format(schedule=schedule, check=check, a=_MORE, b=_MORE)
    alone, both = searched(text, 1), searched(text, 2)
    assert both.runs == alone.runs
    assert both.result == alone.result
    assert both.remarks == alone.remarks
    assert not alone.children
    assert both.ahead or check == _FAILS


def test_the_child_leaves_out_the_same_orders(searched: Searched) -> None:
    alone, both = searched(_APART, 1), searched(_APART, 2)
    assert both.runs == alone.runs
    assert both.result == alone.result
    assert both.ahead


def test_runs_that_each_need_a_new_schema_are_made_ahead_too(searched: Searched) -> None:
    text = _ALL.format(schedule="all up to 16", check=_PASSES, a="CREATE TABLE made ();\n", b=_MORE)
    alone, both = searched(text, 1), searched(text, 2)
    assert both.runs == alone.runs
    assert both.ahead > 3, "it needs more schemas than it starts with"


def test_a_fault_is_delivered_in_runs_ahead_too(searched: Searched) -> None:
    text = _ALL.format(schedule="all up to 12", check=_PASSES, a="-- chaos:fault cancel\nSELECT 1;\n", b=_MORE)
    alone, both = searched(text, 1), searched(text, 2)
    assert both.runs == alone.runs
    assert both.ahead


@pytest.mark.timeout(120)
def test_many_orders_drawn_by_chance_are_run(searched: Searched) -> None:
    # an order that was used is freed, and another one gets its address
    steps = "UPDATE t SET v = v + 1;\n" * 4
    text = _ALL.format(schedule=f"explore {often(150, 300)}", check=_PASSES, a=steps, b=steps)
    text = text.replace("-- chaos:check", f"-- chaos:session c\n{steps}-- chaos:check")
    assert len(searched(text, 2).runs) == often(150, 300)


def test_few_runs_are_made_one_after_the_other(searched: Searched) -> None:
    assert not searched(_SOME, 2, at_least=AT_LEAST).children


def test_runs_are_made_ahead_only_where_nobody_else_works(
    private_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    assert runs_at_once(private_server, parallel=False) == min(2, processors())
    assert runs_at_once(private_server, parallel=True) == 1
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert runs_at_once(private_server, parallel=False) == 1


def test_what_a_run_ahead_has_changed_elsewhere_is_found(searched: Searched) -> None:
    # only if b reads before a writes: that is after several runs, when the child makes runs too
    grant = "EXECUTE format('GRANT CREATE ON ' || 'DATABASE %I TO PUBLIC', current_database());"
    text = _ALL.format(
        schedule="all up to 12", check=_PASSES, a="", b="SELECT :was = 0 AND v = 1 AS late FROM t \\gset\n"
    )
    text = text.replace("-- chaos:check", f"\\if :late\nDO $$ BEGIN {grant} END $$;\n\\endif\n-- chaos:check")
    text = text.replace("-- chaos:schedule", "-- chaos:sandbox schema\n-- chaos:schedule")
    (remark,) = searched(text, 2).remarks
    assert "privileges of the database changed" in remark


def test_where_there_is_no_second_database_the_search_continues(
    searched: Searched, private_server: Server, monkeypatch: pytest.MonkeyPatch, alone: Search
) -> None:
    provided, asked = private_server.search_database, []

    def refused(extensions: tuple[str, ...] = (), *, reuse: bool = False) -> object:
        asked.append(extensions)
        if len(asked) > 1:
            raise ServerError("no room")
        return provided(extensions, reuse=reuse)

    monkeypatch.setattr(private_server, "search_database", refused)
    both = searched(_SOME, 2)
    assert both.runs == alone.runs
    assert len(asked) == 2
    assert not both.children


def test_where_there_is_no_second_process_the_search_continues(
    searched: Searched, monkeypatch: pytest.MonkeyPatch, alone: Search
) -> None:
    def refused() -> int:
        raise BlockingIOError("no process is available")

    monkeypatch.setattr(os, "fork", refused)
    both = searched(_SOME, 2)
    assert both.runs == alone.runs
    assert not both.remarks


@pytest.mark.parametrize("answers", [True, False])
def test_what_runs_ahead_changed_is_checked_even_after_a_failed_run(
    searched: Searched, monkeypatch: pytest.MonkeyPatch, answers: bool, tmp_path: Path, alone: Search
) -> None:
    """If it cannot be checked, the result of the search is not valid."""
    make, check, checked = RunFactory.make, RunFactory.check_outside, tmp_path / "checked"

    def failing(factory: RunFactory, order: Replay) -> RunResult:
        result = make(factory, order)
        if _is_child():
            raise ServerError("no room")
        return result

    def noted(factory: RunFactory) -> None:
        if _is_child():
            with checked.open("a") as file:
                file.write("x")
            if not answers:
                raise ServerError("no answer")
        check(factory)

    monkeypatch.setattr(RunFactory, "make", failing)
    monkeypatch.setattr(RunFactory, "check_outside", noted)
    if answers:
        assert searched(_SOME, 2).runs == alone.runs
    else:
        with pytest.raises(ServerError, match="no answer"):
            searched(_SOME, 2)
    assert checked.read_text() == "x"


def test_a_bug_of_ours_in_the_child_is_raised(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(runs_in_child, "ReusedSchema", broken)
    with pytest.raises(RuntimeError, match=r"(?s)internal error of pgchaos.*ZeroDivisionError"):
        searched(_SOME, 2)


@pytest.mark.parametrize(
    ("after", "by", "how"),
    [
        (1, signal.SIGKILL, "signal 9"),
        (_COLD + 3, signal.SIGKILL, "signal 9"),
        (_COLD + 1, signal.SIGSTOP, "a signal had stopped it, so it was killed"),
    ],
)
def test_the_runs_of_a_child_that_was_killed_are_made_again(
    searched: Searched,
    private_server: Server,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    by: signal.Signals,
    how: str,
    alone: Search,
) -> None:
    """The result has a remark, and what the child has changed is checked."""
    make, provider, looked = RunFactory.make, private_server._sandboxes, []
    look, left = provider._catalog_changes, after

    def killed(factory: RunFactory, order: Replay) -> RunResult:
        nonlocal left
        if _is_child():
            left -= 1
            if not left:
                os.kill(os.getpid(), by)
        return make(factory, order)

    def noted(outside: object, shared: object) -> list[str]:
        looked.append(shared)
        return look(outside, shared)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(RunFactory, "make", killed)
    monkeypatch.setattr(provider, "_catalog_changes", noted)
    both = searched(_SOME, 2)
    assert both.runs == alone.runs
    assert both.result == alone.result
    (remark,) = both.remarks
    assert f"a process that made runs of this search ended before its time ({how})" in remark
    assert looked


def test_what_a_killed_child_has_changed_elsewhere_is_found(
    searched: Searched, private_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, left = RunFactory.make, _COLD + 1

    def killed(factory: RunFactory, order: Replay) -> RunResult:
        nonlocal left
        if _is_child():
            left -= 1
            if not left:
                assert factory.reused is not None
                assert factory.reused._sandbox is not None
                database = factory.reused._sandbox.database
                with private_server.connect(database) as conn:
                    conn.execute(f"GRANT CREATE ON DATABASE {database} TO PUBLIC".encode())
                os.kill(os.getpid(), signal.SIGKILL)
        return make(factory, order)

    monkeypatch.setattr(RunFactory, "make", killed)
    assert any("privileges of the database changed" in one for one in searched(_SOME, 2).remarks)


def test_a_stop_ends_both(searched: Searched) -> None:
    stop, left = Stop(), 5

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            stop.set()

    try:
        found = searched(_SOME, 2, stop, count)
        assert len(found.runs) < 10
        assert found.children
    finally:
        stop.close()


def test_ctrl_c_ends_both(searched: Searched) -> None:
    """The fixture checks that the child has ended."""
    left = 5

    def interrupt() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searched(_SOME, 2, None, interrupt)


def test_a_child_that_does_not_end_is_killed(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture checks that it has ended."""
    make, made = RunFactory.make, Counter[int]()

    def stopped(factory: RunFactory, order: Replay) -> RunResult:
        made[os.getpid()] += 1
        if made[os.getpid()] == _COLD + 1:
            if not _is_child():
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGSTOP)
        return make(factory, order)

    monkeypatch.setattr(RunFactory, "make", stopped)
    monkeypatch.setattr("pgchaos.search.speculative_runs._TO_STOP", 0.1)
    with pytest.raises(KeyboardInterrupt):
        searched(_SOME, 2)


def test_the_end_of_the_parent_ends_the_child_within_a_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: RunsInChild) -> None:
        threading.Event().wait()

    sandbox = Sandbox("", "", schema="s", connection_cache=ConnectionCache(""))

    def work(channel: Channel) -> None:
        RunsInChild(None, None, [sandbox], channel).work()  # type: ignore[arg-type]  # nothing is asked of them

    def parent(channel: Channel) -> None:
        channel.send(Forked(work).pid)
        channel.receive()

    monkeypatch.setattr(RunsInChild, "_make_runs", endless)
    one = Forked(parent)
    pid = one.channel.receive()
    assert isinstance(pid, int)
    assert look_up(pid) is not None
    one.kill()
    one.wait()
    until(lambda: look_up(pid) is None, "the child of the killed process has ended")
