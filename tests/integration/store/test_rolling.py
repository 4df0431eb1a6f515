"""Trailing windows and share of voice, against sums by brute force over the same cells."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from worker.posts import LABELS
from worker.trends import EMOTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

# Over the night in which most of America puts its clocks forward.
START = datetime(2026, 3, 7, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOURS = 54
WIDTHS = {"1m": MINUTE, "1h": HOUR, "1d": DAY}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = datetime(2000, 1, 3, tzinfo=UTC)
VIEWS = ("emotion_trends", "emotion_voice", *(f"emotion_trends_rolling_{w}" for w in ("1h", "24h")))
COLUMNS = "granularity, bucket, dimension, value, emotion, posts, total_posts, share, mean_score"

Cells = dict[tuple[str, str, str], dict[datetime, list[int]]]
"""Granularity, dimension and value; bucket; eight counts and six score sums."""


def floor(time: datetime, width: timedelta) -> datetime:
    return time - (time - EPOCH) % width


@pytest.fixture
def cells(connection: psycopg.Connection) -> Cells:
    """Sparse minutes with gaps of hours, over slots of which some are negative; all stored."""
    rng = Random(5)
    slots: dict[tuple[str, str, str, datetime, int], list[int]] = {}
    sums: Cells = defaultdict(lambda: defaultdict(lambda: [0] * 14))

    def add(dimension: str, value: str, minute: datetime, slot: int, what: list[int]) -> None:
        for granularity, width in WIDTHS.items():
            bucket = floor(minute, width)
            cell = slots.setdefault((granularity, dimension, value, bucket, slot), [0] * 14)
            total = sums[granularity, dimension, value][bucket]
            for place, number in enumerate(what):
                cell[place] += number
                total[place] += number

    for value, rarely in (("often", 3), ("rare", 500)):
        for minutes in range(HOURS * 60):
            silent = 20 <= minutes // 60 < 23
            if rng.randrange(rarely) or silent:
                continue
            counts = [rng.randrange(4) for _ in EMOTIONS]
            what = counts + [rng.randrange(1_000_000) * n for n in counts[: len(LABELS)]]
            minute, slot = START + minutes * MINUTE, rng.randrange(1, 4)
            for dimension, name in (("hashtag", value), ("all", "*"), ("model", "1")):
                add(dimension, name, minute, slot, what)
                if not rng.randrange(5):  # an edit that another worker stores, then takes back
                    add(dimension, name, minute, 9, what)
                    add(dimension, name, minute, 10, [-number for number in what])
    gone = START + 30 * MINUTE  # all of its posts were withdrawn
    add("hashtag", "withdrawn", gone, 1, [1] * 14)
    add("hashtag", "withdrawn", gone, 2, [-1] * 14)
    with connection.cursor() as cursor, cursor.copy("COPY trend_cells FROM STDIN") as copy:
        for key, cell in slots.items():
            copy.write_row((*key, *cell))
    connection.execute("ANALYZE trend_cells")
    return sums


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Whatever the reader's zone is: this one has a day of 23 hours in the range.
        connection.execute("SET TimeZone TO 'America/New_York'")
        yield connection


def expected(
    cells: Cells, key: tuple[str, str, str], bucket: datetime, since: datetime, until: datetime
) -> list[tuple[Any, ...]]:
    """The eight rows of the window [since, until)."""
    found = [cell for time, cell in cells[key].items() if since <= time < until]
    sums = [sum(numbers) for numbers in zip(*found, strict=True)] if found else [0] * 14
    total = sum(sums[:7])
    return [
        (
            key[0],
            bucket,
            *key[1:],
            emotion,
            sums[place],
            total,
            sums[place] / total if total and emotion != "unlabelled" else None,
            pytest.approx(sums[8 + place] / 1e6 / total) if total and place < 6 else None,
        )
        for place, emotion in enumerate(EMOTIONS)
    ]


def test_rolling_is_the_sum_of_its_window(connection: psycopg.Connection, cells: Cells) -> None:
    since, until = START + 11 * HOUR + 17 * MINUTE, START + 27 * HOUR + 43 * MINUTE
    for width, step, granularity in (
        (MINUTE, MINUTE, "1m"),
        (7 * MINUTE, MINUTE, "1m"),
        (HOUR, 15 * MINUTE, "1m"),
        (90 * MINUTE, HOUR, "1m"),
        (5 * MINUTE, 2 * HOUR, "1m"),
        (HOUR, HOUR, "1h"),
        (DAY, HOUR, "1h"),
        (3 * HOUR, 2 * HOUR, "1h"),
        (DAY, DAY, "1d"),
        (7 * DAY, DAY, "1d"),
    ):
        for value in ("often", "rare", "never"):
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM emotion_rolling(%s, 'hashtag', %s, %s, %s, %s)",
                (width, value, since, until, step),
            ).fetchall()
            wanted = []
            bucket = MONDAY + (since - MONDAY) // step * step
            while bucket < until:
                end = bucket + step
                key = (granularity, "hashtag", value)
                wanted += expected(cells, key, bucket, end - width, end)
                bucket += step
            assert rows == wanted, (width, step, value)


def test_rolling_by_the_minute_unless_told_otherwise(
    connection: psycopg.Connection, cells: Cells
) -> None:
    rows = connection.execute(
        "SELECT bucket, count(*), sum(posts) FROM emotion_rolling("
        "\"window\" => '1 hour', dimension => 'all', value => '*', since => %s, until => %s) "
        "GROUP BY bucket ORDER BY bucket",
        (START + 20 * HOUR, START + 24 * HOUR),
    ).fetchall()
    assert [row[:2] for row in rows] == [(START + 20 * HOUR + n * MINUTE, 8) for n in range(240)]
    # Three hours without a word: after the first of them, zeros rather than nothing.
    assert [row[2] for row in rows[60:180]] == [0] * 120
    assert all(row[2] > 0 for row in (*rows[:40], *rows[200:]))


def test_what_cannot_be_asked(connection: psycopg.Connection) -> None:
    for arguments, message in (
        ("'90 seconds', 'all', '*', now(), now()", "whole minutes"),
        ("'0 minutes', 'all', '*', now(), now()", "whole minutes"),
        ("'-1 hour', 'all', '*', now(), now()", "whole minutes"),
        ("'1 month', 'all', '*', now(), now()", "whole minutes"),
        ("'1 hour', 'all', '*', now(), now(), '1 second'", "whole minutes"),
        ("'1 hour', 'all', '*', now(), now(), '1 year'", "whole minutes"),
        ("'1 hour', 'model', '1', now(), now()", "no dimension 'model'"),
        ("'1 hour', 'all', '*', '-infinity', now()", "infinity"),
        ("'1 hour', 'all', '*', '1970-01-01', now()", "a million steps"),
    ):
        with pytest.raises(errors.InvalidParameterValue, match=message):
            connection.execute(f"SELECT * FROM emotion_rolling({arguments})".encode())
    with pytest.raises(errors.NullValueNotAllowed):
        connection.execute("SELECT * FROM emotion_rolling('1 hour', 'all', null, now(), now())")
    rows = connection.execute(
        "SELECT * FROM emotion_rolling('1 hour', 'all', '*', now(), now() - interval '1 day')"
    ).fetchall()
    assert rows == []


def test_the_views_have_a_row_for_each_minute_with_posts(
    connection: psycopg.Connection, cells: Cells
) -> None:
    for view, width in (("1h", HOUR), ("24h", DAY)):
        for value, since, until in (
            ("often", START + 25 * HOUR, START + 28 * HOUR),
            ("rare", START, START + HOURS * HOUR),
            ("withdrawn", START, START + HOURS * HOUR),
        ):
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM emotion_trends_rolling_{view} "
                "WHERE dimension = 'hashtag' AND value = %s AND bucket >= %s AND bucket < %s "
                "ORDER BY bucket, array_position(%s, emotion)",
                (value, since, until, list(EMOTIONS)),
            ).fetchall()
            key = ("1m", "hashtag", value)
            wanted = []
            for bucket, cell in sorted(cells[key].items()):
                if since <= bucket < until and any(cell):
                    end = bucket + MINUTE
                    wanted += expected(cells, key, bucket, end - width, end)
            assert rows == wanted, (view, value)
            assert bool(rows) == (value != "withdrawn")


def test_views_and_function_agree(connection: psycopg.Connection, cells: Cells) -> None:
    for view, width in (("1h", HOUR), ("24h", DAY)):
        assert connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE v IS DISTINCT FROM f) "
            f"FROM (SELECT * FROM emotion_trends_rolling_{view} "
            "      WHERE dimension = 'all' AND value = '*') AS v "
            "JOIN emotion_rolling(%s, 'all', '*', %s, %s) AS f USING (bucket, emotion)",
            (width, START, START + HOURS * HOUR),
        ).fetchone() == (8 * len(cells["1m", "all", "*"]), 0)


def test_voice(connection: psycopg.Connection, cells: Cells) -> None:
    rows = connection.execute(
        "SELECT granularity, bucket, dimension, value, total_posts, share_of_voice, net_emotion "
        "FROM emotion_voice"
    ).fetchall()
    wanted = {}
    for (granularity, dimension, value), buckets in cells.items():
        for bucket, cell in buckets.items():
            if dimension == "model" or not any(cell[:8]):
                continue
            total = sum(cell[:7])
            whole = sum(cells[granularity, "all", "*"][bucket][:7])
            net = cell[1] + cell[2] - cell[0] - cell[3] - cell[4]
            wanted[granularity, bucket, dimension, value] = (
                total,
                pytest.approx(total / whole) if whole else None,
                pytest.approx(net / total) if total else None,
            )
    assert {row[:4]: row[4:] for row in rows} == wanted
    assert len(rows) == len(wanted)


def test_the_cells_by_model_are_not_shown(connection: psycopg.Connection, cells: Cells) -> None:
    assert cells["1m", "model", "1"]
    for view in VIEWS:
        assert connection.execute(
            f"SELECT count(*) FROM {view} WHERE dimension = 'model'"
        ).fetchone() == (0,)


def test_only_what_is_asked_for_is_read(connection: psycopg.Connection, cells: Cells) -> None:
    for view in VIEWS:
        plan = "\n".join(
            line
            for (line,) in connection.execute(
                f"EXPLAIN SELECT * FROM {view} WHERE granularity = '1m' "
                "AND dimension = 'hashtag' AND value = 'often' AND bucket >= '2026-03-08Z'"
            )
        )
        first = plan.index("Index Cond")
        condition = plan[first : plan.index("\n", first)]
        assert "value = 'often'" in condition
        assert "bucket >= '2026-03-0" in condition
        assert "Seq Scan on trend_cells_1m" not in plan
        assert "Function Scan" not in plan


def test_everything_says_what_it_is(database_url: str, rows: Callable[..., Any]) -> None:
    undescribed = rows(
        "SELECT c.relname || '.' || a.attname FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace "
        "AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL) "
        "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND obj_description(oid, 'pg_proc') IS NULL"
    )
    assert undescribed == []
