"""Brings a database's schema to head, from a source tree or from an installed wheel.

Workers may run meanwhile. A migration waits for each lock only briefly, for whoever wants the table
next waits behind it; then it is rolled back, lets the others through, and comes again.
"""

from __future__ import annotations

import random
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO, cast

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors

from worker.errors import DependencyError, SchemaError, WorkerError
from worker.store.connection import address, first_line, sqlalchemy_url
from worker.store.locks import older_writers
from worker.store.queries import query
from worker.store.revision import known, read_standing
from worker.store.revision import scripts as our_scripts
from worker.store.steps import Step, steps, wait_briefly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LOCK: Final = 0x656D6F74
"""Advisory lock key: two `migrate` at once, as two pods starting, take turns."""
_PAUSE_S: Final = (1.0, 15.0)
"""First and longest pause between two attempts, in which the others get on."""
_TURN_S: Final = 0.2
WAIT_S: Final = 300.0
"""How long locks, another `migrate` and workers that a migration ends are waited for."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What `upgrade` did.

    Attributes:
        before: The revision; None: there was no schema.
        after: The revision now.
        oldest: The oldest revision that a worker must know now.
        ended: Whether workers of before may find that they do not.
    """

    before: str | None
    after: str | None
    oldest: str | None
    ended: bool


def _config(scripts: Path | None = None, output: TextIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", str(scripts or our_scripts()))
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
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        why = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if isinstance(why, psycopg.OperationalError):
            reason = str(why).strip().splitlines()[-1]
            raise DependencyError(f"Postgres at {address(url)}: {reason}.") from None
        if isinstance(why, psycopg.ProgrammingError):
            raise WorkerError(
                f"Postgres at {address(url)} refused the migration: {first_line(why)}. "
                "The role needs CREATE on the schema, and the schema must be ours alone."
            ) from None
        raise


def current(url: str) -> str | None:
    """The database's revision; None if it was never migrated.

    Raises:
        DependencyError: The database cannot be reached.
    """
    with _connection(url) as connection:
        return _revision(connection)


def pending(url: str, scripts: Path | None = None) -> list[Step]:
    """What `upgrade` would apply, in order.

    Raises:
        DependencyError: The database cannot be reached.
        SchemaError: Its schema is of another line than ours.
    """
    with _connection(url) as connection:
        return _pending(url, connection, scripts, "head")


def upgrade(
    url: str,
    revision: str = "head",
    *,
    scripts: Path | None = None,
    wait_s: float = WAIT_S,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Migrated:
    """Brings the schema to `revision`, one transaction each step. Safe to call side by side.

    A schema that a later version has migrated is left as it is, where it lets our workers go on:
    to go back a version is to start the older one, whose `migrate` has nothing to do.

    Args:
        url: The database.
        revision: Where to.
        scripts: Alembic's folder; None: ours.
        wait_s: How long what is in the way is waited for.
        force: Whether workers that a migration ends are not waited for.
        say: Told what is waited for.

    Raises:
        DependencyError: The database cannot be reached, or others held on to their locks.
        SchemaError: The schema is of another line than ours.
        WorkerError: The role may not create tables there, or workers that would end still run.
    """
    with _turn(url, wait_s, say) as (connection, deadline):
        before = _revision(connection)
        ahead = _pending(url, connection, scripts, revision)
        contractions = [step for step in ahead if step.kind == "contract"]
        if contractions and before is not None and not force:
            _see_older_off(connection, contractions[-1], deadline, say)
        if ahead:
            _patiently(
                url, connection, lambda config: command.upgrade(config, revision),
                scripts=scripts, deadline=deadline, say=say,
            )  # fmt: skip
        after = _revision(connection)
        oldest = ahead[-1].oldest if ahead else None
        return Migrated(before, after, oldest, before is not None and bool(contractions))


def downgrade(
    url: str, revision: str, *, scripts: Path | None = None, wait_s: float = WAIT_S
) -> None:
    """Takes the schema back to `revision` (`base`: nothing), and its data with it."""
    with _turn(url, wait_s, lambda _: None) as (connection, deadline):
        _patiently(
            url, connection, lambda config: command.downgrade(config, revision),
            scripts=scripts, deadline=deadline, say=lambda _: None,
        )  # fmt: skip


def upgrade_sql(output: TextIO) -> None:
    """Writes the SQL from nothing to head, for a person to review and run, to `output`."""
    command.upgrade(_config(output=output), "head", sql=True)


def _pending(
    url: str, connection: sa.Connection, scripts: Path | None, revision: str
) -> list[Step]:
    all_steps = steps(ScriptDirectory.from_config(_config(scripts)))
    mine = [step.revision for step in all_steps]
    standing = read_standing(_driver(connection), mine)
    connection.rollback()
    stands = -1
    if standing.revision in mine:
        stands = mine.index(standing.revision)
    elif standing.revision is not None:
        refusal = standing.refusal(mine)
        if refusal is not None:
            raise SchemaError(f"The schema in {address(url)} {refusal}.")
        return []
    last = len(mine) - 1 if revision == "head" else mine.index(revision)
    return all_steps[stands + 1 : last + 1]


def _revision(connection: sa.Connection) -> str | None:
    revision = read_standing(_driver(connection), known()).revision
    connection.rollback()
    return revision


def _driver(connection: sa.Connection) -> psycopg.Connection:
    """The driver's own; SQLAlchemy is told that a transaction has begun on it."""
    connection.execute(sa.text("SELECT"))
    return cast("psycopg.Connection", connection.connection.driver_connection)


@contextmanager
def _turn(
    url: str, wait_s: float, say: Callable[[str], None]
) -> Iterator[tuple[sa.Connection, float]]:
    """A connection that is the only one to migrate, and until when it may wait, monotonic."""
    deadline = time.monotonic() + wait_s
    with _connection(url) as connection:
        wait_briefly(connection.execute)
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.commit()
        # Asked again and again, rather than waited for inside the server: an index that the other
        # one builds CONCURRENTLY would wait for our statement, and we for the index.
        waiting = False
        while not _locked(connection):
            if time.monotonic() >= deadline:
                raise DependencyError(
                    f"Another `emotion-worker migrate` is at work in {address(url)} and was not "
                    f"done within {wait_s:g} s: wait for it, or give this one more time (--wait)."
                )
            if not waiting:
                say("another migrate is at work: waiting for it")
            waiting = True
            time.sleep(_TURN_S)
        try:
            yield connection, deadline
        finally:
            # Where the connection is gone, so is the lock.
            with suppress(sa.exc.DBAPIError):
                connection.rollback()
                connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
                connection.commit()


def _locked(connection: sa.Connection) -> bool:
    locked = connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK})
    connection.commit()
    return bool(locked)


