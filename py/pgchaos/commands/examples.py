"""`pgchaos examples`: the scenarios of the package, to read and to copy from."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pgchaos.commands.docs import SHARE
from pgchaos.commands.errors import DONE, CommandError
from pgchaos.commands.wrapping import terminal_width
from pgchaos.language.reader import is_scenario
from pgchaos.report.wrapping import fitted

_FOLDER = SHARE / "sql"
_NOT_COPIED = (".sql", ".md")  # other scenarios, and pages, are not beside a scenario for its sake


def examples(options: argparse.Namespace) -> int:
    """List the scenarios that match, or print or copy them."""
    if options.folder:
        print(_FOLDER)
        return DONE
    found = {path: text for path, text in _scenarios() if _matches(options.pattern, path, text)}
    if not found:
        raise CommandError(f"no scenario holds `{options.pattern}`: `pgchaos examples` lists all")
    if options.copy:
        _copy(list(found), Path(options.copy))
    elif options.show:
        print("\n".join(f"-- {path.relative_to(_FOLDER)}\n\n{text}" for path, text in found.items()), end="")
    else:
        titles = {str(path.relative_to(_FOLDER)): _title(text) for path, text in found.items()}
        longest, width = max(map(len, titles)), terminal_width()
        # long paths leave no room for a column of titles
        hang = longest + 2 if width is None or longest < width / 2 else 4
        print("\n".join(fitted(f"{path:<{longest}}  {title}", width, hang) for path, title in titles.items()))
    return DONE


def _scenarios() -> list[tuple[Path, str]]:
    files = ((path, path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.rglob("*.sql")))
    return [(path, text) for path, text in files if is_scenario(text)]


def _matches(pattern: str, path: Path, text: str) -> bool:
    """Whether each word occurs in the path, the title, or a directive."""
    lines = [line for line in text.splitlines() if line.startswith("-- chaos:")]
    where = "\n".join([str(path.relative_to(_FOLDER)), _title(text), *lines]).lower()
    return all(word in where for word in pattern.lower().split())


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("--").strip()


def _copy(paths: list[Path], folder: Path) -> None:
    # those of several folders keep them: two may have one name
    base = _FOLDER if len({path.parent for path in paths}) > 1 else paths[0].parent
    targets = {path: folder / path.relative_to(base) for path in paths}
    beside = {file: folder / file.relative_to(base) for path in paths for file in _named_beside(path)}
    # several examples may name one file
    taken = [target for target in targets.values() if target.exists()]
    taken += [target for file, target in beside.items() if target.exists() and not _are_same(file, target)]
    if taken:
        raise CommandError(f"{taken[0]} exists already: nothing is copied")
    copies = {**targets, **beside}
    try:
        for path, target in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {error.strerror}") from None
    # outside of `try`: a closed output raises an OSError too
    print("\n".join(map(str, copies.values())))


def _named_beside(path: Path) -> list[Path]:
    """List the files that a scenario includes or runs: those in its folder whose path its text holds."""
    text = path.read_text(encoding="utf-8")
    files = (file for file in sorted(path.parent.rglob("*")) if file.is_file() and file.suffix not in _NOT_COPIED)
    return [file for file in files if str(file.relative_to(path.parent)) in text]


def _are_same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
