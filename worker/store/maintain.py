"""Upkeep: days ahead, retention, folded cells. Safe beside workers, and after a crash.

Each step is short transactions; what one leaves undone the next run finds.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from worker.errors import StoreUnavailableError
from worker.store.connection import first_line
from worker.store.fold import columns
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
LOCK_MS: Final = 200
"""For the labels' table, which a dump or a long query may hold: everybody queues up behind us."""
TRIES: Final = 5
PAUSE_S: Final = 0.5
"""Between two tries: those who queued up behind us go on."""


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
            if self._done.dropped:
                self._session.run(_changing("maintain_beside", floor=label_floor))
            self._done.labels += self._in_chunks(
                lambda connection: self._drop_stray_labels(connection, label_floor)
            )
        if minute_floor is not None:
            for dimension in self._dimensions():
                if not self._stop():
                    self._done.minutes += self._session.run(
                        _changing("maintain_minutes", floor=minute_floor, dimension=dimension)
                    )
        if self._keep.dead_letters is not None:
            before = self._now - self._keep.dead_letters
            self._done.dead_letters += self._in_chunks(
                _changing("maintain_letters", before=before, limit=CHUNK)
            )
        for granularity in ("1m", "1h", "1d"):
            before = self._now - CLOSED
            self._done.folded += self._in_chunks(
                _changing("maintain_fold", granularity=granularity, before=before, limit=CHUNK)
            )
        return self._done

    def _raise_floors(self) -> tuple[datetime | None, datetime | None]:
        """Before anything is dropped: from here on nobody writes below, or looks for labels there.

        Returns:
            The floors as they stand, for they never sink: of labels, of minute cells.
        """
        keep = self._keep

        def work(
            connection: psycopg.Connection,
        ) -> tuple[datetime | None, datetime | None, bool]:
            with connection.cursor() as cursor:
                row = cursor.execute(query("maintain_rights"), {"now": self._now}).fetchone()
                assert row is not None
                midnight, owner = row
                # Raised by who cannot drop, it would only hide what stays.
                days = keep.labels if owner else None
                labels = None if days is None else midnight - days
                minutes = None if keep.minutes is None else midnight - keep.minutes
                stand = read_policy(cursor)
                if _rises(stand.label_floor, labels) or _rises(stand.minute_floor, minutes):
                    # Not in this transaction: the lock goes before all others.
                    connection.rollback()
                    own_policy(cursor)
                    floors = {"label_floor": labels, "minute_floor": minutes}
                    cursor.execute(query("maintain_floors"), floors)
                    stand = read_policy(cursor)
            connection.commit()
            return stand.label_floor, stand.minute_floor, owner

        label_floor, minute_floor, owner = self._session.run(work)
        if keep.labels is not None and not owner:
            self._done.left.append(
                "labels past retention stay: this role does not own post_emotions"
            )
        return label_floor, minute_floor

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

        due = {
            name: attached
            for name, attached in self._session.run(look)
            if datetime.combine(day_of(name), time(), UTC) < floor
        }
        attached = [name for name, one in due.items() if one]
        # Out of sight, all at once; then their identities, then the tables themselves.
        if attached and not self._patiently(
            partial(_detach, names=attached), f"the labels of {len(attached)} days were not dropped"
        ):
            due = {name: one for name, one in due.items() if not one}
        for name in due:
            after: tuple[str, str] | None = ("", "")
            while after is not None and not self._stop():
                dropped, after = self._session.run(
                    partial(_drop_identities_in, name=name, floor=floor, after=after)
                )
                self._done.identities += dropped
            if after is None and self._patiently(
                partial(_drop_table, name=name), f"the labels of {day_of(name)} were not dropped"
            ):
                self._done.dropped.append(day_of(name))

    def _dimensions(self) -> list[str]:
        """Of the trend cells: a transaction for each, and an index that begins with it."""

        def work(connection: psycopg.Connection) -> list[str]:
            rows = connection.execute("SELECT DISTINCT dimension FROM trend_cells_1d").fetchall()
            connection.rollback()
            return [row[0] for row in rows]

        return self._session.run(work)

    def _drop_stray_labels(self, connection: psycopg.Connection, floor: datetime) -> int:
        """Odd dates, which have no partition of their own."""
        with connection.cursor(binary=True) as cursor:
            cursor.execute(query("maintain_default"), {"floor": floor, "limit": CHUNK})
            rows = cursor.fetchall()
            identities = _drop_identities(cursor, rows, floor)
        connection.commit()
        self._done.identities += identities
        return len(rows)

    def _in_chunks(self, chunk: Callable[[psycopg.Connection], int]) -> int:
        total = 0
        while not self._stop() and (gone := self._session.run(chunk)):
            total += gone
        return total

    def _patiently(self, work: Callable[[psycopg.Connection], bool], left: str) -> bool:
        """Does what needs the labels' table alone; if somebody holds it, the next run does it."""

        def tried(connection: psycopg.Connection) -> bool | str | None:
            try:
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_MS),))
                return work(connection)
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                connection.rollback()
                return None
            except errors.InsufficientPrivilege as error:
                connection.rollback()
                return f"this role may not: {first_line(error)}"

        result: bool | str | None = None
        for attempt in range(TRIES):
            if attempt:
                sleep(PAUSE_S)
            result = self._session.run(tried)
            if result is not None or self._stop():
                break
        if result is None:
            result = "another session holds the table"
        if isinstance(result, str):
            self._done.left.append(f"{left}: {result}")
            return False
        return result


def _rises(floor: datetime | None, to: datetime | None) -> bool:
    return to is not None and (floor is None or to > floor)


def _changing(name: str, **parameters: object) -> Callable[[psycopg.Connection], int]:
    """A statement in a transaction of its own, which says how many rows it changed."""

    def work(connection: psycopg.Connection) -> int:
        changed = connection.execute(query(name), parameters).rowcount
        connection.commit()
        return changed

    return work


def _detach(connection: psycopg.Connection, names: Sequence[str]) -> bool:
    with connection.cursor() as cursor:
        lock_partitions(cursor)
        for name in names:
            cursor.execute(
                sql.SQL("ALTER TABLE post_emotions DETACH PARTITION {}").format(
                    sql.Identifier(name)
                )
            )
    connection.commit()
    return True


def _drop_table(connection: psycopg.Connection, name: str) -> bool:
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    connection.commit()
    return True


def _drop_identities_in(
    connection: psycopg.Connection, name: str, floor: datetime, after: tuple[str, str]
) -> tuple[int, tuple[str, str] | None]:
    """Drops live identities whose labels lie in a table that nobody else sees any more.

    Returns:
        How many, and after which post to go on; None at the end.
    """
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            sql.SQL(
                "SELECT platform, post_id FROM {} WHERE (platform, post_id) > (%b, %b) "
                "ORDER BY platform, post_id LIMIT %b"
            ).format(sql.Identifier(name)),
            (*after, CHUNK),
        ).fetchall()
        dropped = _drop_identities(cursor, rows, floor)
    connection.commit()
    return dropped, (str(rows[-1][0]), str(rows[-1][1])) if rows else None


def _drop_identities(
    cursor: psycopg.Cursor[tuple[object, ...]],
    rows: Sequence[tuple[object, ...]],
    floor: datetime,
) -> int:
    pairs = sorted((str(row[0]), str(row[1])) for row in rows)
    if not pairs:
        return 0
    cursor.execute(query("maintain_identities"), columns(pairs) | {"floor": floor})
    return cursor.rowcount
