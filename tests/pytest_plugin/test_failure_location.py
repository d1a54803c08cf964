"""Where a failure points to: its line in the scenario, and a summary of one line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from pgchaos.pytest_plugin.reports import Cause, first_cause
from tests.pytest_plugin.conftest import BAD, BROKEN, Project

HOOKS = """
    import json

    def pytest_runtest_logreport(report):
        if report.failed:
            crash = report.longrepr.reprcrash
            with open("seen.json", "a") as file:
                print(json.dumps([crash.path, crash.lineno, crash.message, report.location[:2]]), file=file)
"""


def test_the_text_of_a_failure_is_read() -> None:
    assert first_cause("sql/x.sql:19: sold once\n    have: 2\n    want: 1\n\nScenario: x") == Cause(
        "sql/x.sql", 19, "sold once: have 2, want 1"
    )
    assert first_cause("sql/x.sql:19: sold once\nsql/x.sql:20: other\n    have: 2\n    want: 1").reason == "sold once"
    assert first_cause("no database was made\nwithin 60 s") == Cause("", 1, "no database was made")


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "sql/deep/x.sql:19 sold"),
        (22, "sql/deep/x.sql:19 sold"),
        (20, "…/deep/x.sql:19 sold"),
        (9, "…:19 sold"),
        (3, "…:19 sold"),
    ],
)
def test_the_path_is_cut_but_never_the_reason(width: int, text: str) -> None:
    assert Cause("sql/deep/x.sql", 19, "sold").summary(width) == text


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_failure_points_to_its_line(project: Project, jobs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # as where there is no terminal; pytest's tests have one of 80 columns
    monkeypatch.setenv("COLUMNS", "160")
    project.pytester.makeconftest(HOOKS)
    project.write(bad=BAD, broken=BROKEN)
    project.run(f"--chaos-jobs={jobs}", "-p", "no:xdist").assert_outcomes(failed=2)
    seen = [json.loads(line) for line in (project.pytester.path / "seen.json").read_text().splitlines()]
    folder = project.pytester.path / "sql"
    assert seen == [
        [str(folder / "bad.sql"), 3, "sql/bad.sql:3 sums are wrong: have 2, want 3", ["sql/bad.sql", 2]],
        [
            str(folder / "broken.sql"),
            2,
            "sql/broken.sql:2 unknown directive `chek`, did you mean `check`?",
            ["sql/broken.sql", 1],
        ],
    ]


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_junit_has_file_line_and_a_message_of_one_line(project: Project, family: str) -> None:
    project.write(bad=BAD)
    project.run("--junit-xml=out.xml", "-o", f"junit_family={family}")
    (case,) = ET.parse(project.pytester.path / "out.xml").iter("testcase")
    (failure,) = case.iter("failure")
    assert failure.get("message") == "sql/bad.sql:3 sums are wrong: have 2, want 3"
    assert (failure.text or "").startswith("sql/bad.sql:3: sums are wrong\n    have: 2\n")
    assert (case.get("file"), case.get("line")) == (("sql/bad.sql", "2") if family == "xunit1" else (None, None))


def test_in_continuous_integration_nothing_is_printed_twice(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    project.write(bad=BAD)
    result = project.run()
    assert sum(line == "sql/bad.sql:5: and this does not" for line in result.outlines) == 1
    assert sum("To run it again" in line for line in result.outlines) == 1
    assert result.outlines[-2] == "FAILED sql/bad.sql::bad - sql/bad.sql:3 sums are wrong: have 2, want 3"
