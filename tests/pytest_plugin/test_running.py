from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET

import pytest

from tests.engine.playing import over_once
from tests.pytest_plugin.conftest import BAD, BROKEN, FINE, INI, Project

MIXED = """\
-- chaos:check
SELECT ok(true, 'this holds');
SELECT skip('no pggit', 1);
SELECT todo('not built', 1);
SELECT ok(false, 'some day');
"""

XFAIL = "-- chaos:xfail 'sums are wrong' nobody can count\n-- chaos:xfail 'and this does not' nor think\n" + BAD
XPASS = "-- chaos:xfail 'sums are right' nobody can count\n" + FINE

SAYS = """\
-- chaos:session teller
\\echo hello :worker
SELECT 1;
-- chaos:check
SELECT ok(true, 'said');
"""

HANGS = """\
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY);
INSERT INTO account VALUES (1);
-- chaos:session holder
BEGIN;
UPDATE account SET id = 1;
-- chaos:delay 5min
COMMIT;
-- chaos:session waiter
-- chaos:wait for never
UPDATE account SET id = 1;
-- chaos:session giver
-- chaos:delay 5min
-- chaos:signal never
-- chaos:check
SELECT ok(true, 'never reached');
"""


def lines(matcher: pytest.LineMatcher, pattern: str) -> list[str]:
    return [line for line in matcher.lines if re.search(pattern, line)]


def test_a_passing_scenario(project: Project) -> None:
    project.write(fine=FINE)
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "pgchaos *, seed *",
            "server: PostgreSQL * (not ours: *",
            "sql/fine.sql::fine SUBPASSED*sums are right*",
            "sql/fine.sql::fine PASSED*",
        ]
    )


def test_todo_and_skip_are_subtests(project: Project) -> None:
    project.write(mixed=MIXED)
    result = project.run("-v")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*::mixed SUBPASSED*this holds*",
            "*::mixed SUBSKIPPED*(no pggit)*",
            "*::mixed SUBXFAIL*some day*(not built)*",
            "*::mixed PASSED*",
        ]
    )


def test_all_that_fails_is_one_failure(project: Project) -> None:
    project.write(bad=BAD)
    result = project.run("-v")
    assert result.parseoutcomes() == {"failed": 1, "subtests": 1}
    result.stdout.fnmatch_lines(
        [
            "*::bad SUBPASSED*but this holds*",
            "*_ bad: What must hold, does not _*",
            "sql/bad.sql:3: sums are wrong",
            "    have: 2",
            "    want: 3",
            "sql/bad.sql:5: and this does not",
            "Server: PostgreSQL *",
            "Seed *. To run it again:",
            "    pytest sql/bad.sql::bad --chaos-seed=*",
            "FAILED sql/bad.sql::bad - sql/bad.sql:3 sums are wrong: have 2, want 3",
        ]
    )
    # no word of Python
    assert not lines(result.stdout, r"Traceback|\.py\b|self|assert ")


def test_the_line_that_it_prints_runs_it_again(project: Project) -> None:
    project.write(bad="-- chaos:matrix level in 'read committed', serializable\n" + BAD + "\\set used :'level'\n")
    result = project.run("--chaos-seed=99")
    # where CI is set pytest's summary repeats the whole text
    first, second = dict.fromkeys(lines(result.stdout, r"^    pytest "))
    assert second.startswith("    pytest 'sql/bad.sql::bad[level=serializable]' --chaos-seed=99 '--chaos-dsn=")
    again = project.pytester.runpytest_inprocess(*shlex.split(first)[1:])
    again.assert_outcomes(failed=1)
    assert set(lines(again.stdout, r"^    pytest ")) == {first}


@pytest.mark.parametrize("args", [("-x",), ("--maxfail=1",)])
def test_a_file_is_one_failure_for_maxfail(project: Project, args: tuple[str, ...]) -> None:
    project.write(a=BAD, b=BAD, c=BAD)
    assert project.run(*args).parseoutcomes()["failed"] == 1
    assert project.run("--maxfail=2").parseoutcomes()["failed"] == 2


def test_an_xfail_is_reported_as_such_without_subtests(project: Project) -> None:
    project.write(known=XFAIL)
    result = project.run("-v", "-rx")
    assert result.parseoutcomes() == {"xfailed": 1}
    result.stdout.fnmatch_lines(["XFAIL sql/known.sql::known - nobody can count; nor think"])


def test_an_xfail_for_other_values_leaves_the_subtests(project: Project) -> None:
    levels = "-- chaos:matrix level in low, high\n-- chaos:xfail 'sums are right' nobody can count when level = low\n"
    project.write(known=levels + FINE)
    result = project.run("-v")
    assert result.parseoutcomes() == {"failed": 1, "passed": 1, "subtests": 1}
    result.stdout.fnmatch_lines(["*::known[[]level=high[]] SUBPASSED*sums are right*"])


