"""Mends what `verify` finds, beside running workers and without holding them up.

What differs is found in a snapshot. Cells: every writer changes a label and its cells alike, in one
transaction, so what labels and cells differ by in a snapshot stays the same until it is mended, and
may be added at any time. Identities: each is locked and looked at again before it is changed.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from worker.errors import WorkerError
from worker.posts import LABELS
from worker.store.connection import connect, errors_for_people
from worker.store.fold import columns, places
from worker.store.locks import hold_repair, lock_partitions, share_policy
from worker.store.queries import query
from worker.store.verify import begin_snapshot
from worker.trends import EMOTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    import psycopg

    from worker.store.session import Session

T = TypeVar("T")

IDENTITIES_AT_ONCE: Final = 500
"""Identities that one transaction locks: a batch that has one of them waits for it."""
CELLS_AT_ONCE: Final = 2_000
"""Cells that one transaction corrects, all in slot 0, where no worker writes."""

STRETCH: Final = timedelta(days=31)
"""Of a rebuild, compared in one snapshot: each reads through all minute cells."""

IDENTITIES_MADE: Final = "identities made"
LABELS_REMOVED: Final = "labels removed"
IDENTITIES_REMOVED: Final = "identities removed"
CELLS_CORRECTED: Final = "cells corrected"
KINDS: Final = (IDENTITIES_MADE, LABELS_REMOVED, IDENTITIES_REMOVED, CELLS_CORRECTED)
"""Of a label without one; that lie where no live identity says; without a label; in slot 0."""

_COLUMNS: Final = (*EMOTIONS, *(f"{label}_score" for label in LABELS))

_Row = tuple[Any, ...]


@dataclass(slots=True)
class Repaired:
    """What was changed.

    Attributes:
        days: By day (UTC) of the post or bucket, how many changes of each of `KINDS`.
        lost: Live posts that had no label, `platform:id`: their identities are removed, so that
            they come back once their records are read again.
    """

    days: dict[date, Counter[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def add_identities(self, mended: _Mended) -> None:
        """Counts what one transaction did to identities and their labels."""
        self.add(IDENTITIES_MADE, mended.made)
        self.add(LABELS_REMOVED, mended.removed)
        self.add(IDENTITIES_REMOVED, (time for time, _, _ in mended.lost))
        self.lost += [f"{platform}:{post_id}" for _, platform, post_id in mended.lost]

    def add(self, kind: str, times: Iterable[datetime]) -> None:
        """Counts changes of a kind at `times`, UTC."""
        for time in times:
            self.days.setdefault(time.date(), Counter())[kind] += 1


@dataclass(frozen=True, slots=True)
class _Doubtful:
    """An identity that does not go with its labels.

    Attributes:
        identity: Platform and post id.
        labels: When those in doubt were created.
        has_identity: Whether the post has one at all.
    """

    identity: tuple[str, str]
    labels: tuple[datetime, ...]
    has_identity: bool


@dataclass(frozen=True, slots=True)
class _Mended:
    """What one transaction did: times of identities made and labels removed, identities removed."""

    made: list[datetime]
    removed: list[datetime]
    lost: list[tuple[datetime, str, str]]


def repair(url: str, session: Session) -> Repaired:
    """Brings identities and cells in line with the labels. The ledger cannot be mended from here.

    A label without an identity gets one; a label of a withdrawn or erased post, or elsewhere than
    its identity says, is removed; a live identity without a label is removed. Then cells are
    corrected by what they differ from the labels, above the floors that `verify` respects. The
    transactions are short; after a crash in the middle, call it again.

    Args:
        url: The database, to read a snapshot while the session writes.
        session: Writes.

    Raises:
        WorkerError: Another repair is at work.
        DependencyError: The database went away.
    """
    if not session.run(_alone):
        raise WorkerError(
            "Another `emotion-worker verify --repair` is at work in this database. Wait for it."
        )
    done = Repaired()
    with _snapshot(url) as cursor:
        cursor.execute(query("verify_identities"), {"limit": None})
        for doubtful in _chunks(_doubtful(cursor), IDENTITIES_AT_ONCE):
            done.add_identities(session.run(partial(_mend, session=session, doubtful=doubtful)))
    _correct_cells(url, session, done)
    return done


def rebuild(
    url: str,
    session: Session,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    advance: Callable[[date], None] = lambda _: None,
) -> Repaired:
    """Makes the cells of whole days (UTC) again from the labels, beside running workers.

    A stretch of days after the other, each compared in a snapshot of its own; only what differs is
    written. After a crash in the middle, call it again.

    Args:
        url: The database, to read snapshots while the session writes.
        session: Writes.
        since: The first day is the one that this lies in; None: the first there is.
        until: The last day is the one that ends at or after this; None: the last there is.
        advance: Told of each stretch the day after it.

    Raises:
        WorkerError: A repair is at work.
        DependencyError: The database went away.
    """
    if not session.run(_alone):
        raise WorkerError(
            "`emotion-worker verify --repair` or another rebuild is at work in this database. "
            "Wait for it."
        )
    done = Repaired()
    first = None if since is None else _midnight(since)
    days = [
        day
        for day in session.run(_days)
        if (first is None or day >= first) and (until is None or day < until)
    ]
    while days:
        stretch = [day for day in days if day - days[0] < STRETCH]
        after = stretch[-1] + timedelta(days=1)
        _correct_cells(url, session, done, since=stretch[0], until=after)
        advance(after.date())
        days = days[len(stretch) :]
    return done


def _midnight(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days(connection: psycopg.Connection) -> list[datetime]:
    """Days with labels or cells, as midnights UTC, in order."""
    rows = connection.execute(query("rebuild_days")).fetchall()
    connection.rollback()
    return [_midnight(row[0]) for row in rows]


def _correct_cells(
    url: str,
    session: Session,
    done: Repaired,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    with _snapshot(url) as cursor:
        cursor.execute(query("verify_cells"), {"since": since, "until": until, "limit": None})
        for cells in _chunks(cursor, CELLS_AT_ONCE):
            done.add(CELLS_CORRECTED, session.run(partial(_correct, cells=cells)))


def _alone(connection: psycopg.Connection) -> bool:
    alone = hold_repair(connection)
    connection.commit()
    return alone


@contextmanager
def _snapshot(url: str) -> Iterator[psycopg.ServerCursor[_Row]]:
    """For a query's rows as of one moment, all of them, a few at a time."""
    with (
        errors_for_people(),
        connect(url, application_name="emotion-worker verify") as connection,
    ):
        begin_snapshot(connection)
        with connection.cursor(name="differences", binary=True) as cursor:
            cursor.itersize = CELLS_AT_ONCE
            yield cursor


