"""Upkeep: days ahead, retention, folded cells. Safe beside workers, and after a crash.

Each step is short transactions; what one leaves undone the next run finds.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from worker.errors import StoreUnavailableError
from worker.store.locks import hold_upkeep, lock_partitions, own_policy, release_upkeep
from worker.store.partitions import day_of, ensure_day
from worker.store.policy import read_policy
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from worker.settings import Settings
    from worker.store.session import Session

AHEAD: Final = 3
"""Days made ahead: a weekend in which nothing runs but the workers."""
CLOSED: Final = timedelta(hours=26)
"""A cell is folded once its bucket began so long ago: a day's cell is never folded in its day.
Whatever comes later goes to a slot again, and is folded in turn."""
CHUNK: Final = 5_000
"""Rows in one transaction: writers wait for it only where they touch the same rows."""
LOCK_S: Final = 2.0
"""For the labels' table, which a dump or a long query may hold: readers queue up behind us."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long things are kept; None: for good."""

    labels: timedelta | None = None
    minutes: timedelta | None = None
    dead_letters: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> Keep:
        """What the settings say."""

        def days(count: int | None) -> timedelta | None:
            return None if count is None else timedelta(days=count)

        return cls(
            labels=days(settings.retention_days),
            minutes=days(settings.trend_retention_days),
            dead_letters=days(settings.dead_letter_retention_days),
        )


@dataclass(slots=True)
class Maintained:
    """What was done.

    Attributes:
        made: Days that got their partition.
        dropped: Days whose labels were dropped.
        identities: Rows of `posts` dropped with their labels.
        labels: Labels dropped one by one, from the default partition.
        minutes: Minute cells dropped.
        dead_letters: Dead letters dropped.
        folded: Cells folded into slot 0.
        left: What could not be done this time, and why.
    """

    made: list[date] = field(default_factory=list)
    dropped: list[date] = field(default_factory=list)
    identities: int = 0
    labels: int = 0
    minutes: int = 0
    dead_letters: int = 0
    folded: int = 0
    left: list[str] = field(default_factory=list)

    def words(self) -> dict[str, str]:
        """What is worth saying, by name."""
        return {
            name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            for name, value in asdict(self).items()
            if value
        }


def maintain(
    session: Session,
    keep: Keep,
    *,
    now: datetime,
    stop: Callable[[], bool] = lambda: False,
) -> Maintained | None:
    """One round of upkeep.

    Args:
        session: Of a role that may make and drop partitions.
        keep: Retention.
        now: UTC.
        stop: Asked between two transactions.

    Returns:
        What was done; None where another process is at it.

    Raises:
        StoreUnavailableError: The database is away; what was done stays done.
    """
    if not session.run(hold_upkeep):
        return None
    try:
        return _Round(session, keep, now, stop).run()
    finally:
        with suppress(StoreUnavailableError):
            session.run(release_upkeep)


