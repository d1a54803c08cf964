"""Programs with an oracle: their transactions are run one after the other, and their results are compared."""

from __future__ import annotations

from tests.engine.playing import Play, held, only

ON_CALL = """
-- chaos:schedule explore {runs}
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE on_call (id int PRIMARY KEY, duty boolean);
INSERT INTO on_call VALUES (1, true), (2, true);
-- chaos:session doctor x 2 run '{send} "BEGIN ISOLATION LEVEL {level}" {words} "COMMIT"' allow exit 1
-- chaos:check
SELECT pass('checked');
"""
LEAVE = (
    '"SELECT count(*) FROM on_call WHERE duty{lock}" "UPDATE on_call SET duty = false WHERE id = :worker AND {{}} > 1"'
)
COUNT = LEAVE.format(lock="")
LOCKED = '"SELECT 1 FROM on_call ORDER BY id FOR UPDATE" ' + COUNT


def test_write_skew_between_programs_is_found(play: Play, send: str) -> None:
    result = play(ON_CALL.format(send=send, words=COUNT, level="REPEATABLE READ", runs=20))
    failure = only(result)
    assert failure.kind == "oracle"
    assert "doctor[2] did not see what doctor[1] did" in failure.details[0]
    assert any("a serial order gives (count = 1), this run gave (count = 2)" in line for line in failure.details)


def test_what_is_serializable_is_judged_so(play: Play, send: str) -> None:
    result = play(ON_CALL.format(send=send, words=LOCKED, level="READ COMMITTED", runs=3))
    assert held(result) == ["checked"]
    assert result.judged is not None
    assert (result.judged.anomalies, result.judged.decided) == ((), True)
    assert result.judged.serial == 2


def test_a_transaction_that_is_begun_again_on_a_new_connection_counts_once(play: Play, send: str) -> None:
    words = "BEGIN ISOLATION LEVEL REPEATABLE READ", "UPDATE on_call SET duty = false WHERE id = 1", "COMMIT"
    once = " ".join((send, *(f"''{word}''" for word in words)))
    text = ON_CALL.format(send=send, words="", level="", runs=4)
    before, rest = text.partition("-- chaos:session")[0], text[text.index("-- chaos:check") :]
    result = play(f"{before}-- chaos:session doctor x 2 run 'sh -c \"{once} || {once}\"'\n{rest}", seed=2)
    assert held(result) == ["checked"]
    assert result.judged is not None
    assert result.judged.decided


def test_a_program_that_gives_up_is_not_judged(play: Play, send: str) -> None:
    result = play(ON_CALL.format(send=send, words=COUNT, level="SERIALIZABLE", runs=20))
    failure = only(result)
    assert failure.text.startswith("oracle: not judged: no serial order could be run to its end: doctor[")
    assert failure.text.endswith("] is a program, and cannot be run without its transaction 1, which did not commit")
