"""A run writes its files: every item is in them, wherever it ran, and they are checked before it begins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from pgchaos.pytest_plugin.report_files import ReportFiles
from pgchaos.report.export.document import SCHEMA
from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import BAD, BROKEN, FINE, INI, Project
from tests.pytest_plugin.pages import page
from tests.report.runs import HOSTILE

SETUP = "CREATE TABLE account (id int PRIMARY KEY, balance int);\nINSERT INTO account VALUES (1, 100);\n"
TILLS = """\
-- chaos:session till x 2
BEGIN;
SELECT balance AS seen FROM account WHERE id = 1 \\gset
UPDATE account SET balance = :seen + 10 WHERE id = 1;
COMMIT;
-- chaos:check
SELECT is(balance, 120, 'both amounts are there') FROM account;
"""
SCENARIOS = {
    "fails": f"-- What waits\n-- chaos:schedule one.1 one.2 two.1 one.3\n-- chaos:setup\n{SETUP}"
    "-- chaos:session one\nBEGIN;\nUPDATE account SET balance = 5;\nCOMMIT;\n"
    "-- chaos:session two\nUPDATE account SET balance = balance + 1 RETURNING id, balance;\n"
    "-- chaos:check\nSELECT is(balance, 7, 'seven') FROM account;\n",
    "passes": f"-- {HOSTILE}\n-- chaos:session s\n{HOSTILE};\n-- chaos:check\nSELECT ok(true, '<script>');\n",
    "skipped": FINE.replace("-- chaos:check", "-- chaos:requires extension no_such_extension\n-- chaos:check"),
    "known": FINE.replace("-- chaos:check", "-- chaos:xfail 'sums are right' later\n-- chaos:check").replace(
        "2,", "3,"
    ),
    "search": f"-- A search\n-- chaos:schedule explore 30\n-- chaos:setup\n{SETUP}{TILLS}",
    "oracle": f"-- An oracle\n-- chaos:oracle serializable\n-- chaos:setup\n{SETUP}"
    + TILLS.replace("UPDATE", "-- chaos:barrier seen\nUPDATE").replace("120", "110"),
    "broken": BROKEN,
}
EXPLORING = """\
import psycopg
import pytest

SETUP = "CREATE TABLE stock (pieces int); INSERT INTO stock VALUES (1)"


def sell(uri):
    with psycopg.connect(uri) as conn:
        if conn.execute("SELECT pieces FROM stock").fetchone()[0]:
            conn.execute("UPDATE stock SET pieces = pieces - 1")


def check(conn):
    assert conn.execute("SELECT pieces FROM stock").fetchone()[0] >= 0, "sold once"


@pytest.fixture
def breaks():
    yield
    raise RuntimeError("after the test")


@pytest.mark.shop
def test_oversells(chaos_explore):
    chaos_explore(sessions=[sell], setup=SETUP, check=check)
    chaos_explore(sessions=[sell, sell], setup=SETUP, check=check)


def test_sells(chaos_explore):
    chaos_explore(sessions=[sell], setup=SETUP, check=check)


def test_asserts(chaos_explore):
    assert chaos_explore(sessions=[sell], setup=SETUP, check=check).runs == 2


def test_breaks(breaks, chaos_explore):
    pass


def test_fails_and_breaks(breaks, chaos_explore):
    raise RuntimeError("in the test")


def test_without():
    pass