def _see_older_off(
    connection: sa.Connection, contraction: Step, deadline: float, say: Callable[[str], None]
) -> None:
    """Waits for the workers to go that the contraction would end."""
    told = False
    while True:
        older = older_writers(_driver(connection), contraction.oldest)
        connection.rollback()
        if not older:
            return
        what = f"workers that do not know {contraction.oldest} (sessions: {older})"
        if time.monotonic() >= deadline:
            raise WorkerError(
                f"{contraction.revision} would end {what}, and they still run. Nothing was "
                f"changed. Replace them by a version that knows {contraction.oldest} first; or "
                "end them with --force, and posts wait until newer ones are there."
            )
        if not told:
            say(f"{what} still run: waiting for them to be replaced")
        told = True
        time.sleep(_TURN_S)


def _patiently(
    url: str,
    connection: sa.Connection,
    work: Callable[[Config], None],
    *,
    scripts: Path | None,
    deadline: float,
    say: Callable[[str], None],
) -> None:
    """Does `work` until it gets its locks; a migration that was applied is not done again."""
    config = _config(scripts)
    config.attributes["connection"] = connection
    pause, longest = _PAUSE_S
    while True:
        try:
            # An attempt that was rolled back may have begun with another one.
            wait_briefly(connection.execute)
            connection.commit()
            work(config)
            connection.commit()
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
            connection.rollback()
        else:
            return
        holder = _holder(connection)
        if time.monotonic() >= deadline:
            raise DependencyError(
                f"Postgres at {address(url)}: a migration did not get the locks that it needs; "
                f"{holder}. Nothing of it was done. End that session, or run `emotion-worker "
                "migrate` again (--wait gives it more time)."
            )
        say(f"{holder}: trying again in {pause:g} s")
        time.sleep(min(pause * random.uniform(0.8, 1.2), max(0.0, deadline - time.monotonic())))  # noqa: S311
        pause = min(2 * pause, longest)


def _holder(connection: sa.Connection) -> str:
    """Who holds the tables, as far as we may know."""
    row = _driver(connection).execute(query("migrate_holders")).fetchone()
    connection.rollback()
    if row is None:
        return "whoever held its tables has let go of them"
    pid, name, state, seconds = row
    what = ", ".join(str(one) for one in (name or None, state) if one)
    for_s = "" if seconds is None else f", in a transaction for {seconds} s"
    return f"session {pid} ({what or 'of another role'}{for_s}) holds tables"
