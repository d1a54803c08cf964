r"""How psql prints rows: as pg_prove calls it, and after what a plain pgTAP file says by \x, \a, \t, \f and \pset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pgchaos.engine.answer import Result
from pgchaos.language.conditionals import parse_boolean
from pgchaos.language.problems import Place
from pgchaos.tap.lines import BailOut, Plan, Point, classify

_FORMATS = ("aligned", "asciidoc", "csv", "html", "latex", "latex-longtable", "troff-ms", "unaligned", "wrapped")
_ALIGNED = ("aligned", "wrapped")
_SETTINGS = {"x": "expanded", "vertical": "expanded", "t": "tuples_only"}
"""Other names of what \\pset sets."""
_COMMANDS = {"x": "expanded", "t": "tuples_only", "f": "fieldsep"}

Cells = Sequence[str]


@dataclass(slots=True)
class PsqlOutput:
    r"""The settings of psql's output, at first those of `psql --no-align --tuples-only`.

    Args:
        format: of \pset.
        expanded: each column is a line.
        tuples_only: without the names of columns and the number of rows.
        null: what stands for NULL.
        fieldsep: what stands between columns.
        recordsep: what stands between rows.
        changed: the last command that has set one of these, and its place.
        misread: says why TAP that a statement returned is not read as it is, of each command that is the cause.
    """

    format: str = "unaligned"
    expanded: bool = False
    tuples_only: bool = True
    null: str = ""
    fieldsep: str = "|"
    recordsep: str = "\n"
    changed: tuple[Place, str] | None = None
    misread: list[str] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Whether rows are printed as pg_prove reads them, but for what stands between columns and for NULL."""
        return self.format == "unaligned" and not self.expanded and self.tuples_only and self.recordsep == "\n"

    def command(self, name: str, words: Sequence[str], place: Place) -> None:
        r"""Carry out \x, \a, \t, \f or \pset.

        Raises:
            ValueError: psql refuses it; the text is psql's.
        """
        if name == "a":
            self.format = "aligned" if self.format == "unaligned" else "unaligned"
        elif name == "pset":
            setting = _SETTINGS.get(words[0], words[0]) if words else ""
            # without a value, what is no switch is shown only
            if len(words) > 1 or setting in ("expanded", "tuples_only"):
                self._set(setting, words[1] if len(words) > 1 else None, f"\\pset {words[0]}")
        elif name != "f" or words:
            self._set(_COMMANDS[name], words[0] if words else None, f"\\{name}")
        self.changed = (place, " ".join([f"\\{name}", *words]))

    def _set(self, setting: str, value: str | None, said: str) -> None:
        if setting == "expanded" and value != "auto":
            self.expanded = _switched(self.expanded, value, said)
        elif setting == "expanded":
            # lines of any length are as long as they are, where nobody looks at a terminal
            self.expanded = False
        elif setting == "tuples_only":
            self.tuples_only = _switched(self.tuples_only, value, said)
        elif setting == "format":
            self.format = _format(value or "")
        elif setting in ("null", "fieldsep", "recordsep"):
            setattr(self, setting, value or "")
        elif setting in ("fieldsep_zero", "recordsep_zero"):
            setattr(self, setting.removesuffix("_zero"), "\0")

    def lines(self, result: Result, *, expanded: bool = False) -> Iterator[str]:
        r"""Give what psql prints for a result; in `misread` is kept where TAP in it is not read."""
        rows = [[self.null if cell is None else cell for cell in row] for row in result.rows()]
        if self.plain and not expanded:
            yield from map(self.fieldsep.join, rows)
        elif result.width:
            printed = list(self._printed(result.columns(), rows, self.expanded or expanded))
            if not expanded:
                self._compare(rows, printed)
            yield from printed

    def _printed(self, names: Cells, rows: list[list[str]], expanded: bool) -> Iterator[str]:
        header = [] if self.tuples_only else [list(names)]
        footer = [] if self.tuples_only else [f"({len(rows)} row{'s' * (len(rows) != 1)})"]
        if self.format in _ALIGNED:
            lines = _vertical(names, rows, " | ") if expanded else (f" {' | '.join(row)}" for row in [*header, *rows])
            # what goes over several lines is aligned in each
            yield from (f" {part}" if at else part for line in lines for at, part in enumerate(line.split("\n")))
        elif self.format == "csv":
            of = _pairs(names, rows) if expanded else [*header, *rows]
            yield from (",".join(map(_quoted, row)) for row in of)
            return
        elif self.format != "unaligned":
            yield from (f"    <{cell}" for row in rows for cell in row)
            return
        elif expanded:
            yield from _vertical(names, rows, self.fieldsep)
        else:
            yield self.recordsep.join(self.fieldsep.join(row) for row in [*header, *rows])
        yield from footer

    def _compare(self, rows: list[list[str]], printed: list[str]) -> None:
        """Keep in mind what is to blame where psql prints more TAP than was returned, less or other."""
        if self.changed is None or _tap(map("|".join, rows)) == _tap(printed):
            return
        where, said = self.changed
        text = f"{where}: {said} has psql print rows so that their TAP is not read: take it back before an assertion"
        if text not in self.misread:
            self.misread.append(text)


def _switched(now: bool, value: str | None, said: str) -> bool:
    if value is None:
        return not now
    held = parse_boolean(value)
    if held is None:
        raise ValueError(f'unrecognized value "{value}" for "{said}": Boolean expected')
    return held


def _format(value: str) -> str:
    fitting = [one for one in _FORMATS if value and one.startswith(value.lower())]
    if not fitting:
        raise ValueError(f"\\pset: allowed formats are {', '.join(_FORMATS)}")
    if len(fitting) > 1 and value.lower() != fitting[0]:
        raise ValueError(f'\\pset: ambiguous abbreviation "{value}" matches both "{fitting[0]}" and "{fitting[1]}"')
    return fitting[0]


def _pairs(names: Cells, rows: Iterable[Cells]) -> Iterator[Cells]:
    """Give each cell with the name of its column."""
    return (pair for row in rows for pair in zip(names, row, strict=True))


def _vertical(names: Cells, rows: Iterable[Cells], between: str) -> Iterator[str]:
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from (f"{name}{between}{cell}" for name, cell in zip(names, row, strict=True))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\n\r') or cell == "\\." else cell


def _tap(lines: Iterable[str]) -> list[object]:
    classified = (classify(part) for line in lines for part in line.split("\n"))
    return [one for one in classified if isinstance(one, Point | Plan | BailOut)]
