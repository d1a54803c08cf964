from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import is_scenario, read, tags_in
from tests.language.reading import problems


def cases() -> Iterator[tuple[str, str, list[str]]]:
    text = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    for case in text.split("\n## ")[1:]:
        name, _, rest = case.partition("\n")
        lines = rest.rstrip("\n").split("\n")
        said = [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
        yield name, "".join(f"{line}\n" for line in lines[: len(lines) - len(said)]), said


CASES = list(cases())


@pytest.mark.parametrize(("text", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_everything_wrong_with_a_file_is_reported_and_nothing_else(tmp_path: Path, text: str, said: list[str]) -> None:
    assert problems(tmp_path, text, "sql/t.sql") == [f"sql/t.sql:{line}" for line in said]


@pytest.mark.parametrize("text", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_a_file_with_an_error_is_collected_so_that_it_is_reported(text: str) -> None:
    assert is_scenario(text)


def test_the_message_of_the_error_is_its_problems_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text("-- chaos:tags slwo\n-- chaos:timeout 3\n-- chaos:check\nSELECT pass();\n")
    with pytest.raises(ScenarioError) as caught:
        read(path)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [f"{path}:1", f"{path}:2"]


def unreadable(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "t.sql"
    if kind == "folder":
        path.mkdir()
    elif kind == "not UTF-8":
        path.write_bytes("-- chaos:check\nSELECT 'é';\n".encode("latin-1"))
    elif kind == "NUL":
        path.write_bytes(b"-- chaos:check\n\nSELECT \0;\n")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(17 * 1024 * 1024)
    elif kind == "empty":
        path.touch()
    elif kind == "blank":
        path.write_text("\n  \n-- nothing here\n")
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "1: the file cannot be read: there is no such file"),
        ("folder", "1: the file cannot be read: it is no plain file"),
        ("not UTF-8", "2: the file is not UTF-8 (byte 0xe9 in this line; \\encoding says what it is in)"),
        ("NUL", "3: the file holds a NUL byte, so it is no text"),
        ("huge", "1: the file is larger than 16 MiB; load large data from files of the server"),
        ("empty", "1: the file holds no statement"),
        ("blank", "1: the file holds no statement"),
    ],
)
def test_a_file_that_is_not_text_is_reported_like_any_other_error(tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(unreadable(tmp_path, kind), "t.sql")
    assert str(caught.value) == f"t.sql:{said}"


def test_a_path_that_no_system_takes_is_a_scenario_error(tmp_path: Path) -> None:
    for name in ("a\0b.sql", "x" * 5000):
        with pytest.raises(ScenarioError):
            read(tmp_path / name, "t.sql")


def test_tags_of_the_ini_file_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text("-- chaos:tags nightly chaos smoke\n-- chaos:check\nSELECT pass();\n")
    assert read(path, extra_tags=["nightly"]).tags == {"nightly", "smoke"}
    with pytest.raises(ScenarioError, match="unknown tag `nightly`"):
        read(path)


def test_the_tags_of_a_file_with_mistakes_are_known() -> None:
    text = "-- chaos:tags slow, smoke\n -- chaos:tags nightly\n--chaos:tags recovery\n-- chaos:sesion a\nSELECT 1;\n"
    assert tags_in(text) == {"slow", "smoke", "nightly", "recovery"}