class _Round:
    def __init__(
        self, session: Session, keep: Keep, now: datetime, stop: Callable[[], bool]
    ) -> None:
        self._session = session
        self._keep = keep
        self._now = now
        self._stop = stop
        self._done = Maintained()

    def run(self) -> Maintained:
        label_floor, minute_floor = self._raise_floors()
        self._make_days()
        if label_floor is not None:
            self._drop_days(label_floor)
            self._done.labels += self._drop_in_chunks(
                lambda connection: self._drop_stray_labels(connection, label_floor)
            )
        if minute_floor is not None and not self._stop():
            self._done.minutes += self._count("maintain_minutes", floor=minute_floor)
        if self._keep.dead_letters is not None:
            before = self._now - self._keep.dead_letters
            while not self._stop() and (
                gone := self._count("maintain_letters", before=before, limit=CHUNK)
            ):
                self._done.dead_letters += gone
        for granularity in ("1m", "1h", "1d"):
            before = self._now - CLOSED
            while not self._stop() and (
                folded := self._count(
                    "maintain_fold", granularity=granularity, before=before, limit=CHUNK
                )
            ):
                self._done.folded += folded
        return self._done

    def _raise_floors(self) -> tuple[datetime | None, datetime | None]:
        """Before anything is dropped: from here on nobody writes below, or looks for labels there.

        Returns:
            The floors as they stand, for they never sink: of labels, of minute cells.
        """
        keep = self._keep
        midnight = self._now.replace(hour=0, minute=0, second=0, microsecond=0)
        floors = {
            "label_floor": None if keep.labels is None else midnight - keep.labels,
            "minute_floor": None if keep.minutes is None else midnight - keep.minutes,
        }

        def work(connection: psycopg.Connection) -> tuple[datetime | None, datetime | None]:
            with connection.cursor() as cursor:
                if any(floors.values()):
                    own_policy(cursor)
                    cursor.execute(query("maintain_floors"), floors)
                policy = read_policy(cursor)
            connection.commit()
            return policy.label_floor, policy.minute_floor

        return self._session.run(work)

    def _make_days(self) -> None:
        for ahead in range(AHEAD + 1):
            day = (self._now + timedelta(days=ahead)).date()
            made = self._patiently(partial(ensure_day, day=day), f"{day} got no partition")
            if made:
                self._done.made.append(day)

    def _drop_days(self, floor: datetime) -> None:
        def look(connection: psycopg.Connection) -> list[tuple[str, bool]]:
            rows = connection.execute(query("maintain_days")).fetchall()
            connection.rollback()
            return [(row[0], row[1]) for row in rows]

        for name, attached in self._session.run(look):
            day = day_of(name)
            if self._stop() or datetime(day.year, day.month, day.day, tzinfo=UTC) >= floor:
                continue
            # Out of sight, then its identities, then the table itself.
            left = f"the labels of {day} were not dropped"
            if attached and not self._patiently(partial(_detach, name=name), left):
                continue
            self._done.identities += self._session.run(
                partial(_drop_identities_in, name=name, floor=floor)
            )
            if self._patiently(partial(_drop_table, name=name), left):
                self._done.dropped.append(day)

    def _drop_stray_labels(self, connection: psycopg.Connection, floor: datetime) -> int:
        """Odd dates, which have no partition of their own."""
        with connection.cursor(binary=True) as cursor:
            cursor.execute(query("maintain_default"), {"floor": floor, "limit": CHUNK})
            rows = cursor.fetchall()
            identities = _drop_identities(cursor, rows, floor)
        connection.commit()
        self._done.identities += identities
        return len(rows)

    def _drop_in_chunks(self, chunk: Callable[[psycopg.Connection], int]) -> int:
        total = 0
        while not self._stop() and (gone := self._session.run(chunk)):
            total += gone
        return total

    def _count(self, name: str, **parameters: object) -> int:
        """Runs a statement in a transaction of its own; how many rows it changed."""

        def work(connection: psycopg.Connection) -> int:
            changed = connection.execute(query(name), parameters).rowcount
            connection.commit()
            return changed

        return self._session.run(work)

    def _patiently(self, work: Callable[[psycopg.Connection], bool], left: str) -> bool:
        """Does what needs the labels' table alone; if somebody holds it, the next run does it."""

        def tried(connection: psycopg.Connection) -> bool | None:
            try:
                connection.execute(
                    "SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_S:.0f}s",)
                )
                return work(connection)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                connection.rollback()
                return None

        result = self._session.run(tried)
        if result is None:
            self._done.left.append(f"{left}: another session holds the table")
        return bool(result)


def _detach(connection: psycopg.Connection, name: str) -> bool:
    with connection.cursor() as cursor:
        lock_partitions(cursor)
        cursor.execute(
            sql.SQL("ALTER TABLE post_emotions DETACH PARTITION {}").format(sql.Identifier(name))
        )
    connection.commit()
    return True


def _drop_table(connection: psycopg.Connection, name: str) -> bool:
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    connection.commit()
    return True


def _drop_identities_in(connection: psycopg.Connection, name: str, floor: datetime) -> int:
    """Drops the live identities whose labels lie in a table that nobody else sees any more."""
    dropped = 0
    with (
        connection.cursor(name="dropped", binary=True, withhold=True) as labels,
        connection.cursor(binary=True) as cursor,
    ):
        labels.execute(sql.SQL("SELECT platform, post_id FROM {}").format(sql.Identifier(name)))
        connection.commit()
        while rows := labels.fetchmany(CHUNK):
            dropped += _drop_identities(cursor, rows, floor)
            connection.commit()
    connection.commit()
    return dropped


def _drop_identities(
    cursor: psycopg.Cursor[tuple[object, ...]],
    rows: Sequence[tuple[object, ...]],
    floor: datetime,
) -> int:
    pairs = sorted((str(row[0]), str(row[1])) for row in rows)
    if not pairs:
        return 0
    cursor.execute(
        query("maintain_identities"),
        {
            "platforms": [platform for platform, _ in pairs],
            "post_ids": [post_id for _, post_id in pairs],
            "floor": floor,
        },
    )
    return cursor.rowcount
