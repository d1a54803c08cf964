r"""How psql prints rows: as pg_prove calls it, changed by \x, \a, \t, \f and \pset of a plain pgTAP file."""

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
"""Aliases of the settings of \\pset."""
_WITHOUT_EFFECT = frozenset(
    {*("border", "columns", "csv_fieldsep", "footer", "linestyle", "numericlocale", "pager", "pager_min_lines")}
    | {*("title", "C", "tableattr", "T", "xheader_width")}
    | {f"unicode_{part}_linestyle" for part in ("border", "column", "header")}
)
"""Settings of \\pset that change no TAP."""
_COMMANDS = {"x": "expanded", "t": "tuples_only", "f": "fieldsep"}

Cells = Sequence[str]


@dataclass(slots=True)
class PsqlOutput:
    r"""The settings of psql's output by \pset, initially those of `psql --no-align --tuples-only`."""

    format: str = "unaligned"
    expanded: bool = False  # each column is a line
    tuples_only: bool = True  # without column names and row counts
    null: str = ""  # printed for NULL
    fieldsep: str = "|"  # between columns
    recordsep: str = "\n"  # between rows
    changed: tuple[Place, str] | None = None  # the last command that has changed one of these, and its place
    misread: list[str] = field(default_factory=list)  # for each command that makes TAP unreadable: the reason

    @property
    def plain(self) -> bool:
        """Whether rows are printed as pg_prove reads them, apart from `fieldsep` and `null`."""
        return self.format == "unaligned" and not self.expanded and self.tuples_only and self.recordsep == "\n"

    def command(self, name: str, words: Sequence[str], place: Place) -> None:
        r"""Execute \x, \a, \t, \f or \pset.

        Raises:
            ValueError: psql refuses it; the text is psql's.
        """
        if name == "a":
            self.format = "aligned" if self.format == "unaligned" else "unaligned"
        elif name == "pset":
            setting = _SETTINGS.get(words[0], words[0]) if words else ""
            # without a value \pset only shows a setting, unless it is a switch
            shows = len(words) < 2 and setting in {"format", "null", "fieldsep", "recordsep"}
            if words and not shows:
                self._set(setting, words[1] if len(words) > 1 else None, f"\\pset {words[0]}")
        elif name != "f" or words:
            self._set(_COMMANDS[name], words[0] if words else None, f"\\{name}")
        self.changed = (place, " ".join([f"\\{name}", *words]))

    def _set(self, setting: str, value: str | None, command: str) -> None:
        if setting == "expanded" and value != "auto":
            self.expanded = _switched(self.expanded, value, command)
        elif setting == "expanded":
            # without a terminal the length of lines is not limited
            self.expanded = False
        elif setting == "tuples_only":
            self.tuples_only = _switched(self.tuples_only, value, command)
        elif setting == "format":
            self.format = _format(value or "")
        elif setting in ("null", "fieldsep", "recordsep"):
            setattr(self, setting, value or "")
        elif setting in ("fieldsep_zero", "recordsep_zero"):
            setattr(self, setting.removesuffix("_zero"), "\0")
        elif setting not in _WITHOUT_EFFECT:
            raise ValueError(f"\\pset: unknown option: {setting}")

    def lines(self, result: Result, *, expanded: bool = False) -> Iterator[str]:
        r"""Yield the lines that psql prints for a result; add to `misread` if TAP in it is not read."""
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
            # each line of a multi-line value is aligned
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
        """Record the command that makes psql print other TAP than was returned."""
        if self.changed is None or _tap(map("|".join, rows)) == _tap(printed):
            return
        where, command = self.changed
        text = f"{where}: {command} has psql print rows so that their TAP is not read: take it back before an assertion"
        if text not in self.misread:
            self.misread.append(text)


def _switched(now: bool, value: str | None, command: str) -> bool:
    if value is None:
        return not now
    held = parse_boolean(value)
    if held is None:
        raise ValueError(f'unrecognized value "{value}" for "{command}": Boolean expected')
    return held


def _format(value: str) -> str:
    fitting = [one for one in _FORMATS if value and one.startswith(value.lower())]
    if not fitting:
        raise ValueError(f"\\pset: allowed formats are {', '.join(_FORMATS)}")
    if len(fitting) > 1 and value.lower() != fitting[0]:
        raise ValueError(f'\\pset: ambiguous abbreviation "{value}" matches both "{fitting[0]}" and "{fitting[1]}"')
    return fitting[0]


def _pairs(names: Cells, rows: Iterable[Cells]) -> Iterator[Cells]:
    """Return each cell with the name of its column."""
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
