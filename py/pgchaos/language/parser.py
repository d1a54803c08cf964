"""Parses a file with directives: which section is open, and what was read so far."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.directives import WORDS, Directive, directive
from pgchaos.language.fault_kinds import RUN
from pgchaos.language.header import HeaderParser
from pgchaos.language.lexemes import Command, Comment, Mistake, Sql
from pgchaos.language.meta_commands import PLAIN_ONLY, PRINTING
from pgchaos.language.mutants import MutantBuilder, caught_by, letters, mutant_line, replace
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_builder import Kind, SectionBuilder
from pgchaos.language.section_items import Fault
from pgchaos.language.session_directives import item
from pgchaos.language.session_options import InvariantOptions, SessionOptions, invariant_options, session_options
from pgchaos.language.source import Source
from pgchaos.language.unterminated import UnterminatedStatements
from pgchaos.language.when import WrongCondition, split_when

PLAIN_SECTIONS: dict[str, Kind] = {"setup": "setup", "teardown": "teardown", "check": "check", "state": "state"}
"""The sections whose line says nothing but their kind."""


@dataclass(slots=True)
class ParsedSections:
    """What was met so far, in order.

    Args:
        sections: those without options, by kind.
        invariants: with their options.
        sessions: by name.
        spare: sessions whose name another has: looked at for mistakes, no more.
        planted: the mutants.
        mutants: where each stands first, by what its name comes to in the id of its item.
    """

    sections: dict[str, list[SectionBuilder]] = field(default_factory=lambda: {kind: [] for kind in PLAIN_SECTIONS})
    invariants: list[tuple[InvariantOptions, SectionBuilder]] = field(default_factory=list)
    sessions: dict[str, tuple[SessionOptions, SectionBuilder]] = field(default_factory=dict)
    spare: list[SectionBuilder] = field(default_factory=list)
    planted: list[MutantBuilder] = field(default_factory=list)
    mutants: dict[str, Place] = field(default_factory=dict)

    def keep(self, options: SessionOptions, body: SectionBuilder, mutant: MutantBuilder | None) -> Place | None:
        """Keep a session, of the file or of a mutant.

        Args:
            options: its line.
            body: what it does.
            mutant: whose new body it is, or None.

        Returns:
            The place of a session of the same name that was there before, or None.
        """
        if mutant is not None:
            mutant.sessions.append((options, body))
            first = mutant.named.setdefault(options.name, body.place)
            return None if first is body.place else first
        if options.name in self.sessions:
            self.spare.append(body)
            return self.sessions[options.name][1].place
        self.sessions[options.name] = (options, body)
        return None

    def bodies(self) -> Iterator[SectionBuilder]:
        """Give every section that holds SQL, those of mutants too."""
        for bodies in self.sections.values():
            yield from bodies
        yield from (body for _, body in self.invariants)
        yield from (body for _, body in self.sessions.values())
        yield from self.spare
        yield from self.of_mutants()

    def of_mutants(self) -> Iterator[SectionBuilder]:
        """Give the sections of mutants."""
        for planted in self.planted:
            yield planted.body
            yield from (body for _, body in planted.sessions)


LONGEST_DIRECTIVE = 1_000_000
_MISSED = frozenset({"signal", "step", "barrier"})
_PSQL_SETTINGS = frozenset({"QUIET", "ON_ERROR_STOP", "ON_ERROR_ROLLBACK", "ECHO", "VERBOSITY", "SHOW_CONTEXT"})


class Parser:
    """A file with directives while it is read.

    Args:
        shown: the path as users are told of it.
        source: its lexemes.
        extra_tags: tags that are allowed beside the four.
        problems: filled with what is wrong with it.
    """

    def __init__(self, shown: str, source: Source, extra_tags: Collection[str], problems: list[Problem]) -> None:
        self.shown = shown
        self.source = source
        self.problems = problems
        self.found = ParsedSections()
        self.head = HeaderParser(extra_tags)
        self.body: SectionBuilder | None = None
        self.mutant: MutantBuilder | None = None
        self.first_section: Place | None = None
        self.deferred: list[tuple[Directive, Place]] = []
        self.stray: Place | None = None
        self.unended = UnterminatedStatements(source.texts, self.complain)
        self.asserts = False
        # what could not be understood may be what a later check would miss
        self.lost = bool(problems)
        self.matrix_lost = False

    def complain(self, place: Place, text: str) -> None:
        """Remember a problem."""
        self.problems.append(Problem(place, text))

    def read(self) -> None:
        """Read all lexemes."""
        for lexeme in self.source.lexemes:
            if isinstance(lexeme, Sql):
                self._sql(lexeme)
            elif isinstance(lexeme, Comment):
                found = directive(lexeme.text)
                if found is not None:
                    self._directive(found, lexeme)
            elif isinstance(lexeme, Command):
                self._command(lexeme)
            elif isinstance(lexeme, Mistake):
                self._mistake(lexeme)
        self._close()
        for found, place in self.deferred:
            self._read_deferred(found, place)

    # statements and commands

    def _mistake(self, mistake: Mistake) -> None:
        self.lost = True
        self.unended.mistake(mistake)

    def _sql(self, sql: Sql) -> None:
        self.lost |= self.unended.sql(sql)
        if self.body is not None:
            self.body.sql(sql)
        elif self.mutant is not None:
            self._outside_mutant(sql.place)
        elif self.stray is None:
            self.stray = sql.place

    def _command(self, command: Command) -> None:
        if command.name in PRINTING:
            # the rows of a check are read as `psql -At` prints them
            return
        if command.name in PLAIN_ONLY:
            what = f"\\{command.name} is for plain pgTAP files only: {PLAIN_ONLY[command.name]}"
            self.complain(command.place, what)
        elif self.body is not None:
            self.body.command(command)
        elif self.mutant is not None:
            self._outside_mutant(command.place)
        elif self.stray is None and not _sets_psql(command):
            self.stray = command.place

    def _outside_mutant(self, place: Place) -> None:
        if self.mutant is not None and not self.mutant.broken:
            self.mutant.broken = True
            self.complain(place, "a mutant's SQL comes first, before its replace, session and caught by")

    # directives

    def _directive(self, found: Directive, comment: Comment) -> None:
        place = comment.place
        if len(comment.text) > LONGEST_DIRECTIVE:
            self.lost = True
            self.complain(place, f"`{found.word}`: a directive is no longer than {LONGEST_DIRECTIVE:,} characters")
            return
        if found.slip:
            self.complain(place, found.slip)
        if found.word not in WORDS:
            self.lost = True
            return
        where = WORDS[found.word]
        if comment.inside is not None:
            self.lost = True
            self.unended.directive(found, place, comment.inside)
            if where != "section":
                return
        elif not comment.alone:
            self.complain(place, f"`{found.word}` stands behind SQL: a directive stands on a line of its own")
        try:
            if where == "head":
                self._in_head(found, place)
            elif where == "section":
                self._section(found, place)
            elif where == "mutant":
                self._in_mutant(found, place)
            else:
                self._in_session(found, place)
        except DirectiveError as error:
            self._failed(found.word, place, error)

    def _failed(self, word: str, place: Place, error: DirectiveError) -> None:
        self.matrix_lost |= word == "matrix"
        self.lost |= word in _MISSED
        self.asserts |= word == "oracle"
        if not (self.matrix_lost and isinstance(error, WrongCondition)):
            self.complain(place, str(error))

    def _in_head(self, found: Directive, place: Place) -> None:
        if self.first_section is not None:
            self.complain(
                place,
                f"`{found.word}` belongs to the head of the file, above its first section"
                f" (line {self.first_section.line})",
            )
        if found.word in ("xfail", "leaves", "server"):
            # they may name a matrix that is declared further down
            self.deferred.append((found, place))
        else:
            self.head.read(found.word, found.text, place)

    def _read_deferred(self, found: Directive, place: Place) -> None:
        try:
            self.head.read(found.word, found.text, place)
        except DirectiveError as error:
            self._failed(found.word, place, error)

    def _in_session(self, found: Directive, place: Place) -> None:
        body = self.body
        self.asserts |= found.word == "expect"
        if body is None or body.kind != "session":
            self.lost |= found.word in _MISSED
            where = f"here is `{body.kind}` (line {body.place.line})" if body is not None else "here is none"
            raise DirectiveError(f"`{found.word}` stands inside a session, {where}")
        if found.word == "step":
            body.step(found.text, place)
            return
        made = item(found.word, found.text, place, self.head.matrix)
        body.add(made)
        if isinstance(made, Fault) and made.kind not in RUN and self.mutant is None:
            self.head.not_yet(place, f"`fault {made.kind}`")

    def _in_mutant(self, found: Directive, place: Place) -> None:
        if self.mutant is None:
            named = "caught by" if found.word == "caught" else found.word
            raise DirectiveError(f"`{named}` stands inside a mutant, below `-- chaos:mutant NAME`")
        self._close()
        try:
            if found.word == "replace":
                self.mutant.replaces.append(replace(found.text, place))
            else:
                self.mutant.caught_by.append(caught_by(found.text))
        except DirectiveError:
            self.mutant.broken = True
            raise

    # sections

    def _section(self, found: Directive, place: Place) -> None:
        self._close()
        self.first_section = self.first_section or place
        if found.word == "mutant":
            self._mutant(found.text, place)
            return
        if found.word == "session":
            self._session(found.text, place)
            return
        if self.mutant is not None:
            self.complain(
                place,
                f"`{found.word}` stands below the mutant in line {self.mutant.body.place.line}:"
                " mutants are last in the file",
            )
        self.mutant = None
        if found.word == "invariant":
            options = InvariantOptions()
            self.body = SectionBuilder("invariant", place, self.complain)
            self.found.invariants.append((options, self.body))
            invariant_options(found.text, options)
            return
        kind = PLAIN_SECTIONS[found.word]
        self.body = SectionBuilder(kind, place, self.complain)
        self.found.sections[kind].append(self.body)
        Args(found.word, found.text, found.word).end()

    def _session(self, text: str, place: Place) -> None:
        options = SessionOptions()
        self.body = SectionBuilder("session", place, self.complain)
        try:
            session_options(text, options)
        except DirectiveError:
            # how many connections it has is not known
            self.lost |= options.count is None
            raise
        finally:
            self.body.name = options.name
            self.lost |= not options.name
            first = self.found.keep(options, self.body, self.mutant)
        if first is not None:
            raise DirectiveError(f"`session`: `{options.name}` is there twice, first in line {first.line}")

    def _mutant(self, text: str, place: Place) -> None:
        self.body = SectionBuilder("mutant", place, self.complain)
        self.mutant = MutantBuilder("", self.body)
        self.found.planted.append(self.mutant)
        text, self.mutant.when = split_when("mutant", text, "mutant NAME [when NAME = value]", self.head.matrix)
        self.mutant.name = mutant_line(text)
        first = self.found.mutants.setdefault(letters(text), place)
        if first is not place:
            raise DirectiveError(f"`mutant`: `{text}` is there twice, first in line {first.line}")

    def _close(self) -> None:
        if self.body is not None:
            self.body.finish()
        self.body = None


def _sets_psql(command: Command) -> bool:
    """Say whether it is a setting of psql itself, as the heads of pgTAP files have."""
    name = command.args[0] if command.args else ()
    sets = command.name in ("set", "unset") and len(name) == 1 and name[0] in _PSQL_SETTINGS
    return sets or command.name == "encoding"
