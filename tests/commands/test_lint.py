"""`pgchaos lint`: what is wrong with scenarios, without a server, and pre-commit's hook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pgchaos.commands.findings import RULES
from tests.commands.conftest import Call

ROOT = Path(__file__).parents[2]
SETUP = "-- chaos:setup\nCREATE TABLE t (n int);\nINSERT INTO t VALUES (0);\n"
MEET = "-- chaos:session a x 2\n-- chaos:barrier met\nUPDATE t SET n = n + 1;\n"
CHECK = "-- chaos:check\nSELECT is((SELECT n FROM t), 2, 'both count');\n"
MUTANT = "-- chaos:mutant it is set\n-- chaos:replace 'n + 1' with '1' in a\n-- chaos:caught by 'both count'\n"
SETS = "-- chaos:mutant it is gone\nDELETE FROM t;\n-- chaos:caught by 'both count'\n"
GOOD = SETUP + MEET + CHECK + MUTANT
RUN = "-- chaos:schedule explore 5\n" + SETUP + "-- chaos:session shop x 2 run '{}'\n" + CHECK + SETS
BAD = SETUP + MEET.replace("session", "sesion") + CHECK


def lint(call: Call, text: str, *options: str) -> tuple[int, list[str]]:
    """Lint one file, sql/t.sql; gives the lines without its path."""
    Path("sql/t.sql").write_text(text, encoding="utf-8")
    ended = call("lint", *options)
    assert ended.err == ""
    return ended.code, [line.removeprefix("sql/t.sql:") for line in ended.out.splitlines()]


def rules(lines: list[str]) -> list[tuple[int, str]]:
    found = [re.match(r"(\d+): \[([\w-]+)\] \S", line) for line in lines]
    assert all(found), lines
    return [(int(one[1]), one[2]) for one in found if one]


def test_a_mistake_is_printed_with_its_line(call: Call) -> None:
    code, (first, *_) = lint(call, BAD)
    assert (code, first) == (1, "4: [language] unknown directive `sesion`, did you mean `session`?")


def test_a_file_is_a_scenario_by_what_it_includes(call: Call) -> None:
    Path("pattern.psql").write_text(BAD, encoding="utf-8")
    code, (first, *_) = lint(call, "-- Mine\n\\ir ../pattern.psql\n")
    assert (code, first) == (1, "sql/../pattern.psql:4: [language] unknown directive `sesion`, did you mean `session`?")


def test_files_that_are_right_and_those_that_are_no_scenarios_are_left_alone(call: Call) -> None:
    Path("sql/migration.sql").write_text("DROP TABLE everything; \\nonsense\n", encoding="utf-8")
    assert lint(call, GOOD, "--strict") == (0, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD.replace("UPDATE", "SELECT pg_sleep(0.1);\nUPDATE"), [(6, "sleep")]),
        (GOOD.replace("UPDATE", "SELECT 1 FROM pg_catalog.pg_sleep_for('1s');\nUPDATE"), [(6, "sleep")]),
        (GOOD.replace("UPDATE", "DO $$BEGIN PERFORM pg_sleep(1); END$$;\nUPDATE"), [(6, "sleep")]),
        # it is to be broken off, or does not sleep
        (GOOD.replace("UPDATE", "-- chaos:fault cancel during\nSELECT pg_sleep(9);\nUPDATE"), []),
        (GOOD.replace("UPDATE", "-- chaos:expect 57014\nSELECT pg_sleep(9);\nUPDATE"), []),
        (GOOD.replace("UPDATE", "SELECT pg_sleep(0), 'pg_sleep(1)';\nUPDATE"), []),
        (GOOD.replace("-- chaos:mutant", "SELECT is(2, 1 + 1, 'x');\n-- chaos:mutant"), [(9, "cannot-fail")]),
        (GOOD.replace("-- chaos:mutant", "SELECT is(n, n, 'x') FROM t;\n-- chaos:mutant"), [(9, "cannot-fail")]),
        (GOOD.replace("-- chaos:mutant", "SELECT ok(count(*) >= 0)\nFROM t;\n-- chaos:mutant"), [(9, "cannot-fail")]),
        (GOOD.replace("-- chaos:mutant", "SELECT ok(count(*) >= 1)\nFROM t;\n-- chaos:mutant"), []),
        (GOOD.replace("-- chaos:mutant", "SELECT is(now(), now());\n-- chaos:mutant"), [(9, "cannot-fail")]),
        (GOOD.replace(MUTANT, "SELECT CASE WHEN n > 0 THEN ok(true) ELSE ok(false) END FROM t;\n" + MUTANT), []),
        (GOOD.replace(CHECK, "-- chaos:invariant\nSELECT 1 = 1 AS one;\n" + CHECK), [(8, "cannot-fail")]),
        (SETUP + MEET + "-- chaos:check\nSELECT pass('fine');\n" + MUTANT, [(8, "cannot-fail")]),
        (SETUP + MEET + "-- chaos:check\n\\if true\nSELECT pass();\n\\else\nSELECT fail();\n\\endif\n" + MUTANT, []),
        (GOOD.replace("-- chaos:barrier met\n", ""), [(4, "free-race")]),
        (GOOD.replace("barrier met", "delay 5ms"), [(4, "free-race")]),
        (GOOD.replace("-- chaos:barrier met", "SELECT chaos.barrier('met', 2);"), []),
        (GOOD.replace("x 2\n-- chaos:barrier met", "x 2 repeat 50"), []),
        ("-- chaos:schedule all\n" + GOOD.replace("-- chaos:barrier met\n", ""), []),
        (GOOD.replace(MUTANT, ""), [(1, "no-mutant")]),
        (RUN.format("python shop.py --user :wrker --port localhost:8080"), [(5, "unset-variable")]),
        (RUN.format("python shop.py --user :worker --at :noon"), []),
        (GOOD.replace("UPDATE", "-- chaos:signal go\nUPDATE"), [(6, "unused-signal")]),
        (GOOD.replace("UPDATE", "DO $$\nBEGIN\n  -- chaos:delay 5ms\nEND $$;\nUPDATE"), [(8, "unread-directive")]),
        (GOOD.replace("UPDATE", "/*\n-- chaos:delay 5ms\n*/\nSELECT '\n-- chaos:signal a';\nUPDATE"),
         [(7, "unread-directive"), (10, "unread-directive")]),
        (GOOD.replace("UPDATE", "/*\n-- chaos:nonsense\n-- -- chaos:delay 5ms\n*/\nUPDATE"), []),
        ("-- chaos:matrix level in a, b\n" + GOOD, [(1, "unused-matrix")]),
        ("-- chaos:tags nobodys\n" + GOOD, [(1, "unknown-tag")]),
    ],
)  # fmt: skip
def test_each_rule_finds_its_line(call: Call, text: str, found: list[tuple[int, str]]) -> None:
    code, lines = lint(call, text)
    assert rules(lines) == found
    assert code == any(RULES[rule].is_error or rule == "unused-matrix" for _, rule in found)
    assert lint(call, text, "--strict")[0] == bool(found)


def test_a_matrix_that_only_mutants_use_is_a_warning(call: Call) -> None:
    text = "-- chaos:matrix level in 1, 2\n" + GOOD.replace("with '1'", "with ':level'")
    code, lines = lint(call, text)
    assert (code, rules(lines)) == (0, [(1, "unused-matrix")])


def test_the_tags_of_the_project_are_known(call: Call, folder: Path) -> None:
    text = "-- chaos:tags mine\n" + GOOD
    assert rules(lint(call, text)[1]) == [(1, "unknown-tag")]
    assert lint(call, text, "--tag", "mine") == (0, [])
    (folder / "pytest.ini").write_text("[pytest]\nchaos_tags =\n    mine\n    yours\n", encoding="utf-8")
    assert lint(call, text) == (0, [])


SLEEPS = "SELECT pg_sleep(1);"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (f"-- lint: allow sleep, the server must be busy\n{SLEEPS}", []),
        (f"{SLEEPS} -- lint: allow sleep, the server must be busy", []),
        (f"-- lint: allow sleep: the server must be busy\n\n{SLEEPS}", [(6, "needless-allow"), (8, "sleep")]),
        # behind a statement it is about this line alone
        (f"SELECT 1; -- lint: allow sleep, the server must be busy\n{SLEEPS}", [(6, "needless-allow"), (7, "sleep")]),
        (f"-- lint: allow sleep\n{SLEEPS}", [(6, "allow"), (7, "sleep")]),
        (f"-- lint: allow slep, the server must be busy\n{SLEEPS}", [(6, "allow"), (7, "sleep")]),
        (f"-- lint: allow language, I know better\n{SLEEPS}", [(6, "allow"), (7, "sleep")]),
        (f"SELECT '-- lint: allow sleep, not a comment';\n{SLEEPS}", [(7, "sleep")]),
    ],
)
def test_a_rule_is_silenced_on_one_line_with_a_reason(call: Call, lines: str, found: list[tuple[int, str]]) -> None:
    code, printed = lint(call, GOOD.replace("UPDATE", f"{lines}\nUPDATE"))
    assert rules(printed) == found
    assert code == any(rule == "allow" for _, rule in found)


def test_what_is_missing_in_the_file_is_silenced_anywhere_in_it(call: Call) -> None:
    permit = "-- lint: allow no-mutant, the bug is in the server\n"
    assert lint(call, GOOD.replace(MUTANT, "") + permit, "--strict") == (0, [])


def test_files_that_are_not_there_and_folders_without_scenarios_are_named(call: Call, folder: Path) -> None:
    assert call("lint", "none.sql") == (2, "", "pgchaos lint: there is no file or folder none.sql\n")
    ended = call("lint")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("pgchaos lint: no file in sql or below it is a scenario: ")
    (folder / "sql" / "t.sql").mkdir()
    assert call("lint").code == 1  # it cannot be read


def test_a_file_that_is_no_text_is_reported(call: Call, folder: Path) -> None:
    (folder / "sql" / "t.sql").write_bytes(b"-- chaos:check\nSELECT 'a\xff';\n")
    ended = call("lint", "sql/t.sql")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("sql/t.sql:2: [language] the file is not UTF-8 ")


def test_all_rules_are_listed_and_described(call: Call) -> None:
    page = (ROOT / "sql" / "COMMANDS.md").read_text(encoding="utf-8")
    listed = call("lint", "--rules").out
    for name, rule in RULES.items():
        assert f"\n{name} " in f"\n{listed}"
        assert f"| `{name}` | {'error' if rule.is_error else 'warning'}" in page


def test_the_hooks_and_make_call_it() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["entry"], hook["types_or"]) == ("pgchaos lint", ["sql"])
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [one["entry"] for one in local["hooks"] if one["id"] == hook["id"]] == [".venv/bin/pgchaos lint --strict"]
    # `make check` has it look at all of sql/
    assert "/pgchaos lint --strict sql;" in (ROOT / "Makefile").read_text(encoding="utf-8")
