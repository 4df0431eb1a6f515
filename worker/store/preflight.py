"""What can be wrong with a database before the worker uses it, each with its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.errors import SchemaError
from worker.store.connection import connect
from worker.store.revision import check_schema, newest

if TYPE_CHECKING:
    import psycopg

MINIMUM: Final = 160_000
"""Postgres 16: the oldest that the suite runs against."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        good: Whether it is as it must be.
        what: What was found, in a sentence.
    """

    good: bool
    what: str


def look(url: str) -> list[Finding]:
    """Looks at the server, its encoding, the schema, and whether sessions keep their state.

    Raises:
        DependencyError: The database cannot be reached.
    """
    with connect(url, application_name="emotion-worker check", autocommit=True) as connection:
        findings = [_version(connection), _encoding(connection), _sessions(connection)]
        if all(finding.good for finding in findings):
            findings.append(_schema(connection))
    return findings


def _version(connection: psycopg.Connection) -> Finding:
    version = connection.info.server_version
    shown = f"Postgres {version // 10_000}.{version % 10_000} at {connection.info.host}"
    if version < MINIMUM:
        return Finding(False, f"{shown}: 16 or newer is needed")
    return Finding(True, shown)


def _encoding(connection: psycopg.Connection) -> Finding:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding == "UTF8":
        return Finding(True, "encoding UTF8")
    return Finding(False, f"encoding {encoding}: create the database with ENCODING 'UTF8'")


def _sessions(connection: psycopg.Connection) -> Finding:
    """Temporary tables and advisory locks do not outlive a transaction behind some poolers."""
    backends = set()
    for _ in range(8):
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        backends.add(row[0])
    if len(backends) == 1 and connection.info.backend_pid in backends:
        return Finding(True, "sessions keep their state")
    return Finding(
        False,
        "a pooler in transaction mode stands between: point WORKER_DATABASE_URL at Postgres "
        "itself, or use session mode",
    )


def _schema(connection: psycopg.Connection) -> Finding:
    try:
        revision = check_schema(connection)
    except SchemaError as error:
        return Finding(False, str(error))
    if revision == newest():
        return Finding(True, f"schema at {revision}")
    return Finding(True, f"schema at {revision}; this worker knows {newest()}, and may go on")
