"""No password is shown, however the connection string is written that holds it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgchaos import safe_output
from pgchaos.pytest_plugin.options import read_options
from pgchaos.safe_output import printable
from pgchaos.server import ServerError
from pgchaos.server.conninfo import make_conninfo as our_conninfo
from pgchaos.server.conninfo import read_conninfo
from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import FINE, INI, Project

SECRET = "hunter2secret"

FORMS = {
    "a URI as dbname": f"host=127.0.0.1 port=1 dbname='postgresql://u:{SECRET}@127.0.0.1:1/d'",
    "a string as dbname": f"host=127.0.0.1 port=1 dbname='user=u password={SECRET}'",
    "a full-width colon": f"postgresql://u\uff1a{SECRET}@127.0.0.1:1/d",
    "bad percent-encoding": f"postgresql://u:{SECRET}%zz@127.0.0.1:1/d",
    "a percent sign alone": f"postgresql://u:{SECRET}%@127.0.0.1:1/d",
    "a null character": f"postgresql://u:{SECRET}%00@127.0.0.1:1/d",
    "unclosed address": f"postgresql://u:{SECRET}@[::bad/db",
    "text behind the address": f"postgresql://u:{SECRET}@[::1]x/db",
    "empty address": f"postgresql://u:{SECRET}@[]/db",
    "a blank": f"postgresql://u:{SECRET} x@127.0.0.1:1/d",
    "two at signs": f"postgresql://u:x@{SECRET}@127.0.0.1:1/d",
    "a slash": f"postgresql://u:123/{SECRET}@127.0.0.1:1/d",
    "a slash, and no port": f"postgresql://u:{SECRET}/x@127.0.0.1:1/d",
    "a question mark": f"postgresql://u:1?{SECRET}@127.0.0.1:1/d",
    "a number sign": f"postgresql://u:x#{SECRET}@127.0.0.1:1/d",
    "no at sign": f"postgresql://u:{SECRET}",
    "a port that is none": f"postgresql://u:{SECRET}@127.0.0.1:port/d",
    "upper case scheme": f"POSTGRESQL://u:{SECRET}@127.0.0.1:1/d",
    "no scheme": f"u:{SECRET}@127.0.0.1/d",
    "another scheme": f"postgresql+psycopg://u:{SECRET}@127.0.0.1:1/d",
    "jdbc": f"jdbc:postgresql://127.0.0.1:1/d?user=u&password={SECRET}",
    "several hosts": f"postgresql://u:{SECRET}@127.0.0.1:1,127.0.0.2:2/d",
    "password as a parameter": f"postgresql://u@127.0.0.1:1/d?password={SECRET}",
    "parameter misspelt": f"postgresql://u@127.0.0.1:1/d?pasword={SECRET}",
    "parameter without =": f"postgresql://u@127.0.0.1:1/d?{SECRET}",
    "parameter with two =": f"postgresql://u@127.0.0.1:1/d?password={SECRET}=",
    "unclosed quote": f"host=127.0.0.1 port=1 password='{SECRET}",
    "blanks around =": f"host = 127.0.0.1 port = 1 password = '{SECRET} e c'",
    "quote within": f"host=127.0.0.1 port=1 password='{SECRET}\\'x'",
    "misspelt": f"host=127.0.0.1 port=1 pasword={SECRET}",
    "upper case": f"host=127.0.0.1 port=1 PASSWORD={SECRET}",
    "a word alone": f"host=127.0.0.1 port=1 {SECRET}",
    "a blank in it": f"host=127.0.0.1 port=1 password=x {SECRET}",
    "of the key": f"host=127.0.0.1 port=1 sslpassword={SECRET} sslmode=require",
    "in options": f"host=127.0.0.1 port=1 options='-c my.password={SECRET}'",
    "in the port": f"host=127.0.0.1 port={SECRET}",
    "in a number": f"host=127.0.0.1 port=1 connect_timeout={SECRET}",
    "behind a mode": f"postgresql://u@127.0.0.1:1/d?sslmode=require;password={SECRET}",
    "behind another": f"host=127.0.0.1 port=1 target_session_attrs=any,password={SECRET}",
    "in a mode": f"host=127.0.0.1 port=1 channel_binding={SECRET}",
    "in the address": f"host=127.0.0.1 port=1 hostaddr={SECRET}",
    "a bell": f"host=127.0.0.1 port=1 password={SECRET}\a",
}

TEST = """
import psycopg

