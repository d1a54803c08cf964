from __future__ import annotations

from pathlib import Path

from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.oracle.serial_scenario import SerialScheduler, is_local, serial_variant, statement_numbers
from pgchaos.schedule.scheduler import Blocked
from pgchaos.schedule.step_points import StepPoint
from tests.language.reading import read_text
from tests.oracle.toy import A, B

TEXT = """-- chaos:oracle serializable
-- chaos:session a
-- chaos:step first
SET lock_timeout = '1s';
BEGIN;
-- chaos:barrier meet
UPDATE t SET x = 1;
-- chaos:delay 5ms
-- chaos:step second
COMMIT;
SHOW lock_timeout;
-- chaos:signal done
-- chaos:session b
-- chaos:barrier meet
-- chaos:wait for done
-- chaos:allow 23505
INSERT INTO t VALUES (1);
-- chaos:invariant
SELECT true;
-- chaos:check
SELECT pass();
"""


def scenario(tmp_path: Path) -> Scenario:
    return read_text(tmp_path, TEXT)


def statements(scenario: Scenario, session: int) -> list[Statement]:
    return [item for item in scenario.sessions[session].items if isinstance(item, Statement)]


def test_each_statement_is_a_step_and_what_is_local_goes_with_the_next(tmp_path: Path) -> None:
    serial = serial_variant(scenario(tmp_path))
    assert [one.step for one in statements(serial, 0)] == ["0", "0", "1", "2", "3"]
    assert serial.sessions[0].steps == ("0", "1", "2", "3")


def test_the_numbers_of_both_variants_agree(tmp_path: Path) -> None:
    original = scenario(tmp_path)
    for before, after in zip(original.sessions, serial_variant(original).sessions, strict=True):
        assert list(statement_numbers(before).values()) == list(statement_numbers(after).values())


def test_what_has_a_meaning_among_concurrent_sessions_only_is_taken_out(tmp_path: Path) -> None:
    serial = serial_variant(scenario(tmp_path))
    kinds = [type(item).__name__ for session in serial.sessions for item in session.items]
    assert kinds == ["Statement"] * 5 + ["Allow", "Statement"]
    assert (serial.invariants, serial.checks, serial.oracle) == ((), (), None)


def test_what_is_local_is_known_by_its_first_word(tmp_path: Path) -> None:
    said = {one.text: is_local(one) for one in statements(scenario(tmp_path), 0)}
    assert [text for text, local in said.items() if local] == ["SET lock_timeout = '1s'", "SHOW lock_timeout"]
    group = Statement(Place("t.sql", 1), "SET a = 1 \\; SELECT 1", (), "SET", "1")
    assert not is_local(group)
    prepared = Statement(group.place, "PREPARE TRANSACTION 'x'", (), "PREPARE", "1")
    assert not is_local(prepared)


def gate(actor: object, ordinal: int, *, begins: bool) -> StepPoint:
    assert actor in (A, B)
    return StepPoint(A if actor == A else B, str(ordinal), 1, ordinal, begins)


def test_a_transaction_continues_to_its_end_before_another_begins() -> None:
    order = SerialScheduler((B, A), (A, B))
    first = {A: gate(A, 0, begins=True), B: gate(B, 0, begins=True)}
    assert order.next(first, ()) == first[B]
    inside = {**first, B: gate(B, 1, begins=False)}
    assert order.next(inside, ()) == inside[B]
    behind = {**first, B: gate(B, 2, begins=True)}
    assert order.next(behind, ()) == first[A]
    assert order.begun == [(B, (1, 0)), (A, (1, 0))]


def test_a_wish_for_one_who_has_ended_is_gone_past_and_then_the_first_in_the_file_continues() -> None:
    order = SerialScheduler((B, B), (A, B))
    both = {A: gate(A, 0, begins=True), B: gate(B, 0, begins=True)}
    assert order.next(both, ()) == both[B]
    assert order.next({A: both[A]}, (B,)) == both[A]
    assert order.next({}, (A, B)) is None


def test_one_that_waits_in_its_turn_is_reported_to_be_blocked() -> None:
    order = SerialScheduler((A,), (A, B))
    both = {A: gate(A, 0, begins=True), B: gate(B, 0, begins=True)}
    order.next(both, ())
    found = order.next({B: both[B]}, ())
    assert isinstance(found, Blocked)
    assert (found.step.session, found.step.worker) == A
