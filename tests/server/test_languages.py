"""Servers with another language or encoding, and sessions with startup options of the user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL

from pgchaos.engine.answer import ServerError
from pgchaos.engine.connect import ConnectionLost, is_recovering, open_pgconn
from pgchaos.engine.loop import run_sync
from pgchaos.language.encodings import characters_of
from pgchaos.server import Server, ServerSettings, binaries, open_server
from pgchaos.server.database_factory import connect_for_long
from pgchaos.stop import Stop
from tests.conftest import ForeignServer
from tests.engine.playing import Play, held, only

GERMAN = Path("/usr/share/locale/de/LC_MESSAGES/postgres-15.mo")
FIFTEEN = Path("/usr/lib/postgresql/15/bin")

LOOKS_AT_ITS_SETTINGS = """
    -- chaos:setup
    CREATE TABLE t (word text);
    -- chaos:session one x 2
    INSERT INTO t VALUES ('{word}');
    SELECT chaos.assert(current_setting('client_encoding') = 'UTF8', 'encoding of a session');
    SELECT chaos.assert(current_setting('statement_timeout') = '{timeout}', 'PGOPTIONS in a session');
    -- chaos:check
    SELECT is((SELECT max(word) FROM t), '{word}', '{word}');
    SELECT is(current_setting('client_encoding'), 'UTF8', 'encoding of a check');
    SELECT is(current_setting('statement_timeout'), '{timeout}', 'PGOPTIONS in a check');
