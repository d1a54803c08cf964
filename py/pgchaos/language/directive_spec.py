"""What a row of the table of directives says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from pgchaos.language.arguments import Args
from pgchaos.language.header import Header
from pgchaos.language.mutants import MutantBuilder
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Item
from pgchaos.language.sections import Sections
from pgchaos.language.session_directives import Step

_CONDITION = " [when NAME = value]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectiveSpec:
    """One row.

    Args:
        word: what follows `-- chaos:`.
        usage: how it is written, for messages and the reference; without a condition.
        help: one line for the reference.
        shape: a pattern of what may follow the word. It tells a directive without its colon from prose.
        second_words: words that must follow, as in `wait for`: they may have been joined by mistake.
        when: whether a condition may end it.
        free_text: its arguments are text, not words.
        once: it may occur once at most.
        asserts: it makes the scenario assert something.
        declares: other parts of the file refer to its name, so they are not checked where it cannot be read.
    """

    where: ClassVar[str]

    word: str
    usage: str
    help: str
    shape: str = ""
    second_words: tuple[str, ...] = ()
    when: bool = False
    free_text: bool = False
    once: bool = False
    asserts: bool = False
    declares: bool = False

    @property
    def name(self) -> str:
        """What messages call it: `caught by`, where only one word may follow."""
        return f"{self.word} {self.second_words[0]}" if len(self.second_words) == 1 else self.word

    @property
    def written(self) -> str:
        """How it is written, with its condition."""
        return self.usage + (_CONDITION if self.when else "")

    def fits(self, text: str) -> bool:
        """Whether a text may follow the word."""
        return not text or re.fullmatch(self.shape, text) is not None

    def args(self, text: str, place: Place) -> Args:
        """Make the arguments of a line."""
        return Args(self.name, text, self.written, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderDirective(DirectiveSpec):
    """In the head of a file. With a condition it is read last: its matrix may be declared below it."""

    where = "head"
    read: Callable[[Header, Args], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionDirective(DirectiveSpec):
    """Opens a section."""

    where = "opens a section"
    read: Callable[[Sections, Args], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDirective(DirectiveSpec):
    """Inside a session."""

    where = "in a session"
    read: Callable[[Args], Item | Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class MutantDirective(DirectiveSpec):
    """Inside a mutant."""

    where = "in a mutant"
    read: Callable[[MutantBuilder, Args], None]


Row: TypeAlias = HeaderDirective | SectionDirective | SessionDirective | MutantDirective
