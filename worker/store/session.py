"""A session with Postgres: made again when it is lost, and who may retry what in it."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg import errors

from worker.errors import DependencyError, SchemaError, StoreUnavailableError, WorkerError
from worker.store.connection import WRONG_SCHEMA, address, connect, first_line
from worker.store.load import Hasher
from worker.store.locks import hold_revision, hold_slot
from worker.store.queries import query
from worker.store.revision import check_schema, newest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

IDLE_IN_TRANSACTION_S: Final = 5
"""Ends a transaction whose worker stopped inside it. Ours think for milliseconds between two
statements; a frozen one holds up the partition's new owner for this long."""
WRITE_LOCK_TIMEOUT_S: Final = 15
"""Longer than the above: a writer that waits for a frozen one outlives it."""
ATTEMPTS: Final = 8
"""Of a transaction that lost a deadlock or waited too long, before the database counts as away."""


class LabelsMovedError(Exception):
    """Labels were not where their identities say: a day's partition was made meanwhile.

    If it happens again and again, they are missing: `verify` lists them.
    """


class ErasedMeanwhileError(Exception):
    """Another writer met an erased author's record of one of our posts before we locked it."""


_AGAIN: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    ErasedMeanwhileError,
)
_REPLANNED: Final = (errors.CheckViolation, LabelsMovedError)
"""What a day's partition brings about that is made while a statement runs: planned anew, the
statement finds its place. What comes again after all attempts is no such thing."""
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction)


class StillBusyError(Exception):
    """One attempt was allowed, and it met a lock."""


class Session:
    """One connection, with what its work needs.

    Args:
        url: The database.
        name: What `pg_stat_activity` shows.
        writes: Whether it stores or removes labels: it then has temporary tables, a slot of the
            trend cells and the key of the erasures.
        author_key: Key of the author hashes; None: authors have none.
        again: Called before each attempt: one may wait for a lock for long, all of them longer.

    Attributes:
        slot: The slot of the trend cells to write to, where it writes.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        writes: bool = False,
        author_key: bytes | None = None,
        again: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._writes = writes
        self._name = name
        self._author_key = author_key
        self._again = again
        self._connection: psycopg.Connection | None = None
        self._hasher: Hasher | None = None
        self.slot = 0

    @property
    def hasher(self) -> Hasher:
        """Of the database connected to; only once `run` was called on a session that writes."""
        assert self._hasher is not None, "a session that writes has one once it is connected"
        return self._hasher

    def __enter__(self) -> Session:
        """Closes in the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Ends the session; the next `run` makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def run(self, work: Callable[[psycopg.Connection], T], attempts: int = ATTEMPTS) -> T:
        """Does `work`, a transaction that commits in the end, again where others got in its way.

        Raises:
            StoreUnavailableError: The database is away.
            SchemaError: Its schema is not one that we may use.
            WorkerError: It refuses the work.
            StillBusyError: A single attempt was allowed, and it met a lock.
        """
        for attempt in range(attempts):
            if attempt:
                time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - not a secret
            self._again()
            connection = self._session()
            try:
                return work(connection)
            except _AGAIN:
                self._rollback(connection)
            except _REPLANNED as error:
                self._rollback(connection)
                if attempt + 1 == attempts:
                    raise WorkerError(
                        f"The tables at {address(self._url)} contradict each other: "
                        f"{first_line(error)}. Nothing was stored; `emotion-worker verify` lists "
                        "what is wrong."
                    ) from error
            except WRONG_SCHEMA as error:
                self._rollback(connection)
                raise self._wrong_schema(connection, error) from None
            except _AWAY as error:
                self.close()
                raise self._away(error) from None
            except psycopg.Error as error:
                if connection.closed:
                    # Whatever the server said last, as when it ends a transaction that stood
                    # still for too long: the session is gone, the batch is not to blame.
                    self.close()
                    raise self._away(error) from None
                self._rollback(connection)
                raise WorkerError(
                    f"Postgres at {address(self._url)} refused the transaction: "
                    f"{first_line(error)} (SQLSTATE {error.sqlstate}). Nothing of it was stored."
                ) from error
            except BaseException:
                self._rollback(connection)
                raise
        if attempts == 1:
            raise StillBusyError
        raise StoreUnavailableError(
            f"Postgres at {address(self._url)}: a transaction lost {attempts} times in a row "
            "against others (deadlocks or lock timeouts). Is something holding locks there?"
        )

    def _rollback(self, connection: psycopg.Connection) -> None:
        try:
            connection.rollback()
        except psycopg.Error:
            self.close()

    def _session(self) -> psycopg.Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        try:
            connection = connect(self._url, application_name=self._name[:63])
        except DependencyError as error:
            raise StoreUnavailableError(str(error)) from None
        with ExitStack() as failed:
            failed.callback(connection.close)
            try:
                self._prepare(connection)
            except WRONG_SCHEMA as error:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise self._wrong_schema(connection, error) from None
            except _AWAY as error:
                raise self._away(error) from None
            except psycopg.Error as error:
                raise WorkerError(
                    f"WORKER_DATABASE_URL: {first_line(error)}. Grant it to this role."
                ) from None
            failed.pop_all()
        self._connection = connection
        return connection

    def _prepare(self, connection: psycopg.Connection) -> None:
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise WorkerError(
                f"The database at {address(self._url)} is not encoded in UTF8, so posts would be "
                "refused. Create one with ENCODING 'UTF8'."
            )
        connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")
        connection.execute(f"SET lock_timeout = '{WRITE_LOCK_TIMEOUT_S}s'")
        check_schema(connection)
        if self._writes:
            hold_revision(connection, newest())
            connection.execute(query("session"))
            self.slot = hold_slot(connection)
            row = connection.execute("SELECT erasure_key FROM policy").fetchone()
            assert row is not None
            self._hasher = Hasher(row[0], self._author_key)
        connection.commit()

    def _away(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Postgres at {address(self._url)} is away: {first_line(error)}"
        )

    def _wrong_schema(self, connection: psycopg.Connection, error: psycopg.Error) -> WorkerError:
        """What to say where something is missing: a migration came between, or a hand did."""
        try:
            check_schema(connection)
        except SchemaError as why:
            return why
        except psycopg.Error as lost:
            return self._away(lost)
        return SchemaError(
            f"The schema of the database at {address(self._url)} is at {newest()}, and yet "
            f"{first_line(error)}: somebody changed it by hand. Undo that."
        )
