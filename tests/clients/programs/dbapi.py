"""Six races in a driver of Python's DB-API: `python dbapi.py psycopg lost_update racy`, or `repaired`.

The server is that of libpq's environment or DATABASE_URL; CHAOS_WORKER says which of the clients this is, from 1.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def lost_update(cursor: Any, repaired: bool, worker: int) -> None:
    cursor.execute("SELECT balance FROM account WHERE id = 1" + (" FOR UPDATE" if repaired else ""))
    (balance,) = cursor.fetchone()
    cursor.execute("UPDATE account SET balance = %s WHERE id = 1", [balance + 10])


def check_then_insert(cursor: Any, repaired: bool, worker: int) -> None:
    if repaired:
        cursor.execute("SELECT FROM room WHERE id = 7 FOR UPDATE")
    cursor.execute("SELECT count(*) FROM booking WHERE room = 7")
    if cursor.fetchone()[0] == 0:
        cursor.execute("INSERT INTO booking (room, guest) VALUES (7, %s)", [worker])


def write_skew(cursor: Any, repaired: bool, worker: int) -> None:
    if repaired:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    cursor.execute("SELECT count(*) FROM doctor WHERE on_call")
    if cursor.fetchone()[0] > 1:
        cursor.execute("UPDATE doctor SET on_call = false WHERE id = %s", [worker])


def get_or_create(cursor: Any, repaired: bool, worker: int) -> None:
    if repaired:
        cursor.execute("INSERT INTO tag (name) VALUES ('news') ON CONFLICT DO NOTHING")
        cursor.execute("SELECT id FROM tag WHERE name = 'news'")
        return
    cursor.execute("SELECT id FROM tag WHERE name = 'news'")
    if cursor.fetchone() is None:
        cursor.execute("INSERT INTO tag (name) VALUES ('news')")


def double_claim(cursor: Any, repaired: bool, worker: int) -> None:
    skip = " FOR UPDATE SKIP LOCKED" if repaired else ""
    cursor.execute("SELECT id FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1" + skip)
    (job,) = cursor.fetchone()
    cursor.execute("UPDATE job SET taken_by = %s WHERE id = %s", [worker, job])
    cursor.execute("INSERT INTO done (job) VALUES (%s)", [job])


def deadlock(cursor: Any, repaired: bool, worker: int) -> None:
    order = (1, 2) if worker == 1 or repaired else (2, 1)
    for account in order:
        amount = -5 if account == worker else 5
        cursor.execute("UPDATE account SET balance = balance + %s WHERE id = %s", [amount, account])


def play(driver: str, dsn: str, race: str, repaired: bool, worker: int) -> None:
    connect = importlib.import_module(driver).connect
    connection = connect(dsn)
    for _ in range(10):
        try:
            with connection, connection.cursor() as cursor:
                globals()[race](cursor, repaired, worker)
            break
        except Exception as error:
            state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
            if not repaired or state != "40001":
                raise
            if driver == "psycopg":  # it closes a connection at the end of `with`
                connection = connect(dsn)


def main() -> None:
    driver, race, form = sys.argv[1:4]
    worker = int(os.environ.get("CHAOS_WORKER", "1"))
    play(driver, os.environ.get("DATABASE_URL", ""), race, form == "repaired", worker)


if __name__ == "__main__":
    main()
