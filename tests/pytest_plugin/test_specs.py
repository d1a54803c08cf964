"""Isolation specs as pytest collects, runs and reports them."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import FINE, INI, Project

SPEC = """\
# A sum
session a
step a1 { SELECT 1 + 1 AS sum; }
step a2 { SELECT 3 AS three; }
permutation a1
permutation a2 a1
"""
OUT = """\
Parsed test spec with 1 sessions

starting permutation: a1
step a1: SELECT 1 + 1 AS sum;
sum
---
  2
(1 row)


starting permutation: a2 a1
step a2: SELECT 3 AS three;
three
-----
    3
(1 row)

step a1: SELECT 1 + 1 AS sum;
sum
---
  2
(1 row)

"""


def test_a_spec_is_collected_only_where_it_is_named(project: Project) -> None:
    project.file("specs/sum.spec", SPEC)
    project.file("sql/sum.spec", SPEC)
    assert project.collected() == []
    assert project.collected(".") == []
    assert project.collected("specs") == []
    assert project.collected("specs/sum.spec") == ["specs/sum.spec::sum"]
    assert project.collected("--chaos-pgtap") == ["sql/sum.spec::sum"]
    assert project.collected("--chaos-pgtap", "specs") == ["specs/sum.spec::sum"]


def test_what_is_no_isolation_spec_is_left_alone(project: Project) -> None:
    project.file("app.spec", "Name: app\nVersion: 1\n%prep\n")
    project.look("app.spec", "--chaos-pgtap").assert_outcomes()


@pytest.mark.parametrize("named", [["sql/empty.spec", "sql/half.spec"], ["--chaos-pgtap"]], ids=["named", "folder"])
def test_a_spec_without_a_step_is_an_error_with_its_line(project: Project, named: list[str]) -> None:
    project.file("sql/empty.spec", "# to do\n")
    project.file("sql/half.spec", "setup { SELECT 1; }\nsession a\n")
    result = project.run(*named)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*sql/empty.spec:2: expected a session, found the end of the file*",
            "*sql/half.spec:3: expected a step of the session, found the end of the file*",
        ]
    )


def test_a_spec_as_expected_passes(project: Project) -> None:
    project.file("specs/sum.spec", SPEC)
    project.file("expected/sum.out", "something else\n")
    project.file("expected/sum_1.out", OUT.replace("\n", "\r\n"))
    project.run("specs/sum.spec").assert_outcomes(passed=1)


def test_a_difference_is_reported_by_permutation_with_the_line_of_the_expected_file(project: Project) -> None:
    project.file("specs/sum.spec", SPEC)
    project.file("expected/sum.out", OUT.replace("    3\n", "    4\n"))
    result = project.run("specs/sum.spec")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*sum: A sum*",
            "specs/sum.spec: 1 of 2 permutations differs from expected/sum.out",
            "Permutation 2: a2 a1 (expected/sum.out:15; - expected, + printed):",
            "    -    4",
            "    +    3",
            "To accept this output as expected: run specs/sum.spec again with --chaos-accept",
        ]
    )


def test_without_expected_output_it_fails_and_shows_what_it_printed(project: Project) -> None:
    project.file("specs/sum.spec", SPEC)
    result = project.run("specs/sum.spec")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "specs/sum.spec:1: there is no expected output, expected/sum.out: --chaos-accept writes it",
            "Output:",
            "*starting permutation: a2 a1",
        ]
    )


def test_what_was_printed_can_be_accepted(project: Project) -> None:
    spec = project.file("specs/sum.spec", SPEC)
    result = project.run("specs/sum.spec", "--chaos-accept")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["note: specs/sum.spec: wrote expected/sum.out"])
    assert (spec.parents[1] / "expected/sum.out").read_text(encoding="utf-8") == OUT
    project.run("specs/sum.spec").assert_outcomes(passed=1)


def test_what_cannot_be_played_is_not_accepted(project: Project) -> None:
    spec = project.file("specs/sum.spec", "setup { SELECT 1/0; }\n" + SPEC)
    result = project.run("specs/sum.spec", "--chaos-accept")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["specs/sum.spec: permutation a1: setup failed: ERROR:  division by zero"])
    assert not (spec.parents[1] / "expected").exists()


def test_a_file_that_is_wrong_fails_by_itself(project: Project) -> None:
    project.file("specs/sum.spec", SPEC + "permutation a3\n")
    project.file("specs/other.spec", SPEC)
    project.file("expected/other.out", OUT)
    result = project.run("specs/sum.spec", "specs/other.spec")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(['specs/sum.spec:7: undefined step "a3" in permutation'])


def test_it_is_reported_where_settings_had_to_leak(project: Project) -> None:
    spec = "session a\nstep a1 { SET my.x = 1; }\nstep a2 { SELECT current_setting('my.x', true) AS x; }\n"
    project.file("specs/x.spec", spec + "permutation a1\npermutation a2\n")
    head = "Parsed test spec with 1 sessions\n\nstarting permutation: a1\nstep a1: SET my.x = 1;\n"
    rows = "\nstarting permutation: a2\nstep a2: SELECT current_setting('my.x', true) AS x;\nx\n-\n1\n(1 row)\n\n"
    project.file("expected/x.out", head + rows)
    result = project.run("specs/x.spec")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["note: specs/x.spec: permutation a2 is as expected only with what earlier *"])


def test_what_differs_with_and_without_leaks_is_reported_in_full(project: Project) -> None:
    spec = "session a\nstep a1 { SET my.x = 1; }\nstep a2 { SELECT current_setting('my.x', true) AS x; }\n"
    project.file("specs/x.spec", spec + "permutation a1\npermutation a2\npermutation a1 a2\n")
    project.file("expected/x.out", "Parsed test spec with 1 sessions\n\nstarting permutation: a1\nstep a1: SET;\n")
    result = project.run("specs/x.spec")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*: 3 of 3 permutations differ from expected/x.out", "Permutation 3: a1 a2 *"])


def test_too_few_prepared_transactions_skip_it(project: Project) -> None:
    steps = "\n".join(f"step a{n} {{ BEGIN; PREPARE TRANSACTION 'spec_{n}'; }}" for n in range(25))
    ends = "\n".join(f"step b{n} {{ ROLLBACK PREPARED 'spec_{n}'; }}" for n in range(25))
    project.file("specs/many.spec", f"session a\n{steps}\nsession b\n{ends}\npermutation " + _all("a") + _all("b"))
    result = project.run("specs/many.spec", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*raise max_prepared_transactions"])


def _all(letter: str) -> str:
    return " ".join(f"{letter}{n}" for n in range(25)) + " "


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_specs_run_beside_scenarios(project: Project, jobs: str) -> None:
    for number in range(3):
        project.file(f"specs/s{number}.spec", SPEC.replace("session a", f"session a{number}"))
        project.file(f"expected/s{number}.out", OUT)
    project.write(fine="-- Fine\n-- chaos:check\nSELECT ok(true, 'fine');\n")
    names = [f"specs/s{number}.spec" for number in range(3)]
    project.run(f"--chaos-jobs={jobs}", "sql", *names).assert_outcomes(passed=4)


LOADED = "session a\nstep a1 { SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY oid; }\n"
LOADED_OUT = """\
Parsed test spec with 1 sessions

