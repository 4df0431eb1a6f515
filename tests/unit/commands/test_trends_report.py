from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

from worker.commands.trends_report import document, table
from worker.trends import Events, ModelRun, Series, Spike, Trends, Window, episodes

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME = 'a,"b"\u05e9\n'
TRENDS = Trends(
    "hashtag",
    HOUR,
    START,
    START + 2 * HOUR,
    (
        Series(
            "hashtag",
            NAME,
            (
                Window(START, (1, 2, 3, 4, 5, 6, 7, 8), (0.125,) * 6, complete=True),
                Window(START + HOUR, (0,) * 8, (None,) * 6, complete=False),
            ),
        ),
    ),
    complete_until=START + HOUR,
)
SPIKE = Spike(
    START + HOUR, "hashtag", NAME, "anger", 120, 20.0, 5.0, 35.0, 9.0, 0.6, None,
    ("tw:1",), ("a text",), ("outage",), 0.5, None,
)  # fmt: skip
EVENTS = Events(
    episodes([SPIKE]),
    since=START,
    until=START + HOUR,
    note="a note",
    runs=(ModelRun(1, "builtin", "1.0", START, START + HOUR, 36, True),),
)


def test_the_csv_has_every_window_and_survives_any_name() -> None:
    rows = list(csv.DictReader(StringIO(table(TRENDS))))
    assert len(rows) == 2 * 8
    assert {row["value"] for row in rows} == {NAME}
    assert rows[3] == {
        "bucket": "2026-03-01T12:00:00Z", "dimension": "hashtag", "value": NAME,
        "emotion": "anger", "posts": "4", "total_posts": "28", "share": str(4 / 28),
        "mean_score": "0.125", "complete": "true",
    }  # fmt: skip
    assert [rows[11][name] for name in ("posts", "share", "mean_score", "complete")] == [
        "0", "", "", "false",
    ]  # fmt: skip


def test_without_trends_the_csv_has_a_header_only() -> None:
    assert table(None).splitlines() == [
        "bucket,dimension,value,emotion,posts,total_posts,share,mean_score,complete"
    ]


def test_the_document() -> None:
    found = document(TRENDS, EVENTS, width=HOUR, step=None, dimension="hashtag")
    found = json.loads(json.dumps(found))
    assert list(found) == [
        *("window", "step", "dimension", "since", "until", "complete_until", "rows"),
        *("spikes_since", "spikes_note", "spikes", "models"),
    ]
    assert (found["window"], found["step"]) == ("1h", "1h")
    assert found["complete_until"] == "2026-03-01T13:00:00Z"
    assert list(found["rows"][0]) == [
        *("bucket", "value", "emotion", "posts", "total_posts", "share", "mean_score", "complete")
    ]
    [spike] = found["spikes"]
    assert (spike["since"], spike["until"], spike["at"]) == (
        "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z",
    )  # fmt: skip
    assert (spike["post_ids"], spike["share_before"]) == (["tw:1"], None)
    assert found["models"][0]["version"] == "1.0"


def test_the_document_without_anything() -> None:
    found = document(None, Events(), width=HOUR, step=timedelta(minutes=5), dimension="all")
    assert (found["since"], found["rows"], found["spikes"]) == (None, [], [])
    assert found["step"] == "5m"
