from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.pytest_plugin.conftest import FINE, Project

WAITS = """\
-- chaos:session reader
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT chaos.delay('1ms');
COMMIT;
-- chaos:check
SELECT ok({held}, 'done');
"""
NOTE = "sql/waits.sql:3: chaos.delay() is the first query of a block at repeatable read"


def test_a_note_on_a_passing_scenario_is_shown_once_at_the_end(project: Project) -> None:
    project.write(fine=FINE, waits=WAITS.format(held=True))
    result = project.run("--junit-xml=report.xml")
    result.assert_outcomes(passed=2)
    assert [line[: len(NOTE) + 6] for line in result.outlines if "chaos.delay" in line] == [f"note: {NOTE}"]
    properties = ET.parse(project.pytester.path / "report.xml").iter("property")
    assert [one.attrib["value"][: len(NOTE)] for one in properties if one.attrib["name"] == "chaos_note"] == [NOTE]


def test_a_note_is_not_shown_with_q(project: Project) -> None:
    project.write(waits=WAITS.format(held=True))
    result = project.run("-q")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*chaos.delay*")


def test_a_note_is_in_the_report_of_a_failure(project: Project) -> None:
    project.write(waits=WAITS.format(held=False))
    result = project.run("-q")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Notes:", f"    {NOTE}*"])
