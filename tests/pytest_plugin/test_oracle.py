from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from tests.pytest_plugin.conftest import FINE, Project

HEAD = """\
-- {title}
-- chaos:matrix level in 'read committed', 'repeatable read'
-- chaos:schedule all
-- chaos:oracle serializable
{xfail}-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 0);
"""
ADDS = """\
-- chaos:session {name} retry serialization_failure
-- chaos:step looks
BEGIN ISOLATION LEVEL :level;
SELECT value FROM pair WHERE id = 1 {lock} \\gset
-- chaos:step writes
UPDATE pair SET value = :value + 1 WHERE id = 1;
COMMIT;
"""
XFAIL = "-- chaos:xfail 'lost update' both may read before either writes when level = 'read committed'\n"


def race(lock: str = "", xfail: str = "", title: str = "Two add") -> str:
    sessions = (ADDS.format(name=name, lock=lock) for name in ("one", "two"))
    return HEAD.format(title=title, xfail=xfail) + "".join(sessions)


TABLE = [
    "oracle serializable  read committed  repeatable read",
    "sql/locked.sql       safe in all 4   safe in all 4",
    "sql/race.sql         lost update     safe in all 6",
]


@pytest.mark.parametrize("options", [[], ["-p", "xdist", "-n", "2"], ["-q"]], ids=" ".join)
def test_the_run_ends_with_a_table_of_scenarios_and_levels(project: Project, options: list[str]) -> None:
    project.write(locked=race("FOR UPDATE"), race=race(xfail=XFAIL), fine=FINE)
    result = project.run(*options)
    result.assert_outcomes(passed=4, xfailed=1)
    at = result.outlines.index(TABLE[0])
    assert result.outlines[at : at + 3] == TABLE


def test_the_finding_of_the_oracle_is_in_the_junit_file(project: Project) -> None:
    project.write(race=race(xfail=XFAIL))
    project.run("--junit-xml=report.xml", "-k", "committed")
    properties = ET.parse(project.pytester.path / "report.xml").iter("property")
    (output,) = (json.loads(one.attrib["value"]) for one in properties if one.attrib["name"] == "chaos_oracle")
    assert output == {"scenario": "sql/race.sql", "level": "read committed", "text": "lost update", "place": 0}


def test_without_an_oracle_there_is_no_table(project: Project) -> None:
    project.write(fine=FINE)
    project.run().stdout.no_fnmatch_line("oracle serializable*")


def test_a_failure_tells_the_order_the_difference_and_how_to_run_it_again(project: Project) -> None:
    project.write(race=race())
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "sql/race.sql:13: oracle: lost update: no serial order of the transactions has this outcome (*",
            "    * both wrote pair (1); what *[[]1] wrote was made of what it had read before *[[]1] wrote: line *",
            "    the nearest serial order is *; what differs:",
            "      * line *, SELECT value FROM pair*: a serial order gives (value = 1), this run gave (value = 0)",
            "      table pair: a serial order gives (id = 1, value = 2), this run gave (id = 1, value = 1)",
            "4 of 6 interleavings failed (there are no others); the one with the fewest context switches:",
            "*--chaos-replay=*",
        ]
    )


def test_a_token_is_judged_as_the_permutation_was(project: Project) -> None:
    project.write(race=race())
    first = project.run()
    # where CI is set, pytest says a failure again in its summary
    (token,) = {word for line in first.outlines for word in line.split() if word.startswith("--chaos-replay=")}
    again = project.run(token)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["sql/race.sql:13: oracle: lost update: *", "sql/race.sql * lost update"])


def test_a_mutant_is_caught_by_the_oracle(project: Project) -> None:
    mutant = "-- chaos:mutant nobody locks\n-- chaos:replace 'FOR UPDATE' with '' in one\n"
    mutant += "-- chaos:replace 'FOR UPDATE' with '' in two\n-- chaos:caught by 'oracle'\n"
    text = race("FOR UPDATE") + mutant
    project.write(locked=text.replace("'read committed', 'repeatable read'", "'read committed'"))
    result = project.run("--chaos-mutants")
    result.assert_outcomes(passed=2)
    output = [line for line in result.outlines if line.startswith("sql/locked.sql  ")]
    assert output == ["sql/locked.sql       safe in all 4"]
