"""Connections to Postgres: one way to make them, with what every session of ours needs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from worker.errors import DependencyError, SchemaError, SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

CONNECT_TIMEOUT_S: Final = 10
"""Long enough for a failover's new address, short enough that `check` answers while one watches."""

WRONG_SCHEMA: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
)
"""What Postgres says where the schema is not the one that this version knows."""


def libpq_url(url: str) -> str:
    """`url` as libpq takes it: both `postgresql://` and `postgresql+psycopg://` mean psycopg 3.

    Raises:
        SettingsError: It is no Postgres URL. The message holds neither user nor password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise SettingsError(
            "WORKER_DATABASE_URL must look like postgresql://user:password@host:port/database."
        )
    plain = f"postgresql://{rest}"
    try:
        parts = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    # What of a password was taken for a host would be shown with the host.
    if set("@#?/") & set(str(parts.get("host") or "").removeprefix("/").replace("/", "")):
        raise SettingsError(
            "WORKER_DATABASE_URL is no valid Postgres URL; percent-encode special characters in "
            "the user and the password (@ is %40, / is %2F, # is %23)."
        )
    for port in str(parts.get("port") or "5432").split(","):
        if port and not (port.isdecimal() and 0 < int(port) < 65_536):
            raise SettingsError(
                "WORKER_DATABASE_URL: the port is no number from 1 to 65535; or is there a / in "
                "the password (%2F)?"
            )
    return plain


def sqlalchemy_url(url: str) -> URL:
    """`url` for SQLAlchemy, with the driver named."""
    return make_url(libpq_url(url)).set(drivername="postgresql+psycopg")


def address(url: str) -> str:
    """Host, port and database of `url`, for people; never user or password."""
    parts = urlsplit(libpq_url(url))
    return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Turns what Postgres says of a command's statements into what a person can do about it.

    Raises:
        SchemaError: The database was not migrated.
        DependencyError: The database went away.
        WorkerError: The role lacks a right.
    """
    try:
        yield
    except WRONG_SCHEMA as error:
        raise SchemaError(
            f"WORKER_DATABASE_URL: this database has not the schema that we know "
            f"({first_line(error)}). "
            "Run `emotion-worker migrate`, or name the database that the worker writes to."
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise WorkerError(
            f"WORKER_DATABASE_URL: {first_line(error)}. Grant it to this role."
        ) from None
    except psycopg.OperationalError as error:
        raise DependencyError(f"Postgres did not answer: {first_line(error)}. Try again.") from None


def first_line(error: Exception) -> str:
    """The first line of what Postgres said; the rest is hints and places in the statement."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def connect(url: str, *, application_name: str, autocommit: bool = False) -> psycopg.Connection:
    """Connects, with times in UTC.

    Raises:
        DependencyError: The server does not answer, or refuses us.
        SettingsError: `url` is no Postgres URL.
    """
    connection: psycopg.Connection | None = None
    try:
        connection = psycopg.connect(
            libpq_url(url),
            autocommit=True,
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            # A peer that vanished without a word is noticed in 25 s, not after the system's hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        connection.execute("SET TimeZone TO 'UTC'")
        connection.autocommit = autocommit
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if connection is not None:
            connection.close()
        reason = first_line(error).rpartition("failed: ")[2] or "no answer"
        raise DependencyError(
            f"Postgres at {address(url)} cannot be reached: {reason}. "
            "Is it running, and is WORKER_DATABASE_URL right?"
        ) from None
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection
