"""The store on Postgres: one session, made again when it is lost, and who may retry what."""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from worker.errors import ClaimBusyError, SchemaError, StoreUnavailableError, WorkerError
from worker.errors import DependencyError as _DependencyError
from worker.posts import Post
from worker.posts.place import Partition
from worker.store import writer
from worker.store.connection import address, connect, first_line
from worker.store.interface import Claim, Position
from worker.store.load import Hasher
from worker.store.locks import hold_slot
from worker.store.partitions import ensure_day, wanted
from worker.store.queries import query
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.classifier.interface import ModelInfo
    from worker.posts.place import Span
    from worker.store.interface import LabelledBatch, Written

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_IN_TRANSACTION_S: Final = 5
"""Ends a transaction whose worker stopped inside it. Ours think for milliseconds between two
statements; a frozen one holds up the partition's new owner for this long."""
WRITE_LOCK_TIMEOUT_S: Final = 15
"""Longer than the above: a writer that waits for a frozen one outlives it."""
CLAIM_LOCK_TIMEOUT_S: Final = 0.2
"""Short: other partitions' batches wait behind a claim, and the claim is tried again."""
DAY_LOCK_TIMEOUT_S: Final = 0.2
"""For a new day's partition. Short: a dump or a long query holds the lock that it takes, and
readers queue up behind who waits for it."""
DAY_AGAIN_S: Final = 60.0
ATTEMPTS: Final = 8
"""Of a transaction that lost a deadlock or waited too long, before the database counts as away."""

_AGAIN: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
)
_REPLANNED: Final = (errors.CheckViolation, writer.LabelsMovedError)
"""What a day's partition brings about that is made while a statement runs: planned anew, the
statement finds its place. What comes again after all attempts is no such thing."""
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction)
_WRONG_SCHEMA: Final = (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedObject)


