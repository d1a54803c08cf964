"""Which transactions an oracle names: those that are not serializable with one another, and no others."""

from __future__ import annotations

import pytest

from pgchaos.language.problems import Place
from pgchaos.results import Failure, RunResult
from tests.engine.playing import Play, only
from tests.often import often

SHOP = """-- chaos:schedule {order}
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE product (id int PRIMARY KEY, stock int NOT NULL CHECK (stock >= 0));
CREATE TABLE orders (id int PRIMARY KEY, product_id int NOT NULL REFERENCES product, state text NOT NULL);
CREATE TABLE payment (order_id int NOT NULL REFERENCES orders, amount int NOT NULL);
INSERT INTO product VALUES (1, 5);
INSERT INTO orders VALUES (10, 1, 'placed');
-- chaos:session buyer
-- chaos:step looks
BEGIN;
SELECT stock FROM product WHERE id = 1 \\gset
INSERT INTO orders VALUES (11, 1, 'placed');
-- chaos:step buys
UPDATE product SET stock = :stock - 1 WHERE id = 1;
COMMIT;
-- chaos:session payment
-- chaos:step all
BEGIN;
SELECT state = 'placed' AS open FROM orders WHERE id = 10 \\gset
\\if :open
INSERT INTO payment VALUES (10, 25);
UPDATE orders SET state = 'paid' WHERE id = 10;
\\endif
COMMIT;
-- chaos:session cancellation
-- chaos:step all
BEGIN;
SELECT state = 'placed' AS open FROM orders WHERE id = 10 \\gset
\\if :open
UPDATE orders SET state = 'cancelled' WHERE id = 10;
UPDATE product SET stock = stock + 1 WHERE id = 1;
\\endif
COMMIT;
{more}
"""


def reported(result: RunResult) -> Failure:
    failure = only(result)
    assert failure.kind == "oracle", failure
    return failure


@pytest.mark.parametrize(
    ("order", "more"),
    [
        ("buyer.looks cancellation.all buyer.buys payment.all", ""),
        (
            "buyer.looks audit.all cancellation.all buyer.buys payment.all",
            "-- chaos:session audit\n-- chaos:step all\nSELECT state FROM orders WHERE id = 10;",
        ),
        (
            "restock.all buyer.looks cancellation.all buyer.buys payment.all",
            "-- chaos:session restock\n-- chaos:step all\nUPDATE product SET stock = stock + 10 WHERE id = 1;",
        ),
        (
            "buyer.looks cancellation.all buyer.buys restock.all payment.all",
            "-- chaos:session restock\n-- chaos:step all\nINSERT INTO product VALUES (2, 7);",
        ),
    ],
)
def test_a_payment_that_found_the_order_cancelled_has_no_part_in_a_lost_update(
    play: Play, order: str, more: str
) -> None:
    failure = reported(play(SHOP.format(order=order, more=more)))
    assert failure.names == ("lost update",)
    # it read what the restocking had brought: without that it would have been told something else
    given = " (given what restock[1] did)" if order.startswith("restock") else ""
    assert failure.details[0] == (
        "buyer[1] and cancellation[1] both wrote product (1); what buyer[1] wrote was made of what it had read before"
        f" cancellation[1] wrote: line 12{given}"
    )
    assert failure.place == Place("scenario.sql", 15)
    assert [line.split(":")[0] for line in failure.details[2:]] == ["  table product"]


def test_a_payment_that_came_first_has_none_either(play: Play) -> None:
    order = "payment.all cancellation.all buyer.looks other.all buyer.buys"
    other = """-- chaos:session other
-- chaos:step all
UPDATE product SET stock = stock - 1 WHERE id = 1;"""
    failure = reported(play(SHOP.format(order=order, more=other)))
    assert failure.names == ("lost update",)
    assert failure.details[0].startswith("buyer[1] and other[1] both wrote product (1); what buyer[1] wrote was made ")