"""


@dataclass(frozen=True)
class Written:
    """What a run wrote."""

    folder: Path
    status: int
    output: str
    summary: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "out/report.json").read_text(encoding="utf-8"))
        return document

    def scenario(self, name: str) -> dict[str, Any]:
        (found,) = (one for one in self.document["scenarios"] if one["name"] == name)
        return dict(found)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, foreign_server: ForeignServer) -> Written:
    """A run in two workers of pytest-xdist, as GitHub Actions would do it, that writes all formats."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "app/sql").mkdir(parents=True)
    for name, text in SCENARIOS.items():
        (folder / f"app/sql/{name}.sql").write_text(text, encoding="utf-8")
    (folder / "app/test_shop.py").write_text(EXPLORING, encoding="utf-8")
    (folder / "app/pytest.ini").write_text(f"{INI}\nmarkers = shop\n", encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name not in ("CHAOS_MAKE", "CI", "BUILD_NUMBER")}
    environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(folder)}
    environ |= {"GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    files = ("--chaos-report=out/report.html", "--chaos-json=out/report.json", "--chaos-trace=out/trace.json")
    dsn = f"--chaos-dsn={foreign_server.dsn}"
    command = [sys.executable, "-m", "pytest", "-p", "xdist.plugin", "-n2", dsn, *files, "--chaos-svg=out/pictures"]
    done = subprocess.run(command, cwd=folder / "app", env=environ, capture_output=True, text=True, timeout=120)
    (folder / "app/out").rename(folder / "out")
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    return Written(folder, done.returncode, done.stdout + done.stderr, summary)


def test_every_item_is_in_the_document(written: Written) -> None:
    assert written.status == 1, written.output
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(written.document)
    verdicts = {one["name"]: one["verdict"] for one in written.document["scenarios"]}
    assert verdicts == {
        "fails": "failed",
        "passes": "passed",
        "skipped": "skipped",
        "known": "xfailed",
        "search": "failed",
        "oracle": "failed",
        "broken": "failed",
        "test_oversells": "failed",
        "test_sells": "passed",
        "test_asserts": "failed",
        "test_breaks": "error",
        "test_fails_and_breaks": "failed",
    }
    run = written.document["run"]
    assert (run["exit_status"], run["collected"], run.get("not_run")) == (1, len(verdicts), None)


def test_a_failure_has_its_timeline_and_where_it_is(written: Written) -> None:
    fails = written.scenario("fails")
    (failure,) = fails["failures"]
    assert (failure["kind"], failure["text"], failure["line"]) == ("assertion", "seven", fails["line"])
    assert fails["text"].startswith(f"sql/fails.sql:{fails['line']}: seven\n")
    assert fails["tap"][0] == "not ok 1 - seven"
    assert "--chaos-seed=" in fails["again"]
    (waits,) = (event for event in fails["timeline"]["events"] if "wait" in event)
    assert waits["wait"]["on"] == ["one[1]"]
    assert waits["cells"] == [["id", "balance"], ["1", "6"]]
    lanes = [lane["name"] for lane in fails["timeline"]["lanes"]]
    assert [lanes[lane] for lane in waits["wait"]["lanes"]] == ["one[1]"]
    assert written.scenario("skipped")["text"].startswith("Skipped: requires extension no_such_extension")
    assert "token" not in written.scenario("passes")
    for name in ("passes", "known"):
        (way,) = written.scenario(name)["ways"]
        assert way["words"].startswith("Seed "), name
        assert f"sql/{name}.sql::{name} --chaos-seed=" in way["command"], name
    assert "ways" not in written.scenario("skipped")
    (one,) = written.scenario("passes")["latency"]
    assert (one["session"], one["count"], one["failed"]) == ("s", 1, 0)
    assert "latency" not in written.scenario("search"), "of free runs alone"
    known = written.scenario("known")
    assert (known["text"], known["expected"][0]["reason"]) == ("later", "later")
    assert "unknown directive `chek`" in written.scenario("broken")["text"]


def test_a_search_has_its_order_beside_one_that_passed(written: Written) -> None:
    search = written.scenario("search")["search"]
    assert search["found"] is True
    failed, passed = ([one["step"] for one in search[name]] for name in ("order", "nearest"))
    assert failed != passed
    assert sorted(failed) == sorted(passed)
    assert "--chaos-replay=" in written.scenario("search")["token"]


def exploring_line(text: str) -> int:
    return next(number for number, line in enumerate(EXPLORING.splitlines(), 1) if text in line)


def test_a_test_with_chaos_explore_is_an_entry_too(written: Written) -> None:
    fails = written.scenario("test_oversells")
    call, line = exploring_line("chaos_explore(sessions=[sell, sell]"), exploring_line("sold once")
    assert (fails["file"], fails["line"], fails["tags"]) == ("test_shop.py", line, ["shop"])
    assert fails["failures"] == [
        {
            "kind": "assertion",
            "text": "check: AssertionError: sold once",
            "file": "test_shop.py",
            "line": line,
            "details": ["assert -1 >= 0", f"chaos_explore was called in test_shop.py:{call}"],
        }
    ]
    assert "--chaos-replay=" in fails["token"]
    assert fails["ways"][0]["command"] == fails["token"]
    assert {lane["name"] for lane in fails["timeline"]["lanes"]} == {"sell[1]", "sell[2]"}
    assert fails["notes"][-1] == "the test called chaos_explore 2 times: this is the one that failed"
    (source,) = fails["sources"]
    assert source == {"file": "test_shop.py", "text": EXPLORING}
    passes = written.scenario("test_sells")
    assert passes["timeline"]["lanes"] == [{"name": "sell[1]", "session": "sell", "worker": 1}]
    assert "--chaos-seed=" in passes["again"]
    asserts = written.scenario("test_asserts")
    assert asserts["line"] == exploring_line("runs == 2")
    assert asserts["failures"] == [
        {
            "kind": "assertion",
            "text": "assert 1 == 2",
            "file": "test_shop.py",
            "line": asserts["line"],
        }
    ]
    assert "after the test" in written.scenario("test_breaks")["text"]
    assert "in the test" in written.scenario("test_fails_and_breaks")["text"]


def test_an_oracle_has_both_results(written: Written) -> None:
    oracle = written.scenario("oracle")["oracle"]
    assert oracle["anomalies"] == ["lost update"]
    table = next(one for one in oracle["differences"] if one["where"] == "table account")
    assert ("120" in table["serial"], "110" in table["here"]) == (True, True)


def test_the_other_files_are_of_the_same_run(written: Written) -> None:
    html = (written.folder / "out/report.html").read_text(encoding="utf-8")
    assert "<title>8 of 12 scenarios failed</title>" in html
    assert html.count('<script type="application/json"') == 1 + len(written.document["scenarios"])
    trace = json.loads((written.folder / "out/trace.json").read_text(encoding="utf-8"))
    assert len({event["pid"] for event in trace["traceEvents"]}) == 7
    pictures = list((written.folder / "out/pictures").iterdir())
    assert sorted(path.name for path in pictures) == [
        *(f"sql_{name}.sql_{name}.svg" for name in ("fails", "oracle", "search")),
        *(f"test_shop.py_{name}.svg" for name in ("test_asserts", "test_oversells")),
    ]
    for path in pictures:
        ElementTree.parse(path)


def test_github_gets_annotations_and_a_summary(written: Written) -> None:
    lines = re.findall(r"^::error (.*?)::(.*)$", written.output, re.MULTILINE)
    places = {re.sub(r",title=.*", "", place) for place, _ in lines}
    line = written.scenario("fails")["line"]
    assert f"file=app/sql/fails.sql,line={line}" in places
    assert f"file=app/test_shop.py,line={written.scenario('test_oversells')['line']}" in places
    assert len(lines) == 8
    assert "### pgchaos: 1 error, 7 failed, 2 passed, 1 skipped, 1 xfailed\n" in written.summary
    assert f"sql/fails.sql:{line}: seven\n" in written.summary


@pytest.mark.parametrize("option", ["report", "json", "trace"])
def test_what_cannot_be_written_ends_the_run_before_it_begins(project: Project, option: str) -> None:
    project.write(fine=FINE)
    project.file("a_file", "")
    result = project.look(f"--chaos-{option}=a_file/x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--chaos-{option}: '*/a_file/x' cannot be written: *"])
    result = project.look(f"--chaos-{option}=sql")
    result.stderr.fnmatch_lines([f"*--chaos-{option}: '*/sql' cannot be written: it is no file"])


