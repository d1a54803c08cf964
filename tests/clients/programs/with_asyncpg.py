"""Six races in asyncpg: `python with_asyncpg.py lost_update racy`, or `repaired`; see dbapi.py."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import asyncpg


async def lost_update(connection: Any, repaired: bool, worker: int) -> None:
    lock = " FOR UPDATE" if repaired else ""
    balance = await connection.fetchval("SELECT balance FROM account WHERE id = 1" + lock)
    await connection.execute("UPDATE account SET balance = $1 WHERE id = 1", balance + 10)


async def check_then_insert(connection: Any, repaired: bool, worker: int) -> None:
    if repaired:
        await connection.execute("SELECT FROM room WHERE id = 7 FOR UPDATE")
    if await connection.fetchval("SELECT count(*) FROM booking WHERE room = $1", 7) == 0:
        await connection.execute("INSERT INTO booking (room, guest) VALUES (7, $1)", worker)


async def write_skew(connection: Any, repaired: bool, worker: int) -> None:
    if await connection.fetchval("SELECT count(*) FROM doctor WHERE on_call") > 1:
        await connection.execute("UPDATE doctor SET on_call = false WHERE id = $1", worker)


async def get_or_create(connection: Any, repaired: bool, worker: int) -> None:
    if repaired:
        await connection.execute("INSERT INTO tag (name) VALUES ($1) ON CONFLICT DO NOTHING", "news")
        await connection.fetchval("SELECT id FROM tag WHERE name = $1", "news")
    elif await connection.fetchval("SELECT id FROM tag WHERE name = $1", "news") is None:
        await connection.execute("INSERT INTO tag (name) VALUES ($1)", "news")


async def double_claim(connection: Any, repaired: bool, worker: int) -> None:
    skip = " FOR UPDATE SKIP LOCKED" if repaired else ""
    job = await connection.fetchval("SELECT id FROM job WHERE taken_by IS NULL ORDER BY id LIMIT 1" + skip)
    await connection.execute("UPDATE job SET taken_by = $1 WHERE id = $2", worker, job)
    await connection.execute("INSERT INTO done (job) VALUES ($1)", job)


async def deadlock(connection: Any, repaired: bool, worker: int) -> None:
    order = (1, 2) if worker == 1 or repaired else (2, 1)
    for account in order:
        amount = -5 if account == worker else 5
        await connection.execute("UPDATE account SET balance = balance + $1 WHERE id = $2", amount, account)


async def play(dsn: str | None, race: str, repaired: bool, worker: int) -> None:
    connection = await asyncpg.connect(dsn)
    isolation = "serializable" if race == "write_skew" and repaired else "read_committed"
    for _ in range(10):
        try:
            async with connection.transaction(isolation=isolation):
                await globals()[race](connection, repaired, worker)
            break
        except asyncpg.SerializationError:  # tried again, as an application does
            pass
    await connection.close()


def main() -> None:
    race, form = sys.argv[1:3]
    worker = int(os.environ.get("CHAOS_WORKER", "1"))
    asyncio.run(play(os.environ.get("DATABASE_URL"), race, form == "repaired", worker))


if __name__ == "__main__":
    main()
