"""Stores in memory and on Postgres behind one face, for tests that run against both."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

import psycopg

from tests.fakes.store import MemoryStore, Tables
from worker.classifier import ModelInfo, Text
from worker.classifier.stub import StubClassifier
from worker.posts import LABELS, Label, Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.place import Partition, Span
from worker.store.connection import connect
from worker.store.interface import Claim, Entry, LabelledBatch
from worker.store.postgres import PostgresStore
from worker.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from worker.store.interface import Store

GROUP = "group"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = ModelInfo("stub", "1", "ab" * 32, "none", LABELS, {}, "none")
PLACES = [Partition("posts", UUID(int=1), number) for number in range(3)]


class Standing(NamedTuple):
    """A live post's label, and the record it came from."""

    place: tuple[str, UUID, int, int]
    created_at: datetime
    emotion: str


class Backend(Protocol):
    """Where the sessions of a test's workers lead."""

    model_id: int

    def session(self) -> Store: ...
    def held(self, partition: Partition) -> AbstractContextManager[object]:
        """Another transaction has the partition's row and does not end."""
        ...

    def cut(self, store: Store) -> None:
        """A session is lost: its next call finds that out."""
        ...

    def labels(self) -> dict[str, Standing]: ...
    def dead_letters(self) -> dict[tuple[str, UUID, int, int], str]: ...
    def check(self) -> None:
        """The invariants that the backend itself can check."""
        ...


class InMemory:
    def __init__(self) -> None:
        self.tables = Tables()
        self.model_id = 1

    def session(self) -> Store:
        return MemoryStore(self.tables, group=GROUP)

    @contextmanager
    def held(self, partition: Partition) -> Iterator[None]:
        self.tables.locked.add(partition)
        yield
        self.tables.locked.discard(partition)

    def cut(self, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        store.away = 1

    def labels(self) -> dict[str, Standing]:
        return {
            post_id: Standing(
                _place(row.ref),
                row.created_at,
                row.label.emotion if isinstance(row.label, Label) else "unlabelled",
            )
            for (_, post_id), row in self.tables.labels.items()
        }

    def dead_letters(self) -> dict[tuple[str, UUID, int, int], str]:
        return {_place(ref): letter.reason for ref, letter in self.tables.dead_letters.items()}

    def check(self) -> None:
        consumed = sum(row.outcomes.total() for row in self.tables.positions[GROUP].values())
        assert consumed == sum(hasattr(line, "outcome") for line in self.tables.journal)


class OnPostgres:
    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[PostgresStore] = []
        self._reading = psycopg.connect(url, autocommit=True)
        self._reading.execute("SET TimeZone TO 'UTC'")
        registering = self.session()
        assert isinstance(registering, PostgresStore)
        self.model_id = registering.register_model(MODEL)

    def session(self) -> Store:
        self._made.append(PostgresStore(self._url, group=GROUP, clock=lambda: NOON))
        return self._made[-1]

    @contextmanager
    def held(self, partition: Partition) -> Iterator[None]:
        with psycopg.connect(self._url) as other:
            found = other.execute(
                "SELECT FROM stream_offsets WHERE topic_id = %s AND kafka_partition = %s "
                "FOR UPDATE",
                (partition.topic_id, partition.number),
            )
            assert found.rowcount == 1
            yield

    def cut(self, store: Store) -> None:
        store.positions(GROUP, [])
        self._reading.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            (f"emotion-worker {GROUP}",),
        )

    def labels(self) -> dict[str, Standing]:
        rows = self._reading.execute(
            "SELECT post_id, e.topic, s.topic_id, e.kafka_partition, e.kafka_offset, "
            "e.created_at, e.emotion FROM post_emotions e JOIN posts s USING (platform, post_id)"
        ).fetchall()
        return {row[0]: Standing(row[1:5], row[5], row[6]) for row in rows}

    def dead_letters(self) -> dict[tuple[str, UUID, int, int], str]:
        rows = self._reading.execute(
            "SELECT topic, topic_id, kafka_partition, kafka_offset, reason FROM dead_letters"
        ).fetchall()
        return {row[:4]: row[4] for row in rows}

    def check(self) -> None:
        with connect(self._url, application_name="test") as connection:
            assert verify(connection).differences == ()

    def empty(self) -> None:
        self._reading.execute(
            "TRUNCATE post_emotions, posts, trend_cells, dead_letters, stream_offsets"
        )

    def close(self) -> None:
        for store in self._made:
            store.close()
        self._reading.close()


def _place(ref: RecordRef) -> tuple[str, UUID, int, int]:
    return (ref.topic, ref.topic_id, ref.partition, ref.offset)


# Records: kind, post id, version and, for posts, whether the text says anything

Said = tuple[str, str, int]


def entry(partition: Partition, offset: int, said: Said) -> Entry:
    kind, post_id, version = said
    ref = RecordRef(partition.topic, partition.topic_id, partition.number, offset)
    record = Record(ref, int(NOON.timestamp() * 1_000), b"k", b"v")
    if kind == "garbage":
        return Entry(record, Rejection(ref, "bad_json", "No JSON.", "f" * 16))
    if kind == "withdrawal":
        return Entry(record, Withdrawal(ref, "tw", post_id))
    created = NOON + timedelta(hours=version % 3)
    text = "" if kind == "empty" else f"{post_id} {version}"
    post = Post(
        ref, "tw", post_id, text, created, NOON + timedelta(days=version), "en", None, ("tag",)
    )
    return Entry(record, post, StubClassifier().classify([Text(text, "en")])[0])


def batch(
    backend: Backend, *parts: tuple[Claim, int, int, Sequence[Said]], watermark: Any = None
) -> LabelledBatch:
    """Of each part: the claim, where its span begins and ends, and records from its begin on."""
    return LabelledBatch(
        tuple(Span(c.partition, c.epoch, start, end, watermark) for c, start, end, _ in parts),
        tuple(
            entry(c.partition, start + number, said)
            for c, start, _, records in parts
            for number, said in enumerate(records)
        ),
        backend.model_id,
    )
