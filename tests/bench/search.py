"""Schedules: how many a second, how soon a lock wait is known, and how soon a planted race is found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server.server import Server
from pgchaos.verdict import is_found
from tests.bench.measure import Line, alone, compared, seconds, shown
from tests.bench.peers import connections, execute
from tests.bench.work import own_server, workplace

RACES = Path(__file__).parents[1] / "search/races"
SEEDS = 20
_SCHEDULES = 60
_WAITING = 20
_HEAD = "-- Steps\n-- chaos:schedule all up to {limit}\n{more}-- chaos:setup\nCREATE TABLE t (id int, v int);\n{extra}"
_CHECK = "-- chaos:check\nSELECT pass('checked');\n"
_ROWS = "CREATE TABLE t (id int PRIMARY KEY, v int);\nINSERT INTO t VALUES (1, 0), (2, 0);\n"
_COUNT = "SELECT is(count(*), 2::bigint, 'both are there') FROM t"
_ORDERS = 70
"""All orders of two sessions of four steps."""
_MADE = {1: "runs one after the other", 2: "two runs side by side"}
_WAITS = """-- One waits for the other
-- chaos:schedule a.1 b.1 a.2
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 0);
-- chaos:session a
BEGIN \\; UPDATE t SET v = 1 WHERE id = 1;
COMMIT;
-- chaos:session b
UPDATE t SET v = 2 WHERE id = 1;
-- chaos:check
SELECT is(v, 2, 'b came last') FROM t;
"""


def lines(folder: Path) -> Iterator[Line]:
    """Measure schedules of a scenario, and the search for what is planted."""
    with workplace(folder, "search") as place, own_server() as server:
        yield _against_statements(server, place, 2)
        yield _against_statements(server, place, 1)
        schema = "-- chaos:sandbox schema\n"
        yield _rate(server, place, "in a database of its own", jobs=1)
        yield _rate(server, place, "in a database of its own", jobs=2)
        yield _rate(server, place, "in a schema", jobs=1, more=schema)
        yield _rate(server, place, "in a schema", jobs=2, more=schema)
        yield _rate(server, place, "in a new database each", jobs=2, extra="CREATE SCHEMA other;\n", aim=None)
        for sessions, steps in ((2, 8), (2, 16), (4, 4), (8, 4)):
            yield _growth(server, place, sessions, steps)
        what = "a lock wait under a schedule: step to step"
        yield alone(what, lambda: _detection(server, place), "ms", under=2, server=server, each=_WAITING)
        for path in sorted(RACES.glob("*.sql")):
            yield _race(server, path)


def _scenario(place: Path, text: str) -> Scenario:
    path = place / "steps.sql"
    path.write_text(text, encoding="utf-8")
    return read(path, "steps.sql")


def _steps(place: Path, sessions: int, steps: int, more: str = "", extra: str = "") -> Scenario:
    one = "".join(f"UPDATE t SET v = {number} WHERE id = 0;\n" for number in range(steps))
    body = "".join(f"-- chaos:session s{number}\n{one}" for number in range(sessions))
    return _scenario(place, _HEAD.format(limit=_SCHEDULES, more=more, extra=extra) + body + _CHECK)


def _schedules(server: Server, scenario: Scenario, at_once: int = 1) -> int:
    result = run(scenario, {}, server, RunSettings(1, at_once=at_once))
    if result.failures or result.permutations is None:
        raise RuntimeError(f"all of it should have passed: {result.failures}")
    return result.permutations.run


def _against_statements(server: Server, place: Path, at_once: int) -> Line:
    said = [f"UPDATE t SET v = {number} WHERE id = 1" for number in range(4)]
    body = "".join(f"-- chaos:session {name}\n" + "".join(f"{text};\n" for text in said) for name in "ab")
    head = _HEAD.format(limit=_ORDERS, more="", extra="").replace("CREATE TABLE t (id int, v int);\n", _ROWS)
    scenario = _scenario(place, f"{head}{body}-- chaos:check\n{_COUNT};\n")
    with connections(server, 3, _ROWS) as (a, b, check):
        execute(check, b"SELECT no_plan()")

        def bare() -> None:
            for _ in range(_ORDERS):
                for text in said:
                    execute(a, text.encode())
                    execute(b, text.encode())
                execute(check, _COUNT.encode())

        return compared(
            f"a schedule of two sessions of four steps and a check, {_MADE[at_once]}, against these statements sent by"
            " PQexec",
            lambda: 1000 * seconds(lambda: _schedules(server, scenario, at_once)) / _ORDERS,
            lambda: 1000 * seconds(bare) / _ORDERS,
            "ms",
            under=2.5,
            server=server,
            each=_ORDERS,
        )


def _rate(
    server: Server, place: Path, what: str, *, jobs: int, more: str = "", extra: str = "", aim: float | None = 150
) -> Line:
    scenario = _steps(place, 2, 4, more, extra)

    def rate() -> float:
        begun = time.perf_counter()
        with ThreadPoolExecutor(jobs) as pool:
            made = sum(pool.map(lambda _: _schedules(server, scenario), range(jobs)))
        return made / (time.perf_counter() - begun)

    name = f"schedules of two sessions of four steps {what}, {jobs} job{'s' if jobs > 1 else ''}"
    return alone(name, rate, "/s", over=aim, server=server, each=jobs * _SCHEDULES)


def _growth(server: Server, place: Path, sessions: int, steps: int) -> Line:
    scenario = _steps(place, sessions, steps)

    def each() -> float:
        begun = time.perf_counter()
        made = _schedules(server, scenario)
        return 1000 * (time.perf_counter() - begun) / made

    what = f"a schedule of {sessions} sessions of {steps} steps each"
    return alone(what, each, "ms", server=server, each=_SCHEDULES)


def _detection(server: Server, place: Path) -> float:
    """Tell the time from the begin of a step that waits to the begin of the next: the median of some runs."""
    scenario = _scenario(place, _WAITS)
    took = []
    for _ in range(_WAITING):
        result = run(scenario, {}, server, RunSettings(1))
        if result.failures:
            raise RuntimeError(result.failures[0].text)
        began = {f"{one.session}.{one.step}": one.started_at or 0.0 for one in result.records}
        took.append(1000 * (began["a.2"] - began["b.1"]))
    return median(took)


def _race(server: Server, path: Path) -> Line:
    scenario = read(path, path.name)
    (mutant,) = scenario.mutants
    racing = mutated(scenario, mutant)
    took, runs = [], []
    for seed in range(SEEDS):
        found = 0.0
        begun = time.perf_counter()

        def is_it(result: object, begun: float = begun) -> bool:
            nonlocal found
            caught = is_found(racing, mutant, {}, result)  # type: ignore[arg-type]  # of this run
            if caught and not found:
                found = time.perf_counter() - begun
            return caught

        result = run(racing, {}, server, RunSettings(seed, found=is_it))
        if not is_found(racing, mutant, {}, result) or result.explored is None:
            raise RuntimeError(f"{path.name} was not found with seed {seed}")
        took.append(1000 * found)
        runs.append(result.explored.runs)
    repaired = run(scenario, {}, server, RunSettings(1))
    if repaired.failures:
        raise RuntimeError(f"{path.name} fails when repaired: {repaired.failures[0].text}")
    text = (
        f"{shown(median(took), 'ms')}, at worst {shown(max(took), 'ms')}; {median(runs):g} runs, at worst {max(runs)}"
    )
    return Line(f"planted race {path.stem}: time to find it, median of {SEEDS} seeds", text)
