"""Positions moved and given up by hand: fenced, the ledger untouched, watermarks honest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from worker.posts.place import Partition, Span
from worker.store.connection import connect
from worker.store.interface import Claim
from worker.store.offsets import Moved, move, retire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

pytestmark = pytest.mark.integration

LOG = ("posts", UUID(int=7))
STANDS = (
    "SELECT kafka_partition, next_offset, owner_epoch, consumed, watermark IS NOT NULL, "
    "retired_at IS NOT NULL FROM stream_offsets ORDER BY topic, topic_id, kafka_partition"
)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, application_name="test") as session:
        yield session


@pytest.fixture
def aged(rows: Callable[..., Any]) -> Callable[[], Any]:
    """Makes all rows look as if nobody had written them for two minutes."""
    return lambda: rows(
        "UPDATE stream_offsets SET updated_at = now() - interval '2 minutes' RETURNING 1"
    )


def test_a_move_fences_the_worker_that_reads_there(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    connection: psycopg.Connection,
) -> None:
    writer = stream()
    writer.claim(0, siblings=2)
    first, second = writer.batches(0, [build.post(0, n, f"p{n}") for n in range(4)], 2)
    writer.store.write(first)
    assert move(connection, group="g", log=LOG, siblings=2, targets={0: 0, 1: 3}) == [
        Moved(0, 2, 0),
        Moved(1, None, 3),
    ]
    # Moved back, nothing is complete until it was read again; the ledger stays.
    assert rows(STANDS) == [(0, 0, 2, 2, False, False), (1, 3, 1, 0, False, False)]
    assert writer.store.write(second).fenced == second.spans
    assert writer.store.write(first).fenced == first.spans
    assert rows(STANDS)[0] == (0, 0, 2, 2, False, False)
    assert writer.claim(0, siblings=2) == Claim(Partition(*LOG, 0), 3, 0)
    (again,) = writer.batches(0, [build.post(0, n, f"p{n}") for n in range(4)], 10)
    assert dict(next(iter(writer.store.write(again).outcomes.values()))) == {
        "labelled": 2,
        "duplicates": 2,
    }
    assert rows(STANDS)[0] == (0, 4, 3, 6, True, False)


def test_a_move_forward_keeps_the_watermark_and_none_leaves_all_as_it_is(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    connection: psycopg.Connection,
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    writer.store.write(writer.batches(0, [build.post(0, 0, "a")], 10)[0])
    stood = rows("SELECT * FROM stream_offsets")
    assert move(connection, group="g", log=LOG, siblings=1, targets={0: 1}) == [Moved(0, 1, 1)]
    assert move(connection, group="g", log=LOG, siblings=1, targets={0: 9}, dry_run=True) == [
        Moved(0, 1, 9)
    ]
    assert rows("SELECT * FROM stream_offsets") == stood
    move(connection, group="g", log=LOG, siblings=1, targets={0: 9})
    assert rows(STANDS) == [(0, 9, 2, 1, True, False)]


def test_only_the_log_of_that_id_is_moved(
    stream: Callable[..., Any], rows: Callable[..., Any], connection: psycopg.Connection
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    other = stream(group="other")
    other.claim(0, siblings=1)
    anew = ("posts", UUID(int=99))
    assert move(connection, group="g", log=anew, siblings=2, targets={1: 5}) == [Moved(1, None, 5)]
    assert rows(
        "SELECT consumer_group, topic_id, kafka_partition, next_offset FROM stream_offsets "
        "ORDER BY 1, 2, 3"
    ) == [
        ("g", UUID(int=7), 0, 0),
        ("g", UUID(int=99), 0, None),
        ("g", UUID(int=99), 1, 5),
        ("other", UUID(int=7), 0, 0),
    ]


def test_a_moved_position_is_no_longer_tripped(
    stream: Callable[..., Any], rows: Callable[..., Any], connection: psycopg.Connection
) -> None:
    writer = stream()
    writer.store.trip([writer.claim(0, siblings=1)])
    assert rows("SELECT tripped_at IS NULL FROM stream_offsets") == [(False,)]
    move(connection, group="g", log=LOG, siblings=1, targets={0: 100})
    assert rows("SELECT tripped_at IS NULL FROM stream_offsets") == [(True,)]


def test_what_was_just_written_is_not_retired_unless_forced(
    stream: Callable[..., Any],
    rows: Callable[..., Any],
    connection: psycopg.Connection,
    aged: Callable[[], Any],
) -> None:
    writer = stream("host:1")
    writer.claim(0, siblings=2)
    aged()
    writer.claim(1, siblings=2)
    retired, busy = retire(connection, group="g")
    assert (retired, [(row.partition.number, row.owner_id) for row in busy]) == (
        [],
        [(1, "host:1")],
    )
    assert not any(row[-1] for row in rows(STANDS))
    assert [row.partition.number for row in retire(connection, group="g", numbers=[0])[0]] == [0]
    assert [row[-1] for row in rows(STANDS)] == [True, False]
    retired, _ = retire(connection, group="g", force=True, dry_run=True)
    assert [row.partition.number for row in retired] == [1]
    assert [row[-1] for row in rows(STANDS)] == [True, False]
    retire(connection, group="g", topic="posts", force=True)
    assert [row[-1] for row in rows(STANDS)] == [True, True]
    assert retire(connection, group="g") == ([], [])


def test_a_retired_worker_is_fenced_and_a_claim_brings_the_topic_back(
    stream: Callable[..., Any],
    build: Any,
    rows: Callable[..., Any],
    connection: psycopg.Connection,
    aged: Callable[[], Any],
) -> None:
    frozen = stream()
    frozen.claim(0, siblings=3)
    (batch,) = frozen.batches(0, [build.post(0, 0, "a")], 10)
    aged()
    assert len(retire(connection, group="g", topic="posts")[0]) == 3
    assert frozen.store.write(batch).fenced == batch.spans
    claim = frozen.claims[0]
    time = rows("SELECT now()")[0][0]
    assert frozen.store.heartbeat([Span(claim.partition, claim.epoch, 0, 0, time)]) == 0
    # All of it: what the other partitions hold has yet to be read.
    heir = stream()
    heir.claim(1, siblings=3)
    assert [row[-1] for row in rows(STANDS)] == [False, False, False]


def test_retries_and_other_groups_are_left_alone(
    stream: Callable[..., Any],
    rows: Callable[..., Any],
    connection: psycopg.Connection,
    aged: Callable[[], Any],
) -> None:
    stream().claim(0, siblings=1)
    stream(group="other").claim(0, siblings=1)
    rows(
        "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition) "
        "VALUES ('g', '@retry', '00000000-0000-0000-0000-000000000000', 0) RETURNING 1"
    )
    aged()
    retire(connection, group="g", force=True)
    assert rows(
        "SELECT consumer_group, topic FROM stream_offsets WHERE retired_at IS NOT NULL"
    ) == [("g", "posts")]
