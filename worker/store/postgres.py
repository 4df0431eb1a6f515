"""The store on Postgres."""

from __future__ import annotations

import logging
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import errors
from psycopg.types.json import Jsonb

from worker.errors import ClaimBusyError
from worker.posts import Post
from worker.store import writer
from worker.store.interface import Claim
from worker.store.offsets import read_positions
from worker.store.partitions import ensure_day, wanted
from worker.store.policy import check_author_key, read_policy, share_schema
from worker.store.queries import query
from worker.store.revision import check_schema, newest
from worker.store.session import IDLE_IN_TRANSACTION_S, Session, StillBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from worker.classifier.interface import ModelInfo
    from worker.posts.place import Partition, Span
    from worker.store.interface import LabelledBatch, Position, Written

log = logging.getLogger(__name__)

CLAIM_LOCK_TIMEOUT_S: Final = 0.2
"""Short: other partitions' batches wait behind a claim, and the claim is tried again."""
DAY_LOCK_TIMEOUT_S: Final = 0.2
"""For a new day's partition. Short: a dump or a long query holds the lock that it takes, and
readers queue up behind who waits for it."""
DAY_AGAIN_S: Final = 60.0


class PostgresStore:
    """Implements `worker.store.interface.Store` for one consumer group.

    Args:
        url: The database.
        group: The consumer group whose positions these are.
        author_key: Key of the author hashes; None stores no authors.
        store_text: Whether the posts' texts are kept.
        again: Called before each attempt of a transaction.
        clock: Wall clock, UTC; decides which days deserve a partition.
    """

    def __init__(
        self,
        url: str,
        *,
        group: str,
        author_key: str | None = None,
        store_text: bool = False,
        again: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._group = group
        self._session = Session(
            url,
            name=f"emotion-worker {group}",
            writes=True,
            author_key=None if author_key is None else author_key.encode(),
            again=again,
        )
        self._store_text = store_text
        self._clock = clock
        self._days: set[date] = set()
        self._not_before: dict[date, float] = {}

    def open(self) -> None:
        """Connects now rather than at the first use, so that what is wrong is said at the start.

        Raises:
            StoreUnavailableError: The database cannot be reached.
            SchemaError: Its schema is not one that we may use.
            WorkerError: It is not UTF-8, or its erasures need an author key that we lack.
        """

        def look(connection: psycopg.Connection) -> None:
            with connection.cursor() as cursor:
                check_author_key(read_policy(cursor), self._session.hasher)
            revision = check_schema(connection)
            if revision != newest():
                log.info(
                    "the schema is newer than this worker, which it lets go on",
                    extra={"schema": revision, "knows": newest()},
                )
            connection.rollback()

        try:
            self._session.run(look)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the session."""
        self._session.close()

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

        return self._session.run(register)

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
            share_schema(connection)
            connection.execute(query("claim_siblings"), parameters)
            connection.execute(query("claim_retire"), parameters)
            row = connection.execute(query("claim"), parameters).fetchone()
            connection.commit()
            assert row is not None
            return Claim(
                partition, epoch=row[1], next_offset=row[0], superseded=row[3], tripped=row[2]
            )

        try:
            return self._session.run(claim, attempts=1)
        except StillBusyError:
            raise ClaimBusyError(
                f"{partition}: the last owner's transaction still holds the position, which is "
                f"ended after {IDLE_IN_TRANSACTION_S} s at the latest, or a migration or "
                "`maintain` is at work"
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
            share_schema(connection)
            moved = connection.execute(query("settle"), parameters).rowcount == 1
            connection.commit()
            return moved

        return self._session.run(settle)

    def write(self, batch: LabelledBatch) -> Written:
        """See `Store.write`."""
        days = {
            entry.decoded.created_at.date()
            for entry in batch.entries
            if isinstance(entry.decoded, Post)
        }

        def write(connection: psycopg.Connection) -> Written:
            self._ensure_days(connection, days)
            with connection.cursor(binary=True) as cursor:
                written = writer.write(
                    cursor,
                    batch,
                    group=self._group,
                    slot=self._session.slot,
                    hasher=self._session.hasher,
                    store_text=self._store_text,
                )
            # A plain commit: `with connection.transaction()` ends without a word, and without a
            # commit, where the connection was closed inside it.
            connection.commit()
            return written

        return self._session.run(write)

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
            share_schema(connection)
            raised = connection.execute(query("heartbeat"), parameters).rowcount
            connection.commit()
            return raised

        return self._session.run(beat)

    def trip(self, claims: Sequence[Claim]) -> None:
        """See `Store.trip`."""
        parameters = {
            "group": self._group,
            "topics": [claim.partition.topic for claim in claims],
            "topic_ids": [claim.partition.topic_id for claim in claims],
            "partitions": [claim.partition.number for claim in claims],
            "epochs": [claim.epoch for claim in claims],
        }

        def trip(connection: psycopg.Connection) -> None:
            share_schema(connection)
            connection.execute(query("trip"), parameters)
            connection.commit()

        self._session.run(trip)

    def positions(self, group: str, topics: Sequence[str] | None = None) -> list[Position]:
        """See `Store.positions`; None: of all topics."""
        return self._session.run(lambda connection: read_positions(connection, group, topics))

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
