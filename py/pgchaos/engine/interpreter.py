"""The part of psql that sections and sessions share: variables, branches, and the text of statements to send."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pgchaos.engine.answer import Answer, Result
from pgchaos.engine.error_messages import StatementContext, emptied_search_path
from pgchaos.engine.psql_variables import NAMES, OWN_SETTINGS, SWITCHES, PsqlVariables, refused_value
from pgchaos.language.conditionals import Branches, parse_boolean
from pgchaos.language.encodings import encoding_named
from pgchaos.language.meta_commands import UNKNOWN
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Form, Meta, Parts, Send, Statement, Variable
from pgchaos.language.substitution import (
    TooLong,
    assignment,
    echo_text,
    evaluate,
    find_misread,
    render,
    render_to_send,
    render_words,
    valid_name,
)
from pgchaos.language.suggestions import nearest, suggest

_SHOWN = 60
"""Characters of a variable's value that the report shows."""


class Quit(Exception):
    r"""`\quit` was reached."""


class Rejected(Exception):
    """A statement is not sent: psql would refuse it, or the server would read it otherwise than it is written.

    Args:
        text: the error.
        place: its line, if known more precisely than by the item.
        hint: what to write instead, or ''.
    """

    def __init__(self, text: str, place: Place | None = None, hint: str = "") -> None:
        super().__init__(text)
        self.place, self.hint = place, hint


