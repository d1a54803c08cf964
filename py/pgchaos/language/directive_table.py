"""The table of directives, used by the parser, suggestions and the reference in LANGUAGE.md.

A row says how a directive is written, where it may occur, and which function parses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias, get_args

from pgchaos.language import faults, given, header, mutants, pooler, sections, session_directives
from pgchaos.language.arguments import NAME_PATTERN, Args
from pgchaos.language.fault_kinds import FORMS, KINDS
from pgchaos.language.header import Header
from pgchaos.language.header_model import LeakKind, Sandbox
from pgchaos.language.mutants import MutantBuilder
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Item
from pgchaos.language.sections import Sections
from pgchaos.language.session_directives import Step
from pgchaos.language.tags import TAGS

_CONDITION = " [when NAME = value]"


@dataclass(frozen=True, kw_only=True)
class DirectiveSpec:
    """One row."""

    where: ClassVar[str]

    word: str  # what follows `-- chaos:`
    usage: str  # how it is written, for messages and the reference; without a condition
    help: str  # one line for the reference
    shape: str = ""  # a pattern of what may follow the word; it distinguishes a directive without its colon from prose
    second_words: tuple[str, ...] = ()  # words that must follow, as in `wait for`; for the mistake `waitfor`
    keywords: tuple[str, ...] = ()  # those of more than one word, which may be misspelt like `upto`
    when: bool = False  # a condition may end it
    free_text: bool = False  # its arguments are text, not words
    once: bool = False  # it may occur only once
    asserts: bool = False  # it makes the scenario assert something
    declares: bool = False  # other parts of the file refer to its name: they are not checked if it cannot be parsed

    @cached_property
    def name(self) -> str:
        """Its name in messages: with the second word if there is only one, as in `caught by`."""
        return f"{self.word} {self.second_words[0]}" if len(self.second_words) == 1 else self.word

    @cached_property
    def written(self) -> str:
        """How it is written, with its condition."""
        return self.usage + (_CONDITION if self.when else "")

    def fits(self, text: str) -> bool:
        """Whether a text may follow the word."""
        return not text or re.fullmatch(self.shape, text) is not None

    def args(self, text: str, place: Place) -> Args:
        """Return the arguments of a line."""
        return Args(self.name, text, self.written, place, self.keywords)


@dataclass(frozen=True, kw_only=True)
class HeaderDirective(DirectiveSpec):
    """In the header of a file. With a condition it is parsed last, because its matrix may be declared below it."""

    where = "header"
    read: Callable[[Header, Args], None]


@dataclass(frozen=True, kw_only=True)
class SectionDirective(DirectiveSpec):
    """Opens a section."""

    where = "opens a section"
    read: Callable[[Sections, Args], None]


@dataclass(frozen=True, kw_only=True)
class SessionDirective(DirectiveSpec):
    """Inside a session."""

    where = "in a session"
    read: Callable[[Args], Item | Step]


@dataclass(frozen=True, kw_only=True)
class MutantDirective(DirectiveSpec):
    """Inside a mutant."""

    where = "in a mutant"
    read: Callable[[MutantBuilder, Args], None]


Row: TypeAlias = HeaderDirective | SectionDirective | SessionDirective | MutantDirective


_STEP = rf"{NAME_PATTERN}(?:\[\d+\])?\.[^\s.]+"
_CODE = r"(?:[0-9A-Z]{5}|[a-z]+_[a-z_]+)"
_CODES = rf"{_CODE}(?:[ ,]+{_CODE})*"

# fmt: off
_ROWS: tuple[Row, ...] = (
    HeaderDirective(word="title", usage="title TEXT",
        help="what reports call the scenario", shape=r".*", free_text=True, once=True, read=header.title),
    HeaderDirective(word="tags", usage="tags slow concurrent",
        help="markers of pytest", shape=rf"(?:(?:{'|'.join(TAGS)})\b[ ,]*)+", free_text=True,
        read=header.tags),
    HeaderDirective(word="timeout", usage="timeout 30s",
        help="the time that all sessions together may take", shape=r"[\d.]+ ?\w+", once=True, read=header.timeout),
    HeaderDirective(word="requires",
        usage="requires extension NAME [>= VERSION] [with FUNCTION], server >= 17, superuser, own server, "
            "capability NAME, program NAME [with LIBRARY]",
        help="the scenario is skipped where something of this is missing",
        shape=r"(?:extension|server|superuser|own server|capability|program)\b.*", keywords=("own server",),
        read=header.requires),
    HeaderDirective(word="sandbox", usage="sandbox database, schema or server",
        help="what the scenario has for itself", shape="|".join(get_args(Sandbox)), once=True, read=header.sandbox),
    HeaderDirective(word="server", usage="server NAME = VALUE",
        help="a parameter of the scenario's own server", shape=r"[a-z_.]+ ?= ?\S.*", when=True, read=header.server),
    HeaderDirective(word="pooler", usage="pooler session, transaction or statement [size N], or pooler NAME = VALUE",
        help="PgBouncer between the sessions and the server",
        shape=r"(?:session|transaction|statement)(?: size \d+)?|[a-z_]+ ?= ?.+", when=True,
        read=pooler.pooler),
    HeaderDirective(word="alone", usage="alone",
        help="nothing else runs on the server meanwhile", once=True, read=header.alone),
    HeaderDirective(word="matrix", usage="matrix NAME in a, 'b c'",
        help="one test item for each value of a variable", shape=r"\w+ in .+", read=header.matrix),
    HeaderDirective(word="given", usage=given.USAGE,
        help="a variable whose values are drawn at random", shape=r"\w+ in .+", read=header.given),
    HeaderDirective(word="default", usage="default NAME = VALUE",
        help="a variable of every section, unless it is set already", shape=r"\w+ ?= ?.*", free_text=True,
        read=header.default),
    HeaderDirective(word="schedule",
        usage="schedule free, schedule a.1 b.1 a.2, schedule all [up to N], or schedule explore N [with M values]",
        help="how the steps of the sessions interleave",
        shape=rf"free|all|all up to \d+|explore \d+(?: with \d+ values)?|{_STEP}(?: {_STEP})*", keywords=("up to",),
        free_text=True, once=True, read=header.schedule),
    HeaderDirective(word="oracle", usage="oracle serializable",
        help="the outcome must be that of some serial order", shape=r"serializable", once=True, asserts=True,
        read=header.oracle),
    HeaderDirective(word="xfail", usage="xfail ['NAME'] REASON",
        help="a failure that is expected", shape=r"'.*' .*", when=True, free_text=True, read=header.xfail),
    HeaderDirective(word="leaves", usage="leaves KIND REASON",
        help="a leak that is intended", shape=rf"(?:{'|'.join(get_args(LeakKind))})\b.*", when=True, free_text=True,
        read=header.leaves),
    SectionDirective(word="setup", usage="setup",
        help="SQL that runs before the sessions", read=sections.plain),
    SectionDirective(word="teardown", usage="teardown",
        help="SQL that runs at the end, whatever happened", read=sections.plain),
    SectionDirective(word="session",
        usage="session NAME [x N] [repeat M [until VARIABLE] | repeat while SESSION]"
        " [retry CODE… [up to 10] [backoff 5ms]] [allow CODE…] [connect 'tcp_user_timeout=300 …']"
        " [run 'COMMAND' [grace 200ms] [allow exit 1]]",
        help="what N connections do at the same time as all other sessions",
        shape=rf"{NAME_PATTERN}(?: (?:x \d|repeat (?:\d|while\b)|retry {_CODES}|allow (?:{_CODES}|exit \d)"
        r"|(?:run|connect) ').*)?",
        keywords=("up to", "allow exit"),
        read=sections.session),
    SectionDirective(word="invariant", usage="invariant [every 10ms] [may be empty] [at end]",
        help="queries that must be true while the sessions run", shape=r"(?:(?:every \S+|may be empty|at end) ?)*",
        keywords=("may be empty", "at end"), asserts=True, read=sections.invariant),
    SectionDirective(word="check", usage="check",
        help="pgTAP assertions after the sessions", asserts=True, read=sections.plain),
    SectionDirective(word="state", usage="state",
        help="queries whose results the oracle compares", read=sections.plain),
    SectionDirective(word="mutant", usage="mutant NAME",
        help="a planted bug, which the scenario must notice", shape=r".*", when=True, free_text=True,
        read=sections.mutant),
    SessionDirective(word="step", usage="step NAME",
        help="names the statements up to the next step", shape=NAME_PATTERN, declares=True,
        read=session_directives.step),
    SessionDirective(word="expect", usage="expect CODE…",
        help="the next statement must fail with one of these errors", shape=_CODES, when=True, asserts=True,
        read=session_directives.expect),
    SessionDirective(word="allow", usage="allow CODE…, or allow exit 1",
        help="the next statement may fail with one of these errors; a program may end with this status",
        shape=rf"{_CODES}|exit \d+(?:[ ,]+\d+)*", when=True,
        read=session_directives.allow),
    SessionDirective(word="delay", usage="delay 5ms",
        help="waits that long", shape=r"\d\S*", when=True, read=session_directives.delay),
    SessionDirective(word="jitter", usage="jitter 5ms",
        help="waits a random time up to that long", shape=r"\d\S*", when=True, read=session_directives.jitter),
    SessionDirective(word="barrier", usage="barrier NAME [unless blocked]",
        help="waits until all connections that name it have arrived, or are blocked",
        shape=rf"{NAME_PATTERN}(?: unless blocked)?", keywords=("unless blocked",), when=True, declares=True,
        read=session_directives.barrier),
    SessionDirective(word="wait", usage="wait blocked SESSION, or wait for SIGNAL",
        help="waits until another session is blocked by a lock, or for a signal",
        shape=rf"(?:blocked|for) {NAME_PATTERN}(?:\[\d+\])?", second_words=("for", "blocked"), when=True,
        read=session_directives.wait),
    SessionDirective(word="signal", usage="signal NAME",
        help="gives a signal that other sessions wait for", shape=NAME_PATTERN, when=True, declares=True,
        read=session_directives.signal),
    SessionDirective(word="fault", usage=faults.USAGE,
        help="breaks something at the next statement", shape=rf"(?:{'|'.join(KINDS)})\b.*",
        keywords=("when blocked", "at any step"), when=True, read=faults.parse_fault),
    MutantDirective(word="replace", usage="replace 'text' with 'text' in SESSION, or in setup",
        help="changes a text that occurs exactly once", shape=r"'.*' with '.*' in .*", read=mutants.replace),
    MutantDirective(word="caught", usage="caught by 'NAME'",
        help="a failure that the bug must cause", shape=r"by '.*'", second_words=("by",), read=mutants.caught),
)
# fmt: on

DIRECTIVES = {row.word: row for row in _ROWS}
"""Every directive by its word, in the order of the reference."""


def directive_reference() -> str:
    """Return the table of directives for LANGUAGE.md, in Markdown."""
    lines = ["| directive | where | meaning |", "| --- | --- | --- |"]
    for row in _ROWS:
        where = f"{row.where}, once" if row.once else row.where
        lines.append(f"| `{_cell(row.written)}` | {where} | {row.help} |")
    return "\n".join(lines)


def fault_reference() -> str:
    """Return the table of faults for LANGUAGE.md, in Markdown."""
    needs = {"nothing": "", "alone": "`alone` or `sandbox server`", "own server": "`sandbox server`"}
    lines = ["| KIND | needs | what it does | what a session sees |", "| --- | --- | --- | --- |"]
    lines += [f"| `{form.written}` | {needs[form.needs]} | {form.does} | {form.seen} |" for form in FORMS]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
