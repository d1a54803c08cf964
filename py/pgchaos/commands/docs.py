"""`pgchaos docs`, `directives` and `makefile`: what the package contains besides code."""

from __future__ import annotations

import argparse
import pydoc
from pathlib import Path

from pgchaos.commands.errors import DONE, CommandError
from pgchaos.commands.wrapping import fitted_page, terminal_width
from pgchaos.report.wrapping import fitted

_PACKAGE = Path(__file__).parents[1]
# Documentation, scenarios and the SQL extension: links in the repository, files in a wheel.
SHARE = _PACKAGE / "share"
_MAKEFILE = _PACKAGE / "pgchaos.mk"


def pages() -> dict[str, Path]:
    """Return the pages by topic: the name of the file, in lower case."""
    found = {path.stem.lower(): path for path in sorted((SHARE / "sql").glob("*.md"))}
    found["writing"] = found.pop("readme")
    return {**found, "toolkit": SHARE / "pgtap" / "README.md"}


def docs(options: argparse.Namespace) -> int:
    """List the pages with their titles, print their paths, or print one page."""
    if options.paths:
        print("\n".join(map(str, pages().values())))
    elif options.topic is None:
        width = terminal_width()
        print("\n".join(fitted(f"{topic:<12} {_title(path)}", width, 13) for topic, path in pages().items()))
        print("\n" + fitted("`pgchaos docs TOPIC` prints a page, `pgchaos docs --paths` the paths of all.", width, 0))
    else:
        _show(_page(options.topic).read_text(encoding="utf-8"))
    return DONE


def _page(word: str) -> Path:
    known = pages()
    found = [word] if word in known else [topic for topic in known if topic.startswith(word.lower())]
    if len(found) > 1:
        raise CommandError(f"the names of {len(found)} pages begin with `{word}`: {', '.join(found)}")
    if not found:
        raise CommandError(f"there is no page `{word}`: name one of {', '.join(known)}")
    return known[found[0]]


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().strip("# \n")


def _show(text: str) -> None:
    width = terminal_width()
    if width is None:
        print(text, end="")
    else:
        pydoc.pager(fitted_page(text, width))


def directives(_: argparse.Namespace) -> int:
    """Print both tables of the language."""
    from pgchaos.language.directive_table import directive_reference, fault_reference

    print(f"{directive_reference()}\n\n{fault_reference()}")
    return DONE


def makefile(_: argparse.Namespace) -> int:
    """Print the path of the fragment for Makefiles; make calls this often, so it loads nothing else."""
    # make splits the arguments of `include` at blanks
    print(str(_MAKEFILE).replace(" ", "\\ "))
    return DONE
