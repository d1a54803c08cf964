r"""Which assertions a scenario holds, by its text, so that one that was never evaluated can be named.

A statement asserts where it calls an assertion of pgTAP or of the toolkit, chaos.assert, or a function of the file's
own that does. What only defines (CREATE FUNCTION, PREPARE) asserts nothing by itself, but what a check defines so must
be used somewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Literal, TypeAlias

from pgchaos.language.header_model import applies
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Section, Session
from pgchaos.language.pgtap_functions import FUNCTIONS, own_functions
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Expect, Item, Meta, Send, Statement
from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken, all_statements, tokenize
from pgchaos.language.toolkit_path import UNQUALIFIED, on_search_path

Kind: TypeAlias = Literal["tap", "assert", "expect"]
"""A TAP line of a check's statement, chaos.assert, or an `expect`."""

Evaluated: TypeAlias = tuple[Kind, Place | None, str]
"""An assertion that was evaluated: what kind, the place, and the description of a chaos.assert."""

Branch: TypeAlias = tuple[tuple[int, int], ...]
r"""Where an item stands: for each \if around it, its number in the scenario and which of its branches."""

_NO_ASSERTIONS = frozenset(
    "add_result collect_tap diag finish no_plan plan skip todo todo_end todo_start".split()  # noqa: SIM905 read better so
)
_ASSERTIONS = FUNCTIONS - _NO_ASSERTIONS
_OF_TOOLKIT = UNQUALIFIED - {"assert"}
"""Assertions of schema chaos that print TAP."""
_HOMES = frozenset({"public", "pgtap", "tap", "chaos_pgtap"})
"""Schemas in which pgTAP is found."""
_NO_CALL_AFTER = ("into", "table", "exists", "references", "with", "recursive", "index", "view", "as", "constraint")
_RUNS = frozenset(
    "select with values table do call execute fetch copy insert update delete merge explain".split()  # noqa: SIM905 read better so
)
"""First words of statements that call the functions in them; CREATE TABLE AS does so too."""
_TWO = "is_empty isnt_empty lives_ok ok"
_THREE = """
    alike bag_eq bag_has bag_hasnt bag_ne doesnt_imatch doesnt_match ialike imatches is isa_ok isnt matches results_eq
    results_ne row_eq set_eq set_has set_hasnt set_ne throws_like throws_matching unalike unialike
"""
_DESCRIBED = {
    "pass": 1,
    "fail": 1,
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_THREE.split(), 3),
    "cmp_ok": 4,
}
"""Assertions whose last argument is the description, if they have so many."""
_READS = ("execute", "from", "in", "join", "table")
"""Words before a prepared statement, a view or a cursor."""
_SET_OPERATIONS = ("union", "except", "intersect")
_CHOOSES = ("if", "case", "when", "exception", "loop", "while", "coalesce")
_NAMES = re.compile(
    r"(?:prepare|declare|create\s+(?:or\s+replace\s+)?(?:temp\s+|temporary\s+)?view)\s+(?:\w+\s*\.\s*)?\"?(\w+)",
    re.IGNORECASE,
)
_TODO = re.compile(r"\btodo(?:_start)?\s*\(", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_BY_PATTERN = frozenset({"runtests", "do_tap", "findfuncs"})
"""Functions of pgTAP that call functions, or find them, by their names."""
_SKIP = re.compile(r"\bskip\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an assertion.

    Args:
        name: of the function.
        description: where it is written out, else None.
        certain: it is evaluated for each row: it stands in no CASE and the like.
        part: which part of a UNION it stands in, from 0.
        choice: the number of the outermost CASE or COALESCE that it stands in, from 1; 0 where it stands in none.
        column: which expression of the list behind SELECT it stands in, from 0; None where that is not known.
        inside: it is an argument of another assertion, which reads what it returns.
    """

    name: str
    description: str | None
    certain: bool
    part: int
    choice: int = 0
    column: int | None = None
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    r"""An assertion as the file has it.

    Args:
        kind: of it.
        place: of its statement, or of the directive.
        descriptions: of a chaos.assert, of which one at least must have been evaluated; None for one that is only
            known when it is evaluated.
        anywhere: it stands in a function, so that any statement may evaluate it; of a check, in what nothing uses.
        branch: the \if around it.
        needed: it must have been evaluated; else it only counts for the branch that it stands in.
    """

    kind: Kind
    place: Place
    descriptions: tuple[str | None, ...] = (None,)
    anywhere: bool = False
    branch: Branch = ()
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Names:
    """What a file's own names are, and what it has of schema chaos without writing it.

    Args:
        own: functions that the file makes, in small letters.
        bare: assertions of the toolkit that may be called without their schema, which is on the search_path.
    """

    own: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()


def names_of(scenario: Scenario) -> Names:
    """Find the names that a file's calls are to be read by.

    Args:
        scenario: the file.
    """
    return names_in(list(scenario.statements()), _arguments_of_commands(scenario))


def names_in(everything: Collection[Sql | Statement], arguments: Iterable[str]) -> Names:
    """Find the names that calls are to be read by.

    Args:
        everything: all statements of the file.
        arguments: of psql's commands.
    """
    own = own_functions(everything)
    return Names(own, UNQUALIFIED - own if on_search_path(everything, arguments) else frozenset())


@dataclass(frozen=True, slots=True)
class Excuses:
    """Which directives of TAP excuse an assertion of a check.

    Args:
        todo: the file calls pgTAP's todo() or todo_start().
        skip: it calls skip().
    """

    todo: bool = False
    skip: bool = False


def excuses(scenario: Scenario) -> Excuses:
    """Say what a check's own text calls that excuses an assertion.

    Args:
        scenario: the file.
    """
    texts = [item.text for item in scenario.statements() if item.verb == "CREATE"]
    texts += [item.text for part in scenario.checks for item in part.items if isinstance(item, Statement)]
    return Excuses(any(map(_TODO.search, texts)), any(map(_SKIP.search, texts)))


def asserting_functions(scenario: Scenario) -> frozenset[str]:
    """Find what a file defines that calls an assertion, by others of these too.

    Args:
        scenario: the file.

    Returns:
        The names, in small letters, of functions, views, cursors and prepared statements.
    """
    made = [item for item in scenario.statements() if item.verb in ("CREATE", "PREPARE", "DECLARE")]
    bodies = {name: item.text for item in made for name in own_functions([item])}
    bodies |= {name: item.text for item in made if (name := _named(item.text))}
    own = frozenset(bodies)
    names = Names(own, names_of(scenario).bare)
    cuts = {name: [list(one.tokens) for one in all_statements(text)] for name, text in bodies.items()}
    named_in: dict[str, set[str]] = {name: set() for name in own}
    for name, text in bodies.items():
        for word in own.intersection(_WORD.findall(text.lower())):
            named_in[word].add(name)
    found: set[str] = set()
    waiting = list(own)
    while waiting:
        name = waiting.pop()
        # where it asserts by another function, it is looked at again once that one is known to
        if name not in found and any(calls_in(cut, found, names) for cut in cuts[name]):
            found.add(name)
            waiting += named_in[name] - found
    return frozenset(found)


def _named(text: str) -> str:
    """Give the name that PREPARE, DECLARE or CREATE VIEW gives, or ''."""
    found = _NAMES.match(text)
    return found[1].lower() if found else ""


def tap_calls(statement: Statement, asserting: frozenset[str], names: Names) -> tuple[Call, ...]:
    r"""Find the assertions that a statement of a check calls, and that print TAP.

    Args:
        statement: of a check.
        asserting: what `asserting_functions` found.
        names: of the file.

    Returns:
        The calls; of what \gexec will send, what its text says.
    """
    return _tap_calls(statement.text, statement.send is Send.GEXEC, asserting, names)


def first_call(text: str, names: Names) -> str | None:
    """Find the first assertion of pgTAP or the toolkit that a statement calls.

    Args:
        text: of the statement.
        names: of the file.

    Returns:
        Its name, or None.
    """
    calls = _tap_calls(text, False, frozenset(), names)
    return calls[0].name if calls else None


# a search runs the same check thousands of times
@lru_cache(maxsize=512)
def _tap_calls(text: str, generates: bool, asserting: frozenset[str], names: Names) -> tuple[Call, ...]:
    cut = tokenize(text)
    if not _runs(cut):
        return ()
    calls = calls_in(cut, asserting, names)
    inner = [token for token in cut if token.kind == "string"] if generates or cut[0].is_word("do") else []
    for token in inner:
        calls += [
            Call(one.name, None, False, 0, inside=True) for one in calls_in(tokenize(token.text), asserting, names)
        ]
    return tuple(calls)


def _runs(cut: list[SqlToken]) -> bool:
    first = next((token for token in cut if not token.is_symbol("(")), NO_TOKEN)
    if first.is_word("create"):
        kinds = [token for token in cut[1:5] if token.is_word("table", "view", "function", "materialized")]
        return bool(kinds) and kinds[0].is_word("table", "materialized") and any(token.is_word("as") for token in cut)
    return first.kind == "word" and first.text in _RUNS


def calls_in(cut: list[SqlToken], asserting: Collection[str], names: Names) -> list[Call]:
    """Find the assertions that a statement calls.

    Args:
        cut: the statement.
        asserting: what the file defines that asserts.
        names: of the file.

    Returns:
        The calls in order.
    """
    found: list[Call] = []
    depth = part = choice = 0
    choices: list[int] = []  # how deep each COALESCE stands that is open; -1 for a CASE, which ends by END
    assertions: list[int] = []  # likewise of assertions whose arguments are open
    column = 0 if _lists(cut) else None
    for at, token in enumerate(cut):
        after = cut[at + 1] if at + 1 < len(cut) else NO_TOKEN
        before = cut[at - 1] if at else NO_TOKEN
        depth += token.is_symbol("(") - token.is_symbol(")")
        if depth == 0 and token.is_word(*_SET_OPERATIONS):
            part += 1
        if depth == 0 and column is not None:
            column = None if token.is_word("from", "where", *_SET_OPERATIONS) else column + token.is_symbol(",")
        if token.is_word("case") or (token.is_word("coalesce") and after.is_symbol("(")):
            choice += not choices
            choices.append(-1 if token.is_word("case") else depth)
        elif choices and (token.is_word("end") if choices[-1] < 0 else token.is_symbol(")") and depth == choices[-1]):
            choices.pop()
        while assertions and token.is_symbol(")") and depth == assertions[-1]:
            assertions.pop()
        where = choice if choices else 0, column, bool(assertions)
        if _reads(before, token, after) and token.text.lower() in asserting:
            found.append(Call(token.text, None, False, part, *where))
        elif token.is_identifier and after.is_symbol("(") and _is_assertion(cut, at, asserting, names):
            found.append(Call(token.text, _description(cut, at), not choices, part, *where))
            assertions.append(depth)
    return found


def _lists(cut: list[SqlToken]) -> bool:
    """Say whether it is one SELECT whose list is written out, so that its commas tell the columns of the result."""
    if not cut or not cut[0].is_word("select"):
        return False
    for before, token, after in zip(cut, cut[1:], [*cut[2:], NO_TOKEN], strict=False):
        star = (
            token.is_symbol("*")
            and (before.is_symbol(".", ",") or before.is_word("select"))
            and not after.is_symbol("(")
        )
        if star or token.is_symbol(";"):
            return False
    return True


def _reads(before: SqlToken, token: SqlToken, after: SqlToken) -> bool:
    """Say whether what an earlier statement defined is read here."""
    return token.is_identifier and before.is_word(*_READS) and (before.is_word("execute") or not after.is_symbol("("))


def _is_assertion(cut: list[SqlToken], at: int, asserting: Collection[str], names: Names) -> bool:
    name = cut[at].text.lower()
    before = cut[at - 1] if at else NO_TOKEN
    if name in asserting:
        return not before.is_word(*_NO_CALL_AFTER, "function", "procedure")
    home = cut[at - 2].text.lower() if before.is_symbol(".") and at > 1 else ""
    if home == "chaos":
        return name in _OF_TOOLKIT
    if not home and name in _OF_TOOLKIT:
        return name in names.bare and not before.is_word(*_NO_CALL_AFTER, "function", "procedure")
    if name in names.own or name not in _ASSERTIONS or before.is_word(*_NO_CALL_AFTER):
        return False
    return home in _HOMES if before.is_symbol(".") else True


def _arguments(cut: list[SqlToken], at: int) -> list[list[SqlToken]]:
    """Give the arguments of the call whose name stands at a place."""
    depth, found = 0, [list[SqlToken]()]
    for token in cut[at + 1 :]:
        depth += token.is_symbol("(", "[") - token.is_symbol(")", "]")
        if depth == 0:
            break
        if depth == 1 and token.is_symbol(","):
            found.append([])
        elif not (depth == 1 and token.is_symbol("(") and not found[0] and len(found) == 1):
            found[-1].append(token)
    return found


def _literal(argument: list[SqlToken]) -> str | None:
    if len(argument) == 3 and argument[1].is_symbol("::") and argument[2].is_word("text"):
        argument = argument[:1]
    return argument[0].text if len(argument) == 1 and argument[0].kind == "string" else None


def _description(cut: list[SqlToken], at: int) -> str | None:
    arguments = _arguments(cut, at)
    return _literal(arguments[-1]) if _DESCRIBED.get(cut[at].text.lower()) == len(arguments) else None


# all that a scenario holds


def written_assertions(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Written, ...]:
    """List what must be evaluated once at least in all runs of an item together.

    Args:
        scenario: as it is run, a mutant in it.
        variables: the values of its matrix.

    Returns:
        Its assertions in order of the file; those of invariants are none of these: the observer tells of them.
    """
    asserting = asserting_functions(scenario)
    names = names_of(scenario)
    words = _words(scenario) if asserting else Counter[str]()
    by_pattern = not _BY_PATTERN.isdisjoint(words)
    unused = frozenset(name for name in asserting if words[name] == 1 and not by_pattern)
    found: list[Written] = []
    checks = {id(part) for part in scenario.checks}
    numbers = count(1)
    parts: tuple[Section | Session, ...] = (*scenario.setup, *scenario.sessions, *scenario.checks)
    for section in (*parts, *scenario.teardown):
        for item, branch in _branches(section.items, numbers):
            if isinstance(item, Expect) and applies(item.when, variables):
                found.append(Written("expect", item.place, branch=branch))
            elif isinstance(item, Statement):
                if id(section) in checks:
                    found += _of_check(item, branch, asserting, names)
                    found += _defined(item, branch, unused, scenario.shown)
                found += _asserts(item, branch, scenario.shown, names)
    return tuple(found)


def _branches(items: Iterable[Item], numbers: Iterator[int]) -> Iterator[tuple[Item, Branch]]:
    branch: Branch = ()
    for item in items:
        if isinstance(item, Meta) and item.name == "if":
            branch = (*branch, (next(numbers), 0))
        elif isinstance(item, Meta) and item.name in ("elif", "else") and branch:
            branch = (*branch[:-1], (branch[-1][0], branch[-1][1] + 1))
        elif isinstance(item, Meta) and item.name == "endif":
            branch = branch[:-1]
        else:
            yield item, branch


def _of_check(item: Statement, branch: Branch, asserting: frozenset[str], names: Names) -> Iterator[Written]:
    needed = bool(tap_calls(item, asserting, names))
    if needed or _SKIP.search(item.text):
        yield Written("tap", item.place, branch=branch, needed=needed)


def _words(scenario: Scenario) -> Counter[str]:
    """Count the words of the file's statements and commands, in small letters."""
    parts: tuple[Section | Session, ...] = (*scenario.setup, *scenario.sessions, *scenario.checks, *scenario.teardown)
    items = [item for part in parts for item in part.items]
    texts = [item.text for item in items if isinstance(item, Statement)]
    texts += _arguments_of_commands(scenario)
    return Counter(_WORD.findall("\n".join(texts).lower()))


def _arguments_of_commands(scenario: Scenario) -> list[str]:
    """Give what stands behind psql's commands."""
    parts: tuple[Section | Session, ...] = (*scenario.setup, *scenario.sessions, *scenario.checks, *scenario.teardown)
    args = (argument for part in parts for item in part.items if isinstance(item, Meta) for argument in item.args)
    return [part if isinstance(part, str) else part.raw for argument in args for part in argument]


def _defined(item: Statement, branch: Branch, unused: frozenset[str], shown: str) -> Iterator[Written]:
    """Find what a check defines, asserts in, and never uses; what it includes may be a library."""
    if item.verb not in ("CREATE", "PREPARE", "DECLARE") or item.place.path != shown:
        return
    names = own_functions([item]) | {_named(item.text)}
    if not unused.isdisjoint(names):
        yield Written("tap", item.place, anywhere=True, branch=branch)


def _asserts(item: Statement, branch: Branch, shown: str, names: Names) -> Iterator[Written]:
    """Find calls of chaos.assert; in functions only those of the file itself: what it includes may be a library."""
    if "assert" not in item.text.lower():
        return
    defines = not _runs(tokenize(item.text))
    if defines and item.place.path != shown:
        return
    for descriptions in _descriptions(item, names):
        yield Written("assert", item.place, descriptions, defines, branch)


def _descriptions(item: Statement, names: Names) -> list[tuple[str | None, ...]]:
    """Give what is asserted: each by itself, but of those among which the statement chooses one is enough."""
    found: list[str | None] = []
    chooses = False
    for one in all_statements(item.text):
        cut = list(one.tokens)
        chooses = chooses or any(token.is_word(*_CHOOSES) for token in cut)
        found += [_assert_description(cut, at) for at in range(len(cut)) if _is_assert(cut, at, names)]
    if item.send is Send.GEXEC and not found:
        inner = [tokenize(token.text) for token in tokenize(item.text) if token.kind == "string"]
        if any(_is_assert(cut, at, names) for cut in inner for at in range(len(cut))):
            found.append(None)
    if chooses:
        return [tuple(found)] if found else []
    return [(one,) for one in found]


def _is_assert(cut: list[SqlToken], at: int, names: Names) -> bool:
    after = cut[at + 1] if at + 1 < len(cut) else NO_TOKEN
    if cut[at].text.lower() != "assert" or not cut[at].is_identifier or not after.is_symbol("("):
        return False
    before = cut[at - 1] if at else NO_TOKEN
    if before.is_symbol("."):
        return at > 1 and cut[at - 2].text.lower() == "chaos"
    # ASSERT (…) of PL/pgSQL begins a statement there, and calls nothing
    return at > 0 and "assert" in names.bare and not before.is_word(*_NO_CALL_AFTER, "function", "procedure")


def _assert_description(cut: list[SqlToken], at: int) -> str | None:
    arguments = _arguments(cut, at)
    if len(arguments) != 2 or any(token.is_symbol("=>", ":=") for token in arguments[1]):
        return None
    found = _literal(arguments[1])
    # a string with escapes is known only to the server
    return None if found is None or "\\" in found else found or "chaos.assert"


def never_evaluated(written: Iterable[Written], evaluated: frozenset[Evaluated]) -> list[Written]:
    r"""Find the assertions that were never evaluated.

    Args:
        written: all that must be, of one item.
        evaluated: in any of its runs.

    Returns:
        Those that were not; without those in a branch of an \if of which another branch evaluated one.
    """
    written = list(written)
    places = {(kind, place) for kind, place, _ in evaluated}
    said = {text for kind, _, text in evaluated if kind == "assert"}
    literal = {one for item in written for one in item.descriptions if one is not None}
    beside = said - literal

    def was(one: Written) -> bool:
        if one.kind != "assert":
            return (one.kind, one.place) in places
        for description in one.descriptions:
            if description is None:
                held = bool(beside) if one.anywhere else ("assert", one.place) in places
            else:
                held = description in said if one.anywhere else ("assert", one.place, description) in evaluated
            if held:
                return True
        return False

    taken = {step for one in written if was(one) for step in one.branch}
    return [one for one in written if one.needed and not was(one) and not _passed_by(one.branch, taken)]


def _passed_by(branch: Branch, taken: set[tuple[int, int]]) -> bool:
    r"""Say whether another branch of an \if was taken instead, and something was evaluated there."""
    return any(step not in taken and any(number == step[0] for number, _ in taken) for step in branch)