def test_with_runxfail_it_fails(project: Project) -> None:
    project.write(known=XFAIL)
    result = project.run("--runxfail")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sql/known.sql:*: sums are wrong"])


def test_an_xfail_is_strict(project: Project) -> None:
    project.write(known=XPASS)
    result = project.run("-v")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["sql/known.sql:1: XPASS(strict): 'sums are right' * nobody can count"])


def test_what_is_missing_skips_before_a_database_is_made(project: Project) -> None:
    project.write(needy="-- Needs what nobody has\n-- chaos:requires extension nosuch\n" + BAD)
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1] sql/needy.sql:2: requires extension nosuch*"])


def test_what_the_server_lacks_is_said_once_for_all(project: Project) -> None:
    needs = "-- chaos:requires extension {}\n" + FINE
    matrix = "-- chaos:matrix level in a, b\n"
    project.write(a=needs.format("nosuch"), b=matrix + needs.format("nosuch") + "\\set used :'level'\n")
    for name, text in {"c": needs.format("nosuch"), "d": needs.format("nothing"), "e": FINE}.items():
        project.file(f"sql/pack/{name}.sql", text)
    result = project.run()
    result.assert_outcomes(skipped=5, passed=1)
    lines = [line for line in result.outlines if line.startswith("skipped: ")]
    assert [line[: line.index(",")] for line in lines] == [
        "skipped: 4 in sql: requires extension nosuch",
        "skipped: 1 in sql/pack: requires extension nothing",
    ]
    assert "skipped: " not in project.run("-q").stdout.str()


def test_a_pgtap_file_that_skips_itself_says_why(project: Project) -> None:
    project.write(
        alien="\\set here false\n\\if :here\nSELECT plan(1);\nSELECT pass('x');\n\\else\n"
        "SELECT '1..0 # SKIP no such thing here';\n\\endif\n",
        wrong="SELECT '1..0 # SKIP but it runs one';\nSELECT * FROM no_plan();\nSELECT ok(true, 'one');\n",
    )
    result = project.run("-rs", "--chaos-pgtap")
    result.assert_outcomes(skipped=1, failed=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1] sql/alien.sql:1: no such thing here"])


def test_a_destructive_scenario_is_skipped_on_a_foreign_server(project: Project) -> None:
    project.write(harm="-- chaos:tags destructive\n" + FINE)
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*--chaos-allow-destructive*"])
    project.run("--chaos-allow-destructive=postgres").assert_outcomes(passed=1)


def test_last_failed(project: Project) -> None:
    project.write(bad=BAD, fine=FINE, broken=BROKEN)
    project.run().assert_outcomes(passed=1, failed=2)
    result = project.run("--lf", "-v")
    assert result.parseoutcomes()["failed"] == 2
    assert not lines(result.stdout, r"::fine PASSED")


def test_the_duration_is_the_scenarios_own(project: Project) -> None:
    project.write(mixed=MIXED)
    project.pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    report = yield\n"
        "    if report.when == 'call':\n"
        "        print('took', 'none' if not report.duration else report.duration == item.duration)\n"
        "    return report\n"
    )
    result = project.run("-s")
    took = [line[line.index("took") :] for line in lines(result.stdout, "took")]
    assert took == ["took none"] * 3 + ["took True"]
    # all of them: on a busy machine what is set up before may take longer; those of subtests are 0.00
    project.write(mixed=MIXED + "DO 'BEGIN PERFORM pg_sleep(0.02); END';\n")
    project.run("--durations=0", "-vv").stdout.re_match_lines([r"(?!0\.00s)[0-9.]+s call +sql/mixed\.sql::mixed"])


def test_junit_has_one_case_for_each_item(project: Project) -> None:
    project.write(
        bad=BAD,
        broken=BROKEN,
        fine="-- chaos:matrix level in a, 'b c'\n" + FINE + "\\set used :'level'\n",
        mixed=MIXED,
        needy="-- chaos:requires extension nosuch\n" + FINE,
    )
    project.run("--junit-xml=report.xml")
    cases = ET.parse(project.pytester.path / "report.xml").getroot().findall(".//testcase")
    output = {
        (case.get("classname"), case.get("name")): [child.tag for child in case if child.tag != "properties"]
        for case in cases
    }
    assert len(cases) == len(output)
    assert output == {
        ("sql.bad.sql", "bad"): ["failure"],
        ("sql.broken.sql", "broken"): ["failure"],
        ("sql.fine.sql", "fine[level=a]"): [],
        ("sql.fine.sql", "fine[level=b c]"): [],
        ("sql.mixed.sql", "mixed"): [],
        ("sql.needy.sql", "needy"): ["skipped"],
    }
    (failure,) = (case.find("failure") for case in cases if case.get("name") == "bad")
    assert failure is not None
    assert "sql/bad.sql:3: sums are wrong\n    have: 2\n    want: 3" in (failure.text or "")