def test_one(db_connection_string, db_config):
    frame = dict(db_config)
    assert psycopg.connect(db_connection_string, options="-c no_such_setting=1")

def test_two(sync_conn, db_config, db_connection_string):
    assert db_config == db_connection_string
"""


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "COLUMNS": "400", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}


def outcome(folder: Path, *arguments: str, **variables: str) -> str:
    """Run pytest in a folder, and give all that it says and writes."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml=junit.xml", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environ(**variables), capture_output=True, text=True, check=False, timeout=120
    )
    written = folder / "junit.xml"
    return done.stdout + done.stderr + (written.read_text() if written.exists() else "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p pgchaos.pytest_plugin.plugin\n")
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "fine.sql").write_text(FINE)
    return tmp_path


@pytest.fixture(autouse=True)
def _nothing_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_output, "_secrets", set())


def reported(project: Project, *arguments: str) -> str:
    result = project.pytester.runpytest_inprocess("-vv", "-l", "--junit-xml=junit.xml", *arguments)
    written = project.pytester.path / "junit.xml"
    return "\n".join([*result.outlines, *result.errlines, written.read_text() if written.exists() else ""])


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_string_is_not_shown_with_its_password(form: str, project: Project) -> None:
    project.write(fine=FINE)
    said = reported(project, f"--chaos-dsn={FORMS[form]}")
    assert "--chaos-dsn" in said
    assert SECRET not in said


@pytest.mark.parametrize("form", ["bad percent-encoding", "misspelt"])
def test_nor_from_the_ini_file(form: str, project: Project) -> None:
    project.write(fine=FINE)
    project.pytester.makeini(INI + f"chaos_dsn = {FORMS[form]}\n")
    said = reported(project)
    assert "is not a valid connection string" in said
    assert SECRET not in said


