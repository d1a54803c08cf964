"""A program as small as can be: sends each of its arguments to the server that its environment names, by libpq itself.

`{}` in an argument is the first value of the last result. It ends with status 1 at the first error, after ROLLBACK.
Other words: `send:SQL` (without waiting for the answer), `sleep:SECONDS`, `print:TEXT`, `error:TEXT` (to standard
error), `exit:STATUS`, `open:N` (the connection that the following are sent on, from 1), `forget:N` (a thread that sends
nothing, N seconds), `child:SECONDS` (a process that leaves its group).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time

libpq = ctypes.CDLL(sys.argv[1])
for name in ("PQconnectdb", "PQexec"):
    getattr(libpq, name).restype = ctypes.c_void_p
for name in ("PQerrorMessage", "PQgetvalue"):
    getattr(libpq, name).restype = ctypes.c_char_p
_OK = (0, 1, 2)


def connected() -> ctypes.c_void_p:
    conn = ctypes.c_void_p(libpq.PQconnectdb(os.environ.get("DATABASE_URL", "").encode()))
    if libpq.PQstatus(conn) != 0:
        sys.exit(libpq.PQerrorMessage(conn).decode())
    return conn


connections: dict[int, ctypes.c_void_p] = {}
now, last = 1, ""
for word in sys.argv[2:]:
    kind, _, rest = word.partition(":")
    if kind == "sleep":
        time.sleep(float(rest))
    elif kind == "print":
        print(rest.format(last, **os.environ), flush=True)
    elif kind == "error":
        print(rest, file=sys.stderr)
    elif kind == "exit":
        sys.exit(int(rest))
    elif kind == "open":
        now = int(rest)
    elif kind == "send":
        libpq.PQsendQuery(connections[now], rest.encode())
    elif kind == "child":
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({rest})"], start_new_session=True)
    else:
        conn = connections.get(now) or connections.setdefault(now, connected())
        result = ctypes.c_void_p(libpq.PQexec(conn, word.format(last).encode()))
        if libpq.PQresultStatus(result) not in _OK:
            message = libpq.PQerrorMessage(conn).decode()
            libpq.PQexec(conn, b"ROLLBACK")
            sys.exit(message)
        if libpq.PQntuples(result):
            last = libpq.PQgetvalue(result, 0, 0).decode()
for conn in connections.values():
    libpq.PQfinish(conn)