@pytest.mark.parametrize("workers", [(), ("-n", "2", "-p", "xdist.plugin")])
def test_junit_counts_scenarios_and_has_their_properties(project: Project, workers: tuple[str, ...]) -> None:
    project.write(bad=BAD, fine=FINE)
    project.file("test_own.py", "def test_own(subtests):\n    with subtests.test('x'):\n        pass\n")
    project.run("--junit-xml=report.xml", "--chaos-seed=7", "sql", "test_own.py", *workers)
    (suite,) = ET.parse(project.pytester.path / "report.xml").getroot().iter("testsuite")
    # pytest counts the subtests of others beside their test, and goes on to
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    (fine,) = (case for case in suite.iter("testcase") if case.get("name") == "fine")
    output = {one.get("name"): one.get("value") for one in fine.iter("property")}
    assert (output["title"], output["seed"]) == ("What must hold, holds", "7")
    assert str(output["server"]).startswith("PostgreSQL ")


def test_junit_has_the_token_that_runs_what_failed_again(project: Project) -> None:
    project.write(
        race="-- chaos:schedule all\n-- chaos:session a\nSELECT 1;\n-- chaos:session b\nSELECT 2;\n"
        "-- chaos:check\nSELECT ok(false, 'never');\n"
    )
    project.run("--junit-xml=report.xml")
    found = {one.get("name"): one.get("value") for one in ET.parse("report.xml").getroot().iter("property")}
    assert found["token"]
    project.run(f"--chaos-replay={found['token']}").assert_outcomes(failed=1)


def test_progress_ends_at_a_hundred(project: Project) -> None:
    project.write(mixed="-- chaos:matrix level in a, 'b c'\n" + MIXED + "\\set used :'level'\n")
    result = project.run("-v")
    shown = [int(match[1]) for line in result.outlines if (match := re.search(r"\[ *([0-9]+)%\]", line))]
    assert (shown[0], max(shown)) == (50, 100)


def test_workers_of_xdist(project: Project) -> None:
    project.write(bad=BAD, worse=BAD, fine="-- chaos:matrix level in a, 'b c', d\n" + FINE + "\\set used :'level'\n")
    result = project.run("-p", "xdist", "-n2", "-rA")
    result.assert_outcomes(failed=2, passed=3)
    (head,) = lines(result.stdout, "^pgchaos .*, seed ")
    seeds = set(re.findall("--chaos-seed=([0-9]+)", result.stdout.str()))
    assert seeds == {head.rpartition(" ")[2]}
    result.stdout.fnmatch_lines(["server of gw0: PostgreSQL *"])
    result.stdout.fnmatch_lines(["PASSED sql/fine.sql::fine[[]level=b c]"])


def test_workers_of_xdist_collect_what_one_process_would(project: Project) -> None:
    project.write(fine=FINE)
    project.file("tests/data/x.sql", FINE)
    project.pytester.makeini(INI + "testpaths = tests sql\n")
    project.run().assert_outcomes(passed=1)
    project.run("-p", "xdist", "-n1").assert_outcomes(passed=1)


@pytest.mark.parametrize("how", ["option", "ini", "marker"])
def test_the_limit_of_pytest_timeout_applies_where_it_is_smaller(
    project: Project, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = {"holder[1]": "is in a delay", "waiter[1]": "waits at wait for never", "giver[1]": "is in a delay"}
    over_once(monkeypatch, lambda output: all(output[who] == doing for who, doing in stand.items()))
    project.write(hangs="-- chaos:timeout 20min\n" + HANGS)
    args = ["-p", "pytest_timeout"]
    if how == "option":
        args.append("--timeout=600")
    elif how == "ini":
        project.pytester.makeini(INI + "timeout = 600\n")
    else:
        project.pytester.makeconftest(
            "import pytest\n"
            "def pytest_collection_modifyitems(items):\n"
            "    for item in items: item.add_marker(pytest.mark.timeout(600))\n"
        )
    result = project.run(*args)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "sql/hangs.sql:* within 600s",
            "State of the sessions when the run was stopped:",
            "    holder[[]1]*",
            "    waiter[[]1]*waits for giver[[]1]*",
        ]
    )
    result.stdout.no_fnmatch_line("*Timeout*")


def test_the_limit_of_the_scenario_applies_where_it_is_smaller(project: Project) -> None:
    project.write(hangs="-- chaos:timeout 300ms\n" + HANGS)
    result = project.run("-p", "pytest_timeout", "--timeout=300")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sql/hangs.sql:* 0.3s"])


