"""The program as a whole: its help, its exit codes, and how it was called before there were commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pgchaos
from pgchaos.commands import program
from pgchaos.commands.arguments import COMMANDS
from pgchaos.commands.errors import BROKEN_PIPE, INTERRUPTED, WRONG_CALL
from tests.commands.conftest import Call

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "pgchaos")
LIGHT = "import sys; sys.argv = ['pgchaos', '--help']; from pgchaos.commands.program import main"


def test_its_help_names_each_command_and_the_exit_codes(call: Call) -> None:
    shown = call("--help")
    assert shown.code == 0
    assert all(f"\n    {name}" in shown.out for name in COMMANDS)
    assert "exit codes: 0 done;" in shown.out
    assert call() == shown


@pytest.mark.parametrize(
    "words",
    [["lint", ""], ["lint", "sql", ""], ["explain", ""], ["table", ""], ["examples", "--copy", ""]],
    ids=" ".join,
)
def test_an_empty_path_is_refused(call: Call, words: list[str]) -> None:
    shown = call(*words)
    assert (shown.code, shown.out) == (2, "")
    assert "the path is empty" in shown.err


def test_a_table_of_no_scenarios_is_refused(call: Call) -> None:
    shown = call("table", "sql")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("pgchaos table: no file in sql or below it is a scenario: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_that_suffices(call: Call, name: str) -> None:
    shown = call(name, "--help")
    assert shown.code == 0
    assert f"usage: pgchaos {name}" in shown.out
    # each has its own exit codes, and not those of others
    text = " ".join(shown.out.split())
    of_pytest = "5 no scenario was found" in text
    assert of_pytest == (name in ("run", "replay")) == ("--chaos-seed N" in shown.out)
    (first,) = re.findall(r"exit codes: 0 (.*?)[,;]", text)
    assert first == {"run": "all passed", "replay": "all passed", "lint": "no error"}.get(name, "done")
    assert ("1 a mistake in " in text) == (name in ("explain", "table"))


def test_its_help_loads_neither_pytest_nor_the_reader() -> None:
    heavy = ("pytest", "psycopg", "shtab", "pgchaos.language", "pgchaos.pytest_plugin")
    code = f"{LIGHT}\ntry:\n    main()\nfinally:\n    print(sorted(sys.modules.keys() & {set(heavy)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_its_version(call: Call) -> None:
    assert call("--version").out == f"pgchaos {pgchaos.__version__}\n"


def test_a_wrong_command_is_named(call: Call) -> None:
    shown = call("lnit")
    assert shown.code == 2
    assert "invalid choice: 'lnit'" in shown.err


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (["--docs"], ["docs", "--paths"]),
        (["--directives"], ["directives"]),
        (["--examples"], ["examples", "--folder"]),
        (["--makefile"], ["makefile"]),
        (["--scenarios", str(ROOT / "sql" / "pools")], ["table", str(ROOT / "sql" / "pools")]),
        (["--lint", str(ROOT / "sql" / "pools")], ["lint", str(ROOT / "sql" / "pools")]),
    ],
)
def test_what_was_an_option_still_works(call: Call, former: list[str], now: list[str]) -> None:
    assert call(*former) == call(*now)
    assert call(*now).code == 0


def test_ctrl_c_ends_it_in_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_run", interrupted)
    assert call("lint") == (INTERRUPTED, "", "pgchaos lint: interrupted\n")


INTERRUPTED_WITH_ITS_READER = """
import os
from pgchaos.commands import explain, program
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(writer)
def ended(_):
    print("a line that is not sent yet")
    os.close(reader)
    raise KeyboardInterrupt
explain.explain = ended
raise SystemExit(program.main(["explain", "a.sql"]))
"""


def test_ctrl_c_that_also_ends_the_reader_of_its_output_ends_it_in_one_line() -> None:
    command = (sys.executable, "-c", INTERRUPTED_WITH_ITS_READER)
    environ = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (done.returncode, done.stderr) == (INTERRUPTED, "pgchaos explain: interrupted\n")


@pytest.mark.parametrize("words", [["directives"], ["examples", "lost_update", "--copy", "copies"]])
def test_output_that_nobody_reads_is_no_error(words: list[str], folder: Path) -> None:
    # the reader is gone before the first line
    code = "import os, subprocess, sys; r, w = os.pipe(); os.close(r); exit(subprocess.call(sys.argv[1:], stdout=w))"
    done = subprocess.run(
        [sys.executable, "-c", code, *PROGRAM, *words], capture_output=True, text=True, check=False, cwd=folder
    )
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")


def test_output_that_cannot_be_written_is_an_error_in_one_line() -> None:
    # the device refuses what is written as a disk does that is full; elsewhere than on Linux there is none
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    with full.open("w") as out:
        done = subprocess.run([*PROGRAM, "directives"], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    message = "pgchaos directives: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (WRONG_CALL, message)


def test_a_closed_output_is_no_error() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *PROGRAM, "directives"], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_encoding_of_the_terminal_lacks_is_written_as_a_number() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PROGRAM, "directives"], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"`expect CODE\\u2026 [when NAME = value]`" in done.stdout
