"""`python -m pgchaos --makefile` prints the path of the Makefile fragment, for an extension's Makefile to include."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pgchaos import __version__

MAKEFILE = Path(__file__).with_name("pgchaos.mk")


def main(arguments: list[str] | None = None) -> int:
    """Answer what is asked.

    Args:
        arguments: of the command line.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        "python -m pgchaos",
        description="pgchaos: chaos testing for PostgreSQL. Scenarios are run by pytest: pytest sql/",
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--makefile",
        action="store_true",
        help="print the path of the fragment that gives a Makefile "
        "the target installcheck-chaos: include $(shell python3 -m pgchaos --makefile)",
    )
    asked.add_argument("--version", action="version", version=f"pgchaos {__version__}")
    parser.parse_args(arguments)
    # make splits what `include` is given at blanks
    print(str(MAKEFILE).replace(" ", "\\ "))
    return 0


if __name__ == "__main__":
    sys.exit(main())