def test_chaos_timeout_is_for_scenarios_without_a_timeout(project: Project) -> None:
    project.write(hangs=HANGS)
    result = project.run("--chaos-timeout=400ms")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sql/hangs.sql:* 0.4s"])


def test_a_missing_server_is_reported_once(project: Project) -> None:
    project.write(**{f"s{number}": FINE for number in range(5)})
    result = project.look()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(lines(result.stderr, "/nowhere")) == 1
    assert not lines(result.stdout, r"Traceback|FAILED|\.py|/nowhere")


def test_a_missing_server_is_reported_once_by_a_worker(project: Project) -> None:
    project.write(**{f"s{number}": FINE for number in range(5)})
    result = project.look("-p", "xdist", "-n1")
    assert result.ret != pytest.ExitCode.OK
    assert result.parseoutcomes()["failed"] == 1
    assert not lines(result.stdout, "Traceback|exception")


def test_the_output_of_a_scenario_is_captured(project: Project) -> None:
    project.write(says=SAYS)
    project.run().stdout.no_fnmatch_line("*hello 1*")
    project.run("-s").stdout.fnmatch_lines(["*hello 1*"])
    project.run("-rP").stdout.fnmatch_lines(["*Captured stdout call*", "*hello 1*"])


def test_setup_show_and_pdb(project: Project) -> None:
    project.write(fine=FINE, bad=BAD)
    project.run("--setup-show").assert_outcomes(passed=1, failed=1)
    project.run("--pdb", "sql/fine.sql").assert_outcomes(passed=1)


def test_a_plain_pgtap_file(project: Project) -> None:
    project.file("t/plain.sql", "SELECT plan(2);\nSELECT pass('one');\nSELECT * FROM finish();\n")
    result = project.run("t/plain.sql")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["t/plain.sql:1: planned 2 tests, ran 1"])


def test_beside_tests_in_python_and_their_fixtures(project: Project) -> None:
    project.write(fine=FINE)
    project.pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef told():\n    print('before')\n    yield\n"
    )
    project.pytester.makepyfile(test_python="def test_python(): pass")
    result = project.run("-s")
    result.assert_outcomes(passed=2)
    assert len(lines(result.stdout, "before")) == 2


def test_paths_are_relative_to_where_pytest_was_started(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(bad=BAD)
    monkeypatch.chdir(project.pytester.path / "sql")
    result = project.run("bad.sql")
    result.stdout.fnmatch_lines(["bad.sql:3: sums are wrong", "    pytest bad.sql::bad --chaos-seed=*"])
    project.run("bad.sql::bad").assert_outcomes(failed=1)


def test_a_missing_requirement_of_one_scenario_does_not_stop_the_others(project: Project) -> None:
    project.write(a=BROKEN, b="-- chaos:requires extension nosuch\n" + FINE, c=FINE)
    result = project.run()
    result.assert_outcomes(passed=1, failed=1, skipped=1)


@pytest.mark.parametrize(
    ("argv", "environ", "output"),
    [
        ("venv/bin/pytest", {}, "    venv/bin/pytest sql/bad.sql::bad --chaos-seed=*"),
        ("/x/pytest/__main__.py", {}, "    python -m pytest sql/bad.sql::bad --chaos-seed=*"),
        (
            "pytest",
            {"CHAOS_MAKE": "1"},
            "    make installcheck-chaos CHAOS_TESTS=sql/bad.sql::bad CHAOS_OPTS='--chaos-seed=*",
        ),
        (
            "pytest",
            {"CHAOS_MAKE": "1", "PG_BINDIR": "/x/$1", "PG_CONFIG": "/x/pg_config", "CHAOS_PYTHON": "uv run python"},
            "    make installcheck-chaos PG_BINDIR='/x/$$1' PG_CONFIG=/x/pg_config CHAOS_PYTHON='uv run python' CHAOS*",
        ),
    ],
)
def test_the_line_that_runs_it_again_begins_as_pytest_was_called(
    project: Project, monkeypatch: pytest.MonkeyPatch, argv: str, environ: dict[str, str], output: str
) -> None:
    for name in ("PG_BINDIR", "PG_CONFIG", "CHAOS_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", [argv])
    project.write(bad=BAD)
    project.run().stdout.fnmatch_lines([output])


def test_autouse_fixtures_of_module_scope_are_set_up_for_scenarios(project: Project) -> None:
    project.write(
        fine=FINE,
        more=FINE.replace("-- chaos:tags", "-- chaos:matrix kind in a, b\n-- chaos:tags") + "\\set used :kind\n",
    )
    project.file(
        "conftest.py",
        """
import pytest

@pytest.fixture(autouse=True, scope="module")
def each(request):
    print("set up for", request.module.__name__)
""",
    )
    result = project.run("-rP")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["set up for fine", "set up for more"])
