"""`python -m pgchaos`: checks scenarios, and prints where the parts of the package are that are not Python."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pgchaos import __version__

MAKEFILE = Path(__file__).with_name("pgchaos.mk")
# Documentation, scenarios and the SQL extension: links to the repository's folders there, files in a wheel.
SHARE = Path(__file__).with_name("share")
TEMPLATE = Path(__file__).with_name("new_scenario.sql")


def main(arguments: list[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: of the command line, without the program's name; None for those of the process.

    Returns:
        The exit code: 0; 1 where --lint or --scenarios found a problem, or the file of --new exists.

    Raises:
        SystemExit: by argparse, for unknown arguments (2), `--help` and `--version` (0).
    """
    parser = argparse.ArgumentParser(
        "python -m pgchaos",
        description="pgchaos: chaos testing for PostgreSQL. Scenarios are run by pytest: pytest sql/",
    )
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument(
        "--lint",
        nargs="+",
        metavar="FILE",
        help="read scenarios without running them, and print each problem in a line; exit code 1 if there is one. "
        "Files without a directive are left out. --tag names further tags",
    )
    actions.add_argument(
        "--scenarios",
        metavar="FOLDER",
        help="print a table of the scenarios in a folder, made of their heads, in Markdown",
    )
    actions.add_argument(
        "--new", metavar="FILE", help="write a scenario that runs, to be changed into one's own; FILE must not exist"
    )
    parser.add_argument(
        "--tag", action="append", default=[], help="a further tag that scenarios may have (ini chaos_tags)"
    )
    for option, (_, text) in _TEXTS.items():
        actions.add_argument(option, dest="option", action="store_const", const=option, help=text)
    actions.add_argument("--version", action="version", version=f"pgchaos {__version__}")
    options = parser.parse_args(arguments)
    if options.lint:
        problems = [line for path in options.lint for line in _problems(Path(path), options.tag)]
        print("".join(f"{line}\n" for line in problems), end="")
        return 1 if problems else 0
    if options.scenarios:
        return _scenarios(Path(options.scenarios), options.tag)
    if options.new:
        return _new(Path(options.new))
    write, _ = _TEXTS[options.option]
    print(write())
    return 0


def _problems(path: Path, tags: list[str]) -> list[str]:
    # make runs `--makefile` each time it reads a Makefile: that must not load the reader
    from pgchaos.language.file_text import Unreadable, text_of
    from pgchaos.language.problems import ScenarioError
    from pgchaos.language.reader import is_scenario, read
    from pgchaos.safe_output import one_line

    try:
        if is_scenario(text_of(path)):
            read(path, extra_tags=tags)
    except Unreadable as error:
        return [f"{path}:{error.line}: the file {error}"]
    except ScenarioError as error:
        return [one_line(str(problem)) for problem in error.problems]
    return []


def _scenarios(folder: Path, tags: list[str]) -> int:
    from pgchaos.language.scenario_table import scenario_table

    problems = [line for path in sorted(folder.rglob("*.sql")) for line in _problems(path, tags)]
    print("\n".join(problems) if problems else scenario_table(folder, tags))
    return 1 if problems else 0


def _new(path: Path) -> int:
    title = path.stem.replace("_", " ").replace("-", " ")
    text = TEMPLATE.read_text(encoding="utf-8").replace("TITLE", title[:1].upper() + title[1:], 1)
    if path.exists():
        print(f"{path} exists already: name another file")
        return 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}")
        return 1
    print(f"{path} is written. It runs as it is: pytest {path} --chaos-mutants")
    return 0


def _makefile() -> str:
    # make splits the arguments of `include` at blanks
    return str(MAKEFILE).replace(" ", "\\ ")


def _docs() -> str:
    return "\n".join(map(str, (*sorted((SHARE / "sql").glob("*.md")), SHARE / "pgtap" / "README.md")))


def _directives() -> str:
    from pgchaos.language.directive_table import directive_reference, fault_reference

    return f"{directive_reference()}\n\n{fault_reference()}"


def _examples() -> str:
    return str(SHARE / "sql")


_TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "--docs": (
        _docs,
        "print the paths of the documentation: the language, searching, isolation specs, all scenarios, the toolkit",
    ),
    "--directives": (
        _directives,
        "print the tables of all directives and faults, as in the documentation",
    ),
    "--examples": (
        _examples,
        "print the folder of the scenarios of pgchaos, to copy from: "
        'cp "$(python -m pgchaos --examples)"/transactions/lost_update.sql sql/',
    ),
    "--makefile": (
        _makefile,
        "print the path of the fragment that adds the target installcheck-chaos to a Makefile: "
        "include $(shell python3 -m pgchaos --makefile)",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
