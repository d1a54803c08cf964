"""--chaos-jobs: scenarios run in parallel and are reported in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

import pytest

from pgchaos.language.plain_files import Contents
from pgchaos.pytest_plugin.scheduling import expected
from pgchaos.pytest_plugin.stash import OPTIONS
from pgchaos.runner.server_lock import KEY
from pgchaos.server.cluster import ClusterFactory
from pgchaos.server.database_queue import Expected
from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import BAD, FINE, Project
from tests.waiting import until, until_sql

MEET = """\
-- Two scenarios meet on the server
-- chaos:timeout 10min
-- chaos:session one
{wait}
-- chaos:check
SELECT ok(true, 'met');
"""


def meeting(mine: str, other: str) -> str:
    """A session that shows itself on the server, and ends once it has seen another scenario's, and been seen."""
    activity = "SELECT FROM pg_stat_activity WHERE application_name"
    return MEET.format(
        wait=f"SET application_name = '{mine}';\n"
        + until_sql(f"EXISTS ({activity} IN ('{other}', '{other} has seen'))")
        + f"\nSET application_name = '{mine} has seen';\n"
        + until_sql(f"NOT EXISTS ({activity} = '{other}')")
    )


def test_scenarios_run_side_by_side(project: Project) -> None:
    project.write(a=meeting("first", "second"), b=meeting("second", "first"))
    project.run("--chaos-jobs=2").assert_outcomes(passed=2)


def test_they_do_so_with_a_plugin_that_adds_a_fixture_to_every_item(project: Project) -> None:
    project.write(a=meeting("first", "second"), b=meeting("second", "first"))
    asyncio = ["-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function"]
    project.run("--chaos-jobs=2", *asyncio).assert_outcomes(passed=2)


@pytest.mark.parametrize("args", [["--chaos-jobs=1"], ["-s"], ["--setup-show"], ["--pdb"]])
def test_one_at_a_time_with_jobs_1_and_interactive_options(project: Project, args: list[str]) -> None:
    # each lasts a while on purpose: the others could come in that time; a backend whose client has gone is idle
    there = "SELECT 1 / (count(*) = 1)::int FROM pg_stat_activity WHERE application_name = 'there' AND state <> 'idle';"
    alone = MEET.format(wait=f"SET application_name = 'there';\n{there}\nSELECT pg_sleep(0.05);\n{there}")
    project.write(a=alone, b=alone, c=alone)
    project.run(*args).assert_outcomes(passed=3)


def test_alone_means_alone(project: Project) -> None:
    # both last a while on purpose: longer than it takes to begin another
    busy = MEET.format(wait="SET application_name = 'busy';\nSELECT pg_sleep(0.1);")
    alone = "-- chaos:alone\n" + MEET.format(
        wait="SELECT 1 / (count(*) = 0)::int FROM pg_stat_activity WHERE application_name = 'busy';\n"
        "SELECT pg_sleep(0.3);\n"
        "SELECT 1 / (count(*) = 0)::int FROM pg_stat_activity WHERE application_name = 'busy';"
    )
    project.write(a=busy, b=alone, c=busy, d=busy, e=busy, f=busy)
    project.run("--chaos-jobs=3").assert_outcomes(passed=6)


def test_results_are_reported_in_order_each_with_its_own_item(project: Project) -> None:
    project.write(a=FINE, b=BAD, c=FINE, d=BAD, e=FINE)
    result = project.run("--chaos-jobs=4", "-v")
    result.assert_outcomes(passed=3, failed=2)
    output = [line for line in result.outlines if re.search(r"::. (PASSED|FAILED)", line)]
    assert [line.split("::")[1][0] for line in output] == ["a", "b", "c", "d", "e"]


def test_jobs_in_threads_stop_when_pytest_stops(project: Project) -> None:
    endless = MEET.format(wait="SELECT pg_sleep(600);")
    project.write(a=BAD, b=endless, c=endless)
    result = project.run("--chaos-jobs=3", "-x")
    result.assert_outcomes(failed=1)
    assert float(re.findall(r"in ([0-9.]+)s", result.outlines[-1])[0]) < 120


