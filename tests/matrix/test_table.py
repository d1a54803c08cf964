from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.summary import main, summary
from tests.matrix.table import Row, Suite, table

TESTS = """\
import pytest
def test_a(): pass
def test_b(): pass
@pytest.mark.parametrize("n", range(2))
def test_c(n): pytest.skip("has no psql")
@pytest.mark.xfail(strict=True)
def test_d(): assert False
def test_e(subtests):
    with subtests.test("one"): pass
"""


@pytest.fixture(autouse=True)
def _pytest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def suite(pytester: pytest.Pytester, text: str) -> Suite:
    pytester.makepyfile(test_it=text)
    done = pytester.runpytest_inprocess("-q", "-rs", "--junit-xml=it.xml")
    return Suite(int(done.ret), done.stdout.str())


def test_what_pytest_says_is_counted(pytester: pytest.Pytester) -> None:
    run = suite(pytester, TESTS)
    assert str(run) == "3 passed, 0 failed, 2 skipped, 1 fail as known"
    assert list(run.skips) == ["test_it.py: has no psql (2 times)"]


def test_failures_and_errors_are_bad(pytester: pytest.Pytester) -> None:
    run = suite(pytester, "def test_a(): assert False\ndef test_b(nothing): pass\n")
    assert str(run) == "0 passed, 2 failed, 0 skipped"
    assert not Row("16.1", "npm", (run,), 1.0).good


def test_a_run_that_broke_off_is_no_success() -> None:
    run = Suite(3, "INTERNALERROR> nothing\n")
    assert str(run) == "0 passed, 0 failed, 0 skipped (pytest ended with 3)"
    assert not Row("16.1", "npm", (run,), 1.0).good


def test_the_table(pytester: pytest.Pytester) -> None:
    run = suite(pytester, TESTS)
    rows = [Row("16.14", "npm", (run, run), 61.4), Row("99", "no programs: none", (), 0.0)]
    assert [row.good for row in rows] == [True, False]
    assert list(table(rows)) == [
        "PostgreSQL  from                scenarios                                       "
        "tests                                           time",
        "16.14       npm                 3 passed, 0 failed, 2 skipped, 1 fail as known  "
        "3 passed, 0 failed, 2 skipped, 1 fail as known  61 s",
        "99          nowhere, see below  not run                                         "
        "not run                                         0 s",
        "\n99: no programs: none",
        "\nskipped on 16.14:\n  test_it.py: has no psql (2 times)",
    ]


def test_junits_file_becomes_markdown(pytester: pytest.Pytester) -> None:
    suite(pytester, "def test_a(): pass\ndef test_b(): assert False\n")
    head, _, row, empty, bad, *text = summary([Path("it.xml")])
    assert head == "| run | passed | failed | errors | skipped | time |"
    assert row.startswith("| it | 1 | 1 | 0 | 0 | ")
    assert (empty, bad) == ("", "- failed: `test_it::test_b`")
    assert text[:2] == ["", "  ```text"]
    assert "  E       assert False" in [line.rstrip() for line in text] or "  >   def test_b(): assert False" in text
    assert text[-1] == "  ```"


def test_a_summary_counts_cases_and_not_what_is_within_them(tmp_path: Path) -> None:
    junit = tmp_path / "sql.xml"
    junit.write_text(
        '<testsuites><testsuite tests="9" failures="1" errors="0" skipped="1" time="2.5">'
        '<testcase classname="sql.a" name="a" /><testcase classname="sql.b" name="b">'
        '<failure message="no">sql/b.sql:3: no\n```\nwas said</failure></testcase>'
        '<testcase classname="sql.c" name="c"><skipped /></testcase></testsuite></testsuites>'
    )
    assert list(summary([junit]))[2:] == [
        "| sql | 1 | 1 | 0 | 1 | 2 s |",
        "",
        "- failed: `sql.b::b`",
        "",
        "  ````text",
        "  sql/b.sql:3: no",
        "  ```",
        "  was said",
        "  ````",
    ]


def test_a_run_without_files_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build/reports/*.xml"]) == 0
    assert capsys.readouterr().out == "Nothing was run: there is no file of JUnit.\n"