class Interpreter:
    r"""Executes meta-commands, \\gset and \\gexec.

    Args:
        variables: the initial ones; changes do not affect the argument.
        say: called with the output of \\echo, including its newline.
        psql: the variables that psql itself sets.
        as_psql: as psql does, send a statement even if the value of a variable changes how the text around it is read,
            and let \\unset turn psql's own settings off.
        warn: called with the place and the text of an error at which psql continues.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        say: Callable[[str], None],
        psql: PsqlVariables | None = None,
        *,
        as_psql: bool = False,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._as_psql, self._warn = as_psql, warn
        self.variables = dict(variables)
        self.psql = PsqlVariables() if psql is None else psql
        self.branches = Branches()
        self._say = say
        self._passing = False
        self._environ: dict[str, str | None] = {}
        self._emptied: Place | None = None
        self._null: dict[str, int] = {}  # the variables that \gset unset, with the line
        self.noted: tuple[str, ...] = ()
        """The variables that the last \\gset has set, for the report."""

    @contextmanager
    def tolerating(self, item: Meta | Statement) -> Iterator[None]:
        """Only warn of an error, as psql does with ON_ERROR_STOP off."""
        try:
            yield
        except Rejected as wrong:
            # without a connection, after \c, nothing would run
            if not self._as_psql or self.is_on("ON_ERROR_STOP") or (isinstance(item, Meta) and item.name == "c"):
                raise
            self._warn(f"{item.place}: {wrong} (ON_ERROR_STOP is off)")

    def meta(self, item: Meta) -> None:
        r"""Execute a meta-command."""
        if item.name in ("if", "elif", "else", "endif"):
            self._branch(item)
        elif not self.branches.active():
            return
        elif item.name == "set":
            self._set(self.evaluate(item))
        elif item.name == "unset":
            for name in self.evaluate(item):
                self.variables.pop(name, None)
                if self._as_psql and name in SWITCHES:
                    # psql's own settings are off then, not unset
                    self.variables[name] = "off"
        elif item.name == "quit":
            raise Quit
        elif item.name in ("i", UNKNOWN):
            # the reader has replaced an \i by the file, if that could be read
            raise Rejected(" ".join(self.evaluate(item)))
        elif item.name in ("getenv", "setenv"):
            self._environment(item.name, self.evaluate(item))
        elif item.name == "encoding":
            # the reader has decoded the file; statements are sent as UTF-8
            for named in filter(None, map(encoding_named, self.evaluate(item)[:1])):
                self.psql.set_encoding(named)
        else:
            self._say(echo_text(self.evaluate(item)))

    def _environment(self, name: str, words: tuple[str, ...]) -> None:
        r"""Execute \getenv VARIABLE NAME or \setenv NAME [VALUE]; only this file's \getenv sees what is set."""
        if len(words) < (2 if name == "getenv" else 1):
            raise Rejected(f"\\{name}: missing required argument")
        if name == "setenv":
            self._environ[words[0]] = words[1] if len(words) > 1 else None
            return
        value = self._environ[words[1]] if words[1] in self._environ else os.environ.get(words[1])
        if value is not None:
            self._set((words[0], value))

    def evaluate(self, item: Meta) -> tuple[str, ...]:
        """Substitute the variables in the arguments of a meta-command."""
        try:
            return evaluate(item.args, self._known(part for arg in item.args for part in arg))
        except TooLong as error:
            raise Rejected(str(error)) from None

    def _known(self, parts: Iterable[str | Variable]) -> Mapping[str, str]:
        """Return the variables, with those of psql that are used and not overridden."""
        own = {
            part.name: value
            for part in parts
            if isinstance(part, Variable) and part.name in NAMES and part.name not in self.variables
            if (value := self.psql.value(part.name)) is not None
        }
        return {**self.variables, **own} if own else self.variables

    def _set(self, words: tuple[str, ...]) -> None:
        if not words:
            return
        try:
            name, value = assignment(words)
        except ValueError as error:
            raise Rejected(str(error)) from None
        if self._as_psql and (refused := refused_value(name, value)):
            raise Rejected(refused)
        self.variables[name] = value

    def pass_branch(self, item: Meta) -> None:
        r"""Handle \if, \elif, \else or \endif in skipped items.

        A condition without a boolean value counts as true: the \gset that would have set it may have failed.
        """
        self._passing = True
        try:
            self._branch(item)
        finally:
            self._passing = False

    def _branch(self, item: Meta) -> None:
        try:
            if item.name == "if":
                self.branches.begin_if(lambda: self._truth(item))
            elif item.name == "elif":
                self.branches.begin_elif(lambda: self._truth(item))
            elif item.name == "else":
                self.branches.begin_else()
            else:
                self.branches.end_if()
        except ValueError as error:
            raise Rejected(str(error)) from None

    def _truth(self, item: Meta) -> bool:
        value = " ".join(self.evaluate(item))
        held = parse_boolean(value)
        if held is None and not self._passing:
            unset = "".join(f"; {hint}" for hint in self._unset(part for arg in item.args for part in arg))
            text = f'unrecognized value "{value}" for "\\{item.name} expression": Boolean expected{unset}'
            if not self._as_psql:
                raise Rejected(text)
            self._warn(f"{item.place}: {text} (it counts as false)")
            return False
        return held is not False

    def is_on(self, name: str) -> bool:
        """Whether one of psql's own settings is on; a value that is not a boolean counts as on."""
        value = self.variables.get(name, self.psql.value(name) or "off")
        if name == "ON_ERROR_ROLLBACK" and value.lower() == "interactive":
            return False  # psql reads a file
        return parse_boolean(value) is not False

    def is_true(self, name: str) -> bool:
        """Whether a variable is true, as psql reads a boolean."""
        if name not in self.variables:
            raise Rejected(f"the variable {name} is not set{suggest(name, self.variables)}")
        held = parse_boolean(self.variables[name])
        if held is None:
            raise Rejected(
                f'the variable {name} is "{self.variables[name]}", not a boolean (true, false, on, off, 1, 0),'
            )
        return held

    def about(self, statement: Statement) -> StatementContext:
        """Return what helps to explain an error of a statement."""
        return StatementContext(statement.text, tuple(self._unset(statement.parts)), self._emptied)

    def _unset(self, parts: Iterable[str | Variable]) -> Iterator[str]:
        for part in parts:
            if isinstance(part, Variable) and part.form is not Form.TEST and part.name not in {*self.variables, *NAMES}:
                yield f"the variable {part.name} is not set{self._why_unset(part.name)}"

    def _why_unset(self, name: str) -> str:
        if name in self._null:
            return f": \\gset in line {self._null[name]} got NULL for it"
        own = (
            ""
            if nearest(name, self.variables)
            else "; each session has its own, and \\set in the header sets one for all"
        )
        return suggest(name, self.variables) + own

    def render(self, parts: Parts) -> str:
        """Substitute the variables in a text.

        Raises:
            Rejected: the result is too long.
        """
        try:
            return render(parts, self._known(parts))
        except TooLong as error:
            raise Rejected(str(error)) from None

    def texts(self, statement: Statement) -> list[str]:
        """Return the texts to send for a statement: several if the value of a variable has a `;`.

        Raises:
            Rejected: the value of a variable changes how the text around it is read, or the result is too long.
        """
        if len(statement.parts) == 1 and isinstance(statement.parts[0], str):
            return [statement.parts[0]]
        if (text := render_words(statement.parts, self.variables)) is not None:
            return [text]
        known = self._known(statement.parts)
        try:
            if not self._as_psql and (found := find_misread(statement.parts, known)) is not None:
                raise Rejected(found.text, found.place(statement.place))
            return render_to_send(statement.parts, known)
        except TooLong as error:
            raise Rejected(str(error), statement.place) from None

    def take(self, statement: Statement, answer: Answer) -> list[str]:
        r"""Apply \gset or \gexec to an answer.

        Args:
            statement: what was sent.
            answer: without an error.

        Returns:
            The statements for \gexec to send.

        Raises:
            Rejected: \gset did not get one row, or a column whose name no variable can have.
        """
        self.noted = ()
        self._emptied = emptied_search_path(statement.text, statement.place, self._emptied)
        if statement.send is Send.GSET:
            self._gset(self.render(statement.prefix), answer, statement.place.line)
        elif statement.send is Send.GEXEC and answer.results:
            return [cell for row in answer.results[-1].rows() for cell in row if cell is not None]
        return []

    def printed(self, answer: Answer, send: Send) -> Sequence[Result]:
        r"""Return the results that psql prints: not that for \gset or \gexec, only the last by SHOW_ALL_RESULTS."""
        results: Sequence[Result] = answer.results
        if self._as_psql and not self.is_on("SHOW_ALL_RESULTS"):
            # an error would be the last
            results = results[-1:] if answer.error is None else ()
        return results[:-1] if send in (Send.GSET, Send.GEXEC) and answer.error is None else results

    def echoed(self, text: str) -> list[str]:
        """Return the lines that psql prints before it sends a statement, by ECHO."""
        if not self._as_psql or self.variables.get("ECHO", "").lower() not in ("all", "queries"):
            return []
        return text.split("\n")

    def _gset(self, prefix: str, answer: Answer, line: int) -> None:
        result = answer.results[-1] if answer.results else None
        if result is None or result.height == 0:
            raise Rejected("no rows returned for \\gset", hint=_maybe_none(prefix, result))
        if result.height > 1:
            raise Rejected("more than one row returned for \\gset", hint="add LIMIT 1, or an aggregate such as max()")
        for column, value in zip(result.columns(), next(result.rows()), strict=True):
            if self._as_psql and prefix + column in OWN_SETTINGS:
                continue  # psql ignores it, with a warning
            if value is None:
                self.variables.pop(prefix + column, None)
                self._null[prefix + column] = line
            elif not valid_name(prefix + column):
                hint = "give the column a name of letters, digits and underscores: SELECT … AS name"
                raise Rejected(f'invalid variable name: "{prefix}{column}"', hint=hint)
            else:
                self.variables[prefix + column] = value
            self.noted += (f"{prefix}{column} = {'NULL' if value is None else value[:_SHOWN]}",)


def _maybe_none(prefix: str, result: Result | None) -> str:
    r"""Write the hint for a \gset whose query may return no row, such as one that takes a job from a queue."""
    columns = result.columns() if result is not None else ()
    if not columns:
        return "\\gset needs a query that returns a row"
    name = columns[0] if columns[0].isidentifier() else "x"
    return (
        f"where there may be no row, write SELECT (SELECT …) AS {name} \\gset: without one {prefix}{name} is not set,"
        f" and \\if :{{?{prefix}{name}}} asks for that"
    )