def test_a_scenario_that_fails_does_not_disturb_others(project: Project) -> None:
    harmful = (
        MEET.format(wait="SELECT pg_terminate_backend(pg_backend_pid());"),
        MEET.format(wait="BEGIN;\nLOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE;\nSELECT pg_sleep(60);").replace(
            "10min", "500ms"
        ),
        MEET.format(wait="SELECT pg_advisory_lock(1);"),
        MEET.format(wait="SELECT 'no semicolon';\nSELECT 1 / 0;"),
        MEET.format(wait="DO $$ BEGIN FOR i IN 1..3000 LOOP RAISE NOTICE 'flood %', i; END LOOP; END $$;"),
    )
    project.write(**{f"bad{number}": text for number, text in enumerate(harmful)})
    project.write(**{f"good{number}": FINE for number in range(5)})
    result = project.run("--chaos-jobs=5")
    result.assert_outcomes(passed=6, failed=4)
    result.stdout.no_fnmatch_line("FAILED sql/good*")


def test_servers_of_selected_scenarios_own_are_expected(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[int] = []
    monkeypatch.setattr(ClusterFactory, "expect", lambda _, servers: expected.append(servers))
    own = f"-- chaos:sandbox server\n{FINE}"
    project.write(apart=own, another=own, fine=FINE)
    project.run("-k", "fine").assert_outcomes(passed=1, deselected=2)
    assert expected == []
    project.run("-k", "not another").assert_outcomes(passed=2, deselected=1)
    assert expected == [1]


def test_items_with_other_fixtures_wait_for_them(project: Project) -> None:
    project.pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef first(tmp_path):\n    print('set up'); yield\n"
    )
    project.write(a=FINE, b=FINE)
    project.run("--chaos-jobs=2").assert_outcomes(passed=2)


@pytest.mark.parametrize("bad", ["0", "-1", "many", "1.5", "1000"])
def test_an_invalid_number_is_refused(project: Project, bad: str) -> None:
    result = project.look(f"--chaos-jobs={bad}")
    result.stderr.fnmatch_lines([f"ERROR: --chaos-jobs: invalid number of scenarios '{bad}': *"])


@pytest.mark.parametrize(("head", "others"), [("-- chaos:alone\n", "_shared"), ("", "")], ids=["alone", "not alone"])
def test_alone_means_alone_among_other_runs_too(
    project: Project, foreign_server: ForeignServer, head: str, others: str
) -> None:
    project.write(a=head + FINE)
    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={foreign_server.dsn}"]

    def waits() -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return other.execute(query).fetchone() == (1,)

    with foreign_server.connect() as other:
        # another run is at it: one with a scenario that must be alone, or one that this one must wait for
        other.execute(f"SELECT pg_advisory_lock{others}({KEY})")
        with subprocess.Popen(
            command, cwd=project.pytester.path, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        ) as process:
            try:
                until(waits, "the run waits for its turn")
                other.execute("SELECT pg_advisory_unlock_all()")
                out, _ = process.communicate(timeout=60)
            finally:
                process.kill()
    assert process.returncode == pytest.ExitCode.OK, out


def test_each_scenario_says_why_no_job_is_started(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if thread.name.startswith("pgchaos job"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr("threading.Thread.start", limited)
    project.write(a=FINE, b=FINE)
    result = project.run("--chaos-jobs=2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["cannot start a thread for pgchaos job, *", "*Interrupted: the scenarios have no server*"]
    )


@pytest.mark.parametrize(
    ("head", "options", "databases"),
    [
        ("", (), 2),
        ("-- chaos:schedule one.1\n", (), 2),
        ("-- chaos:schedule all\n", (), None),
        ("-- chaos:given value in 1..3\n-- chaos:teardown\nSELECT :value;\n", (), None),
        ("", ("--chaos-repeat=2",), None),
        ("", ("--chaos-selfcheck",), None),
    ],
)
def test_what_is_known_of_the_databases_that_items_use(
    project: Project, head: str, options: tuple[str, ...], databases: int | None
) -> None:
    project.write(one=f"{head}-- chaos:session one\nSELECT 1;\n-- chaos:check\nSELECT ok(true);\n", fine=FINE)
    items, _ = project.pytester.inline_genitems("--collect-only", *options)
    assert expected(items, items[0].config.stash[OPTIONS]) == Expected(Contents.TOOLKIT, databases)
