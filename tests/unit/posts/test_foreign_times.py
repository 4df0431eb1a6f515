from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.posts.foreign_times import NaiveTimeError, wire_time
from worker.posts.times import event_time


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2015-02-24 11:35:52 -0800", "2015-02-24T19:35:52Z"),
        ("2015-02-24T11:35:52-08:00", "2015-02-24T19:35:52Z"),
        ("2015-02-24 11:35:52-08", "2015-02-24T19:35:52Z"),
        ("2015-02-24 11:35 -0800", "2015-02-24T19:35:00Z"),
        ("2015-02-24 19:35:52.25 UTC", "2015-02-24T19:35:52.250000Z"),
        ("2015-02-24 19:35:52 gmt", "2015-02-24T19:35:52Z"),
        (" 20150224T193552Z ", "2015-02-24T19:35:52Z"),
        ("Tue Feb 24 19:35:52 +0000 2015", "2015-02-24T19:35:52Z"),
        ("1424806552", 1_424_806_552),
        ("1424806552000", 1_424_806_552_000),
        ("1424806552.5", 1_424_806_552.5),
        ("yesterday", "yesterday"),
        ("", ""),
        ("2015-02-30 11:35:52 -0800", "2015-02-30 11:35:52 -0800"),
        ("0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00+10:00"),
    ],
)
def test_foreign_times(given_time: str, expected: object) -> None:
    assert wire_time(given_time) == expected


@pytest.mark.parametrize("naive", ["2015-02-24 11:35:52", "2015-02-24T11:35", "2015-02-24"])
def test_a_time_without_a_zone_needs_one(naive: str) -> None:
    with pytest.raises(NaiveTimeError):
        wire_time(naive)
    assert wire_time(naive, UTC) == (
        datetime.fromisoformat(naive).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    )


def test_the_assumed_zone_has_its_summer_time() -> None:
    paris = ZoneInfo("Europe/Paris")
    assert wire_time("2015-01-24 12:00:00", paris) == "2015-01-24T11:00:00Z"
    assert wire_time("2015-07-24 12:00:00", paris) == "2015-07-24T10:00:00Z"
    assert wire_time("2015-07-24 12:00:00 +0000", paris) == "2015-07-24T12:00:00Z"


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 2),  # noqa: DTZ001 (the strategy adds the zone)
        timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    ),
    st.sampled_from(["%Y-%m-%d %H:%M:%S.%f %z", "%Y-%m-%dT%H:%M:%S.%f%z"]),
)
def test_what_is_understood_is_the_same_moment_to_the_decoder(time: datetime, form: str) -> None:
    written = time.strftime(form)
    assert event_time(wire_time(written), field="created_at", timestamp_ms=-1) == time


@given(st.text())
def test_any_text_is_a_time_or_comes_back(text: str) -> None:
    wire_time(text, UTC)
