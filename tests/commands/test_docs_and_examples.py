"""`pgchaos docs`, `examples` and `completion`: what the package holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pgchaos.commands.docs import pages
from pgchaos.language.reader import read
from tests.commands.conftest import Call

ROOT = Path(__file__).parents[2]


def test_every_page_is_listed_with_its_title_and_printed_by_its_topic(call: Call) -> None:
    listed = call("docs").out
    files = {*(ROOT / "sql").glob("*.md"), ROOT / "pgtap" / "README.md"}
    assert {path.resolve() for path in pages().values()} == files
    assert [Path(line) for line in call("docs", "--paths").out.splitlines()] == list(pages().values())
    for topic, path in pages().items():
        text = path.read_text(encoding="utf-8")
        assert re.search(rf"^{topic} +{re.escape(text.splitlines()[0].strip('# '))}$", listed, re.MULTILINE)
        assert call("docs", topic).out == text


def test_the_beginning_of_a_topic_suffices_and_an_unknown_one_is_named(call: Call) -> None:
    assert call("docs", "Lang").out == call("docs", "language").out
    ended = call("docs", "nothing")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("pgchaos docs: there is no page `nothing`: name one of ")
    ended = call("docs", "c")
    assert (ended.code, ended.err) == (2, "pgchaos docs: the names of 2 pages begin with `c`: ci, commands\n")


def test_examples_are_found_by_words_of_path_title_and_directives(call: Call) -> None:
    (line,) = (line for line in call("examples", "lost_update").out.splitlines() if line.startswith("transactions/"))
    title = (ROOT / "sql/transactions/lost_update.sql").read_text(encoding="utf-8").partition("\n")[0].strip("- ")
    assert line.split("  ", 1)[1].strip() == title
    assert len(call("examples").out.splitlines()) > 150
    by_directive = call("examples", "sandbox server FAULT crash").out.splitlines()
    assert by_directive
    for found in by_directive:
        text = (ROOT / "sql" / found.split()[0]).read_text(encoding="utf-8")
        assert "-- chaos:sandbox server" in text
        assert "-- chaos:fault " in text
    ended = call("examples", "no such thing")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "pgchaos examples: no scenario holds `no such thing`: `pgchaos examples` lists all\n"


def test_examples_are_shown_and_copied_but_replace_no_file(call: Call, folder: Path) -> None:
    text = (ROOT / "sql/transactions/lost_update.sql").read_text(encoding="utf-8")
    assert (
        call("examples", "transactions/lost_update.sql", "--show").out == f"-- transactions/lost_update.sql\n\n{text}"
    )
    for code, out in ((0, "db/mine/lost_update.sql\n"), (2, "")):
        ended = call("examples", "transactions/lost_update.sql", "--copy", "db/mine")
        assert (ended.code, ended.out) == (code, out)
    assert (folder / "db" / "mine" / "lost_update.sql").read_text(encoding="utf-8") == text
    assert ended.err == "pgchaos examples: db/mine/lost_update.sql exists already: nothing is copied\n"


def test_the_files_that_an_example_includes_or_runs_are_copied_too(call: Call, folder: Path) -> None:
    assert call("examples", "patterns/booking", "--copy", "mine").out.splitlines() == [
        "mine/booking.sql",
        "mine/tables/book.psql",
        "mine/tables/booking.psql",
    ]
    assert read(folder / "mine" / "booking.sql").includes
    # two name one program, which is there when the second one is copied
    for name in ("checkout.sql", "checkout_paid_once"):
        ended = call("examples", f"application/{name}", "--copy", "mine")
        assert (ended.code, ended.out.splitlines()[1:]) == (0, ["mine/checkout.py"])
    (folder / "mine" / "tables" / "counter.psql").write_text("mine\n", encoding="utf-8")
    ended = call("examples", "patterns/counter", "--copy", "mine")
    assert ended.err == "pgchaos examples: mine/tables/counter.psql exists already: nothing is copied\n"
    assert not (folder / "mine" / "counter.sql").exists()


def test_examples_of_several_folders_keep_them_as_two_may_have_one_name(call: Call, folder: Path) -> None:
    ended = call("examples", "disk_full", "--copy", "mine")
    assert ended.out.splitlines()[:2] == ["mine/pggit/disk_full.sql", "mine/resources/disk_full.sql"]
    assert call("examples", "--copy", "all").code == 0
    listed = [line.split()[0] for line in call("examples").out.splitlines() if not line.startswith(" ")]
    for name in listed:
        assert (folder / "all" / name).read_bytes() == (ROOT / "sql" / name).read_bytes()
        assert read(folder / "all" / name).title


COMPLETE = """
source completion
COMP_WORDS=(pgchaos {words}) COMP_CWORD={at} COMP_LINE= COMP_POINT=0
_shtab_pgchaos
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_bash_completes_commands_options_and_topics(call: Call, folder: Path) -> None:
    (folder / "completion").write_text(call("completion", "bash").out, encoding="utf-8")
    for words, expected in {
        "l": {"lint"},
        "lint --st": {"--strict"},
        "docs lan": {"language"},
        "run --chaos-mut": {"--chaos-mutants"},
        "completion f": {"fish"},
        "explain sql/": {"sql/one.sql"},
    }.items():
        (folder / "sql" / "one.sql").touch()
        script = COMPLETE.format(words=words, at=len(words.split()))
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=dict(os.environ))
        assert {line.strip() for line in done.stdout.splitlines()} == expected, done.stderr


@pytest.mark.parametrize(("shell", "check"), [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_the_scripts_for_other_shells_name_each_command(call: Call, folder: Path, shell: str, check: list[str]) -> None:
    script = call("completion", shell).out
    for name in ("lint", "explain", "replay", "--chaos-replay" if shell == "zsh" else "chaos-replay"):
        assert name in script
    (folder / "script").write_text(script, encoding="utf-8")
    if shutil.which(shell):
        subprocess.run([shell, *check, "script"], check=True, cwd=folder)