class PostgresStore:
    """Implements `worker.store.interface.Store` for one consumer group.

    Args:
        url: The database.
        group: The consumer group whose positions these are.
        author_key: Key of the author hashes; None stores no authors.
        store_text: Whether the posts' texts are kept.
        clock: Wall clock, UTC; decides which days deserve a partition.
    """

    def __init__(
        self,
        url: str,
        *,
        group: str,
        author_key: str | None = None,
        store_text: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self._group = group
        self._author_key = None if author_key is None else author_key.encode()
        self._store_text = store_text
        self._clock = clock
        self._connection: psycopg.Connection | None = None
        self._slot = 0
        self._hasher: Hasher | None = None
        self._days: set[date] = set()
        self._not_before: dict[date, float] = {}

    def open(self) -> None:
        """Connects now rather than at the first use, so that what is wrong is said at the start.

        Raises:
            StoreUnavailableError: The database cannot be reached.
            SchemaError: It was not migrated.
            WorkerError: It is not UTF-8, or its erasures need an author key that we lack.
        """
        self._run(lambda _: None)

    def close(self) -> None:
        """Ends the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def register_model(self, info: ModelInfo) -> int:
        """The id of the bundle's `models` row, made if it is new."""
        parameters = {
            "name": info.name,
            "version": info.version,
            "sha256": info.sha256,
            "base": info.base,
            "labels": list(info.labels),
            "metrics": Jsonb(dict(info.metrics)),
        }

        def register(connection: psycopg.Connection) -> int:
            for _ in range(2):  # a row that another worker adds meanwhile shows the second time
                row = connection.execute(query("register_model"), parameters).fetchone()
                connection.commit()
                if row is not None:
                    return int(row[0])
            raise AssertionError("the model's row neither stands nor could be made")

        return self._run(register)

    def claim(self, partition: Partition, siblings: int, owner: str) -> Claim:
        """See `Store.claim`."""
        parameters = {
            "group": self._group,
            "topic": partition.topic,
            "topic_id": partition.topic_id,
            "partition": partition.number,
            "siblings": siblings,
            "owner": owner,
        }

        def claim(connection: psycopg.Connection) -> Claim:
            connection.execute(f"SET LOCAL lock_timeout = '{CLAIM_LOCK_TIMEOUT_S}s'")
            connection.execute(query("claim_siblings"), parameters)
            connection.execute(query("claim_retire"), parameters)
            row = connection.execute(query("claim"), parameters).fetchone()
            connection.commit()
            assert row is not None
            return Claim(partition, epoch=row[1], next_offset=row[0], superseded=row[2])

        try:
            return self._run(claim, attempts=1)
        except _StillBusyError:
            raise ClaimBusyError(
                f"{partition}: the last owner's transaction still holds the position; it is ended "
                f"after {IDLE_IN_TRANSACTION_S} s at the latest"
            ) from None

    def settle(self, claim: Claim, offset: int) -> bool:
        """See `Store.settle`."""
        parameters = {
            "group": self._group,
            "topic": claim.partition.topic,
            "topic_id": claim.partition.topic_id,
            "partition": claim.partition.number,
            "epoch": claim.epoch,
            "expected": claim.next_offset,
            "offset": offset,
        }

        def settle(connection: psycopg.Connection) -> bool:
            moved = connection.execute(query("settle"), parameters).rowcount == 1
            connection.commit()
            return moved

        return self._run(settle)

    def write(self, batch: LabelledBatch) -> Written:
        """See `Store.write`."""
        days = {
            entry.decoded.created_at.date()
            for entry in batch.entries
            if isinstance(entry.decoded, Post)
        }

        def write(connection: psycopg.Connection) -> Written:
            self._ensure_days(connection, days)
            assert self._hasher is not None
            with connection.cursor(binary=True) as cursor:
                written = writer.write(
                    cursor,
                    batch,
                    group=self._group,
                    slot=self._slot,
                    hasher=self._hasher,
                    store_text=self._store_text,
                )
            # A plain commit: `with connection.transaction()` ends without a word, and without a
            # commit, where the connection was closed inside it.
            connection.commit()
            return written

        return self._run(write)

    def heartbeat(self, spans: Sequence[Span]) -> int:
        """See `Store.heartbeat`."""
        parameters = {
            "group": self._group,
            "topics": [span.partition.topic for span in spans],
            "topic_ids": [span.partition.topic_id for span in spans],
            "partitions": [span.partition.number for span in spans],
            "epochs": [span.epoch for span in spans],
            "ends": [span.end for span in spans],
            "watermarks": [span.watermark for span in spans],
        }

        def beat(connection: psycopg.Connection) -> int:
            raised = connection.execute(query("heartbeat"), parameters).rowcount
            connection.commit()
            return raised

        return self._run(beat)

    def positions(self, group: str, topics: Sequence[str] | None = None) -> list[Position]:
        """See `Store.positions`; None: of all topics."""
        parameters = {"group": group, "topics": None if topics is None else list(topics)}

        def read(connection: psycopg.Connection) -> list[Position]:
            rows = connection.execute(query("positions"), parameters).fetchall()
            connection.commit()
            return [
                Position(
                    partition=Partition(row[0], row[1], row[2]),
                    next_offset=row[3],
                    owner_epoch=row[4],
                    owner_id=row[5],
                    watermark=row[6],
                    updated_at=row[7],
                    retired_at=row[8],
                    consumed=row[9],
                    outcomes=dict(zip(OUTCOMES, row[10:], strict=True)),
                )
                for row in rows
            ]

        return self._run(read)

    def _ensure_days(self, connection: psycopg.Connection, days: set[date]) -> None:
        today = self._clock().date()
        # Tomorrow's ahead of its first post, so that midnight is no rush for a lock.
        for day in wanted({*days, today + timedelta(days=1)} - self._days, today):
            if time.monotonic() < self._not_before.get(day, 0.0):
                continue
            try:
                connection.execute(f"SET LOCAL lock_timeout = '{DAY_LOCK_TIMEOUT_S}s'")
                ensure_day(connection, day)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                # Its posts go to the default partition for now; who makes the day moves them.
                connection.rollback()
                self._not_before[day] = time.monotonic() + DAY_AGAIN_S
                continue
            except errors.InsufficientPrivilege:
                connection.rollback()
                log.warning(
                    "this role may not make day partitions; posts go to the default partition",
                    extra={"day": day.isoformat()},
                )
            self._days.add(day)

    def _run(self, work: Callable[[psycopg.Connection], T], attempts: int = ATTEMPTS) -> T:
        for attempt in range(attempts):
            if attempt:
                time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - not a secret
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
            except _WRONG_SCHEMA as error:
                self._rollback(connection)
                raise _not_migrated(self._url, error) from None
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
                    f"Postgres at {address(self._url)} refused to store a batch: "
                    f"{first_line(error)} (SQLSTATE {error.sqlstate}). Nothing of it was stored."
                ) from error
            except BaseException:
                self._rollback(connection)
                raise
        if attempts == 1:
            raise _StillBusyError
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
            connection = connect(self._url, application_name=f"emotion-worker {self._group}"[:63])
        except _DependencyError as error:
            raise StoreUnavailableError(str(error)) from None
        try:
            self._prepare(connection)
        except _WRONG_SCHEMA as error:
            connection.close()
            raise _not_migrated(self._url, error) from None
        except _AWAY as error:
            connection.close()
            raise self._away(error) from None
        except BaseException:
            connection.close()
            raise
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
        connection.execute(query("session"))
        self._slot = hold_slot(connection)
        with connection.cursor() as cursor:
            row = cursor.execute("SELECT erasure_key FROM policy").fetchone()
            assert row is not None
            self._hasher = Hasher(row[0], self._author_key)
            self._check_author_key(writer.read_policy(cursor).author_key_fingerprint)
        connection.commit()

    def _check_author_key(self, fingerprint: bytes | None) -> None:
        assert self._hasher is not None
        if fingerprint is None or self._hasher.author_key_fingerprint() == fingerprint:
            return
        raise WorkerError(
            "Authors were erased here under a WORKER_AUTHOR_KEY that this worker does not have; "
            "without it their posts would come back. Set that key."
        )

    def _away(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"Postgres at {address(self._url)} is away: {first_line(error)}"
        )


class _StillBusyError(Exception):
    """One attempt was allowed, and it met a lock."""


def _not_migrated(url: str, error: psycopg.Error) -> SchemaError:
    return SchemaError(
        f"The schema of the database at {address(url)} is not the one this worker knows "
        f"({first_line(error)}). Run `emotion-worker migrate`."
    )
