"""What every `Store` keeps to: the one in memory, which unit tests trust, and Postgres."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.integration.store.backends import (
    GROUP,
    NOON,
    PLACES,
    Backend,
    InMemory,
    OnPostgres,
    Said,
    batch,
)
from worker.errors import ClaimBusyError, StoreUnavailableError
from worker.posts.place import Partition, Span, partition_of
from worker.store.interface import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.store.interface import Store

ZERO, ONE, _ = PLACES


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "memory":
        yield InMemory()
        return
    made = OnPostgres(request.getfixturevalue("database_url"))
    yield made
    made.close()


def begun(store: Store, partition: Partition = ZERO, offset: int = 0) -> Claim:
    claim = store.claim(partition, len(PLACES), "us")
    assert store.settle(claim, offset)
    return claim


def row_of(store: Store, partition: Partition) -> Any:
    [row] = [row for row in store.positions(GROUP, ["posts"]) if row.partition == partition]
    return row


POST: Said = ("post", "a", 1)


def test_a_first_claim_makes_the_siblings_known(backend: Backend) -> None:
    store = backend.session()
    assert store.claim(ONE, 3, "us") == Claim(ONE, epoch=1, next_offset=None)
    rows = store.positions(GROUP, ["posts"])
    assert [(row.partition, row.next_offset, row.owner_epoch) for row in rows] == [
        (ZERO, None, 0),
        (ONE, None, 1),
        (PLACES[2], None, 0),
    ]
    assert (rows[0].owner_id, rows[1].owner_id) == (None, "us")
    assert store.positions("another", ["posts"]) == store.positions(GROUP, ["other"]) == []


def test_a_later_claim_fences_the_one_before(backend: Backend) -> None:
    old, new = backend.session(), backend.session()
    before = begun(old)
    assert old.write(batch(backend, (before, 0, 2, [POST, POST]))).fenced == ()

    after = new.claim(ZERO, 3, "them")

    assert after == Claim(ZERO, before.epoch + 1, next_offset=2)
    late = batch(backend, (before, 2, 3, [POST]))
    assert old.write(late).fenced == late.spans
    assert not old.settle(before, 7)
    assert not old.settle(Claim(ZERO, before.epoch, 2), 7)
    assert old.heartbeat([Span(ZERO, before.epoch, 2, 2, NOON)]) == 0
    assert row_of(new, ZERO).next_offset == 2
    assert row_of(new, ZERO).owner_id == "them"
    assert new.write(batch(backend, (after, 2, 3, [POST]))).outcomes == {ZERO: {"duplicates": 1}}


def test_a_position_is_settled_once(backend: Backend) -> None:
    store = backend.session()
    claim = store.claim(ZERO, 3, "us")
    assert store.settle(claim, 5)
    assert not store.settle(claim, 6)
    assert not store.settle(Claim(ZERO, claim.epoch, 4), 6)
    assert store.settle(Claim(ZERO, claim.epoch, 5), 6)
    assert row_of(store, ZERO).next_offset == 6
    assert not store.settle(Claim(Partition("posts", UUID(int=9), 0), 1, None), 0)


def test_a_batch_is_counted_once_however_often_it_is_written(backend: Backend) -> None:
    store = backend.session()
    claim = begun(store)
    said = batch(backend, (claim, 0, 3, [POST, ("garbage", "", 0), ("withdrawal", "b", 0)]))
    first, second = store.write(said), store.write(said)
    counts = {"labelled": 1, "dead_lettered": 1, "withdrawn": 1}
    assert first.outcomes == {ZERO: counts}
    assert (second.outcomes, second.repeated, second.fenced) == ({}, said.spans, ())
    row = row_of(store, ZERO)
    assert (row.next_offset, row.consumed) == (3, 3)
    assert {name: count for name, count in row.outcomes.items() if count} == counts
    assert backend.labels().keys() == {"a"}
    assert backend.dead_letters() == {("posts", ZERO.topic_id, 0, 1): "bad_json"}
    backend.check()


@pytest.mark.parametrize(("start", "end"), [(1, 4), (3, 5), (0, 1), (4, 6)])
def test_a_span_begins_where_the_position_stands(backend: Backend, start: int, end: int) -> None:
    store = backend.session()
    claim = begun(store, offset=2)
    said = batch(backend, (claim, start, end, [POST]))
    assert store.write(said).fenced == said.spans
    assert row_of(store, ZERO).next_offset == 2
    assert backend.labels() == {}


def test_a_span_may_hold_gaps_and_nothing_else(backend: Backend) -> None:
    store = backend.session()
    claim = begun(store)
    assert store.write(batch(backend, (claim, 0, 7, []))).outcomes == {ZERO: {}}
    assert store.write(batch(backend, (claim, 7, 12, [POST]))).outcomes == {ZERO: {"labelled": 1}}
    row = row_of(store, ZERO)
    assert (row.next_offset, row.consumed) == (12, 1)


def test_one_fenced_partition_leaves_its_neighbour_alone(backend: Backend) -> None:
    store = backend.session()
    lost, kept = begun(store), begun(store, ONE)
    backend.session().claim(ZERO, 3, "them")
    said = batch(backend, (lost, 0, 1, [("post", "x", 1)]), (kept, 0, 1, [POST]))
    written = store.write(said)
    assert written.fenced == said.spans[:1]
    assert written.outcomes == {ONE: {"labelled": 1}}
    assert backend.labels().keys() == {"a"}


def test_every_outcome_and_what_stands(backend: Backend) -> None:
    store = backend.session()
    claim = begun(store)
    said: list[Said] = [
        ("post", "a", 2),
        ("post", "a", 2),
        ("post", "a", 1),
        ("post", "a", 3),
        ("empty", "e", 1),
        ("post", "b", 1),
        ("withdrawal", "b", 0),
        ("post", "b", 5),
        ("withdrawal", "never", 0),
        ("garbage", "", 0),
    ]
    total: Counter[str] = Counter()
    for start, end in ((0, 3), (3, 7), (7, 10)):
        written = store.write(batch(backend, (claim, start, end, said[start:end])))
        total.update(written.outcomes[ZERO])
    assert total == {
        "labelled": 2,
        "duplicates": 1,
        "stale": 2,
        "replaced": 1,
        "unlabelled": 1,
        "withdrawn": 2,
        "dead_lettered": 1,
    }
    labels = backend.labels()
    assert {post_id: row.place[3] for post_id, row in labels.items()} == {"a": 3, "e": 4}
    assert labels["e"].emotion == "unlabelled"
    backend.check()


def test_a_topic_made_anew_is_another_log(backend: Backend) -> None:
    store = backend.session()
    old = begun(store)
    anew = Partition("posts", UUID(int=2), 0)
    claim = store.claim(anew, 2, "us")
    assert claim == Claim(anew, 1, None, superseded=True)
    late = batch(backend, (old, 0, 1, [POST]))
    assert store.write(late).fenced == late.spans
    live = [row.partition for row in store.positions(GROUP, ["posts"]) if row.retired_at is None]
    assert live == [anew, Partition("posts", UUID(int=2), 1)]
    epoch = row_of(store, ZERO).owner_epoch
    store.claim(anew, 2, "us")
    assert row_of(store, ZERO).owner_epoch == epoch, "it was retired before"

    again = store.claim(ZERO, 3, "us")
    assert (again.next_offset, again.epoch) == (0, epoch + 1)
    assert row_of(store, ZERO).retired_at is None
    assert row_of(store, anew).retired_at is not None


def test_watermarks_only_rise(backend: Backend) -> None:
    store = backend.session()
    claim = begun(store)
    store.write(batch(backend, (claim, 0, 1, [POST]), watermark=NOON))
    store.write(batch(backend, (claim, 1, 2, [POST]), watermark=NOON - timedelta(hours=1)))
    store.write(batch(backend, (claim, 2, 3, []), watermark=None))
    assert row_of(store, ZERO).watermark == NOON
    later = NOON + timedelta(minutes=5)
    assert store.heartbeat([Span(ZERO, claim.epoch, 3, 3, later)]) == 1
    assert store.heartbeat([Span(ZERO, claim.epoch, 2, 2, later + timedelta(hours=1))]) == 0
    assert store.heartbeat([Span(ZERO, claim.epoch, 3, 3, NOON)]) == 1
    assert row_of(store, ZERO).watermark == later
    far = datetime(9999, 1, 1, tzinfo=UTC)
    store.write(batch(backend, (claim, 3, 4, [POST]), watermark=far))
    assert row_of(store, ZERO).watermark < far, "one record must not complete what is to come"


def test_a_tripped_breaker_is_remembered_until_something_is_stored(backend: Backend) -> None:
    store = backend.session()
    stale = begun(store)
    claim = store.claim(ZERO, 3, "us")
    store.trip([stale])
    claim = store.claim(ZERO, 3, "us")
    assert not claim.tripped
    store.trip([claim])
    claim = store.claim(ZERO, 3, "us")
    assert claim.tripped
    assert not store.claim(ONE, 3, "us").tripped
    store.write(batch(backend, (claim, 0, 1, [POST])))
    assert not store.claim(ZERO, 3, "us").tripped


def test_a_claim_does_not_wait_for_a_transaction_that_stands_still(backend: Backend) -> None:
    store = backend.session()
    claim = begun(store)
    with backend.held(ZERO):
        with pytest.raises(ClaimBusyError):
            store.claim(ZERO, 3, "them")
        with pytest.raises(ClaimBusyError):  # it retires that row
            store.claim(Partition("posts", UUID(int=2), 0), 3, "them")
        assert store.claim(ONE, 3, "them").epoch == 1
        assert row_of(store, ZERO).owner_id == "us"
    assert store.claim(ZERO, 3, "them").epoch == claim.epoch + 1


@pytest.mark.parametrize(
    "call",
    [
        lambda store, said, claim: store.claim(ZERO, 3, "us"),
        lambda store, said, claim: store.settle(claim, 1),
        lambda store, said, claim: store.write(said),
        lambda store, said, claim: store.heartbeat(said.spans),
        lambda store, said, claim: store.trip([claim]),
        lambda store, said, claim: store.positions(GROUP, ["posts"]),
    ],
    ids=["claim", "settle", "write", "heartbeat", "trip", "positions"],
)
def test_a_lost_session_is_said_and_made_anew(backend: Backend, call: Callable[..., Any]) -> None:
    store = backend.session()
    claim = begun(store)
    said = batch(backend, (claim, 0, 1, [POST]))
    backend.cut(store)
    with pytest.raises(StoreUnavailableError):
        call(store, said, claim)
    assert row_of(store, ZERO).owner_epoch == claim.epoch, "nothing was changed"
    assert store.write(said).outcomes == {ZERO: {"labelled": 1}}


def test_each_record_lies_where_its_batch_says() -> None:
    """The builder of this module: a batch's entries lie within its spans."""
    said = batch(InMemory(), (Claim(ONE, 1, 4), 4, 6, [POST, POST]))
    assert [partition_of(e.record.ref) for e in said.entries] == [ONE, ONE]
    assert [e.record.ref.offset for e in said.entries] == [4, 5]
