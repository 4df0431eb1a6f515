"""Advisory locks, all in one place: who waits for whom is a property of the whole room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.store.queries import query

if TYPE_CHECKING:
    import psycopg

_SPACE: Final = 0x656D6F74
"""First half of every key of ours, `emot`: other users of the database have other halves."""
_POLICY: Final = 1
_PARTITIONS: Final = 2
_REPAIR: Final = 3
_UPKEEP: Final = 4
_SLOTS: Final = 100
_REVISIONS: Final = 1_000

WRITER_SLOTS: Final = range(1, 17)
"""Slots of the trend cells that writers use; slot 0 is for what was folded together."""


def share_policy(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    """Holds the policy (label floor, erasures) still until this transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%b, %b)", (_SPACE, _POLICY))


def own_policy(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    """Keeps every writer out until this transaction ends; take it before any other lock.

    It waits for the transactions that share the policy, and what begins meanwhile waits behind it:
    keep the transaction short.
    """
    cursor.execute("SELECT pg_advisory_xact_lock(%b, %b)", (_SPACE, _POLICY))


def lock_partitions(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
    """One maker of day partitions at a time, until this transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%b, %b)", (_SPACE, _PARTITIONS))


def hold_repair(connection: psycopg.Connection) -> bool:
    """Whether this session is the only one that repairs, until it ends."""
    row = connection.execute("SELECT pg_try_advisory_lock(%b, %b)", (_SPACE, _REPAIR)).fetchone()
    return row is not None and bool(row[0])


def hold_upkeep(connection: psycopg.Connection) -> bool:
    """Whether this session is the only one that does the upkeep, until it ends."""
    row = connection.execute("SELECT pg_try_advisory_lock(%b, %b)", (_SPACE, _UPKEEP)).fetchone()
    connection.rollback()
    return row is not None and bool(row[0])


def release_upkeep(connection: psycopg.Connection) -> None:
    """Lets another session do the upkeep."""
    connection.execute("SELECT pg_advisory_unlock(%b, %b)", (_SPACE, _UPKEEP))
    connection.rollback()


def hold_slot(connection: psycopg.Connection) -> int:
    """A slot for this session alone; where all are held, a shared one, which only costs waiting."""
    for slot in WRITER_SLOTS:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%b, %b)", (_SPACE, _SLOTS + slot)
        ).fetchone()
        if row is not None and row[0]:
            return slot
    return WRITER_SLOTS[connection.info.backend_pid % len(WRITER_SLOTS)]


def hold_revision(connection: psycopg.Connection, revision: str) -> None:
    """Says, until this session ends, that it writes as a worker does that knows `revision`."""
    connection.execute(
        "SELECT pg_advisory_lock_shared(%b, %b)", (_SPACE, _REVISIONS + int(revision))
    )


def older_writers(connection: psycopg.Connection, revision: str) -> int:
    """How many sessions write here as workers do that do not know `revision`."""
    row = connection.execute(
        query("older_writers"),
        {"space": _SPACE, "slots": _SLOTS, "revisions": _REVISIONS, "revision": int(revision)},
    ).fetchone()
    assert row is not None
    return int(row[0])
