"""`pgchaos table`: the scenarios of a folder, in Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from pgchaos.commands.errors import DONE, FOUND, CommandError
from pgchaos.commands.lint import language_findings
from pgchaos.language.scenario_table import scenario_table


def table(options: argparse.Namespace) -> int:
    """Print the table, or the mistakes in the files."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder: name one that holds scenarios, such as sql")
    found = [one for path in sorted(folder.rglob("*.sql")) for one in language_findings(path, options.tag)]
    print("\n".join(map(str, found)) if found else scenario_table(folder, options.tag))
    return FOUND if found else DONE