def _doubtful(rows: Iterable[_Row]) -> Iterator[_Doubtful]:
    """The rows of `verify_identities`, one for each post."""
    for identity, found in groupby(rows, key=lambda row: (row[0], row[1])):
        of_post = list(found)
        labels = tuple(row[4] for row in of_post if row[4] is not None)
        yield _Doubtful(identity, labels, has_identity=of_post[0][2] is not None)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _mend(
    connection: psycopg.Connection, *, session: Session, doubtful: Sequence[_Doubtful]
) -> _Mended:
    keys = columns([post.identity for post in doubtful])
    labels = [(*post.identity, time) for post in doubtful for time in post.labels]
    without = [
        (*post.identity, time) for post in doubtful for time in post.labels if not post.has_identity
    ]
    made: list[_Row] = []
    removed: list[_Row] = []
    with connection.cursor(binary=True) as cursor:
        share_policy(cursor)
        # A day's partition made meanwhile would hide the labels that it takes in.
        lock_partitions(cursor)
        if without:
            hashes = [session.hasher.post(platform, post_id) for platform, post_id, _ in without]
            made = cursor.execute(
                query("repair_identities"), _places(without) | {"hashes": hashes}
            ).fetchall()
        cursor.execute(query("lock_identities"), keys)
        if labels:
            removed = cursor.execute(query("repair_labels"), _places(labels)).fetchall()
        lost = cursor.execute(query("repair_lost"), keys).fetchall()
    connection.commit()
    return _Mended([row[0] for row in made], [row[0] for row in removed], lost)


def _places(labels: Sequence[tuple[str, str, datetime]]) -> dict[str, object]:
    return places([((platform, post_id), time) for platform, post_id, time in labels])


def _correct(connection: psycopg.Connection, *, cells: Sequence[_Row]) -> list[datetime]:
    names = ("granularity", "dimension", "value", "bucket")
    parameters = {name: [cell[place] for cell in cells] for place, name in enumerate(names)}
    nothing = [0] * len(_COLUMNS)
    parameters |= {
        name: [
            (wanted or nothing)[place] - (found or nothing)[place] for *_, wanted, found in cells
        ]
        for place, name in enumerate(_COLUMNS)
    }
    with connection.cursor(binary=True) as cursor:
        share_policy(cursor)
        corrected = cursor.execute(query("repair_cells"), parameters).fetchall()
    connection.commit()
    return [row[0] for row in corrected]
