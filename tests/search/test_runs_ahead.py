"""Runs that are made ahead, beside those of the search: it finds what it finds without them, in the same order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.schedule.scheduler import Replay
from pgchaos.search import runs_ahead, strategy
from pgchaos.search.run_factory import RunFactory
from pgchaos.server import Server, ServerError
from pgchaos.stop import Stop
from tests.often import often

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
_AHEAD = "pgchaos runs ahead"
_PASSES, _FAILS = "cmp_ok(v, '>', 0, 'added')", "is(v, 2, 'both were added')"


@dataclass
class Search:
    """What a search told, and which threads have made its runs."""

    runs: list[object] = field(default_factory=list)
    result: object = None
    remarks: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)


Searched = Callable[..., Search]


def _is_ahead() -> bool:
    """Say whether this is the thread that makes runs ahead."""
    return threading.current_thread().name == _AHEAD


def _told(result: RunResult) -> object:
    """Tell what a run brought, but for times."""
    order = [(one.session, one.worker, one.step, one.waited_on) for one in result.order]
    said = [(one.session, one.statement, one.tag, one.rows, tuple(one.notes)) for one in result.records]
    failed = [(one.kind, one.text, one.details) for one in result.failures]
    return order, said, failed, [(one.name, one.ok, one.count) for one in result.assertions], result.decisions


@pytest.fixture
def searched(private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searched:
    """Search a scenario with one or two runs at once."""

    def search(text: str, at_once: int, stop: Stop | None = None, each: Callable[[], None] = lambda: None) -> Search:
        path = tmp_path / "scenario.sql"
        path.write_text(text, encoding="utf-8")
        found = Search()
        make = RunFactory.make

        def noted(factory: RunFactory, order: object) -> RunResult:
            found.threads.append(threading.current_thread().name)
            return make(factory, order)  # type: ignore[arg-type]  # as it was called

        def ran(result: RunResult, _: int) -> None:
            found.runs.append(_told(result))
            each()

        with monkeypatch.context() as patch:
            patch.setattr(RunFactory, "make", noted)
            settings = RunSettings(1, 60.0, ran=ran, at_once=at_once, stop=stop)
            result = strategy.run(read(path, "scenario.sql"), {}, private_server, settings)
        found.result, found.remarks = (_told(result), result.permutations, result.explored), result.remarks
        return found

    return search


@pytest.mark.parametrize(
    ("schedule", "check"),
    [("all up to 40", _PASSES), ("all up to 30", _FAILS), ("explore 40", _PASSES), ("explore 60", _FAILS)],
)
def test_a_search_finds_the_same_in_the_same_order(searched: Searched, schedule: str, check: str) -> None:
    more = "SELECT v + 1 FROM t;\n"
    text = _ALL.format(schedule=schedule, check=check, a=more, b=more)
    alone, both = searched(text, 1), searched(text, 2)
    assert both.runs == alone.runs
    assert both.result == alone.result
    assert len(set(alone.threads)) == 1
    if check == _PASSES:
        assert _AHEAD in both.threads


@pytest.mark.timeout(120)
def test_many_orders_drawn_by_chance_are_run(searched: Searched) -> None:
    # one that was taken is freed, and another gets its address
    steps = "UPDATE t SET v = v + 1;\n" * 4
    text = _ALL.format(schedule=f"explore {often(150, 300)}", check=_PASSES, a=steps, b=steps)
    text = text.replace("-- chaos:check", f"-- chaos:session c\n{steps}-- chaos:check")
    assert len(searched(text, 2).runs) == often(150, 300)


def test_few_runs_are_made_one_after_the_other(searched: Searched) -> None:
    text = _ALL.format(schedule="all up to 10", check=_PASSES, a="", b="")
    assert len(set(searched(text, 2).threads)) == 1


def test_what_a_run_ahead_has_changed_elsewhere_is_found(searched: Searched) -> None:
    # only where both have read before either writes: late, and by then runs are made ahead
    grant = "EXECUTE format('GRANT CREATE ON ' || 'DATABASE %I TO PUBLIC', current_database());"
    text = _ALL.format(schedule="all", check=_PASSES, a="", b="SELECT :was = 0 AND v = 1 AS late FROM t \\gset\n")
    text = text.replace("-- chaos:check", f"\\if :late\nDO $$ BEGIN {grant} END $$;\n\\endif\n-- chaos:check")
    text = text.replace("-- chaos:schedule", "-- chaos:sandbox schema\n-- chaos:schedule")
    (remark,) = searched(text, 2).remarks
    assert "privileges of the database changed" in remark


def test_where_there_is_no_second_database_the_search_goes_on(
    searched: Searched, private_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    provided = private_server.search_database

    def refused(extensions: tuple[str, ...] = (), *, again: bool = False) -> object:
        if _is_ahead():
            raise ServerError("no room")
        return provided(extensions, again=again)

    text = _ALL.format(schedule="all", check=_PASSES, a="", b="SELECT 1;\n")
    alone = searched(text, 1)
    monkeypatch.setattr(private_server, "search_database", refused)
    assert searched(text, 2).runs == alone.runs


@pytest.mark.parametrize("told", [True, False])
def test_what_runs_ahead_changed_is_looked_at_also_after_one_that_failed(
    searched: Searched, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Where it cannot be, nobody knows what the search is worth."""
    make, check, checked = RunFactory.make, RunFactory.check_outside, []

    def failing(factory: RunFactory, order: Replay) -> RunResult:
        result = make(factory, order)
        if _is_ahead():
            raise ServerError("no room")
        return result

    def noted(factory: RunFactory) -> None:
        if _is_ahead():
            checked.append(factory)
            if not told:
                raise ServerError("no answer")
        check(factory)

    text = _ALL.format(schedule="all", check=_PASSES, a="", b="SELECT 1;\n")
    alone = searched(text, 1)
    monkeypatch.setattr(RunFactory, "make", failing)
    monkeypatch.setattr(RunFactory, "check_outside", noted)
    if told:
        assert searched(text, 2).runs == alone.runs
    else:
        with pytest.raises(ServerError, match="no answer"):
            searched(text, 2)
    assert len(checked) == 1


def test_a_bug_of_ours_in_the_other_thread_is_raised(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(runs_ahead, "ReusedSchema", broken)
    with pytest.raises(ZeroDivisionError):
        searched(_ALL.format(schedule="all", check=_PASSES, a="", b="SELECT 1;\n"), 2)


def test_a_stop_ends_both(searched: Searched) -> None:
    stop = Stop()
    left = 8

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            stop.set()

    try:
        text = _ALL.format(schedule="all", check=_PASSES, a="SELECT 1;\n", b="SELECT 1;\n")
        found = searched(text, 2, stop, count)
        assert len(found.runs) < 20
        assert _AHEAD not in {thread.name for thread in threading.enumerate()}
    finally:
        stop.close()