def test_only_the_session_that_overwrote_a_row_is_named_where_it_was_the_payment(play: Play) -> None:
    careless = SHOP.replace("-- chaos:session payment\n-- chaos:step all\n", "-- chaos:session payment\n").replace(
        "\\if :open\nINSERT INTO payment", "-- chaos:step pays\n\\if :open\nINSERT INTO payment"
    )
    careless = careless.replace("-- chaos:session payment\n", "-- chaos:session payment\n-- chaos:step looks\n")
    order = "payment.looks cancellation.all payment.pays buyer.looks buyer.buys"
    failure = reported(play(careless.format(order=order, more="")))
    assert failure.names == ("lost update",)
    assert failure.details[0].startswith("payment[1] and cancellation[1] both wrote orders (10); what payment[1] wrote")


PAIR = """-- chaos:schedule {order}
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE pair (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO pair VALUES (1, 0), (2, 0), (3, 0);
"""
THREE = """-- chaos:session bystander
-- chaos:step all
BEGIN;
SELECT * FROM pair;
UPDATE pair SET value = value + 1 WHERE id = 3;
COMMIT;
"""
READS = """-- chaos:session reader
-- chaos:step first
BEGIN;
SELECT value FROM pair WHERE id = 1;
-- chaos:step second
SELECT value FROM pair WHERE id = 2;
COMMIT;
-- chaos:session writer
-- chaos:step all
UPDATE pair SET value = 5 WHERE id IN (1, 2);
"""
SKEW = """-- chaos:session one
-- chaos:step looks
BEGIN;
SELECT sum(value) FROM pair WHERE id < 3;
-- chaos:step writes
UPDATE pair SET value = 5 WHERE id = 1;
COMMIT;
-- chaos:session two
-- chaos:step looks
BEGIN;
SELECT sum(value) FROM pair WHERE id < 3;
-- chaos:step writes
UPDATE pair SET value = 6 WHERE id = 2;
COMMIT;
"""


@pytest.mark.parametrize("at", often(range(0, 4, 2), range(4)))
def test_read_skew_is_that_of_its_two_whoever_else_is_there(play: Play, at: int) -> None:
    steps = ["reader.first", "writer.all", "reader.second"]
    steps.insert(at, "bystander.all")
    failure = reported(play(PAIR.format(order=" ".join(steps)) + READS + THREE))
    assert failure.names == ("read skew",)
    assert failure.details[0] == "reader[1] saw what writer[1] did: line 11; and did not see it: line 9"
    assert failure.place == Place("scenario.sql", 11)


@pytest.mark.parametrize("at", often(range(0, 5, 2), range(5)))
def test_write_skew_is_that_of_its_two_whoever_else_is_there(play: Play, at: int) -> None:
    steps = ["one.looks", "two.looks", "one.writes", "two.writes"]
    steps.insert(at, "bystander.all")
    failure = reported(play(PAIR.format(order=" ".join(steps)) + SKEW + THREE))
    assert failure.names == ("write skew",)
    assert failure.details[0] == (
        "one[1] did not see what two[1] did: line 9; and two[1] did not see what one[1] did: line 16"
    )
    assert failure.place == Place("scenario.sql", 9)


def test_two_that_come_to_it_by_what_a_third_did_are_reported_with_it(play: Play) -> None:
    third = "-- chaos:session opens\n-- chaos:step all\nUPDATE pair SET value = 1 WHERE id = 3;\n"
    adds = """-- chaos:session {0}
-- chaos:step looks
BEGIN;
SELECT value = 1 AS open FROM pair WHERE id = 3 \\gset
SELECT value AS old FROM pair WHERE id = 1 \\gset
-- chaos:step writes
\\if :open
UPDATE pair SET value = :old + 1 WHERE id = 1;
\\endif
COMMIT;
"""
    order = "opens.all one.looks two.looks one.writes two.writes"
    failure = reported(play(PAIR.format(order=order) + third + adds.format("one") + adds.format("two")))
    assert failure.names == ("lost update",)
    assert failure.details[0].startswith("two[1] and one[1] both wrote pair (1); what two[1] wrote was made of ")
    assert failure.details[0].endswith(" (given what opens[1] did)")


