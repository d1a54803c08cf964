r"""Variables of the header: what `default`, \set and --chaos-set give, and where they are put."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.reader import read
from pgchaos.language.schema_sandbox import fits_schema
from tests.language.reading import problems, read_text

CLIENT = "-- chaos:session client\nUPDATE :table SET hits = 1;\n-- chaos:check\nSELECT pass();\n"


@pytest.mark.parametrize(
    ("header", "given", "value"),
    [
        ("-- chaos:default table = stock", {}, "stock"),
        ("-- chaos:default table = 'the stock''s'", {}, "the stock's"),
        ("-- chaos:default table = 'a' = 'b'", {}, "'a' = 'b'"),
        ("-- chaos:default table =", {}, ""),
        ("-- chaos:default table = a\n-- chaos:default table = b", {}, "a"),
        ("-- chaos:default table = a", {"table": "b"}, "b"),
        ("\\set table a\n-- chaos:default table = b", {}, "a"),
        ("-- chaos:default table = a\n\\set table b", {}, "b"),
        ("\\set table a", {"table": "b"}, "a"),
        ("\\set table a ' b' :more", {"more": "c"}, "a bc"),
        ("\\set table a\n\\unset table\n-- chaos:default table = b", {}, "b"),
    ],
)
def test_the_value_of_a_variable(tmp_path: Path, header: str, given: dict[str, str], value: str) -> None:
    assert read_text(tmp_path, f"{header}\n{CLIENT}", **given).constants["table"] == value


@pytest.mark.parametrize("declared", ["given amount in 1..5", "matrix amount in 1, 2"])
@pytest.mark.parametrize(
    ("header", "given"),
    [
        ("-- chaos:default change = UPDATE stock SET amount = :amount", {}),
        ("\\set change 'UPDATE stock SET amount = :amount'", {}),
        ("-- chaos:default change = SELECT 1", {"change": "UPDATE stock SET amount = :amount"}),
    ],
)
def test_their_values_use_what_is_drawn(tmp_path: Path, declared: str, header: str, given: dict[str, str]) -> None:
    text = f"-- chaos:{declared}\n{header}\n{CLIENT}"
    read_text(tmp_path, text.replace("UPDATE :table SET hits = 1", ":change"), **given)


def test_a_directive_takes_them(tmp_path: Path) -> None:
    text = "-- chaos:default many = 3\n-- chaos:default limit = 5s\n-- chaos:timeout :limit\n" + CLIENT
    text = text.replace("session client", "session client x :many repeat :many").replace(":table", "t")
    read_so = read_text(tmp_path, text)
    (client,) = read_so.sessions
    assert (read_so.timeout, client.count, client.repeat) == (5.0, 3, 3)
    assert read_text(tmp_path, text, many="4").sessions[0].count == 4
    assert "must be a whole number from 1, not `few`" in problems(tmp_path, text, many="few")[0]


def test_a_replace_and_a_title_do_not(tmp_path: Path) -> None:
    text = f"-- chaos:default table = t\n-- chaos:title of :table\n{CLIENT}-- chaos:mutant m\n"
    read_so = read_text(tmp_path, f"{text}-- chaos:replace ':table' with 'u' in client\n-- chaos:caught by '42P01'\n")
    assert read_so.title == "of :table"
    assert read_so.mutants[0].replaces[0].old == ":table"


def test_an_included_file_is_named_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine/one.psql", "pattern/one.psql", "pattern/two.psql", "here/one.psql", "here/three.psql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"SELECT '{name}';\n")
    (tmp_path / "pattern/p.sql").write_text(f"-- chaos:default file = two.psql\n-- chaos:setup\n\\i :file\n{CLIENT}")
    monkeypatch.chdir(tmp_path / "here")

    def included(first: str, **given: str) -> str:
        path = tmp_path / "mine/own.sql"
        path.write_text(f"-- Mine\n{first}\n\\set table t\n\\ir ../pattern/p.sql\n")
        (sql,) = read(path, "mine/own.sql", constants=given).setup[0].items
        assert hasattr(sql, "text")
        return str(sql.text)

    # beside the file that sets it, then beside the file that includes it, then in the current directory
    assert included("\\set file one.psql") == "SELECT 'mine/one.psql'"
    assert included("") == "SELECT 'pattern/two.psql'"
    assert included("", file="one.psql") == "SELECT 'pattern/one.psql'"
    assert included("", file="three.psql") == "SELECT 'here/three.psql'"


def test_a_file_that_includes_others_below_its_header_still_ends_it(tmp_path: Path) -> None:
    (tmp_path / "setup.psql").write_text("-- chaos:setup\nSELECT 1;\n")
    text = "\\ir setup.psql\n-- chaos:default table = t\n"
    assert "`default` belongs to the header" in problems(tmp_path, text + CLIENT)[0]


def test_a_schema_sandbox_sees_their_values(tmp_path: Path) -> None:
    text = f"-- chaos:default table = stock\n-- chaos:sandbox schema\n{CLIENT}"
    assert read_text(tmp_path, text).sandbox == "schema"
    assert "other.stock" in problems(tmp_path, text, table="other.stock")[0]
    assert fits_schema(read_text(tmp_path, text), {})


def test_a_plain_file_has_those_of_the_option_only(tmp_path: Path) -> None:
    assert read_text(tmp_path, "\\set table a\nSELECT plan(1);\nSELECT pass(:'table');\n", more="b").constants == {
        "more": "b"
    }
