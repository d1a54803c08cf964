"""A standby, as its primary sees it: `python standby.py SLOT [--no-feedback] [--lost]`.

It streams from the slot and tells, by hot standby feedback, which rows a long query on it still needs; it has no data.
Once its query runs, it gives the toolkit's signal "query runs"; the query ends at NOTIFY query_ends. It connects by
DATABASE_URL.

    --no-feedback  hot_standby_feedback is off
    --lost         the standby is lost while its query runs
"""

from __future__ import annotations

import os
import select
import sys
from struct import Struct

import psycopg
from psycopg import pq

# messages of the PostgreSQL docs, "Streaming Replication Protocol"
FEEDBACK = Struct("!cqIIII")
"""Hot standby feedback: 'h', time, xmin and its epoch, the xmin of catalogs and its epoch."""
STATUS = Struct("!cQQQq?")
"""Standby status update: 'r', WAL written, flushed and applied, time, whether an answer is asked for."""
KEEPALIVE = Struct("!cQq?")
"""Primary keepalive: 'k', end of the WAL, time, whether an answer is asked for."""


class Standby:
    """Streams from a physical slot."""

    def __init__(self, address: str, slot: str) -> None:
        self.connection = psycopg.connect(address, replication="true", autocommit=True)
        self.pgconn = self.connection.pgconn
        system = self.command("IDENTIFY_SYSTEM", pq.ExecStatus.TUPLES_OK)
        position = (system.get_value(0, 2) or b"0/0").decode()
        self.command(f'START_REPLICATION SLOT "{slot}" PHYSICAL {position}', pq.ExecStatus.COPY_BOTH)
        upper, lower = (int(half, 16) for half in position.split("/"))
        self.position = upper << 32 | lower

    def command(self, text: str, expected: pq.ExecStatus) -> pq.abc.PGresult:
        """Send a command of the replication protocol."""
        result = self.pgconn.exec_(text.encode())
        if result.status != expected:
            sys.exit(f"{text}: {self.pgconn.get_error_message()}")
        return result

    def feedback(self, oldest: int) -> None:
        """Tell the oldest transaction that a query needs; the primary has it when this returns."""
        epoch, xmin = divmod(oldest, 2**32)
        self.pgconn.put_copy_data(FEEDBACK.pack(b"h", 0, xmin, epoch, 0, 0))
        self.pgconn.put_copy_data(STATUS.pack(b"r", self.position, self.position, self.position, 0, True))
        self.pgconn.flush()
        while True:
            message = self.receive()
            # messages are answered in order; a keepalive that is no answer asks for one itself
            if message[:1] == b"k" and not KEEPALIVE.unpack(message)[-1]:
                return

    def receive(self) -> bytes:
        """Wait for the next message of the stream."""
        while True:
            length, data = self.pgconn.get_copy_data(1)
            if length > 0:
                return bytes(data)
            if length < 0:
                sys.exit(f"the stream has ended: {self.pgconn.get_error_message()}")
            select.select([self.pgconn.socket], [], [])
            self.pgconn.consume_input()


def main(slot: str, *options: str) -> None:
    """Run a query on the standby."""
    address = os.environ.get("DATABASE_URL", "")
    with psycopg.connect(address, autocommit=True) as primary:
        standby = Standby(address, slot)

        def feedback() -> None:
            now = primary.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").fetchone()
            if now is not None and "--no-feedback" not in options:
                standby.feedback(int(now[0]))

        feedback()
        primary.execute("LISTEN query_ends")
        primary.execute("SELECT chaos.signal('query runs')")
        next(primary.notifies())  # no SELECT waits for this: its snapshot would itself hold VACUUM back
        if "--lost" not in options:
            feedback()


if __name__ == "__main__":
    main(*sys.argv[1:])
