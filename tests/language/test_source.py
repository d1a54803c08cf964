r"""What a file reads at collection: the files of `\copy`, and text in another encoding than UTF-8."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.model import Scenario
from pgchaos.language.problems import ScenarioError
from pgchaos.language.reader import read
from pgchaos.language.section_items import Meta, Statement

CHECK = "-- chaos:check\nSELECT pass();\n"


def plain(folder: Path, text: str | bytes, root: Path | None = None, name: str = "t.sql") -> Scenario:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, name, root=root)


def sent(scenario: Scenario) -> list[Statement]:
    return list(scenario.statements())


def wrong(folder: Path, text: str | bytes, root: Path | None = None) -> str:
    with pytest.raises(ScenarioError) as caught:
        plain(folder, text, root)
    return str(caught.value)


def test_the_data_of_a_copy_is_read_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,a\n2,:b\n")
    (copy,) = sent(plain(tmp_path, "\\copy t FROM 'rows.csv' CSV\n"))
    assert (copy.text, copy.copy, copy.place.line) == ("COPY t FROM STDIN CSV", "1,a\n2,:b\n", 1)
    (in_setup,) = plain(tmp_path, f"-- chaos:setup\n\\copy t FROM rows.csv CSV\n{CHECK}").setup
    assert [item.copy for item in in_setup.items if isinstance(item, Statement)] == [copy.copy]


def test_the_current_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows").write_text("of the current directory\n")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "rows").write_text("beside the file\n")
    monkeypatch.chdir(tmp_path)
    (copy,) = sent(plain(tmp_path, "\\copy t FROM rows\n", tmp_path, "t/t.sql"))
    assert copy.copy == "of the current directory\n"
    (tmp_path / "rows").unlink()
    (copy,) = sent(plain(tmp_path, "\\copy t FROM rows\n", tmp_path, "t/t.sql"))
    assert copy.copy == "beside the file\n"


def test_a_file_outside_the_project_is_not_read(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret").write_text("not for the report\n")
    (project / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", str(tmp_path / "secret"), "link"):
        message = wrong(project, f"\\copy t FROM '{name}'\n", project)
        where = f"t.sql:1: \\copy … FROM '{name}'"
        assert message == f"{where}: the file lies outside the project, {project}: copy it into the project"


def test_a_file_that_does_not_exist_or_is_not_text_is_reported(tmp_path: Path) -> None:
    message = wrong(tmp_path, "\\copy t FROM none.csv\n")
    assert message == (
        "t.sql:1: \\copy … FROM 'none.csv': there is no such file; it is looked for in the current directory and beside"
        " this file"
    )
    (tmp_path / "raw").write_bytes(b"a\nb\xff\n")
    assert "the file is not UTF-8 (byte 0xff" in wrong(tmp_path, "\\copy t FROM raw\n")
    assert "it is no plain file" in wrong(tmp_path, "\\copy t FROM .\n")


def test_the_data_is_in_the_encoding_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes("é\n".encode("latin-1"))
    (copy,) = sent(plain(tmp_path, "\\encoding LATIN1\n\\copy t FROM rows\n"))
    assert copy.copy == "é\n"


def test_each_encoding_holds_to_the_next(tmp_path: Path) -> None:
    latin = b"SELECT 'caf\xc3\xa9';\n\\encoding latin-1\nSELECT 'caf\xe9';\n"
    cyrillic = b"\\encoding WIN1251\nSELECT '\xe6';\n\\encoding UTF8\nSELECT '\xd0\xb6';\n"
    scenario = plain(tmp_path, latin + cyrillic)
    assert [one.text for one in sent(scenario)] == ["SELECT 'café'", "SELECT 'café'", "SELECT 'ж'", "SELECT 'ж'"]
    metas = [item for part in scenario.checks for item in part.items if isinstance(item, Meta)]
    assert [item.name for item in metas] == ["encoding"] * 3


def test_an_included_file_is_in_the_encoding_of_the_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "part.sql").write_bytes(b"SELECT '\xe9';\n")
    scenario = plain(tmp_path, b"\\encoding LATIN1\n\\ir part.sql\nSELECT '\xe9';\n")
    assert [one.text for one in sent(scenario)] == ["SELECT 'é'", "SELECT 'é'"]


def test_what_is_not_in_its_encoding_is_reported_with_its_line(tmp_path: Path) -> None:
    assert wrong(tmp_path, b"SELECT 1;\n\\encoding EUC_JP\nSELECT '\xff';\n") == (
        "t.sql:3: the file is not EUC_JP (byte 0xff in this line)"
    )
    assert wrong(tmp_path, b"SELECT 1;\nSELECT '\xff';\n") == (
        "t.sql:2: the file is not UTF-8 (byte 0xff in this line; \\encoding says what it is in)"
    )


def test_a_dump_that_is_no_utf_8_says_what_it_is_in(tmp_path: Path) -> None:
    dump = b"SET client_encoding = 'LATIN1';\nSELECT '\xe9';\n"
    scenario = plain(tmp_path, dump)
    assert [one.text for one in sent(scenario)] == ["SELECT 'é'"]
    unicode = dump.decode("latin-1").encode()
    assert [one.verb for one in sent(plain(tmp_path, unicode))] == ["SET", "SELECT"], "psql sends it as it is"


def test_an_encoding_inside_a_string_is_none(tmp_path: Path) -> None:
    (one,) = sent(plain(tmp_path, "SELECT '\n\\encoding LATIN1\né';\n"))
    assert "é" in one.text


@pytest.mark.parametrize("command", ["\\o /dev/null", "\\o", "\\c", "\\c -", "\\connect"])
def test_a_scenario_does_not_hide_its_output_or_connect_again(tmp_path: Path, command: str) -> None:
    name = "o" if "o /" in command or command == "\\o" else "c"
    assert wrong(tmp_path, f"-- chaos:setup\nSELECT 1;\n{command}\n{CHECK}").startswith(
        f"t.sql:3: \\{name} is for plain pgTAP files only: "
    )
