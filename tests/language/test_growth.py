"""Reading takes no longer than in proportion to what a file holds, and no more memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pgchaos.language import meta_arguments, sql_scanner
from pgchaos.language.assertions import asserting_functions
from pgchaos.language.meta_arguments import MOST_ESCAPES, MOST_PIECES
from pgchaos.language.model import Replace, Scenario
from pgchaos.language.mutant_texts import ReplaceTargets
from pgchaos.language.parser import LONGEST_DIRECTIVE
from pgchaos.language.problems import Place, ScenarioError
from pgchaos.language.psql_scanner import scan
from pgchaos.language.reader import is_scenario, read
from pgchaos.language.sql_scanner import COPY_CROWDED, MOST_CUTS, MOST_VARIABLES
from pgchaos.pytest_plugin.summarize import summarize
from tests.language.scanning import mistakes, statements
from tests.scaling import MOST, times_longer

SETUP = "-- chaos:setup\nCREATE TABLE t (id int);\n"
SESSION = "-- chaos:session a\nSELECT 0;\n"
CHECK = "-- chaos:check\nSELECT ok(true, 'fine');\n"
CAUGHT = "-- chaos:caught by 'fine'\n"


def scenario(session: str = "", *, head: str = "", setup: str = "", tail: str = "") -> str:
    return head + SETUP + setup + SESSION + session + CHECK + tail


def many(line: str, count: int) -> str:
    return "".join(line.format(number) for number in range(count))


def each_replaced(count: int, text: str = " {0}+0") -> str:
    mutants = many(f"-- chaos:mutant m{{0}}\n-- chaos:replace '{text}' with ' 1' in a\n" + CAUGHT, count)
    return scenario(many("SELECT {0}+0;\n", count), tail=mutants)


def all_in_one_mutant(count: int) -> str:
    replaces = many("-- chaos:replace ' {0}+0' with ' 1' in a\n", count)
    return scenario(many("SELECT {0}+0;\n", count), tail=f"-- chaos:mutant m\n{replaces}{CAUGHT}")


def new_bodies(count: int) -> str:
    bodies = many("-- chaos:session a{0}\nSELECT 2;\n", count)
    mutant = f"-- chaos:mutant m\n{bodies}{CAUGHT}"
    return SETUP + many("-- chaos:session a{0}\nSELECT 1;\n", count) + CHECK + mutant


def barriers(count: int) -> str:
    return scenario(many("-- chaos:barrier b{0}\nSELECT 1;\n", count))


def signals(count: int) -> str:
    waits = "-- chaos:session b\n" + many("-- chaos:wait for c{0}\n", count) + "SELECT 1;\n"
    return SETUP + SESSION + many("-- chaos:signal b{0}\n", count) + waits + CHECK


LARGE: dict[str, tuple[int, Callable[[int], str]]] = {
    "mutants": (
        150,
        lambda n: scenario(tail=many("-- chaos:mutant m{0}\nDROP TABLE t;\n" + CAUGHT, n)),
    ),
    "mutants that each replace a text": (150, each_replaced),
    "mutants that each replace a text that is not there": (150, lambda n: each_replaced(n, "select {0} + 1")),
    "replaces of one mutant": (300, all_in_one_mutant),
    "mutants in a schema": (
        100,
        lambda n: "-- chaos:sandbox schema\n" + each_replaced(n),
    ),
    "new bodies of one mutant": (400, new_bodies),
    "barriers that no other session names": (400, barriers),
    "signals that no session gives": (400, signals),
    "sessions that do not exist": (
        400,
        lambda n: SETUP + many("-- chaos:session a{0}\n-- chaos:wait blocked c{0}\nSELECT 1;\n", n) + CHECK,
    ),
    "an exact schedule": (
        1500,
        lambda n: scenario(
            many("SELECT {0};\n", n - 1), head="-- chaos:schedule " + " ".join(f"a.{i + 1}" for i in range(n)) + "\n"
        ),
    ),
    "matrices": (
        1500,
        lambda n: scenario(
            many("SELECT :'abc{0}';\n", n), head="".join(f"-- chaos:matrix abc{i} in x\n" for i in range(n))
        ),
    ),
    "parameters of the server": (
        2000,
        lambda n: scenario(head="-- chaos:sandbox server\n" + many("-- chaos:server x.a{0} = 1\n", n)),
    ),
    "blocks of COPY": (1500, lambda n: scenario(setup="COPY t FROM STDIN; -- data\n1\n\\.\n" * n)),
    "statements": (800, lambda n: scenario("SELECT 1;\n" * n)),
    "statements of one group": (2000, lambda n: scenario("SELECT 1\\;" * n + "SELECT 1;\n")),
    "variables of one statement": (2000, lambda n: scenario("SELECT " + ":a" * n + ";\n")),
    "words of one command": (2000, lambda n: scenario("\\set a " + "b " * n + "\n")),
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_file_eight_times_as_large_takes_no_longer_than_in_proportion(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    size, make = LARGE[kind]

    def all_of(text: str) -> None:
        # some of these files are wrong, many times over
        with suppress(ScenarioError):
            summarize(read(path, "t.sql", raw=text.encode()))

    def make_file(count: int) -> str:
        text = make(count)
        path.write_text(text)
        return text

    assert times_longer(make_file, all_of, size) < MOST


def test_functions_that_call_one_another_are_gone_through_once(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"

    def made(count: int) -> Scenario:
        made = "CREATE FUNCTION f{0}() RETURNS text LANGUAGE sql AS '{1}';\n"
        chain = "".join(made.format(i, f"SELECT f{i - 1}()" if i else "SELECT pass()") for i in range(count))
        path.write_text(scenario(tail=chain))
        return read(path, "t.sql")

    assert len(asserting_functions(made(30))) == 30
    assert times_longer(made, asserting_functions, 60) < MOST


def test_texts_to_replace_are_found_in_their_statements() -> None:
    texts = ["SELECT 1+2", "SELECT 21+3+3", "aaa", "b", "x" * 41]
    targets = ReplaceTargets({"a": texts, None: []})

    def found(text: str) -> list[str]:
        return targets.find(Replace(Place("t.sql", 1), text, "", "a"))

    assert found("1+") == texts[:2]
    assert (found("21+"), found("3+3"), found("4+")) == ([texts[1]], [texts[1]], [])
    # what overlaps is replaced once; nothing reaches from one statement into the next
    assert (found("aa"), found("ab"), found("x" * 40)) == (["aaa"], [], [texts[4]])
    # as a formatter may have left it
    assert found("select 21 + 3") == [texts[1]]


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 400_000,
        "-- a comment\n" * 30_000,
        "SELECT 1" + "-1" * 200_000 + ";\n",
        "SELECT E'" + "\\n''" * 100_000 + "';\n",
        "\\set a '" + "\\n''" * 100_000 + "'\n",
    ],
    ids=["blank lines", "comments", "signs", "escapes", "escapes of an argument"],
)
def test_a_file_takes_little_memory_beside_its_text(text: str) -> None:
    # once before: what is compiled and cached does not count
    whole = f"{text}{scenario()}"
    assert is_scenario(whole)
    scan(whole[:100], "t.sql")
    tracemalloc.start()
    try:
        assert is_scenario(whole)
        assert mistakes(whole) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(whole)


def test_text_behind_copy_on_its_line_is_read_500_times_and_then_refused() -> None:
    copies = "COPY t FROM STDIN; SELECT 1;\n1\n\\.\n" * MOST_CUTS
    assert mistakes(copies) == []
    assert len(statements(copies)) == 2 * MOST_CUTS
    assert mistakes(f"{copies}COPY t FROM STDIN; SELECT 2;\n1\n\\.\n") == [f"{3 * MOST_CUTS + 1}: {COPY_CROWDED}"]


def test_a_directive_is_not_longer_than_can_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text(scenario(head=f"-- chaos:title {'x' * LONGEST_DIRECTIVE}\n"))
    message = r"^t\.sql:1: `title`: a directive must not be longer than 1,000,000 characters$"
    with pytest.raises(ScenarioError, match=message):
        read(path, "t.sql")


@pytest.mark.parametrize(
    ("many_times", "most", "wrong"),
    [
        ("SELECT {}1;", (":a", MOST_VARIABLES), f"1: {sql_scanner.CROWDED}"),
        ("\\set a {}", ("b ", MOST_PIECES), rf"1: \set: {meta_arguments.CROWDED}"),
        ("\\echo {}", ("'b'\"c\":d", MOST_PIECES // 3), rf"1: \echo: {meta_arguments.CROWDED}"),
        ("\\set a '{}'", ("\\n", MOST_ESCAPES), rf"1: \set: {meta_arguments.ESCAPES}"),
        ("\\set a '{}'", ("''", MOST_ESCAPES), rf"1: \set: {meta_arguments.ESCAPES}"),
    ],
)
def test_more_than_can_be_meant_is_refused(many_times: str, most: tuple[str, int], wrong: str) -> None:
    text, number = most
    behind = "\nSELECT 1;\n"
    room = number - (number % 3 if text == "b " else 1)
    assert mistakes(many_times.format(text * room) + behind) == []
    assert mistakes(many_times.format(text * (number + 1)) + behind) == [wrong]


def test_a_schedule_of_all_tells_a_number_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    repeated = "-- chaos:session a repeat 8000\nSELECT 1;\n-- chaos:session b repeat 8000\nSELECT 1;\n"
    path.write_text(f"-- chaos:schedule all\n{SETUP}{repeated}{CHECK}")
    with pytest.raises(ScenarioError, match="the steps have more than 1,000,000,000,000 interleavings"):
        read(path, "t.sql")


def test_more_connections_than_any_server_takes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text(f"{SETUP}-- chaos:session a x 300000\nSELECT 1;\n{CHECK}")
    with pytest.raises(ScenarioError, match=r"^t\.sql:3: `session`: no PostgreSQL server takes more than 262,143 "):
        read(path, "t.sql")
