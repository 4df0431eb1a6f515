"""deploy/sql/roles.sql: a worker that may store, a reader who may look, and neither any more."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import errors, sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

ROLES = (Path(__file__).parents[2] / "deploy" / "sql" / "roles.sql").read_text(encoding="utf-8")
VIEWS = (
    "emotion_trends",
    "emotion_trends_rolling_1h",
    "emotion_trends_rolling_24h",
    "emotion_voice",
    "emotion_model_changes",
    "emotion_spikes()",
    "emotion_rolling('1 hour', 'all', '*', now() - interval '2 hours', now())",
    "models",
    "stream_offsets",
    "replays",
    "trend_cells",
)
LABELS = "platform, post_id, created_at, lang, hashtags, emotion, confidence, joy, model_id"
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN "


def grants(url: str) -> list[tuple[Any, ...]]:
    """All rights in the database: of relations, columns, functions, defaults."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT oid::regclass::text, relowner::regrole::text, relacl::text, "
            "    (SELECT string_agg(attname || attacl::text, ',' ORDER BY attnum) "
            "     FROM pg_attribute WHERE attrelid = c.oid) "
            "FROM pg_class c WHERE relnamespace = 'public'::regnamespace "
            "UNION ALL SELECT oid::regprocedure::text, proowner::regrole::text, proacl::text, null "
            "FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "UNION ALL SELECT 'default', defaclrole::regrole::text, defaclacl::text, null "
            "FROM pg_default_acl ORDER BY 1, 2, 3"
        ).fetchall()


@pytest.fixture
def logins(database_url: str) -> Iterator[dict[str, str]]:
    """URLs by role, of logins that are members of it; `owner` acts as the owner itself."""
    made: dict[str, str] = {}
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row is None or not row[0]:
            pytest.skip("the role of WORKER_DATABASE_URL may not make roles")
        connection.execute(ROLES)
        for role in ("owner", "writer", "reader"):
            name, password = f"test_{role}_{secrets.token_hex(4)}", secrets.token_hex(8)
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                    sql.Identifier(name), sql.Literal(password), sql.Identifier(f"emotion_{role}")
                )
            )
            parts = urlsplit(database_url)
            host = parts.netloc.rpartition("@")[2]
            options = f"options={quote('-crole=emotion_owner')}" if role == "owner" else ""
            made[role] = parts._replace(netloc=f"{name}:{password}@{host}", query=options).geturl()
        yield made
        for url in made.values():
            user = sql.Identifier(urlsplit(url).username or "")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                (urlsplit(url).username,),
            )
            connection.execute(sql.SQL("DROP ROLE {}").format(user))


def denied(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement)
    except errors.InsufficientPrivilege:
        connection.rollback()
        return True
    connection.rollback()
    return False