def test_neither_a_scenario_nor_another_output_is_overwritten(project: Project) -> None:
    project.write(fine=FINE)
    result = project.look("--chaos-json", "sql/fine.sql")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chaos-json: '*/sql/fine.sql' would be overwritten: name a file for the output"])
    result = project.look("--chaos-report=out", "--chaos-svg=./sql/../out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chaos-svg: '*/out' is the file of --chaos-report: name another"])


def test_what_did_not_run_is_named_and_passwords_are_masked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.safe_output._secrets", {"swordfish"})
    project.write(a_bad=BAD.replace("sums are wrong", "swordfish"), b_fine=FINE)
    project.file("test_z.py", "def test_z(chaos_explore):\n    pass\n\n\ndef test_y():\n    pass\n")
    result = project.run("--chaos-json=out/x.json", "--chaos-report=x.html", "-x")
    result.stdout.fnmatch_lines(["--chaos-json: wrote out/x.json"])
    text = (project.pytester.path / "out/x.json").read_text(encoding="utf-8")
    assert json.loads(text)["run"]["not_run"] == ["sql/b_fine.sql::b_fine", "test_z.py::test_z"]
    html = (project.pytester.path / "x.html").read_text(encoding="utf-8")
    assert "2 of 3 did not run: sql/b_fine.sql::b_fine, test_z.py::test_z" in html
    assert "swordfish" not in text + html
    assert "********" in text


def test_what_a_crashed_worker_ran_is_in_the_files(project: Project) -> None:
    project.write(fine=FINE)
    config = project.pytester.parseconfig("--chaos-json=x.json")
    config._do_configure()
    files = config.pluginmanager.get_plugin("pgchaos files")
    assert isinstance(files, ReportFiles)
    # as pytest-xdist reports them: of a test with chaos_explore, the report of its setup has come before
    when: Any = "???"
    ids = ("sql/fine.sql::fine", "test_x.py::test_explores", "test_x.py::test_other")
    setup = pytest.TestReport(ids[1], ("test_x.py", 0, "t"), {}, "passed", None, "setup")
    setattr(setup, "chaos_explores", True)  # noqa: B010  # the class declares no such attribute
    crashed = [pytest.TestReport(one, ("x", 0, "x"), {}, "failed", "worker 'gw0' crashed", when) for one in ids]
    for report in (setup, *crashed):
        files.pytest_runtest_logreport(report)
    config._ensure_unconfigure()
    data = [json.loads(text) for text in files._texts]
    assert [(one["id"], one["verdict"], one["text"]) for one in data] == [
        (nodeid, "error", "worker 'gw0' crashed") for nodeid in ids[:2]
    ]


def test_a_file_that_cannot_be_written_at_the_end_fails_the_run(project: Project) -> None:
    project.write(fine=FINE)
    # what the run itself does to its folder
    project.file(
        "conftest.py",
        "import pathlib\ndef pytest_runtest_teardown():\n    pathlib.Path('out').rmdir()\n"
        "    pathlib.Path('out').touch()\n",
    )
    result = project.run("--chaos-json=out/x.json")
    result.stdout.fnmatch_lines(["ERROR: --chaos-json: '*/out/x.json' was not written: *"])
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR


def test_the_example_of_the_documentation_follows_the_schema() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", page("sql/REPORTS.md"), re.DOTALL)
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(json.loads(example))
