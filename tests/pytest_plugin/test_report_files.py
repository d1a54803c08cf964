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
    (folder / "app/pytest.ini").write_text(INI, encoding="utf-8")
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
    }
    run = written.document["run"]
    assert (run["exit_status"], run["collected"], run.get("not_run")) == (1, len(SCENARIOS), None)


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


def test_an_oracle_has_both_results(written: Written) -> None:
    oracle = written.scenario("oracle")["oracle"]
    assert oracle["anomalies"] == ["lost update"]
    table = next(one for one in oracle["differences"] if one["where"] == "table account")
    assert ("120" in table["serial"], "110" in table["here"]) == (True, True)


def test_the_other_files_are_of_the_same_run(written: Written) -> None:
    html = (written.folder / "out/report.html").read_text(encoding="utf-8")
    assert "<title>4 of 7 scenarios failed</title>" in html
    assert html.count('<script type="application/json"') == 1 + len(SCENARIOS)
    trace = json.loads((written.folder / "out/trace.json").read_text(encoding="utf-8"))
    assert len({event["pid"] for event in trace["traceEvents"]}) == 4
    pictures = list((written.folder / "out/pictures").iterdir())
    assert sorted(path.name for path in pictures) == [
        f"sql_{name}.sql_{name}.svg" for name in ("fails", "oracle", "search")
    ]
    for path in pictures:
        ElementTree.parse(path)


def test_github_gets_annotations_and_a_summary(written: Written) -> None:
    lines = re.findall(r"^::error (.*?)::(.*)$", written.output, re.MULTILINE)
    places = {re.sub(r",title=.*", "", place) for place, _ in lines}
    line = written.scenario("fails")["line"]
    assert f"file=app/sql/fails.sql,line={line}" in places
    assert len(lines) == 4
    assert "### pgchaos: 4 failed, 1 passed, 1 skipped, 1 xfailed\n" in written.summary
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
    result = project.run("--chaos-json=out/x.json", "--chaos-report=x.html", "-x")
    result.stdout.fnmatch_lines(["--chaos-json: wrote out/x.json"])
    text = (project.pytester.path / "out/x.json").read_text(encoding="utf-8")
    assert json.loads(text)["run"]["not_run"] == ["sql/b_fine.sql::b_fine"]
    html = (project.pytester.path / "x.html").read_text(encoding="utf-8")
    assert "1 of 2 did not run: sql/b_fine.sql::b_fine" in html
    assert "swordfish" not in text + html
    assert "********" in text


def test_what_a_crashed_worker_ran_is_in_the_files(project: Project) -> None:
    project.write(fine=FINE)
    config = project.pytester.parseconfig("--chaos-json=x.json")
    config._do_configure()
    files = config.pluginmanager.get_plugin("pgchaos files")
    assert isinstance(files, ReportFiles)
    nodeid = "sql/fine.sql::fine"
    # as pytest-xdist reports it
    when: Any = "???"
    crashed = pytest.TestReport(nodeid, ("sql/fine.sql", 0, "fine"), {}, "failed", "worker 'gw0' crashed", when)
    for report in (crashed, pytest.TestReport("test_x.py::t", ("test_x.py", 0, "t"), {}, "failed", "no", when)):
        files.pytest_runtest_logreport(report)
    (text,) = files._texts
    config._ensure_unconfigure()
    data = json.loads(text)
    assert (data["id"], data["verdict"], data["text"]) == (nodeid, "error", "worker 'gw0' crashed")


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
