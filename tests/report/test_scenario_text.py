"""What a report quotes of the file: the server's parameters that applied, and the statement that failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pgchaos.language.header_model import ServerSetting
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.reader import read
from pgchaos.report.export.document import SCHEMA, RunData, document, dumps
from pgchaos.report.export.scenario_data import ItemData, scenario_data
from pgchaos.report.scenario_text import settings_of, settings_text
from pgchaos.report.text import failure_text
from pgchaos.report.timeline import ReportedRun
from pgchaos.results import Failure, RunResult
from pgchaos.server import Server
from pgchaos.verdict import judge
from tests.engine.playing import Play

FILE = """\
-- Orders survive a crash
-- chaos:sandbox server
-- chaos:server synchronous_commit = off
-- chaos:server wal_level = replica when level = low
-- chaos:server wal_writer_delay = 10s
-- chaos:matrix level in low, high
-- chaos:session shop
SELECT 1;
-- chaos:check
SELECT is(
  count(*), 1::bigint, 'one order is there, and it is the one that the shop was told of, as was written in the ledger'
) FROM orders;
SELECT ok(true);
"""


VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
SETTINGS = "Settings: synchronous_commit = off, wal_writer_delay = 10s (sql/crash.sql:3, 5)"


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("quoted") / "crash.sql"
    path.write_text(FILE)
    return read(path, "sql/crash.sql")


def failed(*lines: int) -> RunResult:
    failures = [
        Failure("assertion", ("orders",), "orders", Place("sql/crash.sql", line), ("have: 0",)) for line in lines
    ]
    return RunResult(1, server="PostgreSQL 18.6", failures=failures)


def text_of(scenario: Scenario, level: str, *lines: int, width: int = 100) -> list[str]:
    values = {"level": level}
    result = failed(*lines)
    return failure_text(ReportedRun(scenario, values, result, width), judge(scenario, values, result)).splitlines()


def test_the_parameters_that_applied_are_below_the_server(crash: Scenario) -> None:
    lines = text_of(crash, "high", 10)
    assert lines[lines.index("Server: PostgreSQL 18.6") + 1] == SETTINGS
    other = "Settings: synchronous_commit = off, wal_level = replica, wal_writer_delay = 10s (sql/crash.sql:3, 4, 5)"
    assert other in text_of(crash, "low", 10, width=120)
    assert max(map(len, text_of(crash, "low", 10, width=60))) <= 60


def test_the_parameters_and_the_commands_are_in_the_data(crash: Scenario) -> None:
    item = ItemData("sql/crash.sql::crash[level=high]", "failed", "sql/crash.sql", again="x --chaos-seed=1", token="y")
    data = scenario_data(item, crash, None, {"level": "high"}, failed(10))
    assert [(one["name"], one["value"], one["line"]) for one in data["settings"]] == [
        ("synchronous_commit", "off", 3),
        ("wal_writer_delay", "10s", 5),
    ]
    assert [(one["words"], one["command"]) for one in data["ways"]] == [
        ("Same order, one step at a time; fails again:", "y"),
        ("Same seed; the order may differ:", "x --chaos-seed=1"),
    ]
    run = RunData("0.1.0", seed=1, started_at=0.0, exit_status=1, collected=1)
    VALIDATOR.validate(json.loads(document(run, [dumps(data)])))


def test_the_last_of_two_values_counts() -> None:
    settings = tuple(ServerSetting(Place("a.sql", line), "fsync", value) for line, value in ((2, "on"), (3, "off")))
    scenario = Scenario(Path("a.sql"), "a.sql", "a", "", "", server=settings)
    assert settings_text(settings_of(scenario, {})) == "fsync = off (a.sql:3)"
    assert settings_text([]) == ""


def test_the_statement_of_a_failed_assertion_is_quoted(crash: Scenario) -> None:
    lines = text_of(crash, "high", 10, 10, 13)
    first = "    in: SELECT is( count(*), 1::bigint, 'one order is there, and it is the one that the shop was"
    # once for all failures of a statement, and cut
    assert [line for line in lines if line.startswith("    in: ")] == [first, "    in: SELECT ok(true)"]
    assert lines[:5] == ["sql/crash.sql:10: orders", "    have: 0", "sql/crash.sql:10: orders", "    have: 0", first]
    assert lines[5] == "        told of, as was written in the ledger' ) FROM orders"
    narrow = text_of(crash, "high", 10, width=60)
    assert [line[:8].strip() for line in narrow[2:4]] == ["in:", ""]
    assert narrow[3].endswith("...")
    assert narrow[4] == ""


def test_of_several_statements_in_a_line_the_one_with_the_description_is_quoted(
    private_server: Server, tmp_path: Path
) -> None:
    result = Play(private_server, tmp_path)(
        "-- chaos:check\nSELECT plan(4); SELECT is(1, 2, 'it''s wrong'); SELECT ok(true, 'x'); SELECT ok(false, 'y');"
        " SELECT ok(false);\n"
    )
    scenario = read(tmp_path / "scenario.sql", "scenario.sql")
    run = ReportedRun(scenario, {}, result, 100)
    lines = failure_text(run, judge(scenario, {}, result)).splitlines()
    quoted = [line.strip() for line in lines if line.startswith("    in: ")]
    assert quoted == ["in: SELECT is(1, 2, 'it''s wrong')", "in: SELECT ok(false, 'y')"]


def test_a_failure_elsewhere_quotes_nothing(crash: Scenario) -> None:
    assert not [line for line in text_of(crash, "high", 8, 11) if "in: " in line]
