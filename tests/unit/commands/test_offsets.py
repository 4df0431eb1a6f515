"""`offsets set`: what its target may be, and what a move comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import click
import pytest

from worker.commands.offsets_set import _To, distance, resolve
from worker.errors import SettingsError, WorkerError
from worker.settings import given_settings
from worker.source.lookup import TopicLog
from worker.store.offsets import Moved

LOG = TopicLog("posts", UUID(int=1), {0: (10, 20), 1: (0, 0)})


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        ("0", 0),
        ("20260301", 20_260_301),
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.5+02:00", datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_target_is_an_end_an_offset_or_a_time(given: str, target: object) -> None:
    assert _To().convert(given, None, None) == target


@pytest.mark.parametrize(
    "given", ["", "-1", "1.5", "end", "٣", "2026-03-01", "2026-03-01T12:00:00"]
)
def test_another_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter, match="time with a zone"):
        _To().convert(given, None, None)


def test_ends_and_offsets_of_each_partition() -> None:
    settings = given_settings()
    assert resolve(settings, LOG, [0, 1], "earliest") == {0: 10, 1: 0}
    assert resolve(settings, LOG, [0, 1], "latest") == {0: 20, 1: 0}
    assert resolve(settings, LOG, [0], 10) == {0: 10}
    assert resolve(settings, LOG, [0], 20) == {0: 20}
    for offset, outside in ((9, "posts/0 has 10 to 20"), (21, "posts/0 has 10 to 20")):
        with pytest.raises(WorkerError, match=outside):
            resolve(settings, LOG, [0], offset)
    with pytest.raises(WorkerError, match="posts/1 has 0 to 0"):
        resolve(settings, LOG, [0, 1], 15)
    with pytest.raises(SettingsError, match="0 to 1"):
        resolve(settings, LOG, [2], "latest")


@pytest.mark.parametrize(
    ("before", "after", "over", "again"),
    [
        (12, 15, 3, 0),
        (15, 12, 0, 3),
        (15, 15, 0, 0),
        (None, 10, 0, 0),
        (None, 15, 5, 0),
        (3, 12, 2, 0),  # what lay before the log's start is gone anyway
        (99, 12, 0, 8),
    ],
)
def test_what_a_move_passes_over_or_reads_again(
    before: int | None, after: int, over: int, again: int
) -> None:
    assert distance(Moved(0, before, after), LOG.bounds) == (over, again)
