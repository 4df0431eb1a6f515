"""The invariants, checked exactly, in one snapshot: nothing is compared within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import IsolationLevel

from worker.store.queries import query

if TYPE_CHECKING:
    import psycopg

LIMIT: Final = 1_000
"""Differences are listed up to this many for each invariant."""

_NAMES: Final = (
    *("sadness", "joy", "love", "anger", "fear", "surprise", "uncertain", "unlabelled"),
    *("sadness score", "joy score", "love score", "anger score", "fear score", "surprise score"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where an invariant does not hold.

    Attributes:
        invariant: `cells`, `identities` or `ledger`.
        where: The cell, post or partition.
        what: What was found there, and what should have been.
    """

    invariant: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` looked at, and what did not fit."""

    labels: int
    cells: int
    consumed: int
    differences: tuple[Difference, ...]


def verify(connection: psycopg.Connection) -> Verified:
    """Checks that cells equal GROUP BY over labels, one label per live post, and the ledger.

    It reads one snapshot, so it may run beside workers, and takes a time that grows with the
    labels. The connection must not be in a transaction.
    """
    begin_snapshot(connection)
    with connection.cursor() as cursor:
        differences = (*_cells(cursor), *_identities(cursor), *_ledger(cursor))
        row = cursor.execute(
            "SELECT (SELECT count(*) FROM post_emotions), (SELECT count(*) FROM trend_cells), "
            "(SELECT coalesce(sum(consumed), 0)::bigint FROM stream_offsets)"
        ).fetchone()
    connection.rollback()
    assert row is not None
    return Verified(row[0], row[1], row[2], differences)


def begin_snapshot(connection: psycopg.Connection) -> None:
    """Lets the next statements, until a rollback, see one moment. Not in a transaction."""
    connection.autocommit = False
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _cells(cursor: psycopg.Cursor[tuple[object, ...]]) -> list[Difference]:
    rows = cursor.execute(
        query("verify_cells"), {"since": None, "until": None, "limit": LIMIT}
    ).fetchall()
    found = []
    for granularity, dimension, value, bucket, wanted, stored in rows:
        should = wanted if isinstance(wanted, list) else [0] * len(_NAMES)
        stands = stored if isinstance(stored, list) else [0] * len(_NAMES)
        parts = [
            f"{name} is {have}, labels say {want}"
            for name, want, have in zip(_NAMES, should, stands, strict=True)
            if want != have
        ]
        found.append(
            Difference("cells", f"{granularity} {dimension}={value} {bucket}", "; ".join(parts))
        )
    return found


def _identities(cursor: psycopg.Cursor[tuple[object, ...]]) -> list[Difference]:
    rows = cursor.execute(query("verify_identities"), {"limit": LIMIT}).fetchall()
    return [
        Difference(
            "identities",
            f"{platform}:{post_id}",
            f"the identity is {state or 'missing'} (label due at {due}), its label is at {label}",
        )
        for platform, post_id, state, due, label in rows
    ]


def _ledger(cursor: psycopg.Cursor[tuple[object, ...]]) -> list[Difference]:
    rows = cursor.execute(query("verify_ledger"), {"limit": LIMIT}).fetchall()
    return [
        Difference(
            "ledger",
            f"{group} {topic}/{number} ({topic_id})",
            f"{consumed} records consumed, {outcomes} outcomes",
        )
        for group, topic, topic_id, number, consumed, outcomes in rows
    ]
