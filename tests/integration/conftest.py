"""A database with nine days of posts in it, for whoever only reads."""

# ruff: noqa: PLC0415 (imported where needed, as in the fixtures above this folder)
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import DatabaseServer


def make_week(url: str) -> None:
    """Loads `tests.fakes.week` into a migrated database, in which `now()` is from then on its end.

    What is shown must be the same on any day: a `now` of the schema `docs` goes before Postgres's
    own in the database's search path.
    """
    import psycopg
    from psycopg.sql import SQL, Identifier, Literal

    from tests.fakes import week

    week.load(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA docs")
        connection.execute(
            SQL(
                "CREATE FUNCTION docs.now() RETURNS timestamptz LANGUAGE sql STABLE"
                " RETURN {}::timestamptz"
            ).format(Literal(week.END.isoformat()))
        )
        database = SQL("ALTER DATABASE {} SET ").format(Identifier(connection.info.dbname))
        connection.execute(database + SQL("search_path = docs, pg_catalog, public"))
        connection.execute(database + SQL("timezone = 'UTC'"))
        connection.execute("ANALYZE")


@pytest.fixture(scope="session")
def week_url(postgres_server: DatabaseServer, migrated_template: str) -> Iterator[str]:
    """URL of a database with nine days of posts, which nobody changes: see `make_week`."""
    name = postgres_server.create(migrated_template)
    url = postgres_server.url_of(name)
    try:
        make_week(url)
        yield url
    finally:
        postgres_server.drop(name)
