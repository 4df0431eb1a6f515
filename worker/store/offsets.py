"""Positions by hand: reading them, moving them, and giving them up. Fenced against workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.posts.place import Partition
from worker.store.interface import Position
from worker.store.queries import query
from worker.store.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import psycopg

LOCK_TIMEOUT_S: Final = 15
"""Longer than a frozen worker's transaction is let hold its rows."""
IDLE_S: Final = 60.0
"""A row that was written within this has a worker: those raise idle rows every few seconds."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A position that was moved, or would be.

    Attributes:
        number: The partition's.
        before: Where it stood; None if it stood nowhere.
        after: Where it stands; the same where it stood there already.
    """

    number: int
    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class Retired:
    """A position that was given up, or would be.

    Attributes:
        partition: Of which log.
        next_offset: Where it stood; None if it stood nowhere.
        owner_id: Who claimed it last.
        idle_s: Seconds since it was last written.
    """

    partition: Partition
    next_offset: int | None
    owner_id: str | None
    idle_s: float


def read_positions(
    connection: psycopg.Connection, group: str, topics: Sequence[str] | None = None
) -> list[Position]:
    """The group's rows, retired ones included; of all topics if none are named."""
    parameters = {"group": group, "topics": None if topics is None else list(topics)}
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


def move(
    connection: psycopg.Connection,
    *,
    group: str,
    log: tuple[str, UUID],
    siblings: int,
    targets: Mapping[int, int],
    dry_run: bool = False,
) -> list[Moved]:
    """Moves the group's positions in one transaction, the ledger untouched.

    A worker that reads there is fenced: what it has under way is not stored, it claims again and
    reads on from the new position. A position that stands where it should is left as it is.

    Args:
        connection: Not in a transaction, not in autocommit.
        group: The consumer group; it need not have run yet.
        log: The topic's name and id.
        siblings: How many partitions the topic has: those without a row get one, as in a claim.
        targets: Offsets by partition.
        dry_run: Whether all stays as it is.
    """
    numbers = sorted(targets)
    parameters = {"group": group, "topic": log[0], "topic_id": log[1], "siblings": siblings}
    _wait_patiently(connection)
    if not dry_run:
        connection.execute(query("claim_siblings"), parameters)
    rows = connection.execute(query("move_lock"), parameters | {"partitions": numbers}).fetchall()
    before = {row[0]: row[1] for row in rows}
    if not dry_run:
        offsets = [targets[number] for number in numbers]
        connection.execute(query("move"), parameters | {"partitions": numbers, "offsets": offsets})
        connection.execute(query("clear_mark"), {"group": group, "topics": [log[0]]})
    connection.commit()
    return [Moved(number, before.get(number), targets[number]) for number in numbers]


def retire(
    connection: psycopg.Connection,
    *,
    group: str,
    topic: str | None = None,
    numbers: Sequence[int] | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> tuple[list[Retired], list[Retired]]:
    """Retires the group's positions in one transaction, so that they hold no bucket back.

    A worker of the group that claims any partition of the topic again brings them back.

    Args:
        connection: Not in a transaction, not in autocommit.
        group: The consumer group.
        topic: None: all of the group's.
        numbers: The partitions; None: all.
        force: Whether those that a worker seems to be reading are retired, too.
        dry_run: Whether all stays as it is.

    Returns:
        What is retired, and what stands in the way: then nothing is.
    """
    parameters = {
        "group": group,
        "topic": topic,
        "partitions": None if numbers is None else list(numbers),
    }
    _wait_patiently(connection)
    rows = connection.execute(query("retire_lock"), parameters).fetchall()
    retired = [Retired(Partition(row[0], row[1], row[2]), row[3], row[4], row[5]) for row in rows]
    busy = [row for row in retired if row.idle_s < IDLE_S and not force]
    if busy or dry_run:
        connection.rollback()
        return ([], busy) if busy else (retired, [])
    keys = {
        "group": group,
        "topics": [row.partition.topic for row in retired],
        "topic_ids": [row.partition.topic_id for row in retired],
        "partitions": [row.partition.number for row in retired],
    }
    connection.execute(query("retire"), keys)
    connection.commit()
    return retired, []


def _wait_patiently(connection: psycopg.Connection) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_TIMEOUT_S}s",))
