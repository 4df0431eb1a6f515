"""What stood out in a range: spikes hour by hour, joined, and the models that labelled."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from worker.posts import LABELS
from worker.store.connection import connect
from worker.store.trend_events import HOURS, hours, read_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
END = datetime(2026, 3, 26, 15, 20, tzinfo=UTC)  # a Thursday, and no full hour
USUAL = dict(zip((*LABELS, "uncertain"), (20, 40, 8, 20, 6, 6, 10), strict=True))
ANGRY = USUAL | {"anger": 150}
ROSE, FELL = END - 5 * HOUR, END - 2 * HOUR


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, application_name="test", autocommit=True) as session:
        yield session


@pytest.fixture
def stream(connection: psycopg.Connection) -> Callable[..., None]:
    """A steady stream of `days` days; from `ROSE` to `FELL` the hashtag `news` is angry."""

    def make(*, days: int = 10, changed: datetime | None = None) -> None:
        rows = []
        start = (END - days * DAY).replace(minute=0)
        for n in range((END - start) // HOUR + 1):
            hour = start + n * HOUR
            for quarter in range(4):
                minute = hour + quarter * timedelta(minutes=15) + timedelta(minutes=7)
                if minute >= END:
                    continue
                counts = ANGRY if ROSE <= minute < FELL else USUAL
                part = [counts.get(name, 0) // 2 for name in (*LABELS, "uncertain")]
                model = "1" if changed is None or hour < changed else "2"
                for dimension, value in (("all", "*"), ("hashtag", "news"), ("model", model)):
                    rows.append(("1h", dimension, value, hour, quarter, *part, *[0] * 7))
                    rows.append(("1m", dimension, value, minute, quarter, *part, *[0] * 7))
        with connection.cursor() as cursor, cursor.copy("COPY trend_cells FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.execute("ANALYZE trend_cells")

    return make


def test_hours_in_a_row_are_one_episode(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    stream()
    found = read_events(connection, since=END - DAY, until=END)
    assert {(one.peak.dimension, one.peak.value) for one in found.episodes} == {
        ("all", "*"),
        ("hashtag", "news"),
    }
    assert {one.peak.emotion for one in found.episodes} == {"anger"}
    for one in found.episodes:
        assert ROSE - HOUR <= one.since <= ROSE
        assert FELL <= one.until <= FELL + HOUR
        assert one.peak.posts == 300
        assert one.peak.expected == 40
    assert found.since == (END - DAY).replace(minute=0) + HOUR
    assert (found.until, found.note) == (END, None)


def test_one_dimension_or_value_only(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    stream()
    since = END - 6 * HOUR
    for chosen, expected in (
        ({"dimension": "hashtag"}, ["news"]),
        ({"dimension": "hashtag", "value": "news"}, ["news"]),
        ({"dimension": "hashtag", "value": "cats"}, []),
        ({"dimension": "platform"}, []),
    ):
        found = read_events(connection, since=since, until=END, **chosen)  # type: ignore[arg-type]
        assert [one.peak.value for one in found.episodes] == expected


def test_too_little_history_says_so_and_ends_the_search(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    stream(days=4)
    found = read_events(connection, since=END - 3 * DAY, until=END)
    assert found.episodes
    assert found.note is not None
    assert "under 3 days of history before 2026-03-25" in found.note
    assert found.since is not None
    assert END - 1.2 * DAY < found.since < END - 0.8 * DAY


def test_an_empty_database_has_no_events(connection: psycopg.Connection) -> None:
    found = read_events(connection, since=END - DAY, until=END)
    assert (found.episodes, found.since, found.until, found.runs) == ((), None, None, ())
    assert "under 3 days" in str(found.note)


def test_nothing_is_compared_across_a_change_of_model(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    changed = (END - 2 * DAY).replace(minute=0)
    stream(changed=changed)
    connection.execute(
        "INSERT INTO models (id, name, version, sha256, base, labels, metrics) OVERRIDING SYSTEM"
        " VALUE VALUES (1, 'builtin', '1.0', 'a', 'x', '{}', '{}')"
    )
    found = read_events(connection, since=END - 3 * DAY, until=END)
    assert found.episodes == ()
    assert "the model changed at" in str(found.note)
    assert [(run.model_id, run.title) for run in found.runs] == [(1, "builtin 1.0"), (2, "model 2")]
    [change] = found.changes(END - 3 * DAY)
    assert (change.since, change.model_id) == (changed, 2)
    later = read_events(connection, since=changed + HOUR, until=END)
    assert [run.model_id for run in later.runs] == [2]
    assert later.changes(changed + HOUR) == ()


def test_the_newest_hours_go_first_and_time_is_limited(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    stream()
    ticks = count(0.0, 4.0)  # seconds: the limit is 10
    found = read_events(connection, since=END - DAY, until=END, clock=lambda: next(ticks))
    assert found.since == END.replace(minute=0) - HOUR
    assert found.until == END


def test_hours_to_ask_about() -> None:
    assert list(hours(END - 3 * HOUR, END)) == [
        END,
        END.replace(minute=0),
        END.replace(minute=0) - HOUR,
    ]
    full = END.replace(minute=0)
    assert list(hours(full - 2 * HOUR, full)) == [full, full - HOUR]
    assert list(hours(END - HOUR / 2, END)) == []
    assert len(list(hours(END - 365 * DAY, END))) == HOURS


def test_a_reader_without_the_rights_is_told(
    connection: psycopg.Connection, stream: Callable[..., None]
) -> None:
    stream()
    role = f"reader_{secrets.token_hex(4)}"
    connection.execute(f"CREATE ROLE {role}".encode())
    try:
        connection.execute(f"GRANT SELECT ON emotion_trends TO {role}".encode())
        connection.execute(f"SET ROLE {role}".encode())
        found = read_events(connection, since=END - DAY, until=END)
        connection.execute("RESET ROLE")
    finally:
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())
    assert (found.episodes, found.runs, found.since) == ((), (), None)
    assert "may not read" in str(found.note)
