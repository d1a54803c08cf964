"""Sessions that run programs: `run 'COMMAND'`, its words, and what their sections may contain."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.header_model import applies
from pgchaos.language.model import Program, Scenario, Session
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import NAME
from pgchaos.language.section_builder import Complain
from pgchaos.language.section_items import (
    AllowExit,
    Fault,
    Form,
    Item,
    Meta,
    Parts,
    Statement,
    Variable,
    variable_names,
)
from pgchaos.language.substitution import evaluate

_HIGHEST_STATUS = 255
# a variable in a word of a command; psql's quoted forms are only for SQL
_VARIABLE = re.compile(rf"(?<![\w:]):({NAME})")


def take_command(args: Args) -> Program:
    """Take `'COMMAND'` after `run`."""
    text = args.quoted("the command")
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DirectiveError(f"`session`: the command '{text}' cannot be split into words: {error}") from None
    if not words or not words[0]:
        raise DirectiveError("`session`: the command of `run` is empty")
    return Program(args.place, text, tuple(_parts(word) for word in words))


def _parts(word: str) -> Parts:
    parts: list[str | Variable] = []
    at = 0
    for found in _VARIABLE.finditer(word):
        parts += [word[at : found.start()], Variable(found[1], Form.PLAIN, found[0])]
        at = found.end()
    return tuple(part for part in (*parts, word[at:]) if part) or ("",)


def command_of(program: Program, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of a command. A variable that is not set stays as written, and a value is never split."""
    known = tuple(
        tuple(p if isinstance(p, str) or p.name in variables else p.raw for p in parts) for parts in program.words
    )
    return evaluate(known, variables)


def take_statuses(args: Args) -> tuple[int, ...]:
    """Take the exit statuses after `allow exit`, at least one."""
    found: list[int] = []
    while args.has_more() and ((args.peek() or "").isdigit() or args.peek() == "," or not found):
        if args.accept(","):
            continue
        status = args.count("an exit status")
        if status > _HIGHEST_STATUS:
            raise args.error(f"an exit status is at most {_HIGHEST_STATUS}, not {status}")
        found.append(status)
    return tuple(found)


def allowed_statuses(session: Session, variables: Mapping[str, str]) -> frozenset[int]:
    """Return the exit statuses that are no failure of a session's program, with these matrix values."""
    program = session.program
    written = [i.statuses for i in session.items if isinstance(i, AllowExit) and applies(i.when, variables)]
    return frozenset({0, *(program.exits if program else ()), *(one for some in written for one in some)})


def matches(pattern: str, statement: str) -> bool:
    r"""Whether a statement matches a LIKE pattern, without regard to case and white space.

    `%` is any text, `_` any character, `\%` and `\_` are these characters; '' matches any statement.
    """
    return not pattern or _pattern(pattern).fullmatch(" ".join(statement.split())) is not None


def _pattern(like: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", " ".join(like.split()), re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(p) or re.escape(p[-1]) for p in parts), re.DOTALL | re.IGNORECASE)


def used_variables(program: Program | None) -> set[str]:
    """Return the names of the variables in the command of a session."""
    return set().union(*map(variable_names, program.words)) if program is not None else set()


# checks of a file with programs


def check_programs(scenario: Scenario, complain: Complain) -> None:
    """Report what cannot be combined with a session that runs a program."""
    for session in scenario.all_sessions:
        for place, text in _wrong_in_program(session) if session.program else _wrong_in_sql(session):
            complain(place, text)
    ours = next((session for session in scenario.all_sessions if session.program), None)
    if ours is not None:
        for place, text in _wrong_in_file(scenario, ours):
            complain(place, text)


def _wrong_in_program(session: Session) -> Iterator[tuple[Place, str]]:
    name = f"session `{session.name}`"
    if session.retry.codes or session.allow:
        word = "retry" if session.retry.codes else "allow"
        yield (
            session.place,
            f"`{word} CODE`: {name} is a program, which handles its errors itself: its exit status says whether it"
            " failed; write `allow exit 1` for one that is expected",
        )
    if session.connect:
        yield session.place, f"`connect`: {name} is a program, which connects with time-outs of its own"
    if session.until:
        yield session.place, f"`until {session.until}`: {name} is a program, and sets no variable"
    for item in session.items:
        if isinstance(item, AllowExit):
            continue
        if not isinstance(item, Fault):
            yield item.place, f"{name} is a program: `run` describes all of it, and {_named(item)} belongs elsewhere"
        elif item.anywhere:
            yield (
                item.place,
                f"`fault`: `at any step` needs the number of statements, and {name} is a program: write `on 3rd"
                " execution of 'UPDATE seat%'`",
            )


def _named(item: Item) -> str:
    if isinstance(item, Statement):
        return "SQL"
    return f"\\{item.name}" if isinstance(item, Meta) else f"`{_word(item)}`"


def _word(item: Item) -> str:
    words = {"WaitBlocked": "wait blocked", "WaitFor": "wait for"}
    return words.get(type(item).__name__, type(item).__name__.lower())


def _wrong_in_sql(session: Session) -> Iterator[tuple[Place, str]]:
    for item in session.items:
        if isinstance(item, AllowExit):
            yield item.place, f"`allow exit`: session `{session.name}` is no program: it has no `run`"
        elif isinstance(item, Fault) and item.statement:
            text = f"`fault`: `of '{item.statement}'` is for sessions that `run` a program: here a fault"
            yield item.place, f"{text} is delivered at the statement below it"


def _wrong_in_file(scenario: Scenario, session: Session) -> Iterator[tuple[Place, str]]:
    schedule, name = scenario.schedule, f"session `{session.name}`"
    if schedule.kind == "exact":
        text = f"`schedule`: the steps of {name} are known only when its program sends them: write"
        yield schedule.place or session.place, f"{text} `schedule explore N`, or leave the schedule out"
    if schedule.kind == "all" and schedule.limit is None:
        text = f"`schedule`: how many interleavings the program of {name} has is not known: write"
        yield schedule.place or session.place, f"{text} `schedule all up to N` or `schedule explore N`"
    if scenario.poolers:
        text = f"`pooler`: {name} is a program, which goes through pgchaos to the server itself, and not through"
        yield session.place, f"{text} PgBouncer: leave `pooler` out"
    if scenario.sandbox == "schema":
        text = f"`sandbox schema`: what the program of {name} sends is not known, so that it needs a database"
        yield session.place, f"{text} of its own: leave `sandbox schema` out"
