"""Records what each transaction of a run sent and received, for an oracle."""

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
"""serialization_failure and deadlock_detected: a transaction with one is in no serial order."""


@dataclass(slots=True)
class _Exchange:
    """One statement that was sent, and its answer."""

    number: int  # of the statement or transaction in its session
    local: bool  # it concerns its session only, and is in no block
    text: str
    record: Record
    answer: Answer


@dataclass(slots=True)
class _Ended:
    """A transaction, at the end of it or of the run."""

    actor: Actor
    exchanges: list[_Exchange]
    row: Transaction | None  # its outcome; None if it did not end

    @property
    def position(self) -> Position:
        return self.exchanges[0].record.iteration, self.exchanges[0].number


@dataclass(frozen=True, slots=True)
class Changed:
    """What the sessions of a run changed; None if unknown."""

    compared: bool | None = None  # what the oracle compares
    tables: bool | None = None  # any table


class TransactionLog:
    """What the transactions of one run sent and received.

    Args:
        sessions: of the scenario.
        left_out: the transactions that this run omits.
    """

    def __init__(self, sessions: Iterable[Session], left_out: frozenset[TxnId] = frozenset()) -> None:
        self._numbers = {key: number for session in sessions for key, number in statement_numbers(session).items()}
        self._left_out = left_out
        self._open: dict[Actor, list[_Exchange]] = {}
        self._ended: list[_Ended] = []
        self.server_start = self.start = 0.0
        """When setup began, by the server's clock (seconds since the epoch) and by ours."""
        self.outcome: Outcome | None = None
        """The outcome of the run; None if it was not completed."""
        self.failure: Failure | None = None
        """Why there is no outcome, unless the run itself failed."""
        self.reads_state = False
        """Whether to read the state before the sessions too, to find what they change."""
        self.before: tuple[State, State] | None = None
        """What is compared, and all tables, before the sessions; None if not read."""
        self.changed = Changed()
        self.cut_short = False
        """The sessions were stopped: the outcome is that of a part."""

    def leaves_out(self, actor: Actor, iteration: int, item: Statement) -> bool:
        """Whether a transaction that this run omits begins with a statement."""
        return (
            bool(self._left_out)
            and (actor, (iteration, self._numbers[id(item)])) in self._left_out
            and not is_local(item)
        )

    def receive(self, actor: Actor, item: Statement, text: str, record: Record, answer: Answer) -> None:
        """Add a statement and its answer."""
        self.receive_step(actor, self._numbers[id(item)], is_local(item), text, record, answer)

    def receive_step(self, actor: Actor, number: int, local: bool, text: str, record: Record, answer: Answer) -> None:
        """Add a request of a program and its answer.

        Args:
            actor: the connection.
            number: of its transaction among those of the worker.
            local: it concerns its session only, and is in no block.
            text: that was sent.
            record: of the request.
            answer: of the server.
        """
        self._open.setdefault(actor, []).append(_Exchange(number, local, text, record, answer))

    def end(self, actor: Actor, row: Transaction) -> None:
        """Add the end of a transaction."""
        exchanges = self._open.pop(actor, [])
        if exchanges and (row.block or not all(one.local for one in exchanges)):
            self._ended.append(_Ended(owner_of(actor), exchanges, row))

    def close(self, facts: Facts, state: State) -> None:
        """Compute the outcome from the state after the run."""
        self._ended += [_Ended(owner_of(actor), exchanges, None) for actor, exchanges in self._open.items()]
        last: dict[TxnId, _Ended] = {}
        for ended in self._ended:
            name = ended.actor, ended.position
            before = last.pop(name, None)
            if before is not None and (why := _cannot_follow(before, ended)):
                place = ended.exchanges[0].record.place
                self.failure = Failure("error", (), f"oracle: not judged: {why}", place, session=str(ended.actor))
                return
            last[name] = ended
        self.outcome = Outcome(tuple(_unit(ended, facts) for ended in last.values()), state)


def _cannot_follow(before: _Ended, ended: _Ended) -> str:
    """Return why two transactions that began with the same statement are not two attempts of one; otherwise ''."""
    if before.row is None or ended.row is None or before.row.attempt == ended.row.attempt:
        return "one step made several transactions, which no serial order can take apart"
    if before.row.outcome == "unknown":
        return "a transaction with an unknown outcome was sent again, and may have been done twice"
    return ""


def _unit(ended: _Ended, facts: Facts) -> OracleTransaction:
    statements = tuple(_statement_result(exchange, facts) for exchange in ended.exchanges)
    row = ended.row
    failed = row is not None and (row.outcome == "unknown" or row.sqlstate != SUCCESS)
    return OracleTransaction(ended.actor, ended.position, _fate(row), statements, failed)


def _fate(row: Transaction | None) -> Fate:
    if row is None or (row.outcome == "rolled back" and row.sqlstate in _OUT):
        return "out"
    return "committed" if row.outcome == "committed" else "other"


def _statement_result(exchange: _Exchange, facts: Facts) -> StatementResult:
    record, answer = exchange.record, exchange.answer
    results = tuple(_outputs(answer.results, exchange.text, facts))
    if answer.copied:
        results += (StatementOutput("", ("",), tuple(sorted((line,) for line in answer.copied))),)
    return StatementResult(exchange.number, record.sqlstate or SUCCESS, results, record.place, record.statement)


def _outputs(results: list[Result], text: str, facts: Facts) -> Iterator[StatementOutput]:
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
    # TRANSIENT: system columns have these types
    if (table, number) in facts.left_out or result.types()[column] in TRANSIENT:
        return True
    return table == 0 and as_written.changes(column, result.width, facts.drawn)
