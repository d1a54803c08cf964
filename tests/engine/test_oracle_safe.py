"""No false alarm: a safe scenario passes in all permutations, and in free runs with many seeds."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, interleavings
from tests.often import often

ACCOUNTS = """
CREATE TABLE account (id int PRIMARY KEY, owner text, balance int NOT NULL);
INSERT INTO account VALUES (1, 'ann', 100), (2, 'ann', 100);
"""
ORDERS = """
CREATE TABLE customer (id serial PRIMARY KEY, name text UNIQUE, seen timestamptz DEFAULT now());
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customer, made
    timestamp DEFAULT clock_timestamp(), total int DEFAULT 0);
CREATE TABLE stock (item text PRIMARY KEY, amount int NOT NULL);
INSERT INTO stock VALUES ('cup', 3);
"""

LOCKED = f"""
-- chaos:setup
{ACCOUNTS}
-- chaos:session one
-- chaos:step looks
BEGIN;
SELECT sum(balance) >= 150 AS enough FROM (SELECT * FROM account WHERE owner = 'ann' ORDER BY id FOR UPDATE) mine \\gset
-- chaos:step takes
\\if :enough
UPDATE account SET balance = balance - 150 WHERE id = :worker;
\\endif
COMMIT;
-- chaos:session two
-- chaos:step looks
BEGIN;
SELECT sum(balance) >= 150 AS enough FROM (SELECT * FROM account WHERE owner = 'ann' ORDER BY id FOR UPDATE) mine \\gset
-- chaos:step takes
\\if :enough
UPDATE account SET balance = balance - 150 WHERE id = 2;
\\endif
COMMIT;
"""
RETRIED = f"""
-- chaos:setup
{ACCOUNTS}
-- chaos:session teller x 2 retry serialization_failure deadlock_detected up to 20 backoff 1ms
-- chaos:step looks
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(balance) >= 150 AS enough FROM account WHERE owner = 'ann' \\gset
-- chaos:step takes
\\if :enough
UPDATE account SET balance = balance - 150 WHERE id = :worker;
\\endif
COMMIT;
"""
UPSERT = f"""
-- chaos:setup
{ORDERS}
-- chaos:session visitor x 2
-- chaos:step counts
BEGIN;
INSERT INTO stock VALUES ('visits', 1) ON CONFLICT (item) DO UPDATE SET amount = stock.amount + 1 RETURNING amount;
-- chaos:step ends
COMMIT;
-- chaos:session onlooker
SELECT item, amount FROM stock;
"""
DRAWN = f"""
-- chaos:setup
{ORDERS}
-- chaos:session buyer x 2 retry serialization_failure up to 20 backoff 1ms
-- chaos:step looks
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO customer (name) VALUES ('buyer ' || :worker) RETURNING id AS customer_id, name, seen \\gset
SELECT amount FROM stock WHERE item = 'cup' \\gset
-- chaos:step buys
INSERT INTO orders (customer, total) VALUES (:customer_id, :amount) RETURNING *;
UPDATE stock SET amount = amount - 1 WHERE item = 'cup' RETURNING amount;
COMMIT;
"""
GUARDED = f"""
-- chaos:setup
{ACCOUNTS}
-- chaos:session teller x 2
-- chaos:step comes
BEGIN;
SELECT pg_advisory_xact_lock(7);
-- chaos:step moves
SELECT balance FROM account WHERE id = 1 \\gset
UPDATE account SET balance = :balance - 10 WHERE id = 1;
COMMIT;
"""
SAFE = {
    "rows are locked before they are read": LOCKED,
    "serializable, and tried again": RETRIED,
    "ON CONFLICT": UPSERT,
    "keys and times are drawn": DRAWN,
    "a lock of the transaction's own making": GUARDED,
}
HEAD = "-- chaos:schedule {}\n-- chaos:oracle serializable\n"


@pytest.mark.parametrize("body", SAFE.values(), ids=SAFE.keys())
def test_no_permutation_of_what_is_safe_is_called_an_anomaly(play: Play, body: str) -> None:
    result = play(HEAD.format("all") + body)
    assert not result.failures, result.failures
    counts = interleavings(result)
    assert counts.exhausted
    assert counts.run > 1
    assert result.judged is not None
    assert (result.judged.anomalies, result.judged.decided) == ((), True)


@pytest.mark.parametrize("body", [LOCKED, RETRIED, UPSERT], ids=list(SAFE)[:3])
def test_no_free_run_of_what_is_safe_is_called_an_anomaly(play: Play, body: str) -> None:
    for seed in range(often(8, 50)):
        result = play(HEAD.format("free") + body, seed=seed)
        assert not result.failures, (seed, result.failures)
        assert result.judged is not None
        assert result.judged.decided


def test_an_explored_schedule_is_judged_and_shrunk_within_its_anomaly(play: Play) -> None:
    race = RETRIED.replace("SERIALIZABLE", "REPEATABLE READ")
    result = play(HEAD.format("explore 50") + race)
    (failure,) = result.failures
    assert (failure.kind, failure.names) == ("oracle", ("write skew",))
    assert result.judged is not None
    assert result.judged.anomalies == ("write skew",)
    assert len(result.order) == 4


def test_drawn_values_have_serial_orders_of_their_own(play: Play) -> None:
    head = "-- chaos:schedule teller[1].comes teller[2].comes teller[1].moves teller[2].moves\n"
    head += "-- chaos:oracle serializable\n-- chaos:given amount in 1..100\n"
    body = GUARDED.replace("- 10", "- :amount").replace("SELECT pg_advisory_xact_lock(7);\n", "")
    body = body.replace("-- chaos:step moves\n", "").replace("UPDATE", "-- chaos:step moves\nUPDATE")
    result = play(head + body)
    assert [failure.names for failure in result.failures] == [("lost update",)]
    assert result.values == {"amount": "1"}
