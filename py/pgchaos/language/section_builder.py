r"""A section while it is read: its statements, the steps that they make, and its \if … \endif."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.lexemes import Command, Sql
from pgchaos.language.model import Section
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Allow, Expect, Fault, Item, Meta, Send, Statement

Kind: TypeAlias = Literal["setup", "teardown", "session", "invariant", "check", "state", "mutant"]

_QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE", ""})


@dataclass(slots=True)
class SectionBuilder:
    """A section and what it holds.

    Args:
        kind: of section.
        place: of the line that opens it.
        complain: called with the place and text of each problem.
        name: of a session.
        items: what it holds so far, in order.
        steps: the names of its steps so far, in order.
        sources: the lexemes of its statements, for checks.
    """

    kind: Kind
    place: Place
    complain: Callable[[Place, str], None]
    name: str = ""
    items: list[Item] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    sources: list[Sql] = field(default_factory=list)
    _step: str = ""
    _named: dict[str, Place] = field(default_factory=dict)
    _branches: list[tuple[Place, bool]] = field(default_factory=list)
    _awaiting: dict[str, Item] = field(default_factory=dict)

    def sql(self, sql: Sql) -> None:
        """Add a statement.

        Args:
            sql: as the lexer cut it out.
        """
        self.sources.append(sql)
        step = self._step or str(len(self.sources))
        if not (self.steps and self.steps[-1] == step):
            self.steps.append(step)
        self.items.append(Statement(sql.place, sql.text, sql.parts, sql.verb, step, sql.send, sql.prefix, sql.copy))
        if self._awaiting:
            self._awaiting.clear()
        if self.kind in ("invariant", "state"):
            self._query(sql)

    def command(self, command: Command) -> None:
        r"""Add a meta-command; \if, \elif, \else and \endif must match.

        Args:
            command: as the lexer cut it out.
        """
        name, branches = command.name, self._branches
        if name == "if":
            branches.append((command.place, False))
        elif name in ("elif", "else", "endif"):
            if not branches:
                self.complain(command.place, f"\\{name}: no matching \\if in this section")
                return
            opened, had_else = branches[-1]
            if name == "endif":
                branches.pop()
            elif had_else:
                self.complain(command.place, f"\\{name}: cannot occur after \\else (of the \\if in line {opened.line})")
                return
            elif name == "else":
                branches[-1] = (opened, True)
        self.items.append(Meta(command.place, name, command.args))

    def add(self, item: Item) -> None:
        """Add what a directive says.

        Args:
            item: what the engine is to do there.
        """
        self.items.append(item)
        if isinstance(item, Expect | Allow | Fault):
            self._awaiting[type(item).__name__.lower()] = item

    def step(self, text: str, place: Place) -> None:
        """Begin a named step.

        Args:
            text: what stands behind `step`.
            place: of the directive.

        Raises:
            Wrong: it is no name for a step, or a step of this session has it.
        """
        args = Args("step", text, "step NAME")
        name = args.name("the step")
        args.end()
        first = self._named.get(name)
        if first is not None:
            raise DirectiveError(
                f"`step`: `{name}` is named twice in session `{self.name}`, first in line {first.line}"
            )
        self._empty_step()
        self._named[name] = place
        self._step = name

    def finish(self) -> None:
        r"""Say what is missing at the end of the section."""
        for opened, _ in self._branches:
            self.complain(opened, "unterminated \\if: its \\endif is missing in this section")
        for word, item in self._awaiting.items():
            self.complain(item.place, f"`{word}`: no statement follows it in this section")
        self._empty_step()

    def section(self) -> Section:
        """Give it as a section without options."""
        return Section(self.place, tuple(self.items))

    def _empty_step(self) -> None:
        if self._step and not (self.steps and self.steps[-1] == self._step):
            self.complain(self._named[self._step], f"`step`: no statement follows `{self._step}`")

    def _query(self, sql: Sql) -> None:
        if sql.verb not in _QUERIES or sql.send is not Send.PLAIN:
            said = sql.verb if sql.verb not in _QUERIES else sql.send.value
            self.complain(sql.place, f"`{self.kind}` holds queries only (SELECT, WITH, VALUES, TABLE), not {said}")