BOTH = """
-- chaos:session one
-- chaos:step looks
BEGIN;
{0}
-- chaos:step writes
{1}
COMMIT;
-- chaos:session two
-- chaos:step looks
BEGIN;
{0}
-- chaos:step writes
{2}
COMMIT;
"""
STALE = {
    "a row without a key": (
        "CREATE TABLE c (v int); INSERT INTO c VALUES (0);",
        "SELECT v AS was FROM c \\gset",
        "UPDATE c SET v = :was + {who};",
    ),
    "what is subtracted after a look": (
        "CREATE TABLE c (id int PRIMARY KEY, v int); INSERT INTO c VALUES (1, 100);",
        "SELECT v >= 60 AS enough FROM c WHERE id = 1 \\gset",
        "\\if :enough\nUPDATE c SET v = v - 60 WHERE id = 1;\n\\endif",
    ),
    "what is subtracted, with a row beside it": (
        "CREATE TABLE c (id int PRIMARY KEY, v int); CREATE TABLE paid (who int PRIMARY KEY);"
        " INSERT INTO c VALUES (1, 100);",
        "SELECT v >= 60 AS enough FROM c WHERE id = 1 \\gset",
        "\\if :enough\nUPDATE c SET v = v - 60 WHERE id = 1;\nINSERT INTO paid VALUES ({who});\n\\endif",
    ),
    "the same written twice": (
        "CREATE TABLE c (id int PRIMARY KEY, v int); CREATE TABLE paid (who int PRIMARY KEY, v int);"
        " INSERT INTO c VALUES (1, 100);",
        "SELECT v AS was FROM c WHERE id = 1 \\gset",
        "UPDATE c SET v = 0 WHERE id = 1;\nINSERT INTO paid VALUES ({who}, :was);",
    ),
}
APART = {
    "rows of their own, and a count of both": (
        "CREATE TABLE c (id int PRIMARY KEY, v int); CREATE TABLE n (id int PRIMARY KEY, v int);"
        " INSERT INTO c VALUES (1, 1), (2, 1); INSERT INTO n VALUES (1, 0);",
        "SELECT sum(v) = 2 AS both FROM c \\gset",
        "\\if :both\nUPDATE c SET v = 0 WHERE id = {who};\nUPDATE n SET v = v + 1 WHERE id = 1;\n\\endif",
    ),
    "new rows, and a count of both": (
        "CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE n (id int PRIMARY KEY, v int); INSERT INTO n VALUES (1, 0);",
        "SELECT count(*) = 0 AS free FROM c \\gset",
        "\\if :free\nINSERT INTO c VALUES ({who});\nUPDATE n SET v = v + 1 WHERE id = 1;\n\\endif",
    ),
}


@pytest.mark.parametrize(
    ("what", "expected"), [(what, "lost update" if what in STALE else "write skew") for what in (*STALE, *APART)]
)
def test_who_writes_a_row_that_both_had_read_loses_an_update_and_skews_nothing(
    what: str, expected: str, play: Play
) -> None:
    setup, looks, writes = {**STALE, **APART}[what]
    head = "-- chaos:schedule one.looks two.looks one.writes two.writes\n-- chaos:oracle serializable\n-- chaos:setup\n"
    text = BOTH.format(looks, writes.replace("{who}", "1"), writes.replace("{who}", "2"))
    failure = reported(play(head + setup + text))
    assert failure.names == (expected,)
    if expected == "lost update":
        assert failure.details[0].startswith("two[1] and one[1] both wrote c ")


TAKES = {
    "SKIP LOCKED": "SELECT id FROM job ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;",
    "pg_try_advisory_xact_lock()": "SELECT pg_try_advisory_xact_lock(9);",
}


@pytest.mark.parametrize("what", TAKES)
def test_what_gives_way_to_a_lock_is_named_as_what_no_serial_order_has(what: str, play: Play) -> None:
    takes = TAKES[what]
    text = f"""\
-- chaos:schedule one.takes two.takes one.ends two.ends
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY); INSERT INTO job VALUES (1), (2);
-- chaos:session one
-- chaos:step takes
BEGIN;
{takes}
-- chaos:step ends
COMMIT;
-- chaos:session two
-- chaos:step takes
BEGIN;
{takes}
-- chaos:step ends
COMMIT;
"""
    failure = reported(play(text))
    assert "so no serial order gives the result of a statement that met one" in failure.details[-2]
    assert f"this scenario does not wait for locks: {what} in lines 8, 14." in failure.details[-2]
