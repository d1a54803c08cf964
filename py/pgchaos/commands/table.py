"""`pgchaos table`: the scenarios of a folder, in Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from pgchaos.commands.errors import DONE, FOUND, CommandError
from pgchaos.commands.lint import examined
from pgchaos.language.scenario_table import scenario_table


def table(options: argparse.Namespace) -> int:
    """Print the table, or the mistakes in the files."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder: name one that holds scenarios, such as sql")
    read = [examined(path, options.tag) for path in sorted(folder.rglob("*.sql"))]
    found = [one for _, errors in read for one in errors]
    scenarios = [scenario for scenario, _ in read if scenario is not None]
    print("\n".join(map(str, found)) if found else scenario_table(folder, scenarios))
    return FOUND if found else DONE
