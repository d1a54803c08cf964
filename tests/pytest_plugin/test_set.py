"""--chaos-set: variables reach every section, a replay repeats them, and one that nothing uses is refused."""

from __future__ import annotations

import re

import pytest

from tests.pytest_plugin.conftest import Project

COUNTER = """\
-- A counter counts
-- chaos:default table = counter
-- chaos:default clients = 2
-- chaos:schedule all
-- chaos:setup
CREATE TABLE :table (hits int NOT NULL);
INSERT INTO :table VALUES (0);
-- chaos:session client x :clients
UPDATE :table SET hits = hits + 1;
-- chaos:invariant at end
SELECT hits = :clients AS counted FROM :table;
-- chaos:check
SELECT is((SELECT hits FROM :table), :clients, 'each hit is counted');
SELECT has_table(:'table');
-- chaos:mutant read, then write
-- chaos:session client
SELECT hits FROM :table \\gset
UPDATE :table SET hits = :hits + 1;
-- chaos:caught by 'each hit is counted'
-- chaos:caught by 'counted'
"""


@pytest.mark.parametrize("more", [(), ("table=stock",), ("clients=3", "table=s")])
def test_a_scenario_and_its_mutants_run_with_them(project: Project, more: tuple[str, ...]) -> None:
    project.write(counter=COUNTER)
    options = [f"--chaos-set={one}" for one in more]
    assert project.run("--chaos-mutants", *options).parseoutcomes()["passed"] == 2


def test_a_replay_repeats_them(project: Project) -> None:
    project.write(counter=COUNTER.replace("hits + 1;\n-- chaos:inv", "hits + 1 - hits % 2;\n-- chaos:inv"))
    result = project.run("--chaos-set=table=my_stock")
    assert result.parseoutcomes()["failed"] == 1
    (replay,) = re.findall(r"--chaos-replay=(\S+)", result.stdout.str())
    assert "--chaos-set=table=my_stock" in result.stdout.str()
    again = project.run("--chaos-set=table=my_stock", f"--chaos-replay={replay}")
    assert again.parseoutcomes()["failed"] == 1
    # with other values it is another scenario
    other = project.run("--chaos-set=table=another", f"--chaos-replay={replay}")
    assert other.ret == pytest.ExitCode.USAGE_ERROR


def test_one_that_no_file_uses_is_refused(project: Project) -> None:
    project.write(counter=COUNTER)
    result = project.look("--chaos-set=tabel=stock", "--chaos-set=table=stock")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        "ERROR: --chaos-set=tabel=…: no collected scenario uses a variable of this name"
    ]


def test_one_of_the_ini_file_may_be_for_other_files(project: Project) -> None:
    project.write(counter=COUNTER)
    project.pytester.makeini("[pytest]\naddopts = -p pgchaos.pytest_plugin.plugin\nchaos_set =\n    elsewhere=1\n")
    assert project.collected()[-1] == "sql/counter.sql::counter"


def test_the_cache_stores_no_values(project: Project) -> None:
    project.write(counter=COUNTER)
    assert project.run().parseoutcomes()["passed"] == 1
    result = project.run("--chaos-set=clients=none")
    result.stdout.fnmatch_lines(["*number of connections must be a whole number*"])
    assert project.run().parseoutcomes()["passed"] == 1


def test_a_plain_file_has_them(project: Project) -> None:
    project.file("plain.sql", "SELECT plan(1);\nSELECT ok(:'table' = 'stock', 'set');\n")
    assert project.run("plain.sql", "--chaos-set=table=stock").parseoutcomes()["passed"] == 1
