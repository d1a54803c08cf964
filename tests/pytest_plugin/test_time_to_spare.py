"""The plugin with which `make check` runs the scenarios that we ship."""

from __future__ import annotations

from tests.pytest_plugin.conftest import FINE, Project
from tests.pytest_plugin.test_notes import WAITS

LATE = """\
-- Its session takes more than half of the time-out, and on a busy machine all of it
-- chaos:timeout 1s
-- chaos:session one
SELECT pg_sleep(0.51);
-- chaos:check
SELECT ok(true);
"""
NOTED = WAITS.format(held=True)
KNOWN = "-- chaos:xfail 'done' it is known\n" + WAITS.format(held=False)


def test_a_note_or_little_time_left_fails(project: Project) -> None:
    project.write(fine=FINE, noted=NOTED, known=KNOWN, late=LATE)
    result = project.run("-p", "tests.scenarios.with_time_to_spare")
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["FAILED sql/known.sql::known - AssertionError: assert*"])


def test_without_the_plugin_notes_do_not_fail(project: Project) -> None:
    project.write(noted=NOTED, known=KNOWN)
    project.run().assert_outcomes(passed=1, xfailed=1)
