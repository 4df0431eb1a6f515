"""When a bucket counts as read: the watermarks of every live partition, of every live group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from worker.posts.place import Partition, Span

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
MINUTE = "interval '1 minute'"
END = (
    f"CASE granularity WHEN '1m' THEN {MINUTE} "
    "WHEN '1h' THEN interval '1 hour' ELSE interval '24 hours' END"
)
ROLLING = "emotion_rolling('1 hour', 'all', '*', '2026-03-01 11:00Z', '2026-03-01 16:00Z')"


@pytest.fixture
def complete(rows: Callable[..., Any]) -> Callable[[], datetime | None]:
    """The function's answer; every view must say the same of all of its rows."""

    def ask() -> datetime | None:
        until: datetime | None
        [(until,)] = rows("SELECT emotion_complete_until()")
        for view, end in (
            ("emotion_trends", END),
            ("emotion_voice", END),
            ("emotion_trends_rolling_1h", MINUTE),
            ("emotion_trends_rolling_24h", MINUTE),
            (ROLLING, MINUTE),
        ):
            assert rows(
                f"SELECT count(*) > 0, bool_and(complete = coalesce(bucket + {end} <= %s, false)) "
                f"FROM {view}",
                until,
            ) == [(True, True)], view
        assert rows(
            "SELECT bool_and(complete = coalesce(until <= %s, false)) FROM emotion_model_changes",
            until,
        ) == [(True,)]
        return until

    return ask


def write(writer: Any, number: int, items: Any) -> None:
    for batch in writer.batches(number, items, 100):
        writer.store.write(batch)


def test_nothing_is_complete_where_nothing_is_read(rows: Callable[..., Any]) -> None:
    assert rows("SELECT emotion_complete_until()") == [(None,)]


def test_a_partition_that_nobody_claimed_holds_everything_back(
    stream: Callable[..., Any], build: Any, complete: Any, noon: datetime
) -> None:
    writer = stream()
    writer.claim(0, siblings=2)
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=7_200)])
    assert complete() is None
    writer.claim(1, siblings=2)
    assert complete() is None
    write(writer, 1, [build.post(1, 0, "c", created=3_660)])
    # The slower of the two, less the lateness of neither: the tests' batches have none.
    assert complete() == noon + HOUR + timedelta(minutes=1)


def test_an_idle_partition_goes_on_by_heartbeat(
    stream: Callable[..., Any], build: Any, complete: Any, noon: datetime
) -> None:
    writer = stream()
    writer.claim(0, siblings=2)
    writer.claim(1, siblings=2)
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=7_200)])
    assert complete() is None
    idle = writer.claims[1]
    beat = Span(idle.partition, idle.epoch, 0, 0, noon + HOUR)
    assert writer.store.heartbeat([beat]) == 1
    assert complete() == noon + HOUR


def test_a_post_from_the_future_completes_nothing_to_come(
    stream: Callable[..., Any], build: Any, complete: Any, rows: Callable[..., Any]
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    century = 100 * 365 * 86_400
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=century)])
    until = complete()
    assert until is not None
    assert until <= datetime.now(UTC)
    assert rows("SELECT bool_or(complete) FROM emotion_trends WHERE bucket > now()") == [(False,)]


def test_a_topic_made_anew_counts_alone(
    stream: Callable[..., Any], build: Any, complete: Any, rows: Callable[..., Any], noon: datetime
) -> None:
    writer = stream()
    writer.claim(0, siblings=2)
    write(writer, 0, [build.post(0, 0, "a")])
    assert complete() is None
    # The new log has one partition: the old one's second was never claimed, and never will be.
    anew = Partition("posts", UUID(int=99), 0)
    claim = writer.store.claim(anew, 1, writer.owner)
    assert rows("SELECT count(*) FROM stream_offsets WHERE retired_at IS NOT NULL") == [(2,)]
    assert complete() is None
    assert writer.store.settle(claim, 0)
    assert writer.store.heartbeat([Span(anew, claim.epoch, 0, 0, noon + HOUR)]) == 1
    assert complete() == noon + HOUR


def test_a_retired_topic_and_the_ledger_of_retries_count_no_more(
    stream: Callable[..., Any],
    build: Any,
    complete: Any,
    rows: Callable[..., Any],
    database_url: str,
    noon: datetime,
) -> None:
    writer = stream()
    writer.claim(0, siblings=1)
    write(writer, 0, [build.post(0, 0, "a", created=60)])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition) "
            "VALUES ('g', '@retry', %s, 0)",
            (UUID(int=0),),
        )
        assert complete() == noon + timedelta(minutes=1)
        connection.execute(
            "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition, "
            "watermark) VALUES ('g', 'old', %s, 0, %s)",
            (UUID(int=5), noon - HOUR),
        )
        assert complete() == noon - HOUR
        connection.execute("UPDATE stream_offsets SET retired_at = now() WHERE topic = 'old'")
        assert complete() == noon + timedelta(minutes=1)
        connection.execute("UPDATE stream_offsets SET retired_at = now()")
        assert complete() is None


def test_the_slower_of_two_groups_counts(
    stream: Callable[..., Any], build: Any, complete: Any, noon: datetime
) -> None:
    fast, slow = stream(group="fast"), stream(group="slow")
    for writer in (fast, slow):
        writer.claim(0, siblings=1)
    write(fast, 0, [build.post(0, 0, "a", created=60), build.post(0, 1, "b", created=120)])
    assert complete() is None
    write(slow, 0, [build.post(0, 0, "a", created=60)])
    assert complete() == noon + timedelta(minutes=1)
    write(slow, 0, [])
    claim = slow.claims[0]
    assert slow.store.heartbeat([Span(claim.partition, claim.epoch, 1, 1, noon + HOUR)]) == 1
    assert complete() == noon + timedelta(minutes=2)


def test_a_reader_of_the_view_needs_no_more(
    stream: Callable[..., Any], build: Any, database_url: str, rows: Callable[..., Any]
) -> None:
    """Completeness comes from a table that a reader of the views may not see."""
    writer = stream()
    writer.claim(0, siblings=1)
    write(writer, 0, [build.post(0, 0, "a"), build.post(0, 1, "b", created=7_200)])
    views = (
        "emotion_trends, emotion_voice, emotion_model_changes, "
        "emotion_trends_rolling_1h, emotion_trends_rolling_24h"
    )
    role = f"reader_{database_url.rpartition('_')[2]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            connection.execute(f"GRANT SELECT ON {views} TO {role}".encode())
            connection.execute(f"SET ROLE {role}".encode())
            for view in views.split(", "):
                found = connection.execute(f"SELECT bool_or(complete) FROM {view}".encode())
                assert found.fetchone() == (view != "emotion_model_changes",), view
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("TABLE stream_offsets")
        finally:
            connection.execute("RESET ROLE")
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())