starting permutation: a1
step a1: SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY oid;
extname
-------
pg_trgm
citext{pad}
(2 rows)

""".replace("{pad}", " ")


def test_extensions_are_loaded_by_option_and_by_ini_file(project: Project) -> None:
    project.file("specs/loaded.spec", LOADED)
    project.file("expected/loaded.out", LOADED_OUT)
    options = ("--chaos-load-extension=pg_trgm", "--chaos-load-extension", "citext")
    project.run("specs/loaded.spec", *options).assert_outcomes(passed=1)
    project.file("pytest.ini", INI + "chaos_load_extension =\n    pg_trgm\n    citext\n")
    project.run("specs/loaded.spec").assert_outcomes(passed=1)
    project.run("specs/loaded.spec", "--chaos-load-extension=citext").assert_outcomes(failed=1)


def test_an_extension_that_cannot_be_loaded_fails_each_spec_and_no_scenario(project: Project) -> None:
    project.file("specs/loaded.spec", LOADED)
    project.file("expected/loaded.out", LOADED_OUT)
    project.write(fine=FINE)
    result = project.run("specs/loaded.spec", "sql/fine.sql", "--chaos-load-extension=not_there")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["extension not_there cannot be created: *"])


def test_what_is_no_name_of_an_extension_is_refused(project: Project) -> None:
    result = project.look("--chaos-load-extension=a; b")
    result.stderr.fnmatch_lines(["*--chaos-load-extension: invalid value 'a; b': expected the name of an extension*"])


def test_a_spec_that_looks_at_all_sessions_sees_its_own_alone(project: Project) -> None:
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'isolation%' ORDER BY 1;"
    rows = "isolation/who/a                 \nisolation/who/control connection\n(2 rows)\n"
    head = "application_name                \n--------------------------------\n"
    project.file("specs/who.spec", f"session a\nstep a1 {{ {query} }}\n")
    project.file(
        "expected/who.out",
        f"Parsed test spec with 1 sessions\n\nstarting permutation: a1\nstep a1: {query}\n{head}{rows}\n",
    )
    # before and after it in the order of files; they sleep so that they run at the same time
    for name in ("sum", "t1", "t2", "zum"):
        project.file(f"specs/{name}.spec", SPEC.replace("SELECT 3 AS", "SELECT 3 + 0 * length(pg_sleep(0.1)::text) AS"))
        out = OUT.replace("SELECT 3 AS", "SELECT 3 + 0 * length(pg_sleep(0.1)::text) AS")
        project.file(f"expected/{name}.out", out)
    names = [f"specs/{name}.spec" for name in ("sum", "t1", "who", "t2", "zum")]
    project.run(*names, "--chaos-jobs=4").assert_outcomes(passed=5)


def test_a_server_without_logical_decoding_skips_it(project: Project) -> None:
    step = "step a1 { SELECT FROM pg_create_logical_replication_slot('spec_slot', 'pgoutput'); }"
    project.file("specs/slot.spec", f"session a\n{step}\n")
    result = project.run("specs/slot.spec", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*requires wal_level = logical*"])
