"""Brings a database's schema to head, from a source tree or from an installed wheel."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from worker.errors import DependencyError, WorkerError
from worker.store.connection import address, sqlalchemy_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOCK: Final = 0x656D6F74
"""Advisory lock key: two `migrate` at once, as two pods starting, take turns."""


def _scripts() -> Path:
    package = Path(__file__).parents[1]
    inside = package / "migrations"  # a wheel carries the scripts here
    return inside if inside.is_dir() else package.parent / "migrations"


def _config(output: TextIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", str(_scripts()))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _connection(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        sqlalchemy_url(url),
        poolclass=sa.NullPool,
        connect_args={"connect_timeout": 10, "application_name": "emotion-worker migrate"},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().splitlines()[-1]
        raise DependencyError(f"Postgres at {address(url)}: {reason}.") from None
    except sa.exc.ProgrammingError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise WorkerError(
            f"Postgres at {address(url)} refused the migration: {reason}. "
            "The role needs CREATE on the schema, and the schema must be ours alone."
        ) from None


def head() -> str:
    """The revision that this version of the worker knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(url: str) -> str | None:
    """The database's revision; None if it was never migrated.

    Raises:
        DependencyError: The database cannot be reached.
    """
    with _connection(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the schema to `revision`, one transaction each step. Safe to call side by side.

    Raises:
        DependencyError: The database cannot be reached.
        WorkerError: The role may not create tables there.
    """
    _run(url, command.upgrade, revision)


def downgrade(url: str, revision: str) -> None:
    """Takes the schema back to `revision` (`base`: nothing), and its data with it."""
    _run(url, command.downgrade, revision)


def upgrade_sql(output: TextIO) -> None:
    """Writes the SQL from nothing to head, for a person to review and run, to `output`."""
    config = _config(output)
    command.upgrade(config, "head", sql=True)


def _run(url: str, step: Callable[[Config, str], None], revision: str) -> None:
    with _connection(url) as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            config = _config()
            config.attributes["connection"] = connection
            step(config, revision)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