@pytest.mark.parametrize("way", ["PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "--chaos-dsn", "uri"])
def test_a_password_that_works_is_in_no_traceback_and_no_file(
    way: str, folder: Path, foreign_server: ForeignServer
) -> None:
    parameters = {**foreign_server.private.parameters, "passfile": ""}
    where = {name: str(parameters[name]) for name in ("host", "port")}
    (folder / "test_one.py").write_text(TEST)
    passwords = folder / "secrets"
    with foreign_server.connect() as conn:
        conn.execute(f"DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{SECRET}'")
    named = {"PGHOST": where["host"], "PGPORT": where["port"], "PGUSER": "keeper", "PGDATABASE": "postgres"}
    arguments = []
    if way == "PGPASSWORD":
        named["PGPASSWORD"] = SECRET
    elif way == "PGPASSFILE":
        passwords.write_text(f"*:*:*:*:{SECRET}\n")
        named["PGPASSFILE"] = str(passwords)
    elif way == "PGSERVICEFILE":
        passwords.write_text(f"[s]\nhost={where['host']}\nport={where['port']}\nuser=keeper\npassword={SECRET}\n")
        named = {"PGSERVICEFILE": str(passwords), "PGSERVICE": "s", "PGDATABASE": "postgres"}
    else:
        dsn = make_conninfo(**where, user="keeper", dbname="postgres", password=SECRET)
        host = where["host"].replace("/", "%2F")
        uri = f"postgresql://keeper:{SECRET}@{host}:{where['port']}/postgres"
        arguments, named = [f"--chaos-dsn={uri if way == 'uri' else dsn}"], {}
    if passwords.exists():
        passwords.chmod(0o600)
    (folder / "sql" / "bad.sql").write_text("-- chaos:check\nSELECT ok(false, 'wrong');\n")
    try:
        said = outcome(folder, "-vv", "-l", "-rA", *arguments, "test_one.py", "sql", **named)
    finally:
        with foreign_server.connect() as conn:
            conn.execute("DROP ROLE keeper")
    assert "role keeper" in said
    assert "2 failed" not in said.replace("3 failed", "")
    assert "no_such_setting" in said
    assert SECRET not in said


def test_no_process_of_ours_has_it_in_its_command_line(folder: Path, foreign_server: ForeignServer) -> None:
    # it lasts long enough for all processes to be seen
    (folder / "sql" / "fine.sql").write_text(
        "-- chaos:sandbox server\n-- chaos:check\nSELECT ok(pg_sleep(1) IS NOT NULL);\n"
    )
    with (folder / "pytest.ini").open("a") as ini:
        ini.write(f"chaos_dsn = {make_conninfo(foreign_server.dsn, password=SECRET)}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "sql"]
    with subprocess.Popen(command, cwd=folder, env=environ(), stdout=subprocess.PIPE, text=True) as run:
        seen: set[str] = set()
        me = psutil.Process(run.pid)
        while run.poll() is None:
            with suppress(psutil.Error):  # one of them has ended
                seen |= {" ".join(process.cmdline()) for process in [me, *me.children(recursive=True)]}
            time.sleep(0.005)  # polled: a process does not tell when it comes
        assert run.stdout is not None
        assert "1 passed" in run.stdout.read()
    assert any("supervisor.py" in line for line in seen)
    assert any("bin/postgres" in line for line in seen)
    assert not [line for line in seen if SECRET in line]


def test_the_line_that_runs_it_again_masks_what_may_be_a_password(pytestconfig: pytest.Config) -> None:
    before = pytestconfig.option.chaos_dsn
    shown = {
        "service=test": "service=test",
        "postgresql://u@h:1/d?sslmode=require": "postgresql://u@h:1/d?sslmode=require",
        f"postgresql://u:{SECRET}@h:1/d": "user=u password=******** dbname=d host=h port=1",
        FORMS["in options"]: "host=127.0.0.1 port=1 options=********",
        FORMS["in the address"]: "host=127.0.0.1 hostaddr=******** port=1",
    }
    try:
        for dsn, written in shown.items():
            pytestconfig.option.chaos_dsn = dsn
            (option,) = read_options(pytestconfig).replay
            assert conninfo_to_dict(option.removeprefix("--chaos-dsn=")) == conninfo_to_dict(written)
        for dsn in FORMS.values():
            pytestconfig.option.chaos_dsn = dsn
            assert SECRET not in " ".join(read_options(pytestconfig).replay)
    finally:
        pytestconfig.option.chaos_dsn = before


def test_the_line_that_runs_it_again_names_the_server_where_its_password_is_masked(
    folder: Path, foreign_server: ForeignServer
) -> None:
    (folder / "sql" / "fine.sql").write_text("-- chaos:check\nSELECT ok(false, 'wrong');\n")
    dsn = make_conninfo(foreign_server.dsn, password=SECRET)
    again = re.findall(r"--chaos-seed=\d+ (.*)", outcome(folder, f"--chaos-dsn={dsn}"))[0]
    # copied as it is: this server asks for no password
    said = outcome(folder, *shlex.split(again))
    assert "(not ours: works only in databases pgchaos_…)" in said
    assert "1 failed" in said


def test_what_holds_it_does_not_show_it() -> None:
    dsn = our_conninfo("host=h", password=SECRET, sslpassword=SECRET)
    assert SECRET in dsn
    assert SECRET not in repr(dsn)
    assert SECRET not in repr(read_conninfo(dsn))
    assert SECRET not in printable(f"connect({str(dsn)!r})")


def test_a_message_says_what_is_wrong_with_it() -> None:
    for form, said in {
        "bad percent-encoding": "% itself is %25",
        "unclosed address": "has no closing ]",
        "unclosed quote": "a quote is not closed",
        "misspelt": "libpq does not know an option in it",
        "two at signs": "@ is %40",
        "a port that is none": "port is not a number",
    }.items():
        with pytest.raises(ServerError, match="--chaos-dsn is not a valid connection string") as raised:
            read_conninfo(FORMS[form], "--chaos-dsn")
        assert said in str(raised.value)
