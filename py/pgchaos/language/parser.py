"""Parses a file with directives: adds statements to the open section, and calls the function of each directive."""

from __future__ import annotations

from collections.abc import Collection

from pgchaos.language.arguments import Args, DirectiveError, UnknownMatrix
from pgchaos.language.directive_table import (
    DIRECTIVES,
    DirectiveSpec,
    HeaderDirective,
    MutantDirective,
    Row,
    SectionDirective,
    SessionDirective,
)
from pgchaos.language.directives import Directive, find_directive
from pgchaos.language.header import Header
from pgchaos.language.lexemes import Command, Comment, Mistake, Sql
from pgchaos.language.meta_commands import LOOKUPS, PLAIN_ONLY, PRINTING
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_items import literal_argument
from pgchaos.language.sections import Sections
from pgchaos.language.session_directives import Step
from pgchaos.language.source import Source
from pgchaos.language.unterminated import UnterminatedStatements

LONGEST_DIRECTIVE = 1_000_000  # characters
_PSQL_SETTINGS = frozenset({"QUIET", "ON_ERROR_STOP", "ON_ERROR_ROLLBACK", "ECHO", "VERBOSITY", "SHOW_CONTEXT"})


class Parser:
    """The state of parsing one file; `extra_tags` are the tags of the project."""

    def __init__(self, shown: str, source: Source, extra_tags: Collection[str], problems: list[Problem]) -> None:
        self.shown = shown
        self.source = source
        self.problems = problems
        self.header = Header(extra_tags)
        self.sections = Sections(self.complain, self.header.matrix, incomplete=bool(problems))
        self.stray: Place | None = None  # the first SQL outside any section
        self.unterminated = UnterminatedStatements(source.texts, self.complain)
        self.asserts = False  # a directive asserts something
        self._conditional: list[tuple[HeaderDirective, Args]] = []
        self._matrix_failed = False

    @property
    def incomplete(self) -> bool:
        """Whether a part could not be parsed, so that checks of the whole file would report it as missing."""
        return self.sections.incomplete

    def complain(self, place: Place, text: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(place, text))

    def parse(self) -> None:
        """Parse all lexemes."""
        for lexeme in self.source.lexemes:
            # comments are the most frequent
            if isinstance(lexeme, Comment):
                found = find_directive(lexeme.text)
                if found is not None:
                    self._directive(found, lexeme)
            elif isinstance(lexeme, Sql):
                self._sql(lexeme)
            elif isinstance(lexeme, Command):
                self._command(lexeme)
            elif isinstance(lexeme, Mistake):
                self.sections.incomplete = True
                self.unterminated.mistake(lexeme)
        self.sections.close()
        for row, args in self._conditional:
            self._read(row, args)

    # statements and commands

    def _sql(self, sql: Sql) -> None:
        self.sections.incomplete |= self.unterminated.sql(sql)
        if self.sections.body is not None:
            self.sections.body.add_statement(sql)
        else:
            self._outside(sql.place)

    def _command(self, command: Command) -> None:
        if command.name in PRINTING | LOOKUPS:
            # they have no effect: the rows of a check are read as `psql -At` prints them, and what shows the catalog is
            # not run
            return
        if command.name in PLAIN_ONLY:
            what = f"\\{command.name} is for plain pgTAP files only: {PLAIN_ONLY[command.name]}"
            self.complain(command.place, what)
        elif self.sections.body is not None:
            self.sections.body.add_command(command)
        elif self.sections.mutant is not None or self.sections.first is not None or not self._sets_constant(command):
            self._outside(command.place)

    def _sets_constant(self, command: Command) -> bool:
        r"""Whether it is a \set or \unset of the header: of one of psql's settings, or of a constant (see Source)."""
        if _sets_psql(command):
            return True
        if command.name not in ("set", "unset") or not command.args:
            return False
        name = literal_argument(command.args[0]) or ""
        try:
            self.header.add_constant(name, f"\\{command.name}", command.place)
        except DirectiveError as error:
            self.complain(command.place, str(error))
        return True

    def _outside(self, place: Place) -> None:
        mutant = self.sections.mutant
        if mutant is None:
            self.stray = self.stray or place
        elif not mutant.incomplete:
            mutant.incomplete = True
            self.complain(place, "a mutant's SQL must come first, before its replace, session and caught by")

    # directives

    def _directive(self, found: Directive, comment: Comment) -> None:
        place = comment.place
        if len(comment.text) > LONGEST_DIRECTIVE:
            self.sections.incomplete = True
            self.complain(
                place, f"`{found.word}`: a directive must not be longer than {LONGEST_DIRECTIVE:,} characters"
            )
            return
        if found.mistake:
            self.complain(place, found.mistake)
        row = DIRECTIVES.get(found.word)
        if row is None:
            self.sections.incomplete = True
            return
        if comment.inside is not None:
            self.sections.incomplete = True
            self.unterminated.directive(found, place, comment.inside)
            if not isinstance(row, SectionDirective):
                return
        elif not comment.alone:
            # it is parsed anyway, so that nothing that refers to it is reported too
            self.complain(place, f"`{found.word}` follows SQL: a directive must be on a line of its own")
        self.asserts |= row.asserts
        text = found.text
        if row.word == "schedule" or not (row.free_text or isinstance(row, MutantDirective)):
            # the command of a program is split into words before its variables are replaced
            text = self.source.constants.in_directive(text, quoted=row.word != "session")
        args = row.args(text, place)
        if isinstance(row, HeaderDirective) and self.sections.first is not None:
            self.complain(
                place,
                f"`{row.word}` belongs to the header of the file, above its first section"
                f" (line {self.sections.first.line})",
            )
        if isinstance(row, HeaderDirective) and row.when:
            self._conditional.append((row, args))
        else:
            self._read(row, args)

    def _read(self, row: Row, args: Args) -> None:
        """Parse a directive, or report its problem."""
        try:
            match row:
                case HeaderDirective():
                    self._header_directive(row, args)
                case SectionDirective():
                    row.read(self.sections, args)
                    _require_end(row, args)
                case SessionDirective():
                    self._session_directive(row, args)
                case MutantDirective():
                    self._mutant_directive(row, args)
        except DirectiveError as error:
            self._matrix_failed |= row.word == "matrix"
            self.sections.incomplete |= row.declares
            if not (self._matrix_failed and isinstance(error, UnknownMatrix)):
                self.problems.append(Problem(args.place, str(error), rule=error.rule))

    def _header_directive(self, row: HeaderDirective, args: Args) -> None:
        first = self.header.seen.setdefault(row.word, args.place)
        if row.once and first is not args.place:
            raise DirectiveError(f"`{row.word}` is written twice, first in line {first.line}")
        if row.when and row.free_text:
            args.take_condition_of_text(self.header.matrix)
        elif row.when:
            args.take_condition(self.header.matrix)
        row.read(self.header, args)
        _require_end(row, args)

    def _session_directive(self, row: SessionDirective, args: Args) -> None:
        body = self.sections.body
        if body is None or body.kind != "session":
            where = f"here is `{body.kind}` (line {body.place.line})" if body is not None else "here is none"
            raise DirectiveError(f"`{row.word}` must be inside a session, {where}")
        if row.when:
            args.take_condition(self.header.matrix)
        made = row.read(args)
        args.end()
        if isinstance(made, Step):
            body.begin_step(made.name, args.place)
            return
        body.add(made)

    def _mutant_directive(self, row: MutantDirective, args: Args) -> None:
        mutant = self.sections.mutant
        if mutant is None:
            raise DirectiveError(f"`{row.name}` must be inside a mutant, below `-- chaos:mutant NAME`")
        self.sections.close()
        try:
            row.read(mutant, args)
        except DirectiveError:
            mutant.incomplete = True
            raise


def _require_end(row: DirectiveSpec, args: Args) -> None:
    if not row.free_text:
        args.end()


def _sets_psql(command: Command) -> bool:
    """Whether a command only configures psql, as the first lines of pgTAP files do."""
    name = command.args[0] if command.args else ()
    sets = command.name in ("set", "unset") and len(name) == 1 and name[0] in _PSQL_SETTINGS
    return sets or command.name == "encoding"
