"""Dead letters: what stands there, and what becomes of them by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from worker.posts import Record, RecordRef, Rejection
from worker.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import psycopg

    from worker.store.interface import LabelledBatch
    from worker.store.session import Session

    Cursor = psycopg.Cursor[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: those that fit all that is not None.

    Attributes:
        state: `new`, `retried` or `dropped`.
        ids: Their ids.
        fingerprint: Their fingerprint.
        reason: Their reason.
        topic: The topic that they came from.
    """

    state: str | None = "new"
    ids: tuple[int, ...] | None = None
    fingerprint: str | None = None
    reason: str | None = None
    topic: str | None = None

    def parameters(self) -> dict[str, object]:
        """For the queries `letters_*`."""
        return asdict(self) | {"ids": None if self.ids is None else list(self.ids)}


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters with the same cause.

    Attributes:
        fingerprint: What they have in common.
        reason: The short stable name of why.
        detail: Of the newest, a sentence.
        count: How many.
        topics: Where they came from.
        oldest: When the first was stored.
        newest: When the last was.
        attempts: Of the one that was retried most often.
        without_bytes: How many cannot be retried, as their bytes are not kept.
        sample: Id of the newest.
    """

    fingerprint: str
    reason: str
    detail: str
    count: int
    topics: tuple[str, ...]
    oldest: datetime
    newest: datetime
    attempts: int
    without_bytes: int
    sample: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is stored. `value` is None for a null value and where it is not kept."""

    id: int
    ref: RecordRef
    kafka_timestamp: datetime | None
    key: bytes | None
    value: bytes | None
    value_length: int | None
    value_sha256: bytes | None
    reason: str
    detail: str
    fingerprint: str
    attempts: int
    state: str
    created_at: datetime

    @property
    def retriable(self) -> bool:
        """Whether its bytes are here."""
        return self.value is not None or self.value_length is None

    def record(self) -> Record:
        """The record as it was read."""
        milliseconds = (
            -1 if self.kafka_timestamp is None else round(self.kafka_timestamp.timestamp() * 1_000)
        )
        return Record(self.ref, milliseconds, self.key, self.value)


def groups(session: Session, selection: Selection) -> list[Group]:
    """The dead letters of `selection` by cause, the most frequent first."""

    def read(connection: psycopg.Connection) -> list[Group]:
        rows = connection.execute(query("letters_groups"), selection.parameters()).fetchall()
        connection.rollback()
        return [Group(*row[:4], tuple(row[4]), *row[5:]) for row in rows]  # type: ignore[call-arg]

    return session.run(read)


def page(session: Session, selection: Selection, *, after: int, limit: int) -> list[Letter]:
    """At most `limit` dead letters with an id above `after`, in the order of their ids."""
    parameters = selection.parameters() | {"after": after, "limit": limit}

    def read(connection: psycopg.Connection) -> list[Letter]:
        rows = connection.execute(query("letters_page"), parameters).fetchall()
        connection.rollback()
        return [Letter(row[0], RecordRef(*row[1:5]), *row[5:]) for row in rows]

    return session.run(read)


def pages(session: Session, selection: Selection, size: int) -> Iterator[list[Letter]]:
    """All of `selection`, `size` at a time: one may hold a mebibyte."""
    after = 0
    while letters := page(session, selection, after=after, limit=size):
        yield letters
        after = letters[-1].id


def drop(session: Session, selection: Selection) -> int:
    """Marks the new ones of `selection` as dropped; how many there were."""

    def change(connection: psycopg.Connection) -> int:
        dropped = connection.execute(query("letters_drop"), selection.parameters()).rowcount
        connection.commit()
        return dropped

    return session.run(change)


def redact(session: Session, ids: Sequence[int]) -> int:
    """Takes the bytes of these away, and drops them; how many there were."""

    def change(connection: psycopg.Connection) -> int:
        redacted = connection.execute(query("letters_redact"), {"ids": list(ids)}).rowcount
        connection.commit()
        return redacted

    return session.run(change)


def still_new(cursor: Cursor, letters: Sequence[int], ordinals: Sequence[int]) -> list[int]:
    """Locks a retry's dead letters; the `ordinals` of those that nobody settled meanwhile."""
    rows = cursor.execute(query("letters_lock"), {"ids": list(letters)}).fetchall()
    new = {row[0] for row in rows}
    return [ordinal for ordinal in ordinals if letters[ordinal] in new]


def settle(
    cursor: Cursor, batch: LabelledBatch, ordinals: Sequence[int], outcomes: Mapping[int, str]
) -> None:
    """Enters what a retry came to, in the transaction that stores the posts."""
    states, rejections = [], []
    for ordinal in ordinals:
        outcome, decoded = outcomes[ordinal], batch.entries[ordinal].decoded
        states.append({"dead_lettered": "new", "erased": "dropped"}.get(outcome, "retried"))
        rejections.append(decoded if isinstance(decoded, Rejection) else None)
    cursor.execute(
        query("letters_settle"),
        {
            "ids": [batch.letters[ordinal] for ordinal in ordinals],
            "states": states,
            "reasons": [one and one.reason for one in rejections],
            "details": [one and one.detail for one in rejections],
            "fingerprints": [one and one.fingerprint for one in rejections],
        },
    )
