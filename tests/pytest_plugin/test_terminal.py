"""Colours and box characters are for terminals alone; the summary at the end is short."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from pgchaos.report.formatting import BOXES
from tests.pytest_plugin.conftest import BAD, Project

WAITS = """\
-- One waits for the other
-- chaos:setup
CREATE TABLE t (a int);
INSERT INTO t VALUES (0);
-- chaos:session one
BEGIN;
UPDATE t SET a = 1;
-- chaos:signal locked
-- chaos:wait blocked two
COMMIT;
-- chaos:session two
-- chaos:wait for locked
UPDATE t SET a = 2;
-- chaos:check
SELECT is(a, 3, 'three') FROM t;
"""
SKIPPED = "-- chaos:requires extension no_such_extension\n-- chaos:check\nSELECT ok(true);\n"
NOTED = "-- chaos:session pair x 2\nSELECT 1;\n-- chaos:check\nSELECT ok(true);\n"
ESCAPE = "\x1b["


def test_without_a_terminal_the_text_is_plain(project: Project) -> None:
    project.write(waits=WAITS)
    text = project.run("--junit-xml=junit.xml").stdout.str()
    assert "| waits for one[1]" in text
    assert "+- waited " in text
    assert ESCAPE not in text
    assert "│" not in text


@pytest.mark.parametrize("more", [(), ("-p", "xdist", "-n1")], ids=["alone", "xdist"])
def test_on_a_terminal_it_has_colours_and_boxes_and_junit_has_none(project: Project, more: tuple[str, ...]) -> None:
    project.write(waits=WAITS)
    text = project.run("--color=yes", "--junit-xml=junit.xml", *more).stdout.str()
    assert f"{ESCAPE}33m│" in text
    assert "└─ waited " in text
    assert f"{ESCAPE}1;31msql/waits.sql:15: three{ESCAPE}0m" in text
    (failure,) = ET.parse(project.pytester.path / "junit.xml").getroot().iter("failure")
    assert failure.text is not None
    assert "+- waited " in failure.text
    assert ESCAPE not in failure.text
    assert set(failure.text).isdisjoint(BOXES[:4])


def test_an_encoding_without_box_characters_gets_ascii(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    project.write(waits=WAITS)
    text = project.pytester.runpytest_subprocess("--color=yes", f"--chaos-dsn={project.connect()}").stdout.str()
    assert "| waits for one[1]" in text
    assert "│" not in text


def test_the_end_names_reasons_and_notes_once(project: Project) -> None:
    project.write(one=SKIPPED, two=SKIPPED, three=NOTED, four=NOTED, bad=BAD)
    text = project.run().stdout.str()
    assert "skipped: 2 in sql: requires extension no_such_extension" in text
    (note,) = re.findall("^note: .*$", text, re.MULTILINE)
    assert note.startswith("note: in 2 places: nothing makes these sessions meet: ")
    assert note.endswith("(sql/four.sql:1, sql/three.sql:1)")
    assert f"\n\n{note}" in text  # not a part of the failure's text before it
    assert "note: " not in project.run("-q").stdout.str()
