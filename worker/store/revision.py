"""Which schema a database has, and whether this version of the worker may use it.

A database that a later version has migrated is at a revision that this one cannot know. So each
migration notes, in `schema_revisions`, the oldest revision that a worker must know from then on: an
expansion leaves that as it is, a contraction raises it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from worker import __version__
from worker.errors import SchemaError
from worker.store.connection import connect, errors_for_people
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg


def scripts() -> Path:
    """Alembic's folder: in a source tree beside the package, in a wheel inside it."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


@cache
def known() -> tuple[str, ...]:
    """The revisions that this version knows, oldest first: each migration's file begins with it.

    Alembic knows them too, but its import takes as long as the rest of a worker's.
    """
    files = (scripts() / "versions").glob("[0-9]*.py")
    return tuple(sorted(file.stem.partition("_")[0] for file in files))


def newest() -> str:
    """The revision that this version's statements are written for."""
    return known()[-1]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a database says of its schema.

    Attributes:
        revision: Its own; None if it was never migrated.
        noted: Where we do not know it: each revision that it went through since it notes them, with
            the oldest that a worker must know from then on, and the version that migrated it.
    """

    revision: str | None
    noted: dict[str, tuple[str, str]]

    def refusal(self, mine: Sequence[str]) -> str | None:
        """Why a worker that knows the revisions `mine`, oldest first, may not use this schema.

        Returns:
            What is the matter and what to do, to be read after "The schema in ... "; None: it may.
        """
        head = mine[-1]
        if self.revision == head:
            return None
        if self.revision is None:
            return (
                "was never made: run `emotion-worker migrate`, or mend WORKER_DATABASE_URL so that "
                "it names the database that the worker writes to"
            )
        if self.revision in mine:
            return (
                f"is at {self.revision}, and this worker needs {head}: run `emotion-worker "
                "migrate` of this version"
            )
        # Later revisions build on ours, or else they are of another line: a fork, or not ours.
        if self.revision not in self.noted or head not in self.noted:
            return (
                f"is at {self.revision}, which this worker does not know, nor was it made from "
                f"{head}, which it does: mend WORKER_DATABASE_URL, or run the version of the "
                "worker that migrated it"
            )
        oldest, by = self.noted[self.revision]
        if oldest in mine:
            return None
        return (
            f"is at {self.revision} and asks for workers that know {oldest}; this one, version "
            f"{__version__}, knows {head}: run version {by}, which migrated it, or a later one"
        )


def read_standing(connection: psycopg.Connection, mine: Sequence[str]) -> Standing:
    """Asks the database; the transaction stays open.

    Args:
        connection: To it.
        mine: The revisions that need no look at what is noted, for which a role may lack the right.
    """
    row = connection.execute(query("revision_tables")).fetchone()
    assert row is not None
    versioned, noting = row
    if not versioned:
        return Standing(None, {})
    row = connection.execute(query("revision")).fetchone()
    assert row is not None
    noting = noting and row[0] is not None and row[0] not in mine
    rows = connection.execute(query("revisions")).fetchall() if noting else []
    return Standing(row[0], {revision: (oldest, by) for revision, oldest, by in rows})


def check_schema(connection: psycopg.Connection) -> str:
    """Makes sure that this version may use the connection's schema; the transaction stays open.

    Returns:
        The schema's revision: `newest()`, or a later one that lets us go on.

    Raises:
        SchemaError: It may not; the message says what to do.
    """
    standing = read_standing(connection, known())
    refusal = standing.refusal(known())
    if refusal is not None:
        raise SchemaError(f"The schema in {_place(connection)} {refusal}.")
    assert standing.revision is not None
    return standing.revision


def check_database(url: str) -> None:
    """Makes sure, before anything slow, that a worker of this version may use the database.

    Raises:
        SchemaError: It may not.
        DependencyError: The database cannot be reached.
    """
    connect_migrated(url, application_name="emotion-worker").close()


def connect_migrated(
    url: str, *, application_name: str, autocommit: bool = False
) -> psycopg.Connection:
    """Connects as `connect` does, to a schema that this version may use.

    Raises:
        SchemaError: It may not.
        DependencyError: The server does not answer, or refuses us.
        WorkerError: The role may not read which schema it is.
        SettingsError: `url` is no Postgres URL.
    """
    connection = connect(url, application_name=application_name, autocommit=autocommit)
    try:
        with errors_for_people():
            check_schema(connection)
            connection.rollback()
    except BaseException:
        connection.close()
        raise
    return connection


def _place(connection: psycopg.Connection) -> str:
    info = connection.info
    host = "local socket" if info.host.startswith("/") else info.host
    return f"{host}:{info.port}/{info.dbname}"
