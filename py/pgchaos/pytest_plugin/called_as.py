"""How the user called pytest, for the lines that run an item again."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from pgchaos.report.replay import MAKE


def called_as() -> str:
    """How the user called pytest: by make, which sets a variable, by a path, or by name."""
    if "CHAOS_MAKE" in os.environ:
        bindir = os.environ.get("PG_BINDIR")
        return f"PG_BINDIR={shlex.quote(bindir)} {MAKE}" if bindir else MAKE
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return "python -m pgchaos run" if program.parent.name == "pgchaos" else "python -m pytest"
    run = " run" if program.name == "pgchaos" else ""
    found = shutil.which(program.name)
    if program.name not in ("pytest", "py.test", "pgchaos") or (found and Path(found).resolve() == program.resolve()):
        return "pgchaos run" if run else "pytest"
    return f"{os.path.relpath(program)}{run}"
