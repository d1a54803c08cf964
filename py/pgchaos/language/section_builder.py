r"""A section during parsing: its statements, their steps, and its \if … \endif."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgchaos.language.arguments import DirectiveError
from pgchaos.language.header_model import may_both_apply
from pgchaos.language.lexemes import Command, Sql
from pgchaos.language.model import Program, Section
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Allow, Expect, Fault, Item, Meta, Send, Statement
from pgchaos.language.sql_tokens import tokenize

Kind: TypeAlias = Literal["setup", "teardown", "session", "invariant", "check", "state", "mutant"]
Complain: TypeAlias = Callable[[Place, str], None]
"""Called with the line and the text of each problem."""

_QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE", ""})


@dataclass(slots=True)
class SectionBuilder:
    """A section so far."""

    kind: Kind
    place: Place  # the line that opens it
    complain: Complain  # called with each problem
    name: str = ""  # of a session
    items: list[Item] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)  # the names of its steps, in order
    sources: list[Sql] = field(default_factory=list)  # the lexemes of its statements
    program: Program | None = None  # that a session runs, or None
    _step: str = ""  # the name of the open step
    _step_places: dict[str, Place] = field(default_factory=dict)
    _ifs: list[tuple[Place, bool]] = field(default_factory=list)  # the line of each open \if, and whether it had \else
    _need_statement: dict[str, Item] = field(default_factory=dict)  # items that apply to the next statement
    _of_errors: list[Expect | Allow] = field(default_factory=list)  # of these, `expect` and `allow` since the last \if

    def add_statement(self, sql: Sql) -> None:
        """Add a statement of the scanner."""
        self.sources.append(sql)
        step = self._step or str(len(self.sources))
        if not (self.steps and self.steps[-1] == step):
            self.steps.append(step)
        self.items.append(Statement(sql.place, sql.text, sql.parts, sql.verb, step, sql.send, sql.prefix, sql.copy))
        self._need_statement.clear()
        self._of_errors.clear()
        if self.kind in ("invariant", "state"):
            self._require_query(sql)

    def add_command(self, command: Command) -> None:
        r"""Add a meta-command; \if, \elif, \else and \endif must match."""
        # psql accepts \endif anywhere in the file; a section runs separately, so they must match within it
        name, ifs = command.name, self._ifs
        if name in ("if", "elif", "else", "endif"):
            self._of_errors.clear()
        if name == "if":
            ifs.append((command.place, False))
        elif name in ("elif", "else", "endif"):
            if not ifs:
                self.complain(command.place, f"\\{name}: no matching \\if in this section")
                return
            opened, had_else = ifs[-1]
            if name == "endif":
                ifs.pop()
            elif had_else:
                self.complain(command.place, f"\\{name}: cannot occur after \\else (of the \\if in line {opened.line})")
                return
            elif name == "else":
                ifs[-1] = (opened, True)
        self.items.append(Meta(command.place, name, command.args))

    def add(self, item: Item) -> None:
        """Add the item of a directive."""
        self.items.append(item)
        if isinstance(item, Expect | Allow):
            self._check_others(item)
        if isinstance(item, Expect | Allow | Fault):
            self._need_statement[type(item).__name__.lower()] = item

    def _check_others(self, item: Expect | Allow) -> None:
        """Report a second `expect` or `allow` for the same statement: only one can apply."""
        for other in self._of_errors:
            if may_both_apply(item.when, other.when):
                word, first, line = type(item).__name__.lower(), type(other).__name__.lower(), other.place.line
                if word == first:
                    text = f"`{word}` is written twice for one statement, first in line {line}: write all codes there"
                else:
                    text = f"`{word}` contradicts the `{first}` in line {line} for the same statement: write only one"
                self.complain(item.place, text)
                return
        self._of_errors.append(item)

    def begin_step(self, name: str, place: Place) -> None:
        """Begin a named step. Raises DirectiveError if a step of this session has the name."""
        first = self._step_places.get(name)
        if first is not None:
            raise DirectiveError(
                f"`step`: `{name}` is named twice in session `{self.name}`, first in line {first.line}"
            )
        self._check_step()
        self._step_places[name] = place
        self._step = name

    def finish(self) -> None:
        """Report what is missing at the end of the section."""
        for opened, _ in self._ifs:
            self.complain(opened, "unterminated \\if: its \\endif is missing in this section")
        for word, item in self._need_statement.items():
            if self.program is not None:
                # it applies to the requests of the program
                continue
            self.complain(item.place, f"`{word}`: no statement follows it in this section")
        self._check_step()

    @property
    def is_empty(self) -> bool:
        r"""Whether nothing of it is sent or printed; an \i that is left names a file that could not be read."""
        acting = ("i",) if self.kind in ("invariant", "state") else ("i", "echo", "qecho", "warn")
        return all(isinstance(item, Meta) and item.name not in acting for item in self.items)

    def section(self) -> Section:
        """Return the section of the model, for kinds without options."""
        return Section(self.place, tuple(self.items))

    def _check_step(self) -> None:
        if self._step and not (self.steps and self.steps[-1] == self._step):
            self.complain(self._step_places[self._step], f"`step`: no statement follows `{self._step}`")

    def _require_query(self, sql: Sql) -> None:
        if sql.verb not in _QUERIES or sql.send is not Send.PLAIN:
            what = sql.verb if sql.verb not in _QUERIES else sql.send.value
            self.complain(sql.place, f"`{self.kind}` holds queries only (SELECT, WITH, VALUES, TABLE), not {what}")
        elif (word := _writes(sql.text)) is not None:
            self.complain(sql.place, f"`{self.kind}` holds queries that only read, and this one has {word.upper()}")


def _writes(text: str) -> str | None:
    """Return the word that makes a query write: INSERT and the like in WITH or after it, or INTO; else None."""
    tokens = tokenize(text)
    begins = ("(", ")") if tokens[0].is_word("with") else ("(",)
    for before, token in itertools.pairwise(tokens):
        if before.is_symbol(*begins) and token.is_word("insert", "update", "delete", "merge"):
            return token.text
        if token.is_word("into"):
            return token.text
    return None
