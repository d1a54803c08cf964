"""One round of the soak: a scenario with one fault, at random, on money that was moved through all rounds before it."""

from __future__ import annotations

import random
from dataclasses import dataclass

WORKERS = 4
TRANSFERS = 5
ACCOUNTS = 6
MONEY = 100 * ACCOUNTS

_SETUP = f"""
-- chaos:setup
CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE IF NOT EXISTS transfer (
    round int, worker int, number int, amount int NOT NULL, PRIMARY KEY (round, worker, number)
);
INSERT INTO account SELECT id, 100 FROM generate_series(1, {ACCOUNTS}) AS id ON CONFLICT DO NOTHING;
"""
_MOVER = """
-- chaos:session mover x {workers} repeat {transfers} retry {retried} up to 60 backoff 1ms
{before_begin}BEGIN;
{before_move}WITH moved AS (
    INSERT INTO transfer VALUES ({number}, :worker, :iteration, 1 + (:worker * :iteration) % 7)
    ON CONFLICT DO NOTHING RETURNING amount
)
UPDATE account SET balance = balance + CASE WHEN id = 1 + :worker % {accounts} THEN -amount ELSE amount END
  FROM moved WHERE id IN (1 + :worker % {accounts}, 1 + (:worker + :iteration) % {accounts})
   AND :iteration % {accounts} <> 0;
{before_commit}COMMIT;
"""
_RETRIED = "connection_failure 08001 57P01 57P02 57P03 40P01 unknown"
_CHECK = """
-- chaos:check
SELECT is(sum(balance), {money}::bigint, 'no money is lost') FROM account;
SELECT is_empty(
    $$SELECT worker, iteration FROM chaos.acknowledged WHERE session = 'mover' AND step = '3'
      EXCEPT SELECT worker, number FROM transfer WHERE round = {number}$$, 'what was acknowledged is there');
SELECT is(count(*), {all}::bigint, 'each transfer was done, and once') FROM transfer WHERE round = {number};
-- chaos:teardown
SELECT chaos._forget('');
"""
_PROCESSES = ("checkpointer", "walwriter", "bgwriter", "autovacuum")
_OPERATOR = {
    "cancel": "-- chaos:fault cancel\n-- chaos:expect query_canceled\nSELECT pg_sleep(60);\n",
    "fill connections": "-- chaos:fault fill connections during\nSELECT 1;\n",
    "stop smart": "-- chaos:fault stop smart\nSELECT 1;\n",
    "stop fast": "-- chaos:fault stop fast\nSELECT 1;\n-- chaos:fault restart\nSELECT 1;\n",
    "stop immediate": "-- chaos:fault stop immediate\nSELECT 1;\n-- chaos:fault restart\nSELECT 1;\n",
    **{f"kill of {name}": f"-- chaos:fault kill of {name}\nSELECT 1;\n" for name in _PROCESSES},
}
"""Faults that somebody else makes while money is moved, and the statement that they stand above."""
_OWN = ("terminate", "kill", "crash", "restart")
"""Faults that are delivered while money is moved."""
KINDS = (*_OWN, *_OPERATOR)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round does: its number from 1, the kind of fault and the fault in words, and its scenario."""

    number: int
    kind: str
    fault: str
    text: str


def made(number: int, seed: int) -> Round:
    """Make a round with a fault of any kind: the same number and seed make the same round."""
    chance = random.Random(f"{seed}/{number}")
    kind = chance.choice(KINDS)
    places = {"before_begin": "", "before_move": "", "before_commit": ""}
    operator = ""
    fault = kind
    if kind in _OPERATOR:
        operator = f"\n-- chaos:session operator allow {_RETRIED.replace(' unknown', '')}\n{_OPERATOR[kind]}"
    else:
        place = chance.choice(list(places))
        moments = ("before", "during", "after") if place == "before_commit" else ("before", "after")
        fault = f"{kind} {chance.choice(moments)} on {chance.choice(('1st', '2nd', '3rd', '4th'))} execution"
        places[place] = f"-- chaos:fault {fault}\n"
        fault = f"{fault} ({place.replace('_', ' ')})"
    numbers = {"workers": WORKERS, "transfers": TRANSFERS, "accounts": ACCOUNTS, "money": MONEY, "number": number}
    text = (
        f"-- Round {number}: {fault}\n-- chaos:sandbox server\n-- chaos:timeout 60s\n"
        + _SETUP
        + _MOVER.format(**numbers, **places, retried=_RETRIED)
        + operator
        + _CHECK.format(**numbers, all=WORKERS * TRANSFERS)
    )
    return Round(number, kind, fault, text)
