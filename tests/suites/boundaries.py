"""Two lists of statements put side by side, and the reasons why they differ. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgchaos.language.lexemes import Command, Lexeme, Mistake, Sql
from pgchaos.language.section_items import Parts, Send
from pgchaos.language.substitution import evaluate, render_to_send
from tests.language.psql_log import bare

MISTAKE = "an error of the file, told at collection: \\d and the like, \\g or \\gexec with nothing before it"
NO_DATA = "a COPY … FROM STDIN without data: it fails, so psql asks for none; in a scenario its data always follows"
GEXEC = "what \\gexec made"
BRANCH = "a branch that is not taken, or behind its \\quit"
SETTING = "sent by psql on its own for AUTOCOMMIT, ON_ERROR_ROLLBACK or FETCH_COUNT: no statement of the file"

_HOLE = "\x01"
_FARTHEST = 600
_SETTINGS = re.compile(
    r"BEGIN|COMMIT|CLOSE _psql_cursor|FETCH FORWARD \d+ FROM _psql_cursor"
    r"|(?:SAVEPOINT|RELEASE|ROLLBACK TO) pg_psql_temporary_savepoint"
)
_COPY = re.compile(r"copy\b.*\bfrom\s+std(?:in|out)\b.*", re.IGNORECASE | re.DOTALL)
_CURSOR = re.compile(r"DECLARE _psql_cursor NO SCROLL CURSOR FOR\s+")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the lists differ.

    Args:
        after: the line of our statement before it, 0 where there is none.
        before: the line behind our next one that psql sends too.
        ours: the lines of what only we would send.
        psqls: what only psql sends.
    """

    after: int
    before: int
    ours: tuple[int, ...]
    psqls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A statement of ours: its line, its text with holes for psql's variables, and the pattern of that."""

    line: int
    text: str
    pattern: re.Pattern[str] | None

    def is_(self, sent: str) -> bool:
        """Say whether psql sent this, whatever the values of its variables."""
        return sent == self.text or (self.pattern is not None and self.pattern.fullmatch(_flat(sent)) is not None)


def wanted(lexemes: Sequence[Lexeme]) -> list[Wanted]:
    """Give the statements of a scan as they are compared, with the values that the file itself sets."""
    known: dict[str, str] = {}
    found: list[Wanted] = []
    for lexeme in lexemes:
        if isinstance(lexeme, Command) and lexeme.name == "set" and lexeme.args:
            _set(lexeme.args, known)
        elif isinstance(lexeme, Sql):
            found += _wanted(lexeme, known)
    return [statement for statement in found if statement.text]


def _set(args: Sequence[Parts], known: dict[str, str]) -> None:
    name, *values = evaluate(tuple(args), known)
    if all(isinstance(part, str) or part.name in known for arg in args for part in arg):
        known[name] = "".join(values)
    else:
        known.pop(name, None)


def _wanted(sql: Sql, known: Mapping[str, str]) -> list[Wanted]:
    if all(isinstance(part, str) or part.name in known for part in sql.parts):
        return [Wanted(sql.place.line, bare(text), None) for text in render_to_send(sql.parts, known)]
    text = bare("".join(part if isinstance(part, str) else _HOLE for part in sql.parts))
    return [Wanted(sql.place.line, text, re.compile(re.escape(_flat(text)).replace(_HOLE, ".*?")))]


def sent_as_compared(sent: Sequence[str]) -> list[str]:
    """Give what psql sent as it is compared."""
    return [text for statement in sent if (text := _CURSOR.sub("", bare(statement)))]


def differences(ours: Sequence[Wanted], sent: Sequence[str]) -> list[Difference]:
    """Walk through both lists and step over as little as possible where they differ."""
    found = []
    at = there = 0
    while at < len(ours) or there < len(sent):
        if at < len(ours) and there < len(sent) and ours[at].is_(sent[there]):
            at, there = at + 1, there + 1
            continue
        skip, psqls = _step(ours[at:], sent[there:])
        # psql obeys a command behind the next statement before it sends that (\\gdesc), so look up to its end
        next_line = ours[at + skip].line + ours[at + skip].text.count("\n") + 1 if at + skip < len(ours) else 10**9
        mine = tuple(statement.line for statement in ours[at : at + skip])
        found.append(Difference(ours[at - 1].line if at else 0, next_line, mine, tuple(sent[there : there + psqls])))
        at, there = at + skip, there + psqls
    return found


def _step(ours: Sequence[Wanted], sent: Sequence[str]) -> tuple[int, int]:
    for distance in range(1, min(_FARTHEST, len(ours) + len(sent))):
        for skip in range(min(distance, len(ours) - 1) + 1):
            other = distance - skip
            if skip < len(ours) and other < len(sent) and ours[skip].is_(sent[other]):
                return skip, other
    return len(ours), len(sent)


def reason(difference: Difference, lexemes: Sequence[Lexeme], no_data: Sequence[int] = ()) -> str | None:
    """Say why the lists differ, where that can be told from the file itself.

    Args:
        difference: between the lists.
        lexemes: of our scan.
        no_data: the lines of COPY … FROM STDIN that were taken out of the text that was scanned.
    """
    copies = sum(difference.after < line < difference.before for line in no_data)
    if not difference.ours and len(difference.psqls) == copies and all(map(_COPY.fullmatch, difference.psqls)):
        return NO_DATA
    own = [text for text in difference.psqls if text != "ROLLBACK"]  # which ends what it has begun
    if own and all(map(_SETTINGS.fullmatch, own)) and not difference.ours:
        return SETTING
    if not difference.ours and any(
        isinstance(x, Sql) and x.send is Send.GEXEC and x.place.line == difference.after for x in lexemes
    ):
        return GEXEC
    if not difference.psqls and set(difference.ours) <= _conditional(lexemes):
        return BRANCH
    between = (x for x in lexemes if difference.after <= x.place.line <= difference.before)
    if not difference.ours and any(isinstance(x, Mistake) for x in between):
        return MISTAKE
    return None


def _conditional(lexemes: Sequence[Lexeme]) -> set[int]:
    lines, depth, quits = set(), 0, False
    for lexeme in lexemes:
        if isinstance(lexeme, Command):
            depth += {"if": 1, "endif": -1}.get(lexeme.name, 0)
            quits = quits or lexeme.name == "quit"
        elif isinstance(lexeme, Sql) and (depth or quits):
            lines.add(lexeme.place.line)
    return lines


def without(text: str, lines: Sequence[int]) -> str:
    """Blank lines of a text, and what is left of a statement up to its semicolon."""
    rows = text.split("\n")
    for line in lines:
        at = line - 1
        while at < len(rows):
            last = ";" in rows[at]
            rows[at] = ""
            if last:
                break
            at += 1
    return "\n".join(rows)


def _flat(text: str) -> str:
    return " ".join(text.split())
