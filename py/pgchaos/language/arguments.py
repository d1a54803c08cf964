"""The arguments of a directive: split into tokens, and parsed from left to right."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

from pgchaos.language.durations import LONGEST, parse_duration
from pgchaos.language.header_model import Matrix, When
from pgchaos.language.problems import LANGUAGE, UNKNOWN_TAG, Place
from pgchaos.language.suggestions import misspelt_keyword, nearest, suggest

Word = TypeVar("Word", bound=str)

NAME_PATTERN = r"[^\W\d][\w-]*"  # the name of a session, step, barrier or signal
SESSION_PATTERN = rf"({NAME_PATTERN})(?:\[([1-9][0-9]{{0,8}})\])?"  # `SESSION` or `SESSION[2]`
QUOTED = re.compile(r"'([^']*(?:''[^']*)*)'")

_TOKEN = re.compile(rf"\s*(?:{QUOTED.pattern}|(,|>=|<=|[=<>])|([^\s,'=<>]+)|('))")
_SIGN = re.compile(r"[',=<>]")
_COUNT = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(NAME_PATTERN)
_SESSION = re.compile(SESSION_PATTERN)
_CONDITION = re.compile(r"\s*(\w+)\s*(=?)")


class DirectiveError(Exception):
    """A directive is wrong; the text says how. The caller knows its line."""

    rule = LANGUAGE


class UnknownTag(DirectiveError):
    """A tag that neither pgchaos nor the project knows."""

    rule = UNKNOWN_TAG


class UnknownMatrix(DirectiveError):
    """A condition names a matrix or value that does not exist; not reported if a matrix could not be parsed."""


class Token(NamedTuple):
    """A word, a sign, or a text in quotes."""

    text: str  # without its quotes
    quoted: bool

    def __str__(self) -> str:
        return "'" + self.text.replace("'", "''") + "'" if self.quoted else self.text


def _tokenize(word: str, text: str) -> list[Token]:
    if _SIGN.search(text) is None:
        return [Token(bare, False) for bare in text.split()]
    tokens = []
    for found in _TOKEN.finditer(text):
        group = found.lastindex
        if group == 4:
            raise DirectiveError(f"`{word}`: a quote does not end in this line; within quotes '' stands for '")
        tokens.append(Token(found[1].replace("''", "'"), True) if group == 1 else Token(found[group or 0], False))
    return tokens


class Args:
    """The arguments of one directive. A method raises DirectiveError if the arguments do not match.

    Args:
        word: the directive's name, for messages.
        text: the rest of its line.
        usage: how the directive is written, for messages.
        place: its line.
        keywords: those of more than one word, to recognize a misspelt one such as `upto`.

    Attributes:
        text: the rest of the line; without the condition, after that was taken.
        when: the condition at the end of the line, after it was taken.
    """

    def __init__(self, word: str, text: str, usage: str, place: Place, keywords: Collection[str] = ()) -> None:
        self.word = word
        self.text = text
        self.usage = usage
        self.place = place
        self.keywords = keywords
        self.when: When | None = None
        self._at = 0
        self._tokens: list[Token] | None = None

    @property
    def tokens(self) -> list[Token]:
        """All tokens. For a directive with free text they are not computed: the text may contain a single quote."""
        # not a cached_property, which takes a lock in Python 3.10 and 3.11: a file has many arguments
        if self._tokens is None:
            self._tokens = _tokenize(self.word, self.text)
        return self._tokens

    # messages

    def error(self, what: str, hint: str = "") -> DirectiveError:
        """Return an error that ends with a hint, or by default with how the directive is written."""
        return DirectiveError(f"`{self.word}`: {what}{hint or f'; it is written `{self.usage}`'}")

    def missing(self) -> str:
        """End a message about a required word: `is required, not …`, or `is missing`."""
        if self.has_more():
            return f"is required, not `{self.tokens[self._at]}`"
        return "is missing"

    def misspelt(self) -> DirectiveError | None:
        """Return an error if the next tokens are a misspelt keyword of several words, such as `upto`; else None."""
        rest = itertools.takewhile(lambda token: not token.quoted, self.tokens[self._at :])
        keyword = misspelt_keyword([token.text for token in rest], self.keywords)
        if keyword is None:
            return None
        return DirectiveError(f"`{self.word}`: `{keyword[0]}` is not understood, did you mean `{keyword[1]}`?")

    def unexpected(self, hint: str = "") -> DirectiveError:
        """Return an error about the next token; `hint` ends its message, if the caller knows what was meant."""
        return self.misspelt() or self.error(f"`{self.tokens[self._at]}` is not understood here", hint)

    # tokens

    def has_more(self) -> bool:
        """Whether a token is left."""
        return self._at < len(self.tokens)

    def peek(self, ahead: int = 0) -> str | None:
        """Return the next word or sign; None at the end, and for a text in quotes."""
        token = self.tokens[self._at + ahead] if self._at + ahead < len(self.tokens) else None
        return None if token is None or token.quoted else token.text

    def take(self, what: str = "an argument") -> Token:
        """Take the next token; `what` names it in the message for the end of the line."""
        tokens, at = self.tokens, self._at
        if at >= len(tokens):
            raise self.error(f"{what} is missing")
        self._at = at + 1
        return tokens[at]

    def put_back(self) -> None:
        """Put the last token back."""
        self._at -= 1

    def accept(self, *words: str) -> bool:
        """Take these words if they are next, and return whether they were."""
        tokens, at = self.tokens, self._at
        if at + len(words) > len(tokens):
            return False
        for word in words:
            token = tokens[at]
            if token.text != word or token.quoted:
                return False
            at += 1
        self._at = at
        return True

    def expect(self, word: str) -> None:
        """Take a word that must be next."""
        if not self.accept(word):
            raise self.error(f"`{word}` {self.missing()}")

    def end(self) -> None:
        """Require that no token is left."""
        if self.has_more():
            raise self.unexpected()

    # values

    def name(self, what: str) -> str:
        """Take the name of a session, step, barrier or signal."""
        token = self.take(f"the name of {what}")
        if token.quoted or not _NAME.fullmatch(token.text):
            raise DirectiveError(
                f"`{self.word}`: `{token}` is not a name for {what}: a name is one word of letters, digits, underscores"
                " and hyphens that begins with a letter or underscore"
            )
        return token.text

    def session(self, what: str) -> tuple[str, int | None]:
        """Take `SESSION` or `SESSION[2]`; return the name, and the number of the connection or None for all."""
        token = self.take(what)
        found = None if token.quoted else _SESSION.fullmatch(token.text)
        if found is None:
            raise self.error(f"`{token}` is not a session; one connection of it is written SESSION[2]")
        return found[1], int(found[2]) if found[2] else None

    def count(self, what: str) -> int:
        """Take a positive whole number."""
        token = self.take(what)
        if token.quoted or not _COUNT.fullmatch(token.text) or int(token.text) < 1:
            raise self.error(f"{what} must be a whole number from 1, not `{token}`")
        return int(token.text)

    def duration(self, what: str, *, zero: bool = False) -> float:
        """Take a time with its unit, at most one day; return seconds."""
        token = self.take(what)
        seconds = None if token.quoted else parse_duration(token.text)
        if seconds is None:
            raise self.error(f"{what} must be a number with its unit (5ms, 30s, 2min), not `{token}`")
        if seconds > LONGEST:
            raise self.error(f"{what} must be at most one day, not `{token}`")
        if seconds == 0 and not zero:
            raise self.error(f"{what} must be more than `{token}`")
        return seconds

    def choice(self, what: str, words: Iterable[Word]) -> Word:
        """Take one of these words."""
        known: dict[str, Word] = {word: word for word in words}
        token = self.take(f"the {what}")
        if token.quoted or token.text not in known:
            article = "an" if what[0] in "aeiou" else "a"
            raise DirectiveError(f"`{self.word}`: `{token}` is not {article} {what}{suggest(token.text, known)}")
        return known[token.text]

    def quoted(self, what: str) -> str:
        """Take a text in quotes."""
        token = self.take(what)
        if not token.quoted:
            raise self.error(f"{what} must be in quotes, as in '{token.text}'")
        return token.text

    # the condition: … when NAME = value or value

    def take_condition(self, matrix: Mapping[str, Matrix]) -> None:
        """Take the condition from the end of the tokens."""
        tokens = self.tokens
        for at in range(len(tokens) - 3, -1, -1):
            if not tokens[at].quoted and tokens[at].text == "when" and str(tokens[at + 2]) == "=":
                self.when = self._condition(tokens[at + 1 :], matrix)
                del tokens[at:]
                return

    def take_condition_of_text(self, matrix: Mapping[str, Matrix]) -> None:
        """Take the condition from the end of free text: the last ` when `, if the name of a matrix follows it."""
        quoted = QUOTED.match(self.text)
        begin = quoted.end() if quoted else 0
        before, found, after = f" {self.text[begin:]}".rpartition(" when ")
        name = _CONDITION.match(after) if found else None
        if name is None or (name[1] not in matrix and not (name[2] and nearest(name[1], matrix))):
            return
        self.when = self._condition(_tokenize(self.word, after), matrix)
        self.text = (self.text[:begin] + before[1:]).strip()

    def _condition(self, tokens: list[Token], matrix: Mapping[str, Matrix]) -> When:
        tail = Args(self.word, "", self.usage, self.place)
        tail._tokens = tokens
        name = tail.take("the name of a matrix").text
        if name not in matrix:
            hint = suggest(name, matrix, none="; this file has no matrix")
            raise UnknownMatrix(f"`{self.word}`: `when` names no matrix: `{name}`{hint}")
        tail.expect("=")
        values = [tail._value(name, matrix[name].values)]
        while tail.accept("or"):
            values.append(tail._value(name, matrix[name].values))
        if tail.has_more():
            raise DirectiveError(
                f"`{self.word}`: `{tail.take()}` is not understood behind `when`; it is written"
                f" `when {name} = value or value`, a value with a space in quotes"
            )
        return When(name, tuple(values))

    def _value(self, name: str, known: Collection[str]) -> str:
        value = self.take(f"a value of `{name}`").text
        if value not in known:
            raise UnknownMatrix(f"`{self.word}`: `{value}` is not a value of `{name}`{suggest(value, known)}")
        return value
