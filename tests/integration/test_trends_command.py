"""`emotion-worker trends` and the reads behind it, on the real schema."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from worker.commands.trends import command
from worker.commands.trends_times import window_range
from worker.errors import WorkerError
from worker.store.connection import connect
from worker.store.trends import read_complete_until, read_newest, read_series, read_trends
from worker.trends import EMOTIONS, GRANULARITIES, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

pytestmark = pytest.mark.integration

DAY = datetime(2015, 2, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALM = (1, 4, 2, 1, 1, 1, 2, 1)
OUTAGE = (2, 1, 0, 9, 1, 1, 2, 0)
CELL = """
INSERT INTO trend_cells VALUES (%s, %s, %s, %s, %s, {})
ON CONFLICT (granularity, dimension, value, bucket, slot) DO UPDATE SET {}
""".format(
    ", ".join(["%s"] * 14),
    ", ".join(
        f"{name} = trend_cells.{name} + excluded.{name}"
        for name in (*EMOTIONS, *(f"{emotion}_score" for emotion in EMOTIONS[:6]))
    ),
)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, application_name="test", autocommit=True) as session:
        yield session


@pytest.fixture
def trends_command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("WORKER_DATABASE_URL", database_url)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command, arguments)

    return run


def _add(
    session: psycopg.Connection, time: datetime, counts: tuple[int, ...], **values: str
) -> None:
    """Adds posts at `time` to every cell they belong to, all and `values`, over two slots."""
    scores = [count * 700_000 for count in counts[:6]]
    for dimension, value in {"all": "*", **values}.items():
        for granularity, step in GRANULARITIES.items():
            cell = (granularity, dimension, value, floor(time, step), time.minute % 2)
            session.execute(CELL, (*cell, *counts, *scores))


def _watermark(session: psycopg.Connection, time: datetime | None) -> None:
    session.execute(
        "INSERT INTO stream_offsets (consumer_group, topic, topic_id, kafka_partition, watermark)"
        " VALUES ('g', 'posts', '00000000-0000-0000-0000-000000000000', 0, %s)",
        (time,),
    )


def _story(session: psycopg.Connection) -> None:
    """24 hours, on two platforms from noon on, with an outage at 18:00 and a silence at 20:00."""
    for hour in range(24):
        if hour == 20:
            continue
        for minute in (3, 42):
            time = DAY + timedelta(hours=hour, minutes=minute)
            _add(session, time, OUTAGE if hour == 18 else CALM, platform="a" if hour < 12 else "b")


def test_windows_are_sums_of_buckets(connection: psycopg.Connection) -> None:
    connection.execute("SET TimeZone TO 'Asia/Kolkata'")  # buckets are UTC all the same
    _story(connection)
    _watermark(connection, DAY + 19 * HOUR)
    trends = read_trends(connection, width=6 * HOUR, since=DAY, until=DAY + 24 * HOUR)
    (series,) = trends.series
    assert [window.start for window in series.windows] == [DAY + i * 6 * HOUR for i in range(4)]
    twelve = tuple(12 * count for count in CALM)
    evening = tuple(8 * calm + 2 * outage for calm, outage in zip(CALM, OUTAGE, strict=True))
    assert [window.counts for window in series.windows] == [twelve, twelve, twelve, evening]
    assert series.windows[0].mean_scores[1] == pytest.approx(0.7 * 4 / 12)
    assert [window.complete for window in series.windows] == [True, True, True, False]


@pytest.mark.parametrize("width", [timedelta(minutes=15), HOUR, timedelta(days=1)])
def test_every_granularity_tells_the_same(connection: psycopg.Connection, width: timedelta) -> None:
    _story(connection)
    since = floor(DAY, width)
    trends = read_trends(
        connection, width=width, since=since, until=since + timedelta(days=1), dimension="platform"
    )
    assert [(series.value, series.total.posts) for series in trends.series] == [
        ("a", 24 * sum(CALM)),
        ("b", 20 * sum(CALM) + 2 * sum(OUTAGE)),
    ]


def test_rows_are_those_of_the_view(connection: psycopg.Connection) -> None:
    _story(connection)
    rows = read_series(
        connection, granularity="1h", dimension="all", values=None, since=DAY, until=DAY + 24 * HOUR
    )
    columns = "bucket, dimension, value, emotion, posts, total_posts, share, mean_score, complete"
    view = connection.execute(
        f"SELECT {columns} FROM emotion_trends WHERE granularity = '1h' AND dimension = 'all'"
        " ORDER BY bucket, value, emotion"
    ).fetchall()
    assert len(rows) == 23 * 8
    for row, (bucket, _, _, emotion, posts, total, share, mean, complete) in zip(
        rows, view, strict=True
    ):
        assert (row.bucket, row.emotion, row.posts) == (bucket, emotion, posts)
        assert (row.total_posts, row.complete) == (total, complete)
        assert row.share == pytest.approx(share)
        assert row.mean_score == pytest.approx(mean)


def test_the_newest_minute_or_what_retention_left_of_it(connection: psycopg.Connection) -> None:
    assert read_newest(connection) is None
    _story(connection)
    assert read_newest(connection) == DAY + timedelta(hours=23, minutes=42)
    connection.execute("DELETE FROM trend_cells WHERE granularity = '1m'")
    assert read_newest(connection) == DAY + timedelta(hours=23)


def test_a_silent_hour_is_complete_once_a_later_one_is(connection: psycopg.Connection) -> None:
    _story(connection)
    _watermark(connection, DAY + 22 * HOUR)
    until = DAY + 24 * HOUR
    assert read_complete_until(connection) == DAY + 22 * HOUR
    trends = read_trends(connection, width=HOUR, since=DAY, until=until)
    assert [window.complete for window in trends.series[0].windows] == [True] * 22 + [False] * 2
    assert trends.series[0].windows[20].posts == 0


def test_a_database_without_our_schema_says_what_to_do(empty_database_url: str) -> None:
    with (
        connect(empty_database_url, application_name="test") as session,
        pytest.raises(WorkerError, match="emotion-worker migrate"),
    ):
        read_newest(session)


def test_json_has_every_window_of_old_data(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    _story(connection)
    _watermark(connection, DAY + 48 * HOUR)
    result = trends_command("--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert document["window"] == "1h"
    assert (document["since"], document["until"]) == (
        "2015-02-20T00:00:00Z",
        "2015-02-21T00:00:00Z",
    )
    rows = document["rows"]
    assert len(rows) == 24 * 8
    assert sum(row["posts"] for row in rows) == 44 * sum(CALM) + 2 * sum(OUTAGE)
    anger = {row["bucket"]: row["share"] for row in rows if row["emotion"] == "anger"}
    assert max(anger, key=lambda bucket: anger[bucket] or 0) == "2015-02-20T18:00:00Z"
    assert anger["2015-02-20T20:00:00Z"] is None
    assert all(row["complete"] for row in rows)
    assert "2015-02-20 23:42 UTC" in result.stderr


def test_a_person_sees_table_chart_and_picture(
    connection: psycopg.Connection, trends_command: Callable[..., Result], tmp_path: Path
) -> None:
    _story(connection)
    picture = tmp_path / "trends.png"
    result = trends_command("--by", "platform", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "2015-02-20 23:42 UTC" in result.stdout
    assert "anger" in result.stdout
    assert f"Drawn to {picture}" in result.stdout
    assert "Spikes: under 3 days of history" in result.stdout
    assert "Spikes" not in trends_command("--no-spikes").stdout
    unwritable = trends_command("--plot", "/proc/trends.png")
    assert isinstance(unwritable.exception, WorkerError)
    assert "cannot write there" in str(unwritable.exception)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_value_is_found_however_it_is_written(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    _add(connection, DAY, CALM, hashtag="news")
    result = trends_command("--by", "hashtag", "--value", "#News", "--json", "--since", "3h")
    rows = json.loads(result.stdout)["rows"]
    assert {row["value"] for row in rows} == {"news"}
    assert len({row["bucket"] for row in rows}) == 3
    nothing = trends_command(
        *("--by", "hashtag", "--value", "news", "--json"),
        *("--since", "2015-02-10T00:00:00Z", "--until", "2015-02-11T00:00:00Z"),
    )
    assert nothing.exit_code == 0
    assert json.loads(nothing.stdout)["rows"] == []
    assert "No posts for hashtag 'news'" in nothing.stderr


@pytest.mark.parametrize(
    ("dimension", "value", "hint"),
    [
        ("hashtag", "newss", "Did you mean 'news'?"),
        ("platform", "TW", "Did you mean 'tw'?"),
        ("platform", "news", "Did you mean --by hashtag?"),
        ("topic", "zebra", "the topic 'zebra'."),
    ],
)
def test_a_value_that_never_was_is_an_error_with_a_hint(
    connection: psycopg.Connection,
    trends_command: Callable[..., Result],
    dimension: str,
    value: str,
    hint: str,
) -> None:
    _add(connection, DAY, CALM, hashtag="news", platform="tw")
    result = trends_command("--by", dimension, "--value", value, "--json")
    assert isinstance(result.exception, WorkerError)
    assert result.exception.exit_code == 1
    assert str(result.exception).endswith(hint)
    assert result.stdout == ""


def test_windows_roll(connection: psycopg.Connection) -> None:
    """Each is the sum of the steps that it holds, also of those before the range."""
    _story(connection)
    _watermark(connection, DAY + 19 * HOUR)
    quarter, since, until = HOUR / 4, DAY + 12 * HOUR, DAY + 24 * HOUR
    rolling, plain = (
        read_trends(
            connection, width=width, step=quarter, since=begin, until=until, dimension="platform"
        )
        for width, begin in ((HOUR, since), (quarter, since - HOUR))
    )
    assert rolling.step == quarter
    assert plain.step is None
    platforms = {one.value: one.windows for one in plain.series}
    for series in rolling.series:
        steps = [window.posts for window in platforms[series.value]]
        assert [w.posts for w in series.windows] == [sum(steps[n + 1 : n + 5]) for n in range(48)]
        assert [w.complete for w in series.windows] == [n < 28 for n in range(48)]
        assert series.total.posts == sum(steps[4:])


def test_a_window_as_long_as_its_step_does_not_roll(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    _story(connection)
    same = trends_command("--window", "1h", "--step", "1h", "--json")
    assert same.stdout == trends_command("--json").stdout
    document = json.loads(trends_command("--step", "10m", "--json").stdout)
    assert (document["window"], document["step"]) == ("1h", "10m")
    assert len(document["rows"]) == 143 * 8  # the newest minute is 23:42


def test_without_since_it_starts_with_the_data(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    for hour in (0, 3):
        _add(connection, DAY + hour * HOUR, CALM)
    document = json.loads(trends_command("--json").stdout)
    assert (document["since"], document["until"]) == (
        "2015-02-20T00:00:00Z",
        "2015-02-20T04:00:00Z",
    )
    asked = json.loads(trends_command("--json", "--since", "24h").stdout)
    assert asked["since"] == "2015-02-19T04:00:00Z"
    one = json.loads(trends_command("--json", "--window", "30d").stdout)
    assert len(one["rows"]) == 8  # a window larger than the data


def test_csv_is_the_rows(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    _story(connection)
    rows = list(csv.DictReader(StringIO(trends_command("--by", "platform", "--csv").stdout)))
    document = json.loads(trends_command("--by", "platform", "--json").stdout)
    assert len(rows) == 2 * 24 * 8
    for line, row in zip(rows, document["rows"], strict=True):
        assert (line["bucket"], line["value"], line["emotion"]) == (
            row["bucket"], row["value"], row["emotion"],
        )  # fmt: skip
        assert line["posts"] == str(row["posts"])
        assert line["share"] == ("" if row["share"] is None else str(row["share"]))
    assert {line["dimension"] for line in rows} == {"platform"}
    assert trends_command("--csv", "--since", "2015-03-01T00:00:00Z").stdout.count("\n") == 1


def test_what_is_quiet_is_told_from_what_is_not_read(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    _story(connection)
    read = trends_command("--until", "2015-02-21T03:00:00Z", "--json")
    _watermark(connection, DAY + 26 * HOUR)
    complete = {
        row["bucket"]: row["complete"]
        for row in json.loads(trends_command("--until", "2015-02-21T03:00:00Z", "--json").stdout)[
            "rows"
        ]
    }
    assert [row["complete"] for row in json.loads(read.stdout)["rows"]].count(True) == 0
    assert complete["2015-02-21T01:00:00Z"] is True  # nothing was said
    assert complete["2015-02-21T02:00:00Z"] is False
    words = trends_command().stdout
    assert "Nothing was said from then to 2015-02-21 02:00 UTC." in words


def test_a_pipe_gets_no_colour_and_whole_names(
    connection: psycopg.Connection, trends_command: Callable[..., Result]
) -> None:
    name = "\u05e9\u05dc\u05d5\u05dd" + "x" * 90
    _add(connection, DAY, CALM, hashtag=name)
    text = trends_command("--by", "hashtag").stdout
    assert "\x1b" not in text
    assert f"#{name}" in text.splitlines()[2]


def test_no_data_is_no_error(
    connection: psycopg.Connection, trends_command: Callable[..., Result], tmp_path: Path
) -> None:
    picture = tmp_path / "trends.png"
    empty = trends_command("--plot", str(picture))
    assert empty.exit_code == 0
    assert "no trends yet" in empty.stdout
    assert "emotion-worker publish" in empty.stdout
    assert f"nothing to draw to {picture}" in empty.stdout
    assert json.loads(trends_command("--json").stdout)["rows"] == []
    _add(connection, DAY, CALM)
    later = trends_command("--since", "2015-03-01T00:00:00Z")
    assert later.exit_code == 0
    assert "the newest are of 2015-02-20 00:00 UTC" in later.stdout
    assert not picture.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", "2x"), "no duration"),
        (("--window", "0m"), "no duration"),
        (("--window", "999d"), "366 days"),
        (("--by", "mood"), "not one of"),
        (("--by", "hashtags"), "Did you mean 'hashtag'?"),
        (("--by", "hashtag", "--value", "#"), "no hashtag"),
        (("--json", "--csv"), "one of them"),
        (("--step", "2h"), "longer than --window"),
        (("--since", "2015-02-20T00:00:00Z", "--until", "2h"), "is not before"),
        (("--value", "x"), "--value needs --by"),
        (("--since", "2015-02-20T00:00:00"), "zone"),
        (("--since", "999999w"), "too far back"),
        (("--since", "90d", "--window", "1m"), "wider --window"),
        (("--plot", "x.svg"), "must end in .png"),
        (("--plot", "no/such/folder/x.png"), "no folder"),
    ],
)
def test_wrong_usage_ends_with_2(
    connection: psycopg.Connection,
    trends_command: Callable[..., Result],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    _add(connection, DAY, CALM)
    result = trends_command(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_posts_from_the_future_do_not_move_the_end() -> None:
    now = DAY + timedelta(minutes=20)
    since, until = window_range(now + 2 * HOUR, width=HOUR, since=None, now=now)
    assert (since, until) == (DAY - 23 * HOUR, DAY + HOUR)
