"""`python -m pgchaos` says where the parts of the package that are no Python lie."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pgchaos import __version__

MAKEFILE = Path(__file__).with_name("pgchaos.mk")
SHARE = Path(__file__).with_name("share")
"""Documentation, scenarios and the SQL extension: links to the repository's folders there, files in a wheel."""


def main(arguments: list[str] | None = None) -> int:
    """Print what is asked for.

    Args:
        arguments: of the command line, without the program's name; None for those of the process.

    Returns:
        The exit code: 0.

    Raises:
        SystemExit: by argparse, for unknown arguments (2), `--help` and `--version` (0).
    """
    parser = argparse.ArgumentParser(
        "python -m pgchaos",
        description="pgchaos: chaos testing for PostgreSQL. Scenarios are run by pytest: pytest sql/",
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    for option, (_, text) in _ANSWERS.items():
        asked.add_argument(option, dest="option", action="store_const", const=option, help=text)
    asked.add_argument("--version", action="version", version=f"pgchaos {__version__}")
    answer, _ = _ANSWERS[parser.parse_args(arguments).option]
    print(answer())
    return 0


def _makefile() -> str:
    # make splits what `include` is given at blanks
    return str(MAKEFILE).replace(" ", "\\ ")


def _docs() -> str:
    return "\n".join(map(str, (*sorted((SHARE / "sql").glob("*.md")), SHARE / "pgtap" / "README.md")))


def _examples() -> str:
    return str(SHARE / "sql")


_ANSWERS: dict[str, tuple[Callable[[], str], str]] = {
    "--docs": (_docs, "print the paths of the documentation: the language, searching, isolation specs, the toolkit"),
    "--examples": (
        _examples,
        "print the folder of the scenarios that pgchaos brings, to be copied: "
        'cp "$(python -m pgchaos --examples)"/transactions/lost_update.sql sql/',
    ),
    "--makefile": (
        _makefile,
        "print the path of the fragment that gives a Makefile the target installcheck-chaos: "
        "include $(shell python3 -m pgchaos --makefile)",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
