"""A file with directives while it is read: which section is open, and what was said so far."""

from __future__ import annotations

from collections.abc import Collection

from pgchaos.faults.kinds import RUN
from pgchaos.scenario.arguments import Args, Wrong
from pgchaos.scenario.body import Body
from pgchaos.scenario.commands import PLAIN_ONLY
from pgchaos.scenario.directives import WORDS, Directive, directive
from pgchaos.scenario.found import PLAIN_SECTIONS, Found
from pgchaos.scenario.head import Head
from pgchaos.scenario.inside import item
from pgchaos.scenario.items import Fault
from pgchaos.scenario.lexemes import Command, Comment, Mistake, Sql
from pgchaos.scenario.mutants import Planted, caught_by, letters, mutant_line, replace
from pgchaos.scenario.options import InvariantOptions, SessionOptions, invariant_options, session_options
from pgchaos.scenario.place import Place, Problem
from pgchaos.scenario.source import Source
from pgchaos.scenario.unended import Unended
from pgchaos.scenario.when import WrongCondition, split_when

LONGEST_DIRECTIVE = 1_000_000
_MISSED = frozenset({"signal", "step", "barrier"})
_PSQL_SETTINGS = frozenset({"QUIET", "ON_ERROR_STOP", "ON_ERROR_ROLLBACK", "ECHO", "VERBOSITY", "SHOW_CONTEXT"})


class Reading:
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
        self.found = Found()
        self.head = Head(extra_tags)
        self.body: Body | None = None
        self.mutant: Planted | None = None
        self.first_section: Place | None = None
        self.deferred: list[tuple[Directive, Place]] = []
        self.stray: Place | None = None
        self.unended = Unended(source.texts, self.complain)
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
        except Wrong as error:
            self._failed(found.word, place, error)

    def _failed(self, word: str, place: Place, error: Wrong) -> None:
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
        except Wrong as error:
            self._failed(found.word, place, error)

    def _in_session(self, found: Directive, place: Place) -> None:
        body = self.body
        self.asserts |= found.word == "expect"
        if body is None or body.kind != "session":
            self.lost |= found.word in _MISSED
            where = f"here is `{body.kind}` (line {body.place.line})" if body is not None else "here is none"
            raise Wrong(f"`{found.word}` stands inside a session, {where}")
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
            raise Wrong(f"`{named}` stands inside a mutant, below `-- chaos:mutant NAME`")
        self._close()
        try:
            if found.word == "replace":
                self.mutant.replaces.append(replace(found.text, place))
            else:
                self.mutant.caught_by.append(caught_by(found.text))
        except Wrong:
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
            self.body = Body("invariant", place, self.complain)
            self.found.invariants.append((options, self.body))
            invariant_options(found.text, options)
            return
        kind = PLAIN_SECTIONS[found.word]
        self.body = Body(kind, place, self.complain)
        self.found.sections[kind].append(self.body)
        Args(found.word, found.text, found.word).end()

    def _session(self, text: str, place: Place) -> None:
        options = SessionOptions()
        self.body = Body("session", place, self.complain)
        try:
            session_options(text, options)
        except Wrong:
            # how many connections it has is not known
            self.lost |= options.count is None
            raise
        finally:
            self.body.name = options.name
            self.lost |= not options.name
            first = self.found.keep(options, self.body, self.mutant)
        if first is not None:
            raise Wrong(f"`session`: `{options.name}` is there twice, first in line {first.line}")

    def _mutant(self, text: str, place: Place) -> None:
        self.body = Body("mutant", place, self.complain)
        self.mutant = Planted("", self.body)
        self.found.planted.append(self.mutant)
        text, self.mutant.when = split_when("mutant", text, "mutant NAME [when NAME = value]", self.head.matrix)
        self.mutant.name = mutant_line(text)
        first = self.found.mutants.setdefault(letters(text), place)
        if first is not place:
            raise Wrong(f"`mutant`: `{text}` is there twice, first in line {first.line}")

    def _close(self) -> None:
        if self.body is not None:
            self.body.finish()
        self.body = None


def _sets_psql(command: Command) -> bool:
    """Say whether it is a setting of psql itself, as the heads of pgTAP files have."""
    name = command.args[0] if command.args else ()
    sets = command.name in ("set", "unset") and len(name) == 1 and name[0] in _PSQL_SETTINGS
    return sets or command.name == "encoding"
