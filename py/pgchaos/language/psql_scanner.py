r"""Splits a file into statements, meta-commands and comments, as psql does, in one pass.

Commands follow the rules of psqlscanslash.l and command.c; SQL is scanned by `SqlScanner`.
"""

from __future__ import annotations

from dataclasses import replace

from pgchaos.language.client_copy import WrongCopy, client_copy
from pgchaos.language.lexemes import NOT_CLOSED, Command, Lexeme, Mistake, Sql
from pgchaos.language.meta_arguments import Arguments, arguments, line_end, without_semicolons
from pgchaos.language.meta_commands import (
    ENDING,
    FILES,
    PRINTING,
    RUN,
    SAME,
    TERMINATORS,
    UNKNOWN,
    directive_behind,
    is_display,
    is_unknown,
    looks_up,
    terminators,
    unsupported,
    wrong_arguments,
    wrong_terminator,
)
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import GOES_ON, SLASH_NAME, data_end
from pgchaos.language.section_items import Parts, Send
from pgchaos.language.sql_scanner import COPY_OPEN, SqlScanner, match_end
from pgchaos.language.sql_tokens import open_parenthesis


def scan(text: str, shown: str, *, keeps_crlf: bool = False, as_psql: bool = False) -> list[Lexeme]:
    r"""Split a file into lexemes, in order of line; comments and mistakes inside a statement follow it.

    A command that sets how rows are printed, or looks an object up, precedes the statement that it is in.
    As in psql, a byte order mark is skipped.

    Args:
        text: of the file.
        shown: the path of places.
        keeps_crlf: as psql does, keep CRLF inside statements and data; otherwise it is a newline everywhere.
        as_psql: accept COPY data without its end, \r, and \g that repeats a statement; otherwise they are mistakes.
    """
    text = text.removeprefix("\ufeff")
    if "\r" in text and not keeps_crlf:
        text = text.replace("\r\n", "\n")
    return _Scanner(text, shown, as_psql=as_psql).scan()


def copy_statement(place: Place, statement: str, data: str | None) -> Sql:
    r"""Return the COPY that a \copy sends, FROM STDIN with its data, or TO STDOUT."""
    return Sql(place, statement, (statement,), "COPY", copy=data)


_KEEPING = frozenset({"set", "unset", "echo", "qecho", "warn", "getenv", "setenv", "encoding", "o"})
"""Commands behind which it is known which statement psql sent last."""


class _Scanner(SqlScanner):
    __slots__ = ()

    def _command(self, start: int) -> None:
        text = self._text
        name_end = match_end(SLASH_NAME.match(text, start + 1), start + 1)
        written = text[start + 1 : name_end]
        name = SAME.get(written, written)
        if name == "copy":
            self._client_copy(start, name_end)
            return
        if name in ("r", "reset") and self._as_psql:
            self._at = arguments(text, name_end).end
            self._discard()
            return
        if name not in RUN and name not in TERMINATORS and not is_display(name):
            self._refuse(start, written)
            return
        given = arguments(text, name_end)
        self._at = given.end
        if given.wrong:
            self._mistake(start, rf"\{written}: {given.wrong}")
        elif name not in TERMINATORS:
            wrong = directive_behind(written, text[name_end : given.end]) or wrong_arguments(name, given.args)
            if wrong:
                self._mistake(start, wrong)
        if name in TERMINATORS:
            self._terminator(start, name, given)
        elif name in RUN:
            self._run(start, name, given.args)
        else:
            if self._statement:
                self._statement.leave_out(start, self._at)
            if (done := name if name in PRINTING else looks_up(name)) and not given.wrong:
                # psql runs it immediately, even within a statement
                self._found.append(Command(self._place(start), done, given.args))

    def _refuse(self, start: int, name: str) -> None:
        # the rest of its line is skipped, because it would only cause more mistakes
        text = self._text
        self._at = line_end(text, start)
        if self._as_psql and is_unknown(name) and GOES_ON.search(text):
            # the run reports it, if psql would not pass over it
            if self._statement:
                self._statement.leave_out(start, self._at)
            self._found.append(Command(self._place(start), UNKNOWN, ((unsupported(name),),)))
            return
        self._mistake(start, unsupported(name))
        if self._statement and name in ENDING:
            self._close(self._statement, Send.PLAIN, start)

    def _client_copy(self, start: int, begin: int) -> None:
        # \copy takes the whole line
        text = self._text
        self._at = line_end(text, begin)
        written = text[begin : self._at]
        self._end_statement(start, "copy")
        try:
            copy = client_copy(written)
        except WrongCopy as wrong:
            self._mistake(start, directive_behind("copy", written) or str(wrong))
            return
        if wrong_behind := directive_behind("copy", written):
            self._mistake(start, wrong_behind)
        if copy.file is not None:
            self._found.append(Command(self._place(start), "copy", ((written,),)))
            return
        if copy.prints:
            self._found.append(copy_statement(self._place(start), copy.statement, None))
            return
        below = min(self._at + 1, len(text))
        end, after = data_end(text, below)
        if end < 0:
            if not self._as_psql:
                self._mistake(start, COPY_OPEN)
            end = after = len(text)
        self._at = after
        self._found.append(copy_statement(self._place(start), copy.statement, text[below:end]))

    def _end_statement(self, start: int, name: str) -> None:
        """Close the statement that contains a command, if there is one: its terminator is missing."""
        if self._statement is None:
            return
        # psql would run the command immediately and continue the statement
        begun = self._statement.place
        sql = self._close(self._statement, Send.PLAIN, start)
        opened = open_parenthesis(sql.text, sql.place.line)
        cause = f"missing {terminators(sql.text)}?" if opened is None else NOT_CLOSED.format(opened)
        text = rf"\{name} inside the statement that begins in line {begun.line}; {cause}"
        self._found.append(Mistake(self._place(start), text, begun))

    def _run(self, start: int, name: str, args: tuple[Parts, ...]) -> None:
        self._end_statement(start, name)
        if name not in _KEEPING:
            self._latest = None
        if name in FILES:
            args = without_semicolons(args)
        self._found.append(Command(self._place(start), name, args))

    def _terminator(self, start: int, name: str, given: Arguments) -> None:
        args = given.args
        statement = self._statement
        shown = {"gset": Send.GSET, "gexec": Send.GEXEC, "gx": Send.EXPANDED}.get(name, Send.PLAIN)
        send = Send.HIDDEN if args and name in ("g", "gx") else shown
        prefix = args[0] if name == "gset" and args else ()
        latest = self._latest if self._as_psql else None
        if statement is None and latest is None:
            self._mistake(start, rf"\{name} with nothing before it; remove the `;` that ends the statement before")
        elif not given.wrong and (wrong := wrong_terminator(name, args)):
            self._mistake(start, wrong)
        if statement:
            self._finish(statement, send, start, prefix)
        elif latest:
            # psql sends the statement before again
            self._found.append(replace(latest, place=self._place(start), send=send, prefix=prefix))