"""
ALL_HELD = {"encoding of a session", "PGOPTIONS in a session", "encoding of a check", "PGOPTIONS in a check"}


@contextmanager
def started(bindir: Path, conf: str, *initdb: str, **env: str) -> Iterator[str]:
    """Start somebody's server, and say how its superuser reaches it."""
    who = binaries.server_account()
    folder = Path(tempfile.mkdtemp(prefix="pgc-", dir="/tmp"))
    data = str(folder / "data")
    if who.switch:
        shutil.chown(folder, who.uid, who.gid)
    how = {"cwd": folder, "check": True, "capture_output": True, "env": {**os.environ, **env}, **who.popen_arguments()}
    try:
        subprocess.run([bindir / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", *initdb], **how)
        with Path(data, "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\nlisten_addresses = ''\nunix_socket_directories = '{folder}'\nfsync = off\n{conf}\n")
        log = str(folder / "log")
        subprocess.run([bindir / "pg_ctl", "-D", data, "-l", log, "-w", "start"], **{**how, "capture_output": False})
        try:
            yield make_conninfo(host=str(folder), user="postgres", dbname="postgres")
        finally:
            subprocess.run([bindir / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **how)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def german() -> Iterator[str]:
    """A server whose messages are German; its role `guest` may make databases and nothing else."""
    if not GERMAN.exists() or not FIFTEEN.exists() or shutil.which("localedef") is None:
        pytest.skip("no German messages of PostgreSQL 15 here")
    locales = Path(tempfile.mkdtemp(prefix="pgc-", dir="/tmp"))
    locales.chmod(0o755)
    try:
        made = subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", locales / "de_DE.UTF-8"], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("the locale de_DE cannot be made here")
        conf = "lc_messages = 'de_DE.UTF-8'\nmax_connections = 25"
        with started(FIFTEEN, conf, "--locale=C", "-E", "UTF8", LOCPATH=str(locales)) as dsn:
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute("CREATE ROLE guest LOGIN CREATEDB; CREATE ROLE barred NOLOGIN")
                conn.execute("CREATE ROLE one LOGIN CONNECTION LIMIT 0")
                with pytest.raises(psycopg.errors.UndefinedTable, match="existiert nicht"):
                    conn.execute("TABLE nowhere")
            yield dsn
    finally:
        shutil.rmtree(locales)


@pytest.mark.parametrize(
    ("parameters", "state", "words"),
    [
        ({"user": "barred"}, "28000", "keine Berechtigung zum Einloggen"),
        ({"user": "one"}, "53300", "zu viele Verbindungen"),
        ({"dbname": "nowhere"}, "3D000", "Datenbank »nowhere« existiert nicht"),
    ],
)
def test_a_refusal_is_known_by_its_state(
    german: str, stop: Stop, parameters: dict[str, str], state: str, words: str
) -> None:
    with pytest.raises(ConnectionLost) as refused:
        run_sync(open_pgconn(make_conninfo(german, **parameters), stop, 30))
    error = refused.value.error
    assert error.sqlstate == state
    assert words in error.message
    assert state not in error.message
    assert ".c:" not in error.message


def test_a_german_server_without_room_is_known(german: str, stop: Stop) -> None:
    with ExitStack() as stack:

        def take_all() -> None:
            for _ in range(100):
                stack.callback(run_sync(open_pgconn(german, stop, 30)).finish)

        with pytest.raises(ConnectionLost) as refused:
            take_all()
    assert refused.value.error.sqlstate == "53300"


def test_a_server_that_recovers_is_known_and_waited_for(german: str, stop: Stop) -> None:
    def refusal() -> ServerError | None:
        try:
            run_sync(open_pgconn(german, stop, 30)).finish()
        except ConnectionLost as refused:
            return refused.error
        return None

    def crash() -> None:
        with closing(psycopg.connect(german, autocommit=True)) as conn:
            os.kill(conn.info.backend_pid, signal.SIGKILL)

    crash()
    while (error := refusal()) is None:
        pass
    seen = [error]
    while (error := refusal()) is not None:
        seen.append(error)
    assert all(map(is_recovering, seen)), seen
    crash()
    while refusal() is None:
        pass
    connect_for_long(german, "patient").close()


@pytest.mark.parametrize("user", ["postgres", "guest"])
def test_scenarios_run_on_a_german_server(
    german: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    for name in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    with open_server(ServerSettings(dsn=make_conninfo(german, user=user))) as server:
        play = Play(server, tmp_path)
        assert set(held(play(LOOKS_AT_ITS_SETTINGS.format(word="wörter", timeout="0")))) == {"wörter", *ALL_HELD}
        deadlock = play(
            """
            -- chaos:setup
            SELECT 1;
            -- chaos:session one
            SELECT pg_advisory_lock(1);
            -- chaos:barrier both
            SELECT pg_advisory_lock(2);
            -- chaos:session other
            SELECT pg_advisory_lock(2);
            -- chaos:barrier both
            SELECT pg_advisory_lock(1);
            -- chaos:check
            SELECT pass('never');
            """
        )
    details = "\n".join(only(deadlock).details)
    assert only(deadlock).names[0] == "40P01"
    assert details.count("one[1] (pid ") == 2
    assert details.count("other[1] (pid ") == 2


@pytest.mark.parametrize(
    ("encoding", "of_role", "word"),
    [("LATIN1", "LATIN1", "été"), ("EUC_JP", "SJIS", "日本"), ("SQL_ASCII", "LATIN1", "日本é")],
)
def test_client_encoding_is_utf8_whatever_anybody_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, of_role: str, word: str
) -> None:
    bindir = Path(os.environ["PG_BINDIR"]) if os.environ.get("PG_BINDIR") else binaries.embedded_bindir()
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    service = tmp_path / "services"
    with started(bindir, "", "-E", encoding, "--locale=C") as dsn:
        service.write_text(
            f"[mine]\n{dsn.replace(' ', chr(10))}\nclient_encoding=LATIN1\noptions=-c statement_timeout=7s\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(service))
        with psycopg.connect(dsn, autocommit=True, client_encoding="UTF8") as conn:
            conn.execute(SQL("ALTER ROLE postgres SET client_encoding = {}").format(of_role))
        with open_server(ServerSettings(dsn="service=mine")) as server:
            result = Play(server, tmp_path)(LOOKS_AT_ITS_SETTINGS.format(word=word, timeout="7s"))
    assert set(held(result)) == {word, *ALL_HELD}


SANDBOXES = ["", "-- chaos:sandbox schema", "-- chaos:sandbox server", "-- chaos:schedule all"]


@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_pgoptions_count_in_every_session_and_disturb_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    monkeypatch.setenv(
        "PGOPTIONS",
        "-c statement_timeout=9s -c lock_timeout=8s -c default_transaction_isolation=serializable"
        " -c idle_session_timeout=600s",
    )
    with open_server(ServerSettings()) as server:
        result = Play(server, tmp_path)(sandbox + LOOKS_AT_ITS_SETTINGS.format(word="x", timeout="9s"))
    assert set(held(result)) == {"x", *ALL_HELD}


def test_settings_of_the_role_disturb_nothing_but_its_sessions(foreign_server: ForeignServer, tmp_path: Path) -> None:
    foreign_server.role("maker", "LOGIN CREATEDB")
    settings = {
        "default_transaction_read_only": "on",
        "search_path": "not_there",
        "plpgsql.extra_errors": "all",
    }
    with foreign_server.connect() as conn:
        for name, value in settings.items():
            conn.execute(SQL("ALTER ROLE maker SET {} = {}").format(SQL(name), value))
    with open_server(ServerSettings(dsn=make_conninfo(foreign_server.dsn, user="maker"))) as server:
        for sandbox in ("", "-- chaos:sandbox schema"):
            text = f"{sandbox}\n-- chaos:session one\n-- chaos:expect read_only_sql_transaction\nCREATE TABLE t ();"
            assert Play(server, tmp_path)(text).failures == []


def test_read_only_pgoptions_apply_to_sessions_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
    with open_server(ServerSettings()) as server:
        result = Play(server, tmp_path)(
            """
            -- chaos:session one
            -- chaos:expect read_only_sql_transaction
            CREATE TABLE t ();
            """
        )
    assert not result.failures


@pytest.mark.parametrize("in_place", [False, True], ids=["", "in place"])
@pytest.mark.parametrize("by_role", [False, True], ids=["PGOPTIONS", "role"])
def test_a_short_time_out_does_not_end_the_first_questions(
    foreign_server: ForeignServer, monkeypatch: pytest.MonkeyPatch, by_role: bool, in_place: bool
) -> None:
    dsn = make_conninfo(foreign_server.role("hasty", "LOGIN SUPERUSER"), dbname="postgres")
    if by_role:
        with foreign_server.connect() as conn:
            conn.execute("ALTER ROLE hasty SET statement_timeout = 1")
    else:
        monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1")
    with (
        open_server(ServerSettings(dsn=dsn, in_place=in_place)) as server,
        server.sandbox() as sandbox,
        closing(psycopg.connect(sandbox.conninfo, autocommit=True)) as session,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        session.execute("SELECT pg_sleep(600)")


def test_a_time_out_in_another_language_is_not_called_cancelled_by_a_session(german: str, tmp_path: Path) -> None:
    with open_server(ServerSettings(dsn=make_conninfo(german, user="guest"))) as server:
        result = Play(server, tmp_path)(
            """
            -- chaos:session one x 2
            SET statement_timeout = '500ms';
            -- chaos:barrier both
            SELECT pg_sleep(600), 'chaos.cancel(x)';
            -- chaos:check
            SELECT pass('checked');
            """
        )
    assert result.failures
    for failure in result.failures:  # the first of the two may have stopped the other
        assert "ERROR 57014 (query_canceled): storniere Anfrage wegen Zeitüberschreitung" in failure.text


SERVER_ENCODINGS = (
    *(f"LATIN{number}" for number in range(1, 11)),
    *(f"ISO_8859_{number}" for number in range(5, 9)),
    *(f"WIN{number}" for number in (866, 874, *range(1250, 1259))),
    *("KOI8R", "KOI8U", "EUC_JP", "EUC_JIS_2004", "EUC_KR", "EUC_CN", "EUC_TW"),
)


def test_every_character_that_is_drawn_for_an_encoding_can_be_stored_in_it(foreign_server: ForeignServer) -> None:
    query = "SELECT convert_from(convert_to(%(text)s, %(encoding)s), %(encoding)s)"
    with foreign_server.connect(client_encoding="UTF8") as conn:
        for encoding in SERVER_ENCODINGS:
            every = characters_of(encoding)
            assert every is not None
            assert conn.execute(query, {"text": every, "encoding": encoding}).fetchone() == (every,), encoding


def test_given_draws_what_the_database_can_store(tmp_path: Path) -> None:
    with (
        started(binaries.embedded_bindir(), "", "-E", "EUC_JP", "--locale=C") as dsn,
        open_server(ServerSettings(dsn=dsn)) as server,
    ):
        result = Play(server, tmp_path)(
            """
            -- chaos:given word in text 0..20
            -- chaos:given words in list 0..3 of text
            -- chaos:session one
            SELECT :'word', :'words'::text[];
            -- chaos:check
            SELECT is(octet_length(:'word'), length(:'word'), 'only ASCII');
            """
        )
    assert only(result).text == "only ASCII"
    assert len(result.values["word"].encode("euc_jp")) == 2


@pytest.fixture(scope="module")
def any_bytes() -> Iterator[Server]:
    """A server whose databases store any bytes."""
    with (
        started(binaries.embedded_bindir(), "", "-E", "SQL_ASCII", "--locale=C") as dsn,
        open_server(ServerSettings(dsn=dsn)) as server,
    ):
        yield server


def test_values_that_differ_in_bytes_that_are_not_utf8_differ_for_the_oracle(any_bytes: Server, tmp_path: Path) -> None:
    result = Play(any_bytes, tmp_path)(
        r"""
        -- chaos:schedule all
        -- chaos:oracle serializable
        -- chaos:setup
        CREATE TABLE t (k int PRIMARY KEY, v text);
        INSERT INTO t VALUES (1, convert_from('\xe8', 'SQL_ASCII')), (2, convert_from('\xe9', 'SQL_ASCII'));
        -- chaos:session one
        BEGIN;
        UPDATE t SET v = (SELECT v FROM t WHERE k = 2) WHERE k = 1;
        COMMIT;
        -- chaos:session two
        BEGIN;
        UPDATE t SET v = (SELECT v FROM t WHERE k = 1) WHERE k = 2;
        COMMIT;
        """
    )
    assert "not serializable" in only(result).text


def test_gset_sends_bytes_back_that_are_not_utf8(any_bytes: Server, tmp_path: Path) -> None:
    result = Play(any_bytes, tmp_path)(
        r"""
        -- chaos:setup
        CREATE TABLE t (v text);
        -- chaos:session one
        SET client_encoding = 'SQL_ASCII';
        SELECT convert_from('\xc3a920ff', 'SQL_ASCII') AS v \gset
        INSERT INTO t VALUES (:'v');
        LISTEN done;
        NOTIFY done, :'v';
        -- chaos:check
        SELECT is((SELECT convert_to(v, 'SQL_ASCII') FROM t), '\xc3a920ff'::bytea, 'the same bytes');
        SELECT is((SELECT variables ->> 'v' FROM chaos.acknowledged WHERE step = '3'), 'é \xff', 'a variable');
        SELECT is((SELECT payload FROM chaos.notifications), 'é \xff', 'a notification');
        """
    )
    assert held(result) == ["the same bytes", "a variable", "a notification"]


def test_variables_beyond_ascii_are_known_in_any_encoding(any_bytes: Server, tmp_path: Path) -> None:
    result = Play(any_bytes, tmp_path)(
        r"""
        -- chaos:session one
        \set word 'é日'
        SELECT chaos.assert(chaos.var('word') = 'é日', 'in a session');
        -- chaos:check
        \set word 'é日'
        SELECT is(chaos.var('word'), 'é日', 'in a check');
        """
    )
    assert sorted(held(result)) == ["in a check", "in a session"]


def test_escapes_of_set_are_bytes_as_in_psql(any_bytes: Server, private_server: Server, tmp_path: Path) -> None:
    text = r"""
        -- chaos:session one
        SET client_encoding = 'SQL_ASCII';
        \set word 'a\377\xe4'
        SELECT chaos.assert(convert_to(:'word', 'SQL_ASCII') = '\x61ffe4', 'bytes');
        """
    assert held(Play(any_bytes, tmp_path)(text)) == ["bytes"]
    failure = only(Play(private_server, tmp_path)(text))
    assert 'invalid byte sequence for encoding "UTF8": 0xff' in failure.text
