"""The schema, up and down, on Postgres 18 and 16, and equal to what the models say."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from worker.errors import DependencyError
from worker.store import migrate
from worker.store.connection import sqlalchemy_url
from worker.store.postgres import PostgresStore
from worker.store.revision import newest
from worker.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration


def objects(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relkind::text, relname FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'"
        ).fetchall()
    return set(rows)


def differences(url: str) -> list[Any]:
    """What autogenerate would change; day partitions are data, and comments are the database's."""

    def ours(item: Any, name: str | None, kind: str, reflected: bool, _: Any) -> bool:
        if kind == "table" and reflected and name is not None:
            return not (
                name.startswith(("post_emotions_", "trend_cells_")) or name == "alembic_version"
            )
        return True

    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": ours, "compare_type": True, "compare_server_default": True},
        )
        found = compare_metadata(context, metadata)
    return [change for change in found if "comment" not in str(change[0])]


def up_down_up(url: str) -> None:
    assert migrate.current(url) is None
    migrate.upgrade(url)
    assert migrate.current(url) == newest()
    made = objects(url)
    assert {("p", "post_emotions"), ("v", "emotion_trends")} <= made
    assert differences(url) == []
    migrate.downgrade(url, "base")
    assert objects(url) == set()
    migrate.upgrade(url)
    assert objects(url) == made
    migrate.upgrade(url)


def test_up_and_down(empty_database_url: str) -> None:
    up_down_up(empty_database_url)


def test_autogenerate_would_notice(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE posts DROP COLUMN generation")
        connection.execute("ALTER TABLE models ADD COLUMN extra text")
    assert {change[0] for change in differences(empty_database_url)} == {
        "add_column",
        "remove_column",
    }


def test_the_printed_sql_makes_the_same_schema(empty_database_url: str, database_url: str) -> None:
    output = io.StringIO()
    migrate.upgrade_sql(output)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(output.getvalue().encode())
    assert objects(empty_database_url) == objects(database_url)
    assert migrate.current(empty_database_url) == newest()


def test_several_at_once_take_turns(empty_database_url: str) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            migrate.upgrade(empty_database_url)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert migrate.current(empty_database_url) == newest()


def test_a_database_that_is_away_is_a_dependency_error() -> None:
    with pytest.raises(DependencyError, match=r"127\.0\.0\.1:9"):
        migrate.current("postgresql://someone:secret@127.0.0.1:9/nowhere")


def test_everything_is_documented(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p', 'v') AND NOT relispartition "
            "AND relname NOT LIKE 'alembic%' AND obj_description(oid, 'pg_class') IS NULL"
        ).fetchall()
    assert rows == []


@pytest.fixture
def postgres16() -> Iterator[str]:
    """URL of an empty database on the Postgres 16 that PyPI `pgserver` carries."""
    spec = find_spec("pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("pgserver (Postgres 16) has no wheel for this Python")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="pg16-", dir="/tmp"))
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
        options |= {"user": 65_534, "group": 65_534, "extra_groups": []}
    server = None
    try:
        try:
            subprocess.run(
                [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust",
                 "-E", "UTF8", "--locale=C", "--no-sync"],
                check=True, capture_output=True, **options,
            )  # fmt: skip
        except PermissionError:
            pytest.skip("an unprivileged user cannot reach this environment's programs")
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-k", folder, "-c",
             "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options,
        )  # fmt: skip
        url = f"postgresql://postgres@/postgres?host={folder}"
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        if server is not None:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(15)
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_postgres_16(postgres16: str) -> None:
    up_down_up(postgres16)
    store = PostgresStore(postgres16, group="g")
    store.open()
    store.close()
    with psycopg.connect(postgres16) as connection:
        connection.execute("SELECT * FROM emotion_spikes()")
        rolling = "SELECT * FROM emotion_rolling('1 hour', 'all', '*', now(), now() + '1 minute')"
        assert len(connection.execute(rolling).fetchall()) in {8, 16}
