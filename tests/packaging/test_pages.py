"""The pages say what is true: their scenarios are valid, their commands and options exist, their files can be read."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pgchaos.commands.arguments import COMMANDS, build_parser
from pgchaos.commands.run import recorded_options
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import is_scenario, read
from pgchaos.search.strategy import run
from pgchaos.server import Server
from tests.packaging.conftest import ROOT
from tests.scenarios.test_shipped import caught

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "sql").glob("*.md")), ROOT / "pgtap" / "README.md")
}
FILES = [*PAGES, "tests/README.md", "tests/chaos/README.md", ".github/CONTRIBUTING.md", "sql/pggit/README.md"]
ELSEWHERE = {
    "specs/fk-deadlock.spec": "in PostgreSQL's source",
    "specs/x.spec": "in an extension's",
    "pggit--0.1.3.sql": "in pgGit's",
}
OPTIONS = {flag for flag, _ in recorded_options()}
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
TALLY = Path(__file__).with_name("tally")
WORKFLOWS = [block for text in PAGES.values() for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The commands of a page: in indented lines, in backquotes, and in the scripts of workflows."""
    before = r"(?:\$ )?(?:\S+=\S+ )*(?:\.venv/bin/)?"
    lines = re.findall(rf"^    {before}((?:pgchaos|pytest|make) .*?)(?:  +#.*)?$", text, re.MULTILINE)
    lines += re.findall(r"`((?:pgchaos|pytest|make) [^`]+)`", text)
    lines += re.findall(r"^ *- (?:run: )?((?:pgchaos|pytest) .*)$", text, re.MULTILINE)
    # without what the shell does with them
    return [re.sub(r"\$\(.*?\)|\$\w+|\\?[|>;&].*|\\$", "", line).strip() for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_each_option_of_pgchaos_on_a_page_exists(page: str) -> None:
    assert set(re.findall(r"--chaos-[a-z-]*[a-z]", PAGES[page])) <= OPTIONS


@pytest.mark.parametrize("page", PAGES)
def test_each_command_on_a_page_exists(page: str) -> None:
    for command in commands(PAGES[page]):
        words = [word for word in shlex.split(command.replace("…", "x")) if "=" not in word or word.startswith("-")]
        if words[0] == "make":
            assert {word for word in words[1:] if not word.startswith("-")} <= TARGETS | {"install", "x"}, command
        elif words[0] == "pgchaos" and words[1] not in ("COMMAND", "report"):
            assert words[1] in COMMANDS, command
            if words[1] not in ("run", "replay") and len(words) > 2:
                build_parser().parse_args([word.replace("SHELL", "bash") for word in words[1:]])


@pytest.mark.parametrize("page", FILES)
def test_each_file_that_a_command_names_is_there_or_is_saved_first(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    # a report prints the command that runs its scenario again
    typed = (command for command in commands(text) if not re.search(r"::\w+ .*--chaos-(replay|seed)=", command))
    words = (re.split(r"::|[\s='\"]+", command) for command in typed)
    for path in (word for command in words for word in command if re.fullmatch(r"[\w./-]+\.(sql|spec|py)", word)):
        saved = re.search(rf"\b([Ss]ave|copy)\b[^`]*`{re.escape(path)}`", re.sub(r"\]\(.*?\)", "]", text))
        assert saved or (ROOT / path).is_file() or path in ELSEWHERE, path


def test_commands_are_found() -> None:
    assert "pgchaos run sql/last_ticket.sql" in commands(PAGES["README.md"])
    assert "make check" in commands(PAGES["README.md"])
    assert "pgchaos lint --strict" in commands(PAGES["sql/CI.md"])


@pytest.mark.parametrize("page", ["sql/SAFETY.md", "sql/EXTENSIONS.md", "README.md", "sql/COMMANDS.md"])
def test_the_scenarios_of_a_page_are_valid(page: str, tmp_path: Path) -> None:
    found = [block for block in blocks(PAGES[page], "sql") if is_scenario(block)]
    assert found
    for block in found:
        # a part of a scenario is shown without its check
        text = block if "-- chaos:check" in block else f"{block}-- chaos:check\nSELECT pass();\n"
        path = tmp_path / "t.sql"
        path.write_text(text, encoding="utf-8")
        assert not read(path).plain


def test_the_crash_of_the_page_on_safety_is_survived_and_its_mutant_is_not(
    tmp_path: Path, private_server: Server
) -> None:
    (block,) = blocks(PAGES["sql/SAFETY.md"], "sql")
    path = tmp_path / "t.sql"
    path.write_text(block, encoding="utf-8")
    scenario = read(path)
    assert not run(scenario, {}, private_server, RunSettings(1)).failures
    (mutant,) = scenario.mutants
    assert caught(mutant, run(mutated(scenario, mutant), {}, private_server, RunSettings(1)))


def test_the_extension_of_the_page_is_the_one_that_the_tests_install() -> None:
    (makefile,) = blocks(PAGES["sql/EXTENSIONS.md"], "make")
    (scenario,) = blocks(PAGES["sql/EXTENSIONS.md"], "sql")
    assert makefile == (TALLY / "Makefile").read_text(encoding="utf-8")
    assert scenario == (TALLY / "sql" / "nothing_is_lost.sql").read_text(encoding="utf-8")


def test_the_page_on_extensions_finds_the_pg_config_of_the_embedded_server() -> None:
    found = re.search(r"PG_CONFIG=\$\(\.venv/bin/python -c '(.*?)'\)(/\w+)`", PAGES["sql/EXTENSIONS.md"])
    assert found
    folder = subprocess.run([sys.executable, "-c", found[1]], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(folder + found[2]).is_file()


@pytest.mark.parametrize("text", WORKFLOWS, ids=range(len(WORKFLOWS)))
def test_files_of_other_tools_are_yaml_with_the_commands_that_a_user_types(text: str) -> None:
    assert yaml.safe_load(text)
    assert not re.search(r"\bpip install pgchaos\b", text), "without [server] there is no server"
