"""Stores, and streams of records for them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from worker.batching import Batcher, Item, Limits
from worker.classifier import ModelInfo, Text
from worker.classifier.stub import StubClassifier
from worker.posts import LABELS, Post, Record, RecordRef, Rejection, Withdrawal
from worker.posts.place import Partition
from worker.store.interface import Claim, Entry, LabelledBatch
from worker.store.postgres import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.posts import Label, Unlabelled

TOPIC_ID = UUID(int=7)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL = ModelInfo("stub", "1", "ab" * 32, "none", LABELS, {}, "none")


class Stream:
    """One writer on partitions of a log, as the pipeline would drive it."""

    def __init__(self, url: str, owner: str, group: str = "g", **options: Any) -> None:
        options.setdefault("clock", lambda: NOON)
        self.store = PostgresStore(url, group=group, **options)
        self.owner = owner
        self.claims: dict[int, Claim] = {}
        self._classifier = StubClassifier()
        self.model_id = self.store.register_model(MODEL)

    def claim(self, number: int, siblings: int = 3) -> Claim:
        claim = self.store.claim(Partition("posts", TOPIC_ID, number), siblings, self.owner)
        if claim.next_offset is None:
            assert self.store.settle(claim, 0)
            claim = Claim(claim.partition, claim.epoch, 0)
        self.claims[number] = claim
        return claim

    def batches(
        self, number: int, items: Sequence[Item], size: int, *, end: int | None = None
    ) -> list[LabelledBatch]:
        """Cuts what lies on one partition, from its claim's position on, into labelled batches."""
        claim = self.claims[number]
        start = claim.next_offset or 0
        batcher = Batcher(Limits(10**9, size, 60.0), 0.0, lambda: 0.0)
        last = items[-1].record.ref.offset + 1 if items else start
        cut = [*batcher.add(claim.partition, claim.epoch, start, items, end or last)]
        rest = batcher.flush()
        return [
            LabelledBatch(
                batch.spans,
                tuple(Entry(i.record, i.decoded, self.label(i.decoded)) for i in batch.items),
                self.model_id,
            )
            for batch in (*cut, *([rest] if rest else ()))
        ]

    def label(self, decoded: Post | Withdrawal | Rejection) -> Label | Unlabelled | None:
        if not isinstance(decoded, Post):
            return None
        return self._classifier.classify([Text(decoded.text, decoded.lang)])[0]

    def close(self) -> None:
        self.store.close()


def post(
    number: int,
    offset: int,
    post_id: str,
    *,
    version: int = 0,
    created: int = 0,
    text: str | None = None,
    tags: tuple[str, ...] = (),
    lang: str | None = "en",
) -> Item:
    """A version of a post: `created` and `version` in seconds after noon."""
    ref = RecordRef("posts", TOPIC_ID, number, offset)
    created_at = NOON + timedelta(seconds=created)
    return Item(
        Record(ref, int(created_at.timestamp() * 1_000), b"k", b"v"),
        Post(
            ref,
            "tw",
            post_id,
            text if text is not None else f"{post_id} {version}",
            created_at,
            created_at + timedelta(seconds=version),
            lang,
            None,
            tags,
        ),
    )


def withdrawal(number: int, offset: int, post_id: str) -> Item:
    ref = RecordRef("posts", TOPIC_ID, number, offset)
    return Item(Record(ref, 0, b"k", None), Withdrawal(ref, "tw", post_id))


def rejection(number: int, offset: int, value: bytes | None = b"{") -> Item:
    ref = RecordRef("posts", TOPIC_ID, number, offset)
    written = int(NOON.timestamp() * 1_000)
    return Item(Record(ref, written, b"k", value), Rejection(ref, "bad_json", "No JSON.", "f" * 16))


@pytest.fixture
def stream(database_url: str) -> Iterator[Callable[..., Stream]]:
    """Makes writers: `stream("a")`; all are closed in the end."""
    made: list[Stream] = []
    names = itertools.count()

    def make(owner: str | None = None, **options: Any) -> Stream:
        made.append(Stream(database_url, owner or f"w{next(names)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Reads: `rows("SELECT ...")`."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        yield lambda sql, *parameters: connection.execute(sql, parameters or None).fetchall()


@pytest.fixture
def build() -> Any:
    """The makers of items: `build.post(...)`, `build.withdrawal(...)`, `build.rejection(...)`."""

    class Build:
        post = staticmethod(post)
        withdrawal = staticmethod(withdrawal)
        rejection = staticmethod(rejection)

    return Build


@pytest.fixture
def noon() -> datetime:
    return NOON
