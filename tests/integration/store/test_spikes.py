"""What is unusual now: found on generated streams, explained from the labels, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

from benchmarks import spikes
from worker.posts import LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AT = datetime(2026, 3, 26, 15, 20, tzinfo=UTC)  # a Thursday, and no full hour
MIX = dict(zip((*LABELS, "uncertain"), (20, 40, 8, 20, 6, 6, 10), strict=True))


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET TimeZone TO 'Asia/Kathmandu'")
        yield connection


def cells(
    connection: psycopg.Connection,
    granularity: str,
    dimension: str,
    value: str,
    buckets: list[datetime],
    counts: dict[str, int],
) -> None:
    numbers = [counts.get(name, 0) for name in (*LABELS, "uncertain")] + [0] * 7
    with connection.cursor() as cursor, cursor.copy("COPY trend_cells FROM STDIN") as copy:
        for bucket in buckets:
            copy.write_row((granularity, dimension, value, bucket, 0, *numbers))


def hours(first: datetime, last: datetime) -> list[datetime]:
    return [first + n * HOUR for n in range((last - first) // HOUR)]


def steady(
    connection: psycopg.Connection,
    *,
    days: int = 28,
    now: dict[str, int] | None = None,
    models: tuple[tuple[str, datetime], ...] = (),
) -> None:
    """The same mixture each hour, of the hashtag `news` and of all; in the last one, `now`."""
    whole = AT.replace(minute=0)
    window = [AT - HOUR + timedelta(minutes=7)]
    for dimension, value in (("all", "*"), ("hashtag", "news")):
        cells(connection, "1h", dimension, value, hours(whole - days * DAY, whole), MIX)
        cells(connection, "1m", dimension, value, window, MIX if now is None else now)
    for place, (model, since) in enumerate(models):
        until = models[place + 1][1] if place + 1 < len(models) else whole
        cells(connection, "1h", "model", model, hours(since, until), MIX)
    if models:
        cells(connection, "1m", "model", models[-1][0], window, MIX)


def ask(connection: psycopg.Connection, at: datetime = AT, **more: int) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM emotion_spikes(%s, %s)", (at, more.get("min_posts", 30))
        ).fetchall()


@pytest.mark.parametrize(("seed", "history"), [(1_001, 14), (1_002, 21)])
def test_planted_rises_are_found_and_little_else(
    connection: psycopg.Connection, seed: int, history: int
) -> None:
    """A small part of what `python -m benchmarks.spikes` looks at."""
    days, values = 3, 40
    stream = spikes.generate(seed, values=values, history=history, days=days, rises=1.0)
    spikes.load(connection, stream, 24 * history)
    found = spikes.evaluate(connection, stream, 24 * history)
    assert found.planted >= 30
    assert found.recall >= 0.9
    # One a day over 200 values; the little that 120 value-days have may come in one.
    assert found.false_alarms <= max(1, days * values / 200)


def test_the_band_and_the_shares(connection: psycopg.Connection) -> None:
    steady(connection, now=MIX | {"anger": 120})
    rows = [row for row in ask(connection) if row["dimension"] == "hashtag"]
    assert [(row["value"], row["emotion"], row["posts"]) for row in rows] == [
        ("news", "anger", 120)
    ]
    [row] = rows
    assert row["expected"] == 20
    # Steady as no stream is: chance alone is allowed for, and that the days do not know all.
    assert 0 < row["low"] < 20 < row["high"] < 60
    assert row["score"] > 8
    assert row["share_now"] == pytest.approx(120 / 210)
    assert row["share_before"] == pytest.approx(20 / 110)
    assert (row["post_ids"], row["texts"], row["hashtags"]) == ([], [], [])
    assert row["top_author_share"] is None
    assert row["note"] is None


def test_the_usual_and_the_small_are_no_spikes(connection: psycopg.Connection) -> None:
    steady(connection, now=MIX | {"anger": 29, "joy": 45})
    assert ask(connection) == []
    assert ask(connection, min_posts=10) == []


def test_min_posts(connection: psycopg.Connection) -> None:
    steady(connection, now=MIX | {"fear": 60})
    assert {row["emotion"] for row in ask(connection, min_posts=60)} == {"fear"}
    assert ask(connection, min_posts=61) == []


def test_a_value_that_never_was_is_news(connection: psycopg.Connection) -> None:
    steady(connection)
    cells(connection, "1m", "hashtag", "outage", [AT - HOUR / 2], {"anger": 80})
    [row] = ask(connection)
    assert (row["value"], row["emotion"], row["posts"], row["expected"]) == (
        "outage",
        "anger",
        80,
        1,
    )
    assert row["share_before"] is None


def test_the_hour_lies_between_two_cells(connection: psycopg.Connection) -> None:
    """From 14:20 to 15:20: two thirds of the hour from 14:00, one third of that from 15:00."""
    steady(connection)
    whole = AT.replace(minute=0)
    for hour, count in ((whole - HOUR, 300), (whole, 600)):
        past = [hour - days * DAY for days in range(1, 29)]
        cells(connection, "1h", "hashtag", "rhythm", past, {"joy": count})
    # The trailing hour is made of minutes, wherever these lie.
    minutes = [AT - HOUR, AT - timedelta(minutes=1), AT, AT - HOUR - timedelta(minutes=1)]
    cells(connection, "1m", "hashtag", "rhythm", minutes, {"joy": 2_000})
    [row] = ask(connection)
    assert (row["value"], row["posts"], row["expected"]) == ("rhythm", 4_000, pytest.approx(400))


def test_the_weekend_is_compared_with_weekends(connection: psycopg.Connection) -> None:
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    past = hours(saturday - 28 * DAY, saturday)
    for dimension, value in (("all", "*"), ("hashtag", "party")):
        for weekend, count in ((True, 400), (False, 100)):
            alike = [hour for hour in past if (hour.isoweekday() > 5) == weekend]
            cells(connection, "1h", dimension, value, alike, {"joy": count})
    for at, count in ((saturday, 430), (saturday - DAY, 110)):
        cells(connection, "1m", "hashtag", "party", [at - HOUR / 2], {"joy": count})
        assert ask(connection, at) == []
    cells(connection, "1m", "hashtag", "party", [saturday - DAY - HOUR / 4], {"joy": 290})
    assert [row["expected"] for row in ask(connection, saturday - DAY)] == [100]


def test_a_bursty_value_needs_more(connection: psycopg.Connection) -> None:
    """Both are at 100 an hour; the one that swings by 40 is not surprising at 190."""
    steady(connection)
    whole = AT.replace(minute=0)
    past = hours(whole - 28 * DAY, whole)
    for up in (True, False):
        alike = [hour for hour in past if ((hour.day * 7 + hour.hour * 5) % 4 < 2) == up]
        cells(connection, "1h", "hashtag", "bursty", alike, {"anger": 140 if up else 60})
    cells(connection, "1h", "hashtag", "steady", past, {"anger": 100})
    for value in ("bursty", "steady"):
        cells(connection, "1m", "hashtag", value, [AT - HOUR / 2], {"anger": 190})
    assert [row["value"] for row in ask(connection)] == ["steady"]


def test_under_three_days_of_history(connection: psycopg.Connection) -> None:
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    steady(connection, days=2, now=MIX | {"anger": 500})
    assert ask(connection) == []
    assert len(notices) == 1
    assert "under 3 days of history before 2026-03-26 14:20 UTC" in notices[0]


def test_nothing_at_all(connection: psycopg.Connection) -> None:
    assert connection.execute("SELECT * FROM emotion_spikes()").fetchall() == []
    with pytest.raises(errors.InvalidParameterValue, match="at must be a time"):
        connection.execute("SELECT * FROM emotion_spikes('infinity')")


def test_days_on_which_nothing_was_read_do_not_count(connection: psycopg.Connection) -> None:
    """Five days of standstill among ten are no zeros."""
    whole = AT.replace(minute=0)
    for dimension, value in (("all", "*"), ("hashtag", "news")):
        cells(connection, "1h", dimension, value, hours(whole - 10 * DAY, whole - 8 * DAY), MIX)
        cells(connection, "1h", dimension, value, hours(whole - 3 * DAY, whole), MIX)
        cells(connection, "1m", dimension, value, [AT - HOUR / 2], MIX)
    assert ask(connection, min_posts=1) == []


def test_no_comparison_across_a_change_of_model(connection: psycopg.Connection) -> None:
    whole = AT.replace(minute=0)
    changed = whole - 2 * DAY - 5 * HOUR
    steady(
        connection,
        now=MIX | {"anger": 500},
        models=(("1", whole - 28 * DAY), ("2", changed)),
    )
    [row] = ask(connection)
    assert (row["dimension"], row["value"], row["emotion"], row["score"]) == (
        "all",
        "*",
        None,
        None,
    )
    assert "the model changed at 2026-03-24 10:00 UTC" in row["note"]


def test_days_since_the_model_changed_are_compared(connection: psycopg.Connection) -> None:
    whole = AT.replace(minute=0)
    steady(
        connection,
        now=MIX | {"anger": 500},
        models=(("1", whole - 28 * DAY), ("2", whole - 6 * DAY - 5 * HOUR)),
    )
    rows = ask(connection)
    assert {(row["value"], row["emotion"]) for row in rows} == {("news", "anger"), ("*", "anger")}
    assert {row["note"] for row in rows} == {
        "the model changed at 2026-03-20 10:00 UTC: compared with 6 days since"
    }


def test_a_roll_out_under_way(connection: psycopg.Connection) -> None:
    whole = AT.replace(minute=0)
    steady(connection, now=MIX | {"anger": 500}, models=(("1", whole - 28 * DAY),))
    cells(connection, "1m", "model", "2", [AT - HOUR / 4], {"joy": 60})
    [row] = ask(connection)
    assert row["score"] is None
    assert "the model changed at 2026-03-26 14:20 UTC" in row["note"]


def test_why(connection: psycopg.Connection) -> None:
    """The posts behind a rise, the hashtag that lifts it, and how much of it one author is."""
    steady(connection, now=MIX | {"anger": 60})
    whole = AT.replace(minute=0)
    cells(connection, "1h", "hashtag", "usual", hours(whole - 28 * DAY, whole), {"anger": 30})
    rows = [
        (
            f"p{n}",
            AT - timedelta(minutes=50) + timedelta(seconds=n),
            ["news", "outage" if n % 3 else "usual"],
            "anger" if n < 60 else "joy",
            0.5 + n / 1_000,
            f"author{0 if n < 15 else n}",
            f"text {n}",
        )
        for n in range(90)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO post_emotions (platform, post_id, created_at, topic, kafka_partition, "
            "kafka_offset, hashtags, emotion, confidence, author_hash, text, model_id) "
            "VALUES ('tw', %s, %s, 'posts', 0, 0, %s, %s, %s, %s, %s, 1)",
            rows,
        )
        # Before and after the hour.
        cursor.execute(
            "INSERT INTO post_emotions SELECT platform, post_id || s, "
            "created_at + s * interval '1 hour', topic, kafka_partition, kafka_offset, lang, "
            "author_hash, hashtags, emotion, null, 1, 0, 0, 0, 0, 0, 0, model_id, now(), 'no' "
            "FROM post_emotions, (VALUES (-1), (1)) AS v (s)"
        )
    [row] = [row for row in ask(connection) if row["dimension"] == "hashtag"]
    assert (row["value"], row["emotion"]) == ("news", "anger")
    assert row["post_ids"] == [f"tw:p{n}" for n in (59, 58, 57, 56, 55)]
    assert row["texts"] == [f"text {n}" for n in (59, 58, 57, 56, 55)]
    assert row["hashtags"] == ["outage"]
    assert row["top_author_share"] == pytest.approx(15 / 60)
    connection.execute("UPDATE post_emotions SET text = NULL WHERE post_id IN ('p58', 'p55')")
    [row] = [row for row in ask(connection) if row["dimension"] == "hashtag"]
    assert row["texts"] == ["text 59", "", "text 57", "text 56", ""], "in step with the ids"
    connection.execute("UPDATE post_emotions SET text = NULL")
    [row] = [row for row in ask(connection) if row["dimension"] == "hashtag"]
    assert row["texts"] == []
