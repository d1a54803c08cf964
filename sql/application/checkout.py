"""A checkout as shops have it: `python checkout.py [--racy] [--without-key] [--repeat]`, one order of one customer.

It sells a piece of the stock and takes the money, in one transaction. It connects by DATABASE_URL. The key of the order
is that of the customer's click: CHAOS_WORKER, or the number behind --user.

    --racy         reads the stock and writes it back, without a lock
    --without-key  does not ask whether the order was taken before
    --repeat       sends the order again when it does not know what became of it
"""

from __future__ import annotations

import os
import sys

import psycopg

PRICE = 10
SOLD_OUT = 3
"""Exit status."""


def order(connection: psycopg.Connection, key: str, *, racy: bool, with_key: bool) -> int:
    """Take one order, in one transaction; give the exit status."""
    once, lock = " ON CONFLICT DO NOTHING" if with_key else "", "" if racy else " FOR UPDATE"
    with connection.transaction():
        taken = connection.execute(f"INSERT INTO orders (key) VALUES (%s){once} RETURNING key", [key])
        if taken.fetchone() is None:
            return 0  # it was taken before
        (pieces,) = connection.execute(f"SELECT pieces FROM stock WHERE id = 1{lock}").fetchone() or (0,)
        if pieces < 1:
            raise psycopg.Rollback
        connection.execute("UPDATE stock SET pieces = %s WHERE id = 1", [pieces - 1])
        connection.execute("INSERT INTO payment (key, amount) VALUES (%s, %s)", [key, PRICE])
        return 0
    return SOLD_OUT


def main(options: list[str]) -> int:
    """Take the order, again where the connection was lost and that is asked for."""
    user = options[options.index("--user") + 1] if "--user" in options else os.environ.get("CHAOS_WORKER", "1")
    try:
        with psycopg.connect(os.environ.get("DATABASE_URL", ""), autocommit=True) as connection:
            form = {"racy": "--racy" in options, "with_key": "--without-key" not in options}
            return order(connection, f"click {user}", **form)
    except psycopg.OperationalError:
        if "--repeat" not in options:
            raise
    return main([option for option in options if option != "--repeat"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
