"""Keeps what each transaction of a run was told, for an oracle. A run without an oracle has none of this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pgchaos.engine.answer import SUCCESS, Answer, Result
from pgchaos.engine.table_catalog import TRANSIENT, Facts
from pgchaos.language.model import Session
from pgchaos.language.section_items import Statement
from pgchaos.oracle.model import (
    Fate,
    OracleTransaction,
    Outcome,
    Position,
    State,
    StatementOutput,
    StatementResult,
    TxnId,
    sortable,
)
from pgchaos.oracle.outputs import ParsedStatement, parse_statements
from pgchaos.oracle.serial_scenario import is_local, statement_numbers
from pgchaos.oracle.timestamps import NOW
from pgchaos.results import Failure, Record, Transaction
from pgchaos.schedule.programs import owner_of
from pgchaos.schedule.wait_rules import Actor

_OUT = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected: who got one is in no serial order (DESIGN.md, Search)."""


@dataclass(slots=True)
class _Said:
    """One statement that was sent, and its answer."""

    number: int
    local: bool
    text: str
    record: Record
    answer: Answer


@dataclass(slots=True)
class _Ended:
    """A transaction that has ended: what it said, and how it ended; no row where it never did."""

    actor: Actor
    said: list[_Said]
    row: Transaction | None

    @property
    def position(self) -> Position:
        return self.said[0].record.iteration, self.said[0].number


@dataclass(frozen=True, slots=True)
class Changed:
    """What the sessions of a run changed; None where that is not known.

    Args:
        compared: what the oracle compares.
        tables: any table.
    """

    compared: bool | None = None
    tables: bool | None = None


class TransactionLog:
    """What the transactions of one run were told.

    Args:
        sessions: of the scenario that is run.
        left_out: the transactions that this run goes without.
    """

    def __init__(self, sessions: Iterable[Session], left_out: frozenset[TxnId] = frozenset()) -> None:
        self._numbers = {key: number for session in sessions for key, number in statement_numbers(session).items()}
        self._left_out = left_out
        self._open: dict[Actor, list[_Said]] = {}
        self._ended: list[_Ended] = []
        self.start = self.began = 0.0
        """When setup began, by the clock of the server, in seconds since the epoch."""
        self.outcome: Outcome | None = None
        """What the run came to; None where it did not come to its end."""
        self.failure: Failure | None = None
        """Why there is no outcome, where it is not the run itself that failed."""
        self.reads_state = False
        """Whether it shall be found out what the sessions change."""
        self.before: tuple[State, State] | None = None
        """What is compared, and what all tables hold, before the sessions; None where nobody looked."""
        self.changed = Changed()
        self.cut_short = False
        """The sessions were stopped before their end: the outcome is that of a part."""

    def leaves_out(self, actor: Actor, iteration: int, item: Statement) -> bool:
        """Say whether a transaction that this run goes without begins with a statement."""
        return (
            bool(self._left_out)
            and (actor, (iteration, self._numbers[id(item)])) in self._left_out
            and not is_local(item)
        )

    def receive(self, actor: Actor, item: Statement, text: str, record: Record, answer: Answer) -> None:
        """Take the answer to a statement."""
        self.receive_step(actor, self._numbers[id(item)], is_local(item), text, record, answer)

    def receive_step(self, actor: Actor, number: int, local: bool, text: str, record: Record, answer: Answer) -> None:
        """Take the answer to a request of a program.

        Args:
            actor: its connection.
            number: of its transaction among those of the worker.
            local: it concerns its session only, and stands in no block.
            text: that was sent.
            record: of it.
            answer: to it.
        """
        self._open.setdefault(actor, []).append(_Said(number, local, text, record, answer))

    def end(self, actor: Actor, row: Transaction) -> None:
        """Take the end of a transaction."""
        said = self._open.pop(actor, [])
        if said and not (not row.block and all(one.local for one in said)):
            self._ended.append(_Ended(owner_of(actor), said, row))

    def close(self, facts: Facts, state: State) -> None:
        """Make the outcome, now that the run is over and has left a state behind."""
        self._ended += [_Ended(owner_of(actor), said, None) for actor, said in self._open.items()]
        last: dict[TxnId, _Ended] = {}
        for ended in self._ended:
            name = ended.actor, ended.position
            before = last.pop(name, None)
            if before is not None and (why := _cannot_follow(before, ended)):
                place = ended.said[0].record.place
                self.failure = Failure("error", (), f"oracle: not judged: {why}", place, session=str(ended.actor))
                return
            last[name] = ended
        self.outcome = Outcome(tuple(_unit(ended, facts) for ended in last.values()), state)


def _cannot_follow(before: _Ended, ended: _Ended) -> str:
    """Say why two transactions that began with the same statement are not two attempts of one."""
    if before.row is None or ended.row is None or before.row.attempt == ended.row.attempt:
        return "one step made several transactions, which no serial order can take apart"
    if before.row.outcome == "unknown":
        return "a transaction with an unknown outcome was sent again, and may have been done twice"
    return ""


def _unit(ended: _Ended, facts: Facts) -> OracleTransaction:
    statements = tuple(_statement_result(said, facts) for said in ended.said)
    row = ended.row
    failed = row is not None and (row.outcome == "unknown" or row.sqlstate != SUCCESS)
    return OracleTransaction(ended.actor, ended.position, _fate(row), statements, failed)


def _fate(row: Transaction | None) -> Fate:
    if row is None or (row.outcome == "rolled back" and row.sqlstate in _OUT):
        return "out"
    return "committed" if row.outcome == "committed" else "other"


def _statement_result(said: _Said, facts: Facts) -> StatementResult:
    record, answer = said.record, said.answer
    results = tuple(_got(answer.results, said.text, facts))
    if answer.copied:
        results += (StatementOutput("", ("",), tuple(sorted((line,) for line in answer.copied))),)
    return StatementResult(said.number, record.sqlstate or SUCCESS, results, record.place, record.statement)


def _got(results: list[Result], text: str, facts: Facts) -> Iterator[StatementOutput]:
    parsed = parse_statements(text)
    for number, result in enumerate(results):
        as_written = parsed[number] if len(parsed) >= len(results) else ParsedStatement(False, None, ())
        kept = [column for column in range(result.width) if not _leaves_out(result, column, as_written, facts)]
        types = result.types()
        names = result.columns()
        rows = [
            tuple(NOW if facts.window.holds(row[at], types[at]) else row[at] for at in kept) for row in result.rows()
        ]
        if not as_written.ordered:
            rows.sort(key=sortable)
        yield StatementOutput(result.tag, tuple(names[at] for at in kept), tuple(rows))


def _leaves_out(result: Result, column: int, as_written: ParsedStatement, facts: Facts) -> bool:
    table, number = result.origin(column)
    # system columns are of these types
    if (table, number) in facts.left_out or result.types()[column] in TRANSIENT:
        return True
    return table == 0 and as_written.changes(column, result.width, facts.drawn)