@pytest.mark.slow
def test_a_worker_runs_as_writer_and_a_reader_only_reads(
    run: Callable[..., Any],
    make_topic: Callable[..., str],
    produce: Callable[..., Any],
    a_post: Callable[..., Any],
    database_url: str,
    logins: dict[str, str],
) -> None:
    owner, writer, reader = (
        {"WORKER_DATABASE_URL": logins[role]} for role in ("owner", "writer", "reader")
    )
    once = grants(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROLES)
    assert grants(database_url) == once, "run twice is as run once"
    assert {row[1] for row in once} == {"emotion_owner"}

    code, out, err = run("maintain", **owner)
    assert (code, err) == (0, ""), out
    key = {"WORKER_AUTHOR_KEY": "0123456789abcdef"}
    topic = make_topic(partitions=2)
    produce(topic, [a_post(n, author_id=f"author {n % 3}") for n in range(30)])
    produce(topic, [(b"k", b'{"id": "30", "text": "a secret"', None, None)])
    work = {**writer, **key, "WORKER_MAINTAIN_SECONDS": "0", "WORKER_TOPICS": topic}
    code, _, err = run("run", "--drain", **work, WORKER_STORE_TEXT="true")
    assert code == 0, err
    assert "default partition" not in err, "days that `maintain` made are found"
    # Edits, deletions, duplicates: everything that a writer does to rows that stand.
    produce(
        topic,
        [
            a_post(1, text="other words", edited_at=datetime.now(UTC).isoformat()),
            a_post(2, deleted=True),
            a_post(3),
        ],
    )
    assert run("run", "--drain", **work)[0] == 0
    assert run("verify", **writer)[0] == 0
    assert run("offsets", "show", **writer)[0] == 0
    code, out, _ = run("dead-letters", "retry", **writer, **key)
    assert (code, "1 are rejected still" in out) == (1, True)
    assert run("dead-letters", "drop", "--all", **writer)[1] == "1 dead letters dropped\n"
    code, out, err = run("forget", "--author", "author 0", **owner, **key)
    assert code == 0, err
    produce(topic, [a_post(3, author_id="author 0")])
    assert run("run", "--drain", **work)[0] == 0
    assert run("verify", **writer)[0] == 0

    with psycopg.connect(logins["writer"]) as connection:
        for statement in (
            "UPDATE policy SET label_floor = now()",
            "DELETE FROM erasures",
            "DELETE FROM dead_letters",
            "DELETE FROM stream_offsets",
            "UPDATE alembic_version SET version_num = ''",
            "TRUNCATE posts",
            "DROP TABLE posts",
            "ALTER TABLE posts ADD COLUMN more text",
            "CREATE TABLE mine (n int)",
            "SET ROLE emotion_owner",
        ):
            assert denied(connection, statement), statement

    code, out, err = run("trends", "--since", "1d", "--json", **reader)
    assert code == 0, err
    with psycopg.connect(logins["reader"]) as connection:
        for view in VIEWS:
            connection.execute(f"SELECT * FROM {view}").fetchall()
        assert connection.execute(f"SELECT {LABELS} FROM post_emotions").fetchall()
        rows = connection.execute("SELECT reason, detail, state FROM dead_letters").fetchall()
        assert [row[0] for row in rows] == ["bad_json"]
        connection.rollback()
        for column in ("text", "author_hash"):
            assert denied(connection, f"SELECT {column} FROM post_emotions"), column
        for column in ("key", "value", "value_sha256"):
            assert denied(connection, f"SELECT {column} FROM dead_letters"), column
        for table in ("policy", "erasures", "posts", "shadow_labels", "kept_labels"):
            assert denied(connection, f"SELECT * FROM {table}"), table
        # Not by a day's own table either.
        days = connection.execute(TABLES + "('r') AND relispartition").fetchall()
        assert any(name.startswith("post_emotions_2") for (name,) in days)
        connection.rollback()
        for (day,) in days:
            assert denied(connection, f"SELECT * FROM {day}"), day
        tables = connection.execute(TABLES + "('r', 'p')").fetchall()
        connection.rollback()
        assert len(tables) > 10
        for (table,) in tables:
            for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
                assert denied(connection, statement), statement
            assert denied(connection, f"INSERT INTO {table} DEFAULT VALUES"), table
        for statement in ("CREATE TABLE mine (n int)", "SET ROLE emotion_writer"):
            assert denied(connection, statement), statement


def test_roles_before_the_first_migration_and_tables_that_come_later(
    run: Callable[..., Any], postgres_server: Any, logins: dict[str, str]
) -> None:
    name = postgres_server.create()
    url = postgres_server.url_of(name)
    at = {
        role: urlsplit(login)._replace(path=f"/{name}").geturl() for role, login in logins.items()
    }
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ROLES)
        code, out, err = run("migrate", WORKER_DATABASE_URL=at["owner"])
        assert (code, err) == (0, ""), out
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ROLES)
        assert {row[1] for row in grants(url)} == {"emotion_owner"}
        assert run("verify", WORKER_DATABASE_URL=at["writer"])[0] == 0

        with psycopg.connect(at["owner"], autocommit=True) as connection:
            connection.execute("CREATE TABLE later (n integer GENERATED ALWAYS AS IDENTITY, m int)")
        with psycopg.connect(at["writer"], autocommit=True) as connection:
            connection.execute("INSERT INTO later (m) VALUES (1)")
        with psycopg.connect(at["reader"]) as connection:
            assert denied(connection, "SELECT * FROM later")
    finally:
        postgres_server.drop(name)
